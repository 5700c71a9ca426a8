//! What do the saved records of a catalogue look like?
//!
//! A record is `version, varint length of the body, zstd(body)`. All numbers are varints.
//!
//! * labels of [`Sizes::label_page`] streams: `streams; names (ascending): each length, text; pairs: each name's place,
//!   length, value; per stream its pairs' number; all streams' first pair, all streams' second pair ...`. A pair is 0
//!   when it is the next of the page's pairs for the first time, else its place + 1.
//! * days of [`Sizes::day_page`] streams: `streams; per stream its runs' number; all runs' first day (zigzag, against the
//!   first day of the run before in the page); all runs' length - 1`.
//!
//! Column by column, because neighbours in a column are alike and pack well.
//!
//! That the bytes are the right ones is the image's affair ([`super::image`]); here nothing may panic on wrong ones.

use super::catalogue::{Catalogue, Sizes};
use super::days::{DayRange, Days};
use crate::invariant::invariant;
use std::collections::{BTreeSet, HashMap};
use strandline_model::labels::is_label_name;
use strandline_model::metadata::{put_varint, take_slice, take_varint};

const VERSION: u8 = 1;
/// Stands for the pair behind the one that was new last: where all values differ, a column is all zeros.
const NEXT_PAIR: u64 = 0;
const ZSTD_LEVEL: i32 = 3;
/// A page of 256 streams with the most and longest labels that the limits allow is 50 MB.
const BODY_BYTES_MAX: usize = 256 << 20;

/// A record that this program did not write like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page is not well-formed")]
pub(super) struct BadPage;

/// Packs pages.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

/// Unpacks pages.
pub(super) struct Unpacker(zstd::bulk::Decompressor<'static>, Sizes);

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self)
    }

    fn pack(&mut self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        if body.len() > BODY_BYTES_MAX {
            return Err(std::io::Error::other("a page of labels is larger than 256 MiB"));
        }
        let mut record = vec![VERSION];
        put_varint(&mut record, body.len() as u64);
        record.extend_from_slice(&self.0.compress(body)?);
        Ok(record)
    }

    /// The record of page `page` of the labels of `from`.
    pub(super) fn labels(&mut self, from: &Catalogue, page: u32) -> std::io::Result<Vec<u8>> {
        let streams = page_streams(from, page, from.sizes.label_page);
        let mut body = Vec::with_capacity(16 * 1024);
        put_varint(&mut body, streams.len() as u64);
        let names: BTreeSet<&str> =
            streams.clone().flat_map(|s| from.label_texts(s)).map(|(n, _)| n).collect();
        put_varint(&mut body, names.len() as u64);
        names.iter().for_each(|name| put_text(&mut body, name));
        let name_places: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (*n, i)).collect();

        let mut pair_places: HashMap<u32, usize> = HashMap::new();
        let (mut pairs, mut columns) = (Vec::new(), Vec::new());
        let n_columns = streams.clone().map(|stream| from.pairs(stream).len()).max().unwrap_or(0);
        for column in 0..n_columns {
            for pair in streams.clone().filter_map(|stream| from.pairs(stream).get(column)) {
                let next = pair_places.len();
                let place = *pair_places.entry(*pair).or_insert(next);
                put_varint(&mut columns, if place == next { NEXT_PAIR } else { place as u64 + 1 });
                if place == next {
                    let (name, value) = from.symbols.text(*pair);
                    invariant!(name_places.contains_key(name), "a page misses the name of a pair");
                    put_varint(&mut pairs, name_places.get(name).copied().unwrap_or(0) as u64);
                    put_text(&mut pairs, value);
                }
            }
        }
        put_varint(&mut body, pair_places.len() as u64);
        body.extend_from_slice(&pairs);
        streams.for_each(|stream| put_varint(&mut body, from.pairs(stream).len() as u64));
        body.extend_from_slice(&columns);
        self.pack(&body)
    }

    /// The record of page `page` of the days of `from`.
    pub(super) fn days(&mut self, from: &Catalogue, page: u32) -> std::io::Result<Vec<u8>> {
        let streams = page_streams(from, page, from.sizes.day_page);
        let days = || streams.clone().filter_map(|stream| from.days.get(stream as usize));
        let mut body = Vec::with_capacity(16 * 1024);
        put_varint(&mut body, streams.len() as u64);
        days().for_each(|days| put_varint(&mut body, days.runs().len() as u64));
        let mut before = 0i64;
        for (first, _) in days().flat_map(Days::runs) {
            put_varint(&mut body, zigzag(i64::from(*first) - before));
            before = i64::from(*first);
        }
        for (first, last) in days().flat_map(Days::runs) {
            put_varint(&mut body, (i64::from(*last) - i64::from(*first)) as u64);
        }
        self.pack(&body)
    }
}

