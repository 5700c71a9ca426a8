//! Segments: immutable files of blocks, with everything needed to find and check what is in them.
//!
//! `[blocks][stream chunks][stream directory][block table][terms][postings][footer]`; every part and every column has
//! a CRC32C that also covers which part of which segment it is. Opening reads the footer and nothing else. Format:
//! `schema/segment.md`. The writer consumes itself into a sealed file; readers never see an unfinished one.

mod block;
mod column;
mod files;
mod footer;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod reader;
mod streams;
mod table;
mod writer;

pub use block::{Block, Columns, MetadataColumn, Run};
pub(crate) use files::{OpenFiles, RemoveSegment, SegmentFile};
pub(crate) use footer::MAX_REPLACES;
pub(crate) use reader::ClosedSegment;
pub use reader::Segment;
pub use streams::{StreamCounts, StreamRow};
pub use table::{BlockRow, BlockTable, LevelCount};
pub(crate) use writer::{Origin, SegmentWriter, WriterOptions};

use crate::manifest::SegmentId;
use crc32c::crc32c_append;

/// What a part of a segment is; the number stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Part {
    /// One column of a block.
    Column = 0,
    BlockTable = 1,
    /// 256 streams' labels, rows and times.
    StreamChunk = 2,
    StreamDirectory = 3,
    /// Flat term text of the full-text index.
    Terms = 4,
    /// The tantivy files of the full-text index.
    Postings = 5,
    Footer = 6,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Column => "block",
            Self::BlockTable => "block table",
            Self::StreamChunk => "stream table",
            Self::StreamDirectory => "stream directory",
            Self::Terms => "terms of the text index",
            Self::Postings => "postings of the text index",
            Self::Footer => "footer",
        }
    }
}

/// Largest part or column (bytes, unpacked) that a reader takes into memory and a writer makes.
const MAX_PART: u32 = 1 << 30;

/// Checksum of `stored` as the `index`-th part of this kind in this segment: bytes that are right but in the wrong
/// place do not pass.
pub(crate) fn part_crc(id: SegmentId, part: Part, index: u64, stored: &[u8]) -> u32 {
    let mut place = [0u8; 25];
    place[..16].copy_from_slice(&id.0.to_le_bytes());
    place[16] = part as u8;
    place[17..].copy_from_slice(&index.to_le_bytes());
    crc32c_append(crc32c::crc32c(&place), stored)
}

#[cfg(test)]
mod tests;
