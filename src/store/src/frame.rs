//! The frame that WAL and manifest are made of: stands alone, says where it belongs, checked as a whole.
//!
//! Layout (little endian), padded with zeros to a multiple of 512 bytes so that a reader finds the next frame behind
//! a damaged one by looking at aligned offsets (`schema/wal.md`):
//!
//! ```text
//! 0  magic "SLF1"        4  CRC32C of bytes 8..56+length
//! 8  epoch u64           number of this use of the file: a recycled file's old frames have another
//! 16 sequence u64        24 base u64, 32 durable u64: every sequence from base to durable was synced by this process
//! 40 length u32          44 raw length u32 (before compression)
//! 48 kind u8, 49 codec u8, 50 mask [u8; 4], 54..56 zero
//! 56 payload, byte i of it exclusive-ored with byte i % 4 of the mask
//! ```
//!
//! The mask keeps the magic away from every aligned offset inside a payload: a reader that looks for the next frame
//! behind a damaged one looks at bytes that clients wrote, and these must not pass for frames.

use crate::codec::{Codec, decompress};
use crate::error::StoreError;
use crate::invariant::invariant;
use crc32c::crc32c;
use std::collections::HashSet;

/// Frames start at multiples of this: the smallest unit that a disk writes whole.
pub(crate) const ALIGN: usize = 512;
/// Bytes in front of the payload.
pub(crate) const HEADER: usize = 56;
const MAGIC: [u8; 4] = *b"SLF1";
/// Largest payload, stored or raw, that a reader accepts and a writer makes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 30;
/// No sequence comes near this, so the next one can always be counted.
pub(crate) const MAX_SEQUENCE: u64 = 1 << 62;

/// A compressed payload, ready to be framed.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) kind: u8,
    pub(crate) codec: Codec,
    pub(crate) raw_len: u32,
    pub(crate) stored: Vec<u8>,
}

impl Payload {
    /// Whether a reader will accept the frame: what it would refuse must not be acknowledged.
    pub(crate) fn check_size(&self) -> Result<(), StoreError> {
        let bytes = self.stored.len().max(self.raw_len as usize);
        if bytes > MAX_PAYLOAD {
            return Err(StoreError::BatchTooLarge { bytes, limit: MAX_PAYLOAD });
        }
        Ok(())
    }
}

/// Where a frame stands in its log: in which file, as which frame, and what was durable when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// First sequence of the process that wrote the frame: it vouches for no earlier ones, of which some may never
    /// have been acknowledged.
    pub(crate) base: u64,
    pub(crate) durable: u64,
}

/// A frame as read back; the checksum held.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) position: Position,
    pub(crate) kind: u8,
    pub(crate) codec: Codec,
    pub(crate) raw_len: u32,
    mask: [u8; 4],
    /// Masked.
    stored: &'a [u8],
}

impl Frame<'_> {
    /// The payload, decompressed.
    pub(crate) fn raw(&self) -> Option<Vec<u8>> {
        if self.mask == [0; 4] {
            return decompress(self.codec, self.stored, self.raw_len as usize);
        }
        let mut stored = self.stored.to_vec();
        apply_mask(&mut stored, self.mask);
        decompress(self.codec, &stored, self.raw_len as usize)
    }

    /// Bytes that the frame takes in the file.
    pub(crate) fn padded_len(&self) -> usize {
        padded(self.stored.len())
    }
}

/// Bytes that a payload of `stored` bytes takes in the file.
pub(crate) fn padded(stored: usize) -> usize {
    (HEADER + stored).next_multiple_of(ALIGN)
}

/// Where in a payload the aligned offsets of its frame lie, and what stands there.
fn aligned_words(payload: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    payload.get(ALIGN - HEADER..).unwrap_or_default().chunks(ALIGN).filter_map(|c| c.first_chunk().copied())
}

/// The mask under which no aligned offset of `payload` holds the magic: zeros unless somebody put it there. There are
/// more masks than a payload has aligned offsets, each of which rules out one.
fn mask_for(payload: &[u8]) -> [u8; 4] {
    if aligned_words(payload).all(|word| word != MAGIC) {
        return [0; 4];
    }
    let against = |word: [u8; 4]| u32::from_le_bytes(word) ^ u32::from_le_bytes(MAGIC);
    let ruled_out: HashSet<u32> = aligned_words(payload).map(against).collect();
    (1..u32::MAX).find(|mask| !ruled_out.contains(mask)).unwrap_or(0).to_le_bytes()
}

fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// Appends the frame, padded, to `out`.
pub(crate) fn put_frame(out: &mut Vec<u8>, position: Position, payload: &Payload) {
    let start = out.len();
    invariant!(start.is_multiple_of(ALIGN), "a frame begins at {start}");
    invariant!(payload.stored.len() <= MAX_PAYLOAD, "a payload of {} bytes", payload.stored.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    for n in [position.epoch, position.seq, position.base, position.durable] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.extend_from_slice(&(payload.stored.len() as u32).to_le_bytes());
    out.extend_from_slice(&payload.raw_len.to_le_bytes());
    let mask = mask_for(&payload.stored);
    out.extend_from_slice(&[payload.kind, payload.codec as u8]);
    out.extend_from_slice(&mask);
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&payload.stored);
    if mask != [0; 4] {
        apply_mask(out.get_mut(start + HEADER..).unwrap_or_default(), mask);
    }
    let crc = crc32c(out.get(start + 8..).unwrap_or_default());
    if let Some(slot) = out.get_mut(start + 4..start + 8) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    out.resize(start + padded(payload.stored.len()), 0);
}

/// What stands at the front of `bytes`.
#[derive(Debug)]
pub(crate) enum FrameRead<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// Nothing was ever written here (or zeros).
    Nothing,
    /// Something that is not a whole frame.
    Damaged,
}

/// Reads the frame at the front of `bytes`.
pub(crate) fn read_frame(bytes: &[u8]) -> FrameRead<'_> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return if bytes.iter().all(|b| *b == 0) { FrameRead::Nothing } else { FrameRead::Damaged };
    };
    if header.iter().all(|b| *b == 0) {
        return FrameRead::Nothing;
    }
    parse(header, bytes).map_or(FrameRead::Damaged, FrameRead::Frame)
}

fn parse<'a>(header: &[u8; HEADER], bytes: &'a [u8]) -> Option<Frame<'a>> {
    if !header.starts_with(&MAGIC) {
        return None;
    }
    let u32_at = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let u64_at = |at: usize| header.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (crc, len, raw_len) = (u32_at(4)?, u32_at(40)?, u32_at(44)?);
    if raw_len as usize > MAX_PAYLOAD {
        return None;
    }
    let checked = bytes.get(8..HEADER.checked_add(len as usize)?)?;
    if crc32c(checked) != crc {
        return None;
    }
    let position = Position { epoch: u64_at(8)?, seq: u64_at(16)?, base: u64_at(24)?, durable: u64_at(32)? };
    if position.seq.max(position.base).max(position.durable) > MAX_SEQUENCE {
        return None;
    }
    Some(Frame {
        position,
        kind: header[48],
        codec: Codec::from_byte(header[49])?,
        raw_len,
        mask: [header[50], header[51], header[52], header[53]],
        stored: bytes.get(HEADER..HEADER + len as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(stored: Vec<u8>) -> Vec<u8> {
        let payload = Payload { kind: 1, codec: Codec::Raw, raw_len: stored.len() as u32, stored };
        let mut out = Vec::new();
        put_frame(&mut out, Position { epoch: 1, seq: 2, base: 1, durable: 1 }, &payload);
        out
    }

    fn magics(bytes: &[u8]) -> usize {
        bytes.chunks(ALIGN).filter(|c| c.starts_with(&MAGIC)).count()
    }

    fn read(bytes: &[u8]) -> Option<Vec<u8>> {
        match read_frame(bytes) {
            FrameRead::Frame(frame) => frame.raw(),
            _ => None,
        }
    }

    /// A line that holds a whole frame where a reader would look for one.
    #[test]
    fn a_frame_inside_a_payload_is_none() {
        let mut line = vec![b'x'; ALIGN - HEADER];
        line.extend(framed(b"forged".to_vec()));
        line.extend(framed(b"forged".to_vec()));
        let frame = framed(line.clone());
        assert_eq!(magics(&frame), 1);
        assert_eq!(read(&frame), Some(line));
        let found = (ALIGN..frame.len()).step_by(ALIGN).filter_map(|at| read(&frame[at..])).count();
        assert_eq!(found, 0);
    }

    #[test]
    fn nobody_can_rule_out_every_mask() {
        let magic = u32::from_le_bytes(MAGIC);
        let mut line = vec![0; ALIGN - HEADER];
        for mask in 0u32..600 {
            line.extend((magic ^ mask).to_le_bytes());
            line.resize(line.len() + ALIGN - 4, 0);
        }
        let frame = framed(line.clone());
        assert_eq!((magics(&frame), read(&frame)), (1, Some(line)));
    }

    proptest! {
        #[test]
        fn payloads_round_trip_and_hide_the_magic(
            mut stored in proptest::collection::vec(any::<u8>(), 0..4000),
            at in proptest::collection::vec(0usize..8, 0..4),
        ) {
            for at in at {
                let position = at * ALIGN + ALIGN - HEADER;
                if let Some(slot) = stored.get_mut(position..position + 4) {
                    slot.copy_from_slice(&MAGIC);
                }
            }
            let frame = framed(stored.clone());
            prop_assert_eq!(magics(&frame), 1);
            prop_assert_eq!(read(&frame), Some(stored));
        }
    }
}
