//! How do a segment's terms lie on disk, and how in memory?
//!
//! In memory: one text, every term with `\n` on both sides, so that a substring search finds terms, beginnings and
//! ends of terms alike. First the section of common terms, then one section of rare terms per block; sorted within a
//! section. On disk the terms are front-coded into three streams (bytes shared with the term before, length, the other
//! bytes), which takes a quarter less than the compressed text and compresses faster.

use super::TextError;
use super::block_set::BlockSet;
use super::metadata::PairTable;
use super::sealed::{self, MAX_STREAM, take_len};
use super::token::MAX_TERM_BYTES;
use memchr::{memchr, memchr_iter};
use std::ops::Range;
use strandline_model::metadata::{put_varint, take_varint};

const FORMAT: u8 = 1;
/// The streams hardly repeat, so higher levels gain nothing but time.
const LEVEL: i32 = 1;
const MAX_BLOCKS: usize = 1 << 24;
/// Every so many common terms the place is kept, to find a term's rank.
const STRIDE: usize = 64;
/// Bytes that are copied at once when terms are unpacked.
const SLACK: usize = 16;

/// Writes the terms part. Sections come in order: the common one, then one per block.
#[derive(Debug, Default)]
pub(super) struct TermsWriter {
    counts: Vec<u32>,
    shared: Vec<u8>,
    lengths: Vec<u8>,
    rest: Vec<u8>,
    text_len: usize,
    pair_counts: Vec<u32>,
    pairs: Vec<u8>,
}

impl TermsWriter {
    /// Adds a section: its sorted line terms and its sorted metadata terms.
    pub(super) fn section<'a>(&mut self, terms: impl Iterator<Item = &'a [u8]>, pairs: &[u32]) {
        let mut count = 0;
        let mut last: &[u8] = &[];
        for term in terms {
            let shared = last.iter().zip(term).take_while(|(a, b)| a == b).count();
            put_varint(&mut self.shared, shared as u64);
            put_varint(&mut self.lengths, term.len() as u64);
            count += 1;
            self.rest.extend_from_slice(&term[shared..]);
            self.text_len += term.len() + 1;
            last = term;
        }
        self.counts.push(count);
        self.pair_counts.push(pairs.len() as u32);
        self.pairs.extend(pairs.iter().flat_map(|key| key.to_be_bytes()));
    }

    /// The encoded part; `truncated` are the blocks with a truncated token, ascending.
    pub(super) fn finish(self, truncated: &[u32]) -> Result<Vec<u8>, TextError> {
        if self.counts.len() > MAX_BLOCKS || self.text_len >= MAX_STREAM {
            return Err(TextError::TooLarge("terms"));
        }
        let mut part = sealed::begin(FORMAT);
        put_varint(&mut part, self.counts.len() as u64);
        for &count in self.counts.iter().chain(&self.pair_counts) {
            put_varint(&mut part, u64::from(count));
        }
        put_varint(&mut part, truncated.len() as u64);
        for &block in truncated {
            put_varint(&mut part, u64::from(block));
        }
        for stream in [&self.shared, &self.lengths, &self.rest, &self.pairs] {
            sealed::put_stream(&mut part, stream, LEVEL)?;
        }
        Ok(sealed::seal(part))
    }
}

/// The terms of a segment, decoded.
#[derive(Debug)]
pub(super) struct FlatTerms {
    /// `\n`, then every term followed by `\n`.
    text: Vec<u8>,
    /// Where the first term of each section starts, and where the text ends.
    starts: Vec<u32>,
    /// Where every [`STRIDE`]th common term starts.
    anchors: Vec<u32>,
    common: usize,
    truncated: BlockSet,
    pairs: PairTable,
}

