//! The footer: what the segment is, which segments it replaces, and where its parts lie.

use super::{Part, part_crc};
use crate::codec::Codec;
use crate::manifest::{SegmentId, SegmentMeta};
use crate::wire::{Reader, put_varint};

/// Last bytes of every segment.
const MAGIC: [u8; 8] = *b"STRANDS1";
/// CRC, length and magic behind the footer.
pub(crate) const TAIL: usize = 16;
/// Version of the segment format in this program.
const VERSION: u8 = 1;
/// Largest footer that a reader accepts and a writer makes. A day of flushes every five seconds, merged, lists some
/// 20,000 replaced segments.
pub(crate) const MAX_FOOTER: usize = 4 << 20;
/// Bytes of a footer that are not the list of replaced segments, at most: names of tenants, places of parts.
const MAX_FIXED: usize = 4 << 10;
/// Most segments that one can say it replaces.
pub(crate) const MAX_REPLACES: usize = (MAX_FOOTER - MAX_FIXED) / size_of::<u128>();

/// Where a part lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartPlace {
    pub(crate) part: Part,
    pub(crate) codec: Codec,
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) crc: u32,
}

/// Everything that opening a segment reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) meta: SegmentMeta,
    /// All segments and merges whose entries this one took over, through all merges before.
    pub(crate) replaces: Vec<SegmentId>,
    /// The merge that wrote this segment (a flushed segment's own id). A merge is complete with the output that says
    /// what it replaces, which is written last.
    pub(crate) group: SegmentId,
    pub(crate) parts: Vec<PartPlace>,
}

impl Footer {
    /// The footer with its tail, as it ends the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.meta.encode(&mut out);
        put_varint(&mut out, self.replaces.len() as u64);
        for id in &self.replaces {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        out.extend_from_slice(&self.group.0.to_le_bytes());
        put_varint(&mut out, self.parts.len() as u64);
        for part in &self.parts {
            out.push(part.part as u8);
            out.push(part.codec as u8);
            put_varint(&mut out, part.offset);
            put_varint(&mut out, u64::from(part.stored_len));
            put_varint(&mut out, u64::from(part.raw_len));
            out.extend_from_slice(&part.crc.to_le_bytes());
        }
        let len = out.len() as u32;
        let crc = part_crc(SegmentId(0), Part::Footer, u64::from(len), &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&MAGIC);
        out
    }

    /// Length of the footer that ends with these bytes.
    pub(crate) fn len_from_tail(tail: &[u8; TAIL]) -> Option<usize> {
        let (numbers, magic) = tail.split_first_chunk::<8>()?;
        let len = u32::from_le_bytes(*numbers.last_chunk::<4>()?) as usize;
        (magic == MAGIC && len <= MAX_FOOTER).then_some(len)
    }

    /// Decodes footer and tail. `file_bytes` is the length of the file: all parts must lie inside.
    pub(crate) fn decode(bytes: &[u8], file_bytes: u64) -> Option<Self> {
        let (body, tail) = bytes.split_last_chunk::<TAIL>()?;
        let crc = u32::from_le_bytes(*tail.first_chunk::<4>()?);
        let len = Self::len_from_tail(tail)?;
        if len != body.len() || part_crc(SegmentId(0), Part::Footer, len as u64, body) != crc {
            return None;
        }
        let mut reader = Reader::new(body);
        if reader.byte()? != VERSION {
            return None;
        }
        let meta = SegmentMeta::decode(&mut reader)?;
        let replaces = (0..reader.count(16)?)
            .map(|_| Some(SegmentId(u128::from_le_bytes(reader.fixed()?))))
            .collect::<Option<_>>()?;
        let group = SegmentId(u128::from_le_bytes(reader.fixed()?));
        let parts = (0..reader.count(9)?).map(|_| part(&mut reader)).collect::<Option<Vec<_>>>()?;
        reader.end()?;
        let inside =
            |p: &PartPlace| p.offset.checked_add(p.stored_len.into()).is_some_and(|end| end <= file_bytes);
        (parts.iter().all(inside) && meta.file_bytes == file_bytes).then_some(Self {
            meta,
            replaces,
            group,
            parts,
        })
    }

    pub(crate) fn part(&self, part: Part) -> Option<&PartPlace> {
        self.parts.iter().find(|p| p.part == part)
    }
}

fn part(reader: &mut Reader<'_>) -> Option<PartPlace> {
    let part = match reader.byte()? {
        1 => Part::BlockTable,
        3 => Part::StreamDirectory,
        4 => Part::Terms,
        5 => Part::Postings,
        _ => return None,
    };
    Some(PartPlace {
        part,
        codec: Codec::from_byte(reader.byte()?)?,
        offset: reader.varint()?,
        stored_len: reader.u32()?,
        raw_len: reader.u32()?,
        crc: u32::from_le_bytes(reader.fixed()?),
    })
}
