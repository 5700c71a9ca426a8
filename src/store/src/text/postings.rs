//! In which blocks does a common term stand? The tantivy side of the index.
//!
//! One tantivy segment with one document per block; the document's number is the block's. A term's key is its rank
//! among the sorted common terms, not its text: the text already stands in the flat terms, and a dictionary of the texts
//! would take more than they do (on real logs 390 KB where the flat ones take 135 KB and the ranks next to nothing).

use super::TextError;
use super::block_set::BlockSet;
use super::sealed;
use crate::invariant::debug_invariant;
use std::path::PathBuf;
use std::sync::Arc;
use strandline_model::metadata::{put_varint, take_slice};
use tantivy::directory::RamDirectory;
use tantivy::index::{Index, InvertedIndexReader, Segment, SegmentComponent, SegmentId, SegmentReader};
use tantivy::postings::{BlockSegmentPostings, InvertedIndexSerializer};
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, Schema, TantivyDocument};
use tantivy::store::Compressor;
use tantivy::{Directory as _, IndexSettings, TantivyError};

const FORMAT: u8 = 1;
const LEVEL: i32 = 3;
/// tantivy draws a random one, which is only part of file names; a bundle has no names, so a fixed one does.
const SEGMENT_ID: &str = "00000000000000000000000000000001";
/// Sizes a hash table of tantivy's writer, which no term goes through.
const WRITER_BUDGET: usize = 1_000_000;

/// The files with terms, written by [`write_terms`].
const TERM_FILES: [SegmentComponent; 3] =
    [SegmentComponent::Terms, SegmentComponent::Postings, SegmentComponent::Positions];
/// The files that say nothing but how many documents there are; tantivy wants them when it opens a segment.
const FRAME_FILES: [SegmentComponent; 3] =
    [SegmentComponent::FastFields, SegmentComponent::FieldNorms, SegmentComponent::Store];

/// What a term is a term of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Line,
    Pair,
}

fn schema() -> (Schema, [Field; 2]) {
    let mut builder = Schema::builder();
    let options = || BytesOptions::default().set_indexed();
    let fields = [builder.add_bytes_field("line", options()), builder.add_bytes_field("pair", options())];
    (builder.build(), fields)
}

fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        // Else every index would start a thread.
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn failed(error: impl std::fmt::Display) -> TextError {
    TextError::Common(error.to_string())
}

/// Builds the index of the common terms. Each kind is an iterator over its terms by rank, each with its blocks
/// ascending.
pub(super) fn build<L, P>(blocks: u32, lines: L, pairs: P) -> Result<Vec<u8>, TextError>
where
    L: Iterator<Item: Iterator<Item = u32>>,
    P: Iterator<Item: Iterator<Item = u32>>,
{
    let directory = RamDirectory::create();
    let (schema, [line, pair]) = schema();
    let segment = write_frame(blocks, schema, &directory).map_err(failed)?;
    for file in TERM_FILES {
        directory.delete(&segment.relative_path(file)).map_err(failed)?;
    }
    let mut serializer = InvertedIndexSerializer::open(&segment).map_err(failed)?;
    write_terms(&mut serializer, line, lines)?;
    write_terms(&mut serializer, pair, pairs)?;
    serializer.close()?;
    bundle(&directory, &segment)
}

/// Writes a segment of `blocks` empty documents.
fn write_frame(blocks: u32, schema: Schema, directory: &RamDirectory) -> Result<Segment, TantivyError> {
    let mut writer = Index::builder()
        .schema(schema)
        .settings(settings())
        .single_segment_index_writer::<TantivyDocument>(directory.clone(), WRITER_BUDGET)?;
    for _ in 0..blocks {
        writer.add_document(TantivyDocument::new())?;
    }
    let mut segments = writer.finalize()?.searchable_segments()?;
    segments.pop().ok_or_else(|| TantivyError::InternalError("the writer made no segment".to_owned()))
}

