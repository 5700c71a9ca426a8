//! Full-text index of a segment: which blocks can hold a line with these bytes?
//!
//! LogQL's `|=` is a substring test, so the index answers for substrings, not words, and may name a block too many but
//! never one too few. Lines are cut into tokens ([`token`]); a segment's distinct tokens lie flat, one behind the other
//! ([`terms`]), and a needle is searched in that text as a plain substring ([`search`]). Nine of ten tokens stand in
//! one block only: they are grouped by block, and the place of a hit names the block. The others lie in front of
//! them, and a tantivy index says in which blocks each one stands ([`postings`]).
//!
//! Built by [`TextIndexBuilder`], read by [`TextIndex`]. Nothing outside this module names tantivy.

mod block_set;
mod block_terms;
mod builder;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod interner;
mod metadata;
mod postings;
mod reader;
mod sealed;
mod search;
mod terms;
#[cfg(test)]
mod tests;
mod token;

pub use block_set::BlockSet;
pub use builder::{EncodedTextIndex, TextIndexBuilder};
pub use reader::TextIndex;

/// Why an index could not be built or read.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The bytes are not what was once encoded.
    #[error("text index is damaged: {0}")]
    Damaged(&'static str),
    /// The bytes are of a newer (or foreign) format.
    #[error("text index has format {0}, which this version does not read")]
    Format(u8),
    /// More terms than one index holds.
    #[error("text index is too large: {0}")]
    TooLarge(&'static str),
    /// The index of common terms could not be written or read.
    #[error("index of common terms: {0}")]
    Common(String),
    /// Compressing or decompressing failed.
    #[error("text index cannot be (de)compressed: {0}")]
    Compression(#[from] std::io::Error),
}