fn page_streams(from: &Catalogue, page: u32, page_streams: usize) -> std::ops::Range<u32> {
    let first = page as usize * page_streams;
    first.min(from.n_streams()) as u32..(first + page_streams).min(from.n_streams()) as u32
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

impl Unpacker {
    pub(super) fn new(sizes: Sizes) -> std::io::Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?, sizes))
    }

    fn unpack(&mut self, record: &[u8]) -> Result<Vec<u8>, BadPage> {
        let (version, mut rest) = record.split_first().ok_or(BadPage)?;
        let len = take_count(&mut rest, BODY_BYTES_MAX)?;
        if *version != VERSION {
            return Err(BadPage);
        }
        let body = self.0.decompress(rest, len).map_err(|_| BadPage)?;
        if body.len() == len { Ok(body) } else { Err(BadPage) }
    }

    /// Appends the streams of the next page of labels. Pages but the last are full.
    pub(super) fn labels(&mut self, to: &mut Catalogue, page: u32, record: &[u8]) -> Result<(), BadPage> {
        if to.n_streams() != page as usize * self.1.label_page {
            return Err(BadPage);
        }
        let body = self.unpack(record)?;
        let mut rest = body.as_slice();
        let n_streams = take_count(&mut rest, self.1.label_page)?;
        let names = take_names(&mut rest, to)?;
        let pairs = take_pairs(&mut rest, &names, to)?;
        let mut counts = Vec::with_capacity(n_streams);
        for _ in 0..n_streams {
            counts.push(take_count(&mut rest, names.len())?);
        }
        let all = take_columns(&mut rest, &pairs, &counts)?;
        let mut left = all.as_slice();
        for count in counts {
            let (list, behind) = left.split_at_checked(count).ok_or(BadPage)?;
            left = behind;
            // By name, and each name once.
            if !list.is_sorted_by(|(a, _), (b, _)| a < b) {
                return Err(BadPage);
            }
            let list: Vec<u32> = list.iter().map(|(_, pair)| *pair).collect();
            to.push_stream(&list, Days::None).map_err(|_| BadPage)?;
        }
        if rest.is_empty() && n_streams > 0 { Ok(()) } else { Err(BadPage) }
    }

    /// The days of a page of streams, in order.
    pub(super) fn days(&mut self, record: &[u8]) -> Result<Vec<Days>, BadPage> {
        let body = self.unpack(record)?;
        let mut rest = body.as_slice();
        let n_streams = take_count(&mut rest, self.1.day_page)?;
        let mut counts = Vec::with_capacity(n_streams);
        for _ in 0..n_streams {
            counts.push(take_count(&mut rest, body.len())?);
        }
        let mut firsts = Vec::new();
        let mut before = 0i64;
        for _ in 0..counts.iter().sum() {
            before = before.checked_add(unzigzag(take_varint(&mut rest).ok_or(BadPage)?)).ok_or(BadPage)?;
            firsts.push(i32::try_from(before).map_err(|_| BadPage)?);
        }
        let mut firsts = firsts.into_iter();
        let mut days = Vec::with_capacity(n_streams);
        for count in counts {
            let runs: Option<Vec<DayRange>> =
                firsts.by_ref().take(count).map(|first| take_run(&mut rest, first)).collect();
            days.push(runs.and_then(Days::from_runs).ok_or(BadPage)?);
        }
        if rest.is_empty() && n_streams > 0 { Ok(days) } else { Err(BadPage) }
    }
}