impl FlatTerms {
    /// Decodes what [`TermsWriter`] wrote.
    pub(super) fn decode(part: &[u8]) -> Result<FlatTerms, TextError> {
        let mut body = sealed::open(part, FORMAT)?;
        let sections = take_len(&mut body, MAX_BLOCKS)?;
        if sections == 0 {
            return Err(TextError::Damaged("no section of common terms"));
        }
        let counts = take_numbers(&mut body, sections)?;
        let pair_counts = take_numbers(&mut body, sections)?;
        let blocks = (sections - 1) as u32;
        let truncated_len = take_len(&mut body, sections - 1)?;
        let mut truncated = BlockSet::none(blocks);
        take_numbers(&mut body, truncated_len)?.into_iter().for_each(|block| truncated.insert(block));
        let [shared, lengths, rest, pairs] = [
            sealed::take_stream(&mut body)?,
            sealed::take_stream(&mut body)?,
            sealed::take_stream(&mut body)?,
            sealed::take_stream(&mut body)?,
        ];
        let (text, starts) = unpack(&counts, &shared, &lengths, &rest)?;
        let anchors = anchors(&text, &starts);
        let common = counts.first().map_or(0, |&count| count as usize);
        let pairs = PairTable::decode(&pairs, &pair_counts)?;
        Ok(FlatTerms { text, starts, anchors, common, truncated, pairs })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn blocks(&self) -> u32 {
        (self.starts.len() - 2) as u32
    }

    /// How many terms stand in several blocks.
    pub(super) fn common(&self) -> usize {
        self.common
    }

    /// The blocks with a token that was cut.
    pub(super) fn truncated(&self) -> &BlockSet {
        &self.truncated
    }

    pub(super) fn pairs(&self) -> &PairTable {
        &self.pairs
    }

    /// The text of the sections `first..end`, with a delimiter on both sides; section 0 is the common one.
    pub(super) fn sections(&self, first: u32, end: u32) -> Range<usize> {
        let start = self.starts.get(first as usize).map_or(self.text.len(), |&start| start as usize);
        let end = self.starts.get(end as usize).map_or(self.text.len(), |&end| end as usize);
        start.saturating_sub(1)..end.max(start)
    }

    /// The section of the term that has its first byte at or before `at`.
    pub(super) fn section_at(&self, at: usize) -> u32 {
        self.starts.partition_point(|&start| start as usize <= at).saturating_sub(1) as u32
    }

    /// Rank of the common term around `at`.
    pub(super) fn rank_at(&self, at: usize) -> u32 {
        let anchor = self.anchors.partition_point(|&start| start as usize <= at).saturating_sub(1);
        let from = self.anchors.get(anchor).map_or(at, |&start| start as usize);
        let before = self.text.get(from..at).unwrap_or_default();
        (anchor * STRIDE + memchr_iter(b'\n', before).count()) as u32
    }

    /// The delimiter behind the term around `at`.
    pub(super) fn term_end(&self, at: usize) -> usize {
        self.text.get(at..).and_then(|rest| memchr(b'\n', rest)).map_or(self.text.len(), |len| at + len)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.text.capacity()
            + (self.starts.capacity() + self.anchors.capacity()) * 4
            + self.pairs.memory_bytes()
    }
}

fn take_numbers(body: &mut &[u8], count: usize) -> Result<Vec<u32>, TextError> {
    // Every number takes a byte at least.
    let mut numbers = Vec::with_capacity(count.min(body.len()));
    for _ in 0..count {
        numbers.push(take_len(body, MAX_STREAM)? as u32);
    }
    Ok(numbers)
}

/// The flat text and the starts of its sections.
fn unpack(
    counts: &[u32],
    shared: &[u8],
    lengths: &[u8],
    rest: &[u8],
) -> Result<(Vec<u8>, Vec<u32>), TextError> {
    if memchr(b'\n', rest).is_some() {
        return Err(TextError::Damaged("delimiter inside a term"));
    }
    let len = text_len(lengths)?;
    let mut text = vec![b'\n'; len + SLACK];
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut streams = Streams { shared, lengths, rest };
    let mut at = 1;
    for &count in counts {
        starts.push(at as u32);
        let mut last = at..at;
        for _ in 0..count {
            last = streams.next_term(&mut text, last, at).ok_or(TextError::Damaged("term"))?;
            at = last.end + 1;
        }
    }
    if !(streams.shared.is_empty() && streams.lengths.is_empty() && streams.rest.is_empty()) {
        return Err(TextError::Damaged("bytes behind the last term"));
    }
    starts.push(at as u32);
    text.truncate(at);
    Ok((text, starts))
}

/// How long the flat text is.
fn text_len(mut lengths: &[u8]) -> Result<usize, TextError> {
    let mut len = 1;
    while !lengths.is_empty() {
        len += take_length(&mut lengths)
            .filter(|&len| len <= MAX_TERM_BYTES)
            .ok_or(TextError::Damaged("length"))?
            + 1;
    }
    if len <= MAX_STREAM { Ok(len) } else { Err(TextError::Damaged("terms are too long")) }
}

/// What is left of the streams.
struct Streams<'a> {
    shared: &'a [u8],
    lengths: &'a [u8],
    rest: &'a [u8],
}

impl Streams<'_> {
    /// Writes the next term to `at`; it shares its first bytes with the one at `last`. Says where it stands.
    #[inline]
    fn next_term(&mut self, text: &mut [u8], last: Range<usize>, at: usize) -> Option<Range<usize>> {
        let len = take_length(&mut self.lengths)?;
        let shared = take_length(&mut self.shared)?;
        if len == 0 || shared > last.len() {
            return None;
        }
        let own = len.checked_sub(shared)?;
        // Most pieces are short: a copy of fixed length, partly overwritten later, beats one of the right length.
        if shared <= SLACK {
            let piece: [u8; SLACK] = *text.get(last.start..)?.first_chunk()?;
            *text.get_mut(at..)?.first_chunk_mut()? = piece;
        } else {
            text.copy_within(last.start..last.start + shared, at);
        }
        let (piece, behind) = self.rest.split_at_checked(own)?;
        match self.rest.first_chunk::<SLACK>() {
            Some(chunk) if own <= SLACK => *text.get_mut(at + shared..)?.first_chunk_mut()? = *chunk,
            _ => text.get_mut(at + shared..at + len)?.copy_from_slice(piece),
        }
        *text.get_mut(at + len)? = b'\n';
        self.rest = behind;
        Some(at..at + len)
    }
}

/// A number that nearly always takes one byte.
#[inline]
fn take_length(stream: &mut &[u8]) -> Option<usize> {
    match stream.split_first() {
        Some((&byte @ ..0x80, rest)) => {
            *stream = rest;
            Some(usize::from(byte))
        }
        _ => take_varint(stream).and_then(|n| usize::try_from(n).ok()),
    }
}

fn anchors(text: &[u8], starts: &[u32]) -> Vec<u32> {
    let (Some(&start), Some(&end)) = (starts.first(), starts.get(1)) else { return Vec::new() };
    let common = text.get(start as usize..end as usize).unwrap_or_default();
    let ends = memchr_iter(b'\n', common).map(|at| start + at as u32 + 1);
    [start].into_iter().chain(ends).filter(|&at| at < end).step_by(STRIDE).collect()
}
