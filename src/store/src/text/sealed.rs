//! How are the index's two parts wrapped, so that foreign bytes are refused before anything trusts them?
//!
//! A part is `xxh3 of the rest, format, body`. Streams inside a body are `raw length, stored length, zstd frame`.
//! Whoever holds the part checks the file's own checksum; this one is here because tantivy takes its input on trust
//! and panics on damaged bytes.

use super::TextError;
use strandline_model::metadata::{put_varint, take_slice, take_varint};
use xxhash_rust::xxh3::xxh3_64;

/// No stream is longer than this when decompressed, so positions fit 32 bits and damage cannot claim all memory.
pub(super) const MAX_STREAM: usize = 1 << 30;

const CHECKSUM: usize = 8;

/// A part to be filled.
pub(super) fn begin(format: u8) -> Vec<u8> {
    let mut part = vec![0; CHECKSUM];
    part.push(format);
    part
}

/// Puts the checksum in front of a filled part.
pub(super) fn seal(mut part: Vec<u8>) -> Vec<u8> {
    if let Some((sum, rest)) = part.split_first_chunk_mut::<CHECKSUM>() {
        *sum = xxh3_64(rest).to_le_bytes();
    }
    part
}

/// The body of a sealed part of `format`.
pub(super) fn open(part: &[u8], format: u8) -> Result<&[u8], TextError> {
    let (sum, rest) = part.split_first_chunk::<CHECKSUM>().ok_or(TextError::Damaged("cut off"))?;
    if xxh3_64(rest).to_le_bytes() != *sum {
        return Err(TextError::Damaged("checksum"));
    }
    match rest.split_first() {
        Some((&found, body)) if found == format => Ok(body),
        Some((&found, _)) => Err(TextError::Format(found)),
        None => Err(TextError::Damaged("cut off")),
    }
}

/// Appends `raw` as a compressed stream.
pub(super) fn put_stream(out: &mut Vec<u8>, raw: &[u8], level: i32) -> Result<(), TextError> {
    if raw.len() > MAX_STREAM {
        return Err(TextError::TooLarge("a stream has more than 1 GiB"));
    }
    let stored = zstd::bulk::compress(raw, level)?;
    put_varint(out, raw.len() as u64);
    put_varint(out, stored.len() as u64);
    out.extend_from_slice(&stored);
    Ok(())
}

/// Takes a stream off the front of `body` and decompresses it.
pub(super) fn take_stream(body: &mut &[u8]) -> Result<Vec<u8>, TextError> {
    let raw_len = take_len(body, MAX_STREAM)?;
    let stored = take_slice(body).ok_or(TextError::Damaged("stream is cut off"))?;
    // Refused before memory is taken for it; and memory that is never written to is only address space.
    if !matches!(zstd::zstd_safe::get_frame_content_size(stored), Ok(Some(len)) if len == raw_len as u64) {
        return Err(TextError::Damaged("stream has another length"));
    }
    let raw = zstd::bulk::decompress(stored, raw_len)?;
    if raw.len() == raw_len { Ok(raw) } else { Err(TextError::Damaged("stream has another length")) }
}

/// Takes a number of at most `limit` off the front of `body`.
pub(super) fn take_len(body: &mut &[u8], limit: usize) -> Result<usize, TextError> {
    take_varint(body)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= limit)
        .ok_or(TextError::Damaged("number is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_or_is_refused() {
        let mut part = begin(3);
        put_stream(&mut part, &[7; 100_000], 1).unwrap();
        let part = seal(part);
        let mut body = open(&part, 3).unwrap();
        assert_eq!(take_stream(&mut body).unwrap(), vec![7; 100_000]);
        assert!(body.is_empty());
        assert!(matches!(open(&part, 4), Err(TextError::Format(3))));
        for at in 0..part.len() {
            let mut bad = part.clone();
            bad[at] ^= 1;
            assert!(open(&bad, 3).is_err());
            assert!(open(&part[..at], 3).is_err());
        }
    }

    #[test]
    fn claimed_lengths_are_checked() {
        for claim in [0, 5, 7, MAX_STREAM as u64, MAX_STREAM as u64 + 1, u64::MAX] {
            let mut body = Vec::new();
            put_varint(&mut body, claim);
            let stored = zstd::bulk::compress(b"stream", 1).unwrap();
            put_varint(&mut body, stored.len() as u64);
            body.extend_from_slice(&stored);
            assert!(take_stream(&mut body.as_slice()).is_err(), "{claim}");
        }
    }
}
