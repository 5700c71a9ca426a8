//! What was promised and what came back: the checker of every crash test.
//!
//! Writers own their ids; a line carries its writer, number and a hash of both, so that a mixed-up line shows. The
//! ledger lives outside the store. After every restart: acknowledged lines are there, nothing is there that was not
//! sent, nothing twice, everything whole and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strandline_model::{Batch, BatchBuilder, Labels, Selector, TenantId, TimeRange};
use strandline_store::Engine;
use strandline_store::segment::Columns;

/// Everything sent, and what of it was acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    attempted: BTreeMap<Key, bool>,
    next: u64,
}

/// Stream, timestamp, line.
pub type Key = (String, i64, Vec<u8>);

pub fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// A line that proves its own wholeness.
pub fn line(writer: u64, n: u64, padding: usize) -> Vec<u8> {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{writer}/{n}").as_bytes());
    format!("w={writer} n={n} h={hash:016x} {}", "pad ".repeat(padding)).into_bytes()
}

/// Whether `line` is one that [`line`] made.
pub fn is_whole(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut words = text.split(' ');
    let mut number = |prefix: &str| words.next().and_then(|w| w.strip_prefix(prefix)?.parse::<u64>().ok());
    let (Some(writer), Some(n)) = (number("w="), number("n=")) else { return false };
    let padding = words.skip(1).filter(|w| *w == "pad").count();
    line(writer, n, padding) == bytes
}

impl Ledger {
    /// A new batch of `times.len()` lines in streams `s="0"`, `s="1"` ... chosen by `stream`.
    pub fn batch(
        &mut self,
        writer: u64,
        times: &[i64],
        stream: impl Fn(u64) -> u64,
        padding: usize,
    ) -> Batch {
        let mut rows: Vec<(u64, i64, Vec<u8>)> = Vec::new();
        for ts in times {
            self.next += 1;
            rows.push((stream(self.next), *ts, line(writer, self.next, padding)));
        }
        rows.sort_by_key(|r| r.0);
        let mut builder = BatchBuilder::new(tenant(), 0);
        let mut last = None;
        for (s, ts, line) in &rows {
            if last != Some(*s) {
                builder.begin_stream(Arc::new(labels(*s)));
                last = Some(*s);
            }
            assert!(builder.push(*ts, line, &mut vec![("detected_level", "info")]));
            self.attempted.entry((labels(*s).to_string(), *ts, line.clone())).or_insert(false);
        }
        builder.finish()
    }

    /// Notes that the store acknowledged the batch.
    pub fn acknowledge(&mut self, batch: &Batch) {
        for stream in &batch.streams {
            for entry in batch.stream_entries(stream) {
                let key = (stream.labels.to_string(), entry.ts, batch.line(entry).to_vec());
                self.attempted.insert(key, true);
            }
        }
    }

    /// Compares with what the store holds. Lines for which `may_be_gone` holds may have been deleted by retention.
    pub fn check(&self, held: &Held, may_be_gone: impl Fn(i64) -> bool) -> Result<(), String> {
        for (key, times) in &held.entries {
            match self.attempted.get(key) {
                None => return Err(format!("came back but was never sent: {key:?}")),
                Some(_) if *times > 1 => return Err(format!("doubled ({times} times): {}", show(key))),
                Some(_) if !is_whole(&key.2) => return Err(format!("altered: {}", show(key))),
                Some(_) => {}
            }
        }
        for (key, _) in self.attempted.iter().filter(|(key, acked)| **acked && !may_be_gone(key.1)) {
            if !held.entries.contains_key(key) {
                return Err(format!("acknowledged and lost: {}", show(key)));
            }
        }
        Ok(())
    }
}

fn show(key: &Key) -> String {
    format!("{} {} {}", key.0, key.1, String::from_utf8_lossy(&key.2))
}

pub fn labels(n: u64) -> Labels {
    Labels::from_pairs(&[("app", "x"), ("s", n.to_string().as_str())]).unwrap()
}

/// What a store holds, read from its segments and heads.
#[derive(Debug, Default)]
pub struct Held {
    /// How often each entry stands in segments, or once if only in a head.
    pub entries: BTreeMap<Key, usize>,
    /// Labels of the streams that have entries.
    pub streams: BTreeSet<String>,
}

impl Held {
    /// Reads everything of the ledger's tenant.
    pub fn read(engine: &Engine) -> Result<Self, String> {
        let mut held = Self::default();
        let view = engine.view(&tenant(), TimeRange::ALL);
        for handle in &view.segments {
            let segment = handle.open().map_err(|e| e.to_string())?;
            held.read_segment(&segment)?;
        }
        for head in &view.heads {
            for rows in head.select(&tenant(), TimeRange::ALL, &Selector::all()) {
                for i in 0..rows.len() {
                    let key = (rows.labels.to_string(), rows.ts(i), rows.content(i).0.to_vec());
                    held.streams.insert(key.0.clone());
                    // A repeat of something in a segment is dropped when the head is flushed, and by readers until then.
                    held.entries.entry(key).or_insert(1);
                }
            }
        }
        Ok(held)
    }

    fn read_segment(&mut self, segment: &strandline_store::segment::Segment) -> Result<(), String> {
        let damage = |e: strandline_store::StoreError| e.to_string();
        let streams = segment.streams().map_err(damage)?;
        for index in 0..segment.table().map_err(damage)?.blocks.len() {
            let block = segment.block(index, Columns::ALL).map_err(damage)?;
            for run in &block.runs {
                let labels = streams[run.stream as usize].labels.to_string();
                self.streams.insert(labels.clone());
                let rows = block.rows_of(run.stream);
                if !block.times[rows.clone()].is_sorted() {
                    return Err(format!("out of order in block {index}"));
                }
                for row in rows {
                    let key = (labels.clone(), block.times[row], block.line(row).to_vec());
                    *self.entries.entry(key).or_insert(0) += 1;
                }
            }
        }
        Ok(())
    }
}
