//! How does a mutator get past the seals of a text index? The part with the terms is put together from its streams.
//!
//! The part with the postings is tantivy's, which trusts its bytes: the seal in front of them is the defence, and a
//! mutator that could put it right would find what is known.

use super::sealed;
use super::{EncodedTextIndex, TextIndexBuilder};
use crate::wire::{Reader, put_bytes};

/// Format of the terms part.
const FORMAT: u8 = 1;

/// A terms part of these: numbers in front, then four streams; each one as long as it says itself.
pub fn assemble(data: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(data);
    let mut part = sealed::begin(FORMAT);
    part.extend_from_slice(reader.bytes()?);
    for _ in 0..4 {
        sealed::put_stream(&mut part, reader.bytes().unwrap_or_default(), 1).ok()?;
    }
    // What is left belongs to nothing, and must be no harm.
    part.extend_from_slice(reader.rest());
    Some(sealed::seal(part))
}

/// The opposite of [`assemble`].
pub fn take_apart(part: &[u8]) -> Option<Vec<u8>> {
    let whole = sealed::open(part, FORMAT).ok()?;
    let mut rest = whole;
    let sections = sealed::take_len(&mut rest, part.len()).ok()?;
    for _ in 0..2 * sections {
        sealed::take_len(&mut rest, usize::MAX).ok()?;
    }
    for _ in 0..sealed::take_len(&mut rest, part.len()).ok()? {
        sealed::take_len(&mut rest, usize::MAX).ok()?;
    }
    let mut out = Vec::new();
    put_bytes(&mut out, whole.get(..whole.len() - rest.len())?);
    for _ in 0..4 {
        put_bytes(&mut out, &sealed::take_stream(&mut rest).ok()?);
    }
    Some(out)
}

/// The index of a few blocks, all of whose terms stand in all of them (`common`) or each in one.
pub fn sample(common: bool) -> Option<EncodedTextIndex> {
    let mut builder = TextIndexBuilder::new();
    for block in 0..3 {
        let n = if common { 0 } else { block };
        let lines = format!("alpha{n} beta{n}=gamma{n}\nBeta{n} delta{n}-{n}{n}{n}\n");
        let user = format!("u{n}");
        builder.add_block(lines.as_bytes(), [("user", user.as_str())].into_iter());
    }
    builder.finish().ok()
}
