//! How the columns of a block are laid out before compression: times, streams, lengths, metadata.

use crate::wire::{Reader, put_signed, put_varint};
use std::collections::HashMap;

/// Timestamps: the first as it is, then differences of differences, zigzag varints.
pub(crate) fn encode_times(times: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(times.len() * 2);
    let (mut last, mut step) = (0i64, 0i64);
    for &ts in times {
        let next = ts.wrapping_sub(last);
        put_signed(&mut out, next.wrapping_sub(step));
        (last, step) = (ts, next);
    }
    out
}

pub(crate) fn decode_times(bytes: &[u8], rows: usize) -> Option<Vec<i64>> {
    if rows > bytes.len() {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let mut times = Vec::with_capacity(rows);
    let (mut last, mut step) = (0i64, 0i64);
    for _ in 0..rows {
        step = step.wrapping_add(reader.signed()?);
        last = last.wrapping_add(step);
        times.push(last);
    }
    reader.end()?;
    Some(times)
}

/// A run of rows of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The stream's ordinal in the segment.
    pub stream: u32,
    /// Its first row in the block.
    pub start: u32,
    /// Rows, at least one.
    pub rows: u32,
}

/// Streams: per run the difference of ordinals and the number of rows.
pub(crate) fn encode_runs(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::with_capacity(runs.len() * 3);
    let mut last = 0;
    for run in runs {
        put_varint(&mut out, u64::from(run.stream - last));
        put_varint(&mut out, u64::from(run.rows));
        last = run.stream;
    }
    out
}

pub(crate) fn decode_runs(bytes: &[u8], rows: usize) -> Option<Vec<Run>> {
    let mut reader = Reader::new(bytes);
    let (mut runs, mut last, mut start) = (Vec::new(), 0u32, 0u32);
    while reader.end().is_none() {
        let run = Run { stream: last.checked_add(reader.u32()?)?, start, rows: reader.u32()? };
        start = start.checked_add(run.rows)?;
        last = run.stream;
        runs.push(run);
    }
    (start as usize == rows).then_some(runs)
}

/// Line lengths: varints.
pub(crate) fn encode_lengths(lengths: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lengths.len() * 2);
    for n in lengths {
        put_varint(&mut out, u64::from(*n));
    }
    out
}

/// Decodes lengths to starts: `rows + 1` offsets into the line column, where every line is followed by a newline.
pub(crate) fn decode_starts(bytes: &[u8], rows: usize) -> Option<Vec<u32>> {
    if rows > bytes.len() {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let mut starts = Vec::with_capacity(rows + 1);
    let mut at = 0u32;
    starts.push(0);
    for _ in 0..rows {
        at = at.checked_add(reader.u32()?)?.checked_add(1)?;
        starts.push(at);
    }
    reader.end()?;
    Some(starts)
}

/// One metadata name's values in a block under construction.
#[derive(Debug, Default)]
pub(crate) struct MetadataBuilder {
    /// Distinct values in order of first use, with their codes (from 1).
    codes_by_value: HashMap<Box<str>, u32>,
    values: Vec<u8>,
    ends: Vec<u32>,
    /// Per row the code; 0 where the row lacks the name.
    pub(crate) codes: Vec<u32>,
    last: Option<(Box<str>, u32)>,
}

impl MetadataBuilder {
    /// Notes `value` for `row`; rows in between lack the name. Returns the bytes by which the column grew.
    pub(crate) fn set(&mut self, row: usize, value: &str) -> usize {
        let mut grown = 0;
        let code = match &self.last {
            Some((last, code)) if &**last == value => *code,
            _ => {
                let next = self.ends.len() as u32 + 1;
                let code = match self.codes_by_value.get(value) {
                    Some(code) => *code,
                    None => {
                        self.codes_by_value.insert(value.into(), next);
                        self.values.extend_from_slice(value.as_bytes());
                        self.ends.push(self.values.len() as u32);
                        grown = value.len() + 8;
                        next
                    }
                };
                self.last = Some((value.into(), code));
                code
            }
        };
        self.codes.resize(row, 0);
        self.codes.push(code);
        grown
    }

    /// The distinct values, in the order of their codes.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.ends.get(i - 1).map_or(0, |e| *e as usize) };
            let end = self.ends.get(i).map_or(0, |e| *e as usize);
            self.values.get(start..end).and_then(|v| std::str::from_utf8(v).ok()).unwrap_or("")
        })
    }

    /// Layout: kind byte, number of values, lengths, values, codes as the kind says.
    pub(crate) fn encode(&mut self, rows: usize) -> Vec<u8> {
        self.codes.resize(rows, 0);
        let kind = match self.ends.len() {
            1 if self.codes.iter().all(|c| *c == 1) => KIND_CONSTANT,
            n if n == rows && self.codes.iter().enumerate().all(|(i, c)| *c as usize == i + 1) => {
                KIND_SEQUENTIAL
            }
            0..=0xff => KIND_U8,
            0x100..=0xffff => KIND_U16,
            _ => KIND_U32,
        };
        let mut out = vec![kind];
        put_varint(&mut out, self.ends.len() as u64);
        for value in self.values() {
            put_varint(&mut out, value.len() as u64);
        }
        out.extend_from_slice(&self.values);
        for code in &self.codes {
            match kind {
                KIND_U8 => out.push(*code as u8),
                KIND_U16 => out.extend_from_slice(&(*code as u16).to_le_bytes()),
                KIND_U32 => out.extend_from_slice(&code.to_le_bytes()),
                _ => break,
            }
        }
        out
    }
}