/// Writes the terms of one field past tantivy's writer: they are sorted already, so its hash map would only cost time.
fn write_terms<T>(serializer: &mut InvertedIndexSerializer, field: Field, terms: T) -> Result<(), TextError>
where
    T: Iterator<Item: Iterator<Item = u32>>,
{
    let mut out = serializer.new_field(field, 0, None)?;
    for (rank, blocks) in (0u32..).zip(terms) {
        out.new_term_without_freq(&rank.to_be_bytes())?;
        let mut last = None;
        blocks.for_each(|block| {
            debug_invariant!(last < Some(block), "block {block} follows {last:?}");
            last = Some(block);
            out.write_doc(block, 1, &[]);
        });
        out.close_term()?;
    }
    Ok(out.close()?)
}

/// All files of the segment in one piece.
fn bundle(directory: &RamDirectory, segment: &Segment) -> Result<Vec<u8>, TextError> {
    let mut raw = Vec::new();
    for file in TERM_FILES.into_iter().chain(FRAME_FILES) {
        let bytes = directory.open_read(&segment.relative_path(file)).map_err(failed)?.read_bytes()?;
        put_varint(&mut raw, bytes.len() as u64);
        raw.extend_from_slice(&bytes);
    }
    let mut part = sealed::begin(FORMAT);
    sealed::put_stream(&mut part, &raw, LEVEL)?;
    Ok(sealed::seal(part))
}

/// The index of the common terms, opened.
pub(super) struct CommonTerms {
    lines: Arc<InvertedIndexReader>,
    pairs: Arc<InvertedIndexReader>,
    memory: usize,
}

impl std::fmt::Debug for CommonTerms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommonTerms").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl CommonTerms {
    /// Opens what [`build`] made for a segment of `blocks` blocks.
    pub(super) fn open(part: &[u8], blocks: u32) -> Result<CommonTerms, TextError> {
        if part.is_empty() {
            let none = || Arc::new(InvertedIndexReader::empty(IndexRecordOption::Basic));
            return Ok(CommonTerms { lines: none(), pairs: none(), memory: 0 });
        }
        let mut body = sealed::open(part, FORMAT)?;
        let raw = sealed::take_stream(&mut body)?;
        let directory = RamDirectory::create();
        let (schema, [line, pair]) = schema();
        let index = Index::create(directory.clone(), schema, settings()).map_err(failed)?;
        let id = SegmentId::from_uuid_string(SEGMENT_ID).map_err(failed)?;
        let segment = index.segment(index.new_segment_meta(id, blocks));
        let mut rest = raw.as_slice();
        for file in TERM_FILES.into_iter().chain(FRAME_FILES) {
            let bytes = take_slice(&mut rest).ok_or(TextError::Damaged("bundle is cut off"))?;
            let path: PathBuf = segment.relative_path(file);
            directory.atomic_write(&path, bytes)?;
        }
        let reader = SegmentReader::open(&segment).map_err(failed)?;
        let open = |field| reader.inverted_index(field).map_err(failed);
        // Besides the files, about 8 KB per opened index.
        Ok(CommonTerms { lines: open(line)?, pairs: open(pair)?, memory: raw.len() + 8192 })
    }

    fn reader(&self, kind: Kind) -> &InvertedIndexReader {
        match kind {
            Kind::Line => &self.lines,
            Kind::Pair => &self.pairs,
        }
    }

    /// How many terms there are.
    pub(super) fn len(&self, kind: Kind) -> usize {
        self.reader(kind).terms().num_terms()
    }

    /// Adds the blocks of the terms with these ranks to `found`.
    pub(super) fn add_blocks(
        &self,
        kind: Kind,
        ranks: &[u32],
        found: &mut BlockSet,
    ) -> Result<(), TextError> {
        let reader = self.reader(kind);
        let mut cursor: Option<BlockSegmentPostings> = None;
        for &rank in ranks {
            let term =
                reader.terms().get(rank.to_be_bytes())?.ok_or(TextError::Damaged("rank of a common term"))?;
            let postings = match cursor.as_mut() {
                Some(postings) => {
                    reader.reset_block_postings_from_terminfo(&term, postings)?;
                    postings
                }
                None => {
                    cursor.insert(reader.read_block_postings_from_terminfo(&term, IndexRecordOption::Basic)?)
                }
            };
            while !postings.docs().is_empty() {
                postings.docs().iter().for_each(|&block| found.insert(block));
                postings.advance();
            }
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory
    }
}
