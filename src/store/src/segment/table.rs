//! The block table: what each block holds, so that counts and pruning need no block.

use super::block::{METADATA, RawColumn};
use super::streams::{put_sizes, take_sizes};
use crate::codec::Codec;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use std::sync::Arc;

/// The block table of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockTable {
    /// One row per block, in file order.
    pub blocks: Vec<BlockRow>,
    /// Metadata names of the segment.
    pub names: Vec<Arc<str>>,
}

/// Summary of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// Where the block starts in the file.
    pub(crate) offset: u64,
    /// Entries.
    pub rows: u32,
    /// Bytes of the lines.
    pub line_bytes: u64,
    /// Bytes of the structured metadata, names and values, without `detected_level`; 0 where the segment is of a time
    /// before this was counted.
    pub metadata_bytes: u64,
    /// Earliest and latest timestamp.
    pub time: (i64, i64),
    /// First and last stream ordinal.
    pub streams: (u32, u32),
    /// Rows and bytes per `detected_level`; rows without one are not in it. Empty when there are too many levels.
    pub levels: Vec<LevelCount>,
    pub(crate) columns: Vec<ColumnPlace>,
}

/// Rows and line bytes of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelCount {
    /// Value of `detected_level`.
    pub level: Box<str>,
    /// Rows.
    pub rows: u32,
    /// Bytes of their lines.
    pub bytes: u64,
}

/// Where a column lies and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnPlace {
    pub(crate) kind: u8,
    pub(crate) name: u32,
    pub(crate) codec: Codec,
    /// From the start of the block.
    pub(crate) offset: u32,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) crc: u32,
}

impl ColumnPlace {
    pub(crate) fn new(column: &RawColumn, codec: Codec, offset: u32, stored_len: u32, crc: u32) -> Self {
        let raw_len = column.bytes.len() as u32;
        Self { kind: column.kind, name: column.name, codec, offset, stored_len, raw_len, crc }
    }
}

impl BlockTable {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.blocks.len() * 96);
        put_varint(&mut out, self.names.len() as u64);
        for name in &self.names {
            put_bytes(&mut out, name.as_bytes());
        }
        put_varint(&mut out, self.blocks.len() as u64);
        let (mut offset, mut time) = (0u64, 0i64);
        for block in &self.blocks {
            put_varint(&mut out, block.offset - offset);
            put_varint(&mut out, u64::from(block.rows));
            put_varint(&mut out, block.line_bytes);
            put_signed(&mut out, block.time.0.wrapping_sub(time));
            put_signed(&mut out, block.time.1.wrapping_sub(block.time.0));
            put_varint(&mut out, u64::from(block.streams.0));
            put_varint(&mut out, u64::from(block.streams.1 - block.streams.0));
            (offset, time) = (block.offset, block.time.0);
            put_varint(&mut out, block.levels.len() as u64);
            for level in &block.levels {
                put_bytes(&mut out, level.level.as_bytes());
                put_varint(&mut out, u64::from(level.rows));
                put_varint(&mut out, level.bytes);
            }
            // Counts per minute, which are no longer written: see `skip_minutes`.
            put_varint(&mut out, 0);
            encode_places(&mut out, &block.columns);
        }
        put_sizes(&mut out, self.blocks.iter().map(|block| block.metadata_bytes));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let names = (0..reader.count(1)?).map(|_| Some(reader.text()?.into())).collect::<Option<Vec<_>>>()?;
        let n = reader.count(10)?;
        let mut blocks = Vec::with_capacity(n);
        let (mut offset, mut time) = (0u64, 0i64);
        for _ in 0..n {
            offset = offset.checked_add(reader.varint()?)?;
            let (rows, line_bytes) = (reader.u32()?, reader.varint()?);
            time = time.wrapping_add(reader.signed()?);
            let last_time = time.wrapping_add(reader.signed()?);
            let first = reader.u32()?;
            let streams = (first, first.checked_add(reader.u32()?)?);
            let levels = (0..reader.count(3)?)
                .map(|_| {
                    Some(LevelCount {
                        level: reader.text()?.into(),
                        rows: reader.u32()?,
                        bytes: reader.varint()?,
                    })
                })
                .collect::<Option<_>>()?;
            skip_minutes(&mut reader)?;
            let columns = decode_places(&mut reader, names.len())?;
            let time = (time, last_time);
            let metadata_bytes = 0;
            blocks.push(BlockRow {
                offset,
                rows,
                line_bytes,
                metadata_bytes,
                time,
                streams,
                levels,
                columns,
            });
        }
        take_sizes(&mut reader, &mut blocks, |block| &mut block.metadata_bytes)?;
        Some(Self { blocks, names })
    }

    /// The names of the structured metadata that entries of a block have.
    pub fn metadata_of<'t>(&'t self, block: &'t BlockRow) -> impl Iterator<Item = &'t Arc<str>> {
        let columns = block.columns.iter().filter(|column| column.kind == METADATA);
        columns.filter_map(|column| self.names.get(column.name as usize))
    }

    /// Bytes of memory, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let block = |b: &BlockRow| {
            size_of::<BlockRow>() + b.columns.len() * size_of::<ColumnPlace>() + b.levels.len() * 40
        };
        self.blocks.iter().map(block).sum::<usize>() + self.names.len() * 32
    }
}

/// Passes over the counts per minute of older segments. They answered nothing: a window of LogQL holds the time at its
/// end and not the one at its start, while these minutes held their start, so the minute at each edge was in doubt.
fn skip_minutes(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..reader.count(3)? {
        reader.signed()?;
        reader.u32()?;
        reader.varint()?;
    }
    Some(())
}

fn encode_places(out: &mut Vec<u8>, columns: &[ColumnPlace]) {
    put_varint(out, columns.len() as u64);
    for column in columns {
        out.push(column.kind);
        if column.kind == METADATA {
            put_varint(out, u64::from(column.name));
        }
        out.push(column.codec as u8);
        put_varint(out, u64::from(column.stored_len));
        put_varint(out, u64::from(column.raw_len));
        out.extend_from_slice(&column.crc.to_le_bytes());
    }
}

fn decode_places(reader: &mut Reader<'_>, names: usize) -> Option<Vec<ColumnPlace>> {
    let n = reader.count(8)?;
    let (mut columns, mut offset) = (Vec::with_capacity(n), 0u32);
    for _ in 0..n {
        let kind = reader.byte()?;
        let name = if kind == METADATA { reader.u32()? } else { 0 };
        let codec = Codec::from_byte(reader.byte()?)?;
        let (stored_len, raw_len) = (reader.u32()?, reader.u32()?);
        let crc = u32::from_le_bytes(reader.fixed()?);
        if kind > METADATA || (kind == METADATA && name as usize >= names) {
            return None;
        }
        columns.push(ColumnPlace { kind, name, codec, offset, stored_len, raw_len, crc });
        offset = offset.checked_add(stored_len)?;
    }
    Some(columns)
}