const KIND_CONSTANT: u8 = 0;
const KIND_SEQUENTIAL: u8 = 1;
const KIND_U8: u8 = 2;
const KIND_U16: u8 = 3;
const KIND_U32: u8 = 4;

/// A metadata column as read back.
#[derive(Debug, Clone)]
pub struct MetadataColumn {
    /// The name.
    pub name: std::sync::Arc<str>,
    values: Box<str>,
    ends: Vec<u32>,
    codes: Codes,
}

#[derive(Debug, Clone)]
enum Codes {
    Constant,
    Sequential,
    Table(Vec<u32>),
}

impl MetadataColumn {
    pub(crate) fn decode(name: &std::sync::Arc<str>, bytes: &[u8], rows: usize) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let n = reader.count(1)?;
        let (mut ends, mut at) = (Vec::with_capacity(n), 0u32);
        for _ in 0..n {
            at = at.checked_add(reader.u32()?)?;
            ends.push(at);
        }
        let values = std::str::from_utf8(reader.take(at as usize)?).ok()?;
        if !ends.iter().all(|e| values.is_char_boundary(*e as usize)) {
            return None;
        }
        let codes = match kind {
            KIND_CONSTANT if n == 1 => Codes::Constant,
            KIND_SEQUENTIAL if n == rows => Codes::Sequential,
            KIND_U8..=KIND_U32 => {
                let width = 1usize << (kind - KIND_U8);
                let table = reader.take(rows.checked_mul(width)?)?.chunks_exact(width);
                let code = |c: &[u8]| c.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
                let table: Vec<u32> = table.map(code).collect();
                if table.iter().any(|c| *c as usize > n) {
                    return None;
                }
                Codes::Table(table)
            }
            _ => return None,
        };
        reader.end()?;
        Some(Self { name: name.clone(), values: values.into(), ends, codes })
    }

    /// A column of `values` without rows, for what is known of values and their codes alone.
    pub fn of_values<'v>(name: &std::sync::Arc<str>, values: impl IntoIterator<Item = &'v str>) -> Self {
        let (mut all, mut ends) = (String::new(), Vec::new());
        for value in values {
            all.push_str(value);
            ends.push(all.len() as u32);
        }
        Self { name: name.clone(), values: all.into(), ends, codes: Codes::Table(Vec::new()) }
    }

    /// The code of `row`: 0 when it lacks the name, else 1 + the index in [`Self::values`].
    pub fn code(&self, row: usize) -> u32 {
        match &self.codes {
            Codes::Constant => 1,
            Codes::Sequential => row as u32 + 1,
            Codes::Table(table) => table.get(row).copied().unwrap_or(0),
        }
    }

    /// The value of `row`.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.value((self.code(row) as usize).checked_sub(1)?)
    }

    /// The `i`-th distinct value.
    pub fn value(&self, i: usize) -> Option<&str> {
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? as usize };
        self.values.get(start..*self.ends.get(i)? as usize)
    }

    /// The distinct values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|i| self.value(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_round_trip(times in any::<Vec<i64>>()) {
            prop_assert_eq!(decode_times(&encode_times(&times), times.len()), Some(times));
        }

        #[test]
        fn lengths_round_trip(lengths in proptest::collection::vec(0u32..100_000, 0..50)) {
            let starts = decode_starts(&encode_lengths(&lengths), lengths.len()).unwrap();
            prop_assert_eq!(starts.windows(2).map(|w| w[1] - w[0] - 1).collect::<Vec<_>>(), lengths);
        }

        #[test]
        fn runs_round_trip(runs in proptest::collection::vec((0u32..9, 1u32..9), 0..20)) {
            let mut at = 0;
            let mut start = 0;
            let runs: Vec<_> = runs.into_iter().map(|(s, rows)| {
                at += s;
                start += rows;
                Run { stream: at, start: start - rows, rows }
            }).collect();
            let rows = runs.iter().map(|r| r.rows as usize).sum();
            prop_assert_eq!(decode_runs(&encode_runs(&runs), rows), Some(runs));
        }

        #[test]
        fn metadata_round_trips(rows in proptest::collection::vec(proptest::option::of("[a-zé]{0,3}"), 1..400)) {
            let mut builder = MetadataBuilder::default();
            for (i, value) in rows.iter().enumerate() {
                if let Some(value) = value {
                    builder.set(i, value);
                }
            }
            let column = MetadataColumn::decode(&"n".into(), &builder.encode(rows.len()), rows.len()).unwrap();
            let found: Vec<_> = (0..rows.len()).map(|i| column.get(i).map(str::to_owned)).collect();
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in any::<Vec<u8>>(), rows in 0usize..100) {
            let _ = decode_times(&bytes, rows);
            let _ = decode_runs(&bytes, rows);
            let _ = decode_starts(&bytes, rows);
            if let Some(column) = MetadataColumn::decode(&"n".into(), &bytes, rows) {
                let _ = (0..rows).filter(|i| column.get(*i).is_some()).count();
                let _ = column.values().count();
            }
        }
    }

    #[test]
    fn many_values_take_wider_codes() {
        for n in [1usize, 2, 255, 256, 70_000] {
            let mut builder = MetadataBuilder::default();
            for i in 0..n * 2 {
                builder.set(i, &(i % n).to_string());
            }
            let column = MetadataColumn::decode(&"n".into(), &builder.encode(n * 2), n * 2).unwrap();
            assert!((0..n * 2).all(|i| column.get(i) == Some((i % n).to_string().as_str())), "{n}");
        }
    }
}