fn take_count(rest: &mut &[u8], most: usize) -> Result<usize, BadPage> {
    let n = take_varint(rest).and_then(|n| usize::try_from(n).ok());
    n.filter(|n| *n <= most).ok_or(BadPage)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, BadPage> {
    take_slice(rest).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(BadPage)
}

fn take_run(rest: &mut &[u8], first: i32) -> Option<DayRange> {
    let more = i64::try_from(take_varint(rest)?).ok()?;
    Some((first, i32::try_from(i64::from(first).checked_add(more)?).ok()?))
}

/// The catalogue's numbers of the page's names.
fn take_names(rest: &mut &[u8], to: &mut Catalogue) -> Result<Vec<u32>, BadPage> {
    let mut ids = Vec::new();
    let mut last: Option<&str> = None;
    for _ in 0..take_count(rest, rest.len())? {
        let name = take_text(rest)?;
        if !is_label_name(name) || last >= Some(name) {
            return Err(BadPage);
        }
        last = Some(name);
        ids.push(to.symbols.intern_name(name));
    }
    Ok(ids)
}

/// Place of a pair's name in the page, the catalogue's number of the pair.
type PagePair = (usize, u32);

/// The page's pairs.
fn take_pairs(rest: &mut &[u8], names: &[u32], to: &mut Catalogue) -> Result<Vec<PagePair>, BadPage> {
    let mut pairs = Vec::new();
    for _ in 0..take_count(rest, rest.len())? {
        let place = take_count(rest, names.len())?;
        let (name, value) = (names.get(place).ok_or(BadPage)?, take_text(rest)?);
        if value.is_empty() {
            return Err(BadPage);
        }
        pairs.push((place, to.symbols.intern_pair(*name, value).ok_or(BadPage)?));
    }
    Ok(pairs)
}

/// The pairs of streams with that many pairs each, stream after stream.
fn take_columns(rest: &mut &[u8], pairs: &[PagePair], counts: &[usize]) -> Result<Vec<PagePair>, BadPage> {
    let total: usize = counts.iter().sum();
    // Each takes a byte at least.
    if total > rest.len() {
        return Err(BadPage);
    }
    let mut all = vec![PagePair::default(); total];
    let mut next = 0;
    for column in 0..counts.iter().copied().max().unwrap_or(0) {
        let mut start = 0;
        for count in counts {
            if column < *count {
                let place = match take_varint(rest).ok_or(BadPage)? {
                    NEXT_PAIR => next,
                    place => usize::try_from(place - 1).map_err(|_| BadPage)?,
                };
                next += usize::from(place == next);
                *all.get_mut(start + column).ok_or(BadPage)? = *pairs.get(place).ok_or(BadPage)?;
            }
            start += count;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::tests::SMALL;
    use proptest::prelude::*;
    use strandline_model::{Day, Labels};

    fn catalogue(n: usize) -> Catalogue {
        let mut catalogue = Catalogue::new(SMALL);
        for i in 0..n {
            let pairs = [("app", format!("a{}", i % 7)), ("pod", format!("p{i}")), ("z", "1".repeat(i % 2))];
            let labels = Labels::from_pairs(&pairs).unwrap();
            catalogue.add(Day(i as i32 % 5 - 2), &labels).unwrap();
            catalogue.add(Day(20_000 + i as i32 % 5), &labels).unwrap();
        }
        catalogue
    }

    fn saved(from: &Catalogue) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut packer = Packer::new().unwrap();
        let (labels, days) = from.n_pages();
        let labels = (0..labels as u32).map(|page| packer.labels(from, page).unwrap()).collect();
        (labels, (0..days as u32).map(|page| packer.days(from, page).unwrap()).collect())
    }

    #[test]
    fn a_catalogue_comes_back() {
        let from = catalogue(5000);
        let (label_pages, day_pages) = saved(&from);
        let mut unpacker = Unpacker::new(SMALL).unwrap();
        let mut to = Catalogue::new(SMALL);
        for (page, record) in label_pages.iter().enumerate() {
            unpacker.labels(&mut to, page as u32, record).unwrap();
        }
        let days: Vec<Days> = day_pages.iter().flat_map(|record| unpacker.days(record).unwrap()).collect();
        assert_eq!(days, from.days);
        for stream in 0..5000 {
            assert!(from.label_texts(stream).eq(to.label_texts(stream)));
        }
        assert_eq!(unpacker.labels(&mut to, 3, label_pages.get(3).unwrap()), Err(BadPage));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            page in 0usize..3, at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut packer = Packer::new().unwrap();
            let mut unpacker = Unpacker::new(SMALL).unwrap();
            let from = catalogue(300);
            let good = [saved(&from).0, saved(&from).1].concat();
            // A body that is right but for one byte gets further than random bytes do.
            let mut near = unpacker.unpack(good.get(page).unwrap()).unwrap();
            let at = at.index(near.len());
            near[at] = byte;
            for record in [body.clone(), packer.pack(&body).unwrap(), packer.pack(&near).unwrap()] {
                let _ = unpacker.labels(&mut Catalogue::new(SMALL), 0, &record);
                let _ = unpacker.days(&record);
            }
        }
    }
}
