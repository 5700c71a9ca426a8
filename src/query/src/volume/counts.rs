//! What has been counted so far? Shared by the threads that count more.

use super::keys::{self, Keys};
use super::request::{Volume, VolumeRequest};
use super::table::{self, Buckets, Count, Table};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use strandline_model::TimeRange;
use strandline_model::metadata::DETECTED_LEVEL;

/// Whether structured metadata of this name counts as bytes that somebody sent.
pub(super) fn counts(name: &str) -> bool {
    name != DETECTED_LEVEL
}

/// Collects counts.
#[derive(Debug)]
pub(super) struct VolumeSink {
    pub(super) buckets: Buckets,
    pub(super) keys: Keys,
    pub(super) max_series: usize,
    pub(super) table: Mutex<Table>,
    pub(super) bytes: AtomicUsize,
    chunks: AtomicU64,
    pub(super) has_too_many: AtomicBool,
}

impl VolumeSink {
    pub(super) fn new(request: &VolumeRequest, keys: Keys, range: TimeRange) -> Self {
        Self {
            buckets: Buckets::new(range, request.step_ns),
            keys,
            max_series: request.max_series,
            table: Mutex::default(),
            bytes: AtomicUsize::new(0),
            chunks: AtomicU64::new(0),
            has_too_many: AtomicBool::new(false),
        }
    }

    pub(super) fn note_chunks(&self, n: u64) {
        self.chunks.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn take(&self, found: Table) {
        let mut table = self.table.lock();
        if table.bytes() == 0 {
            *table = found;
        } else {
            table.append(found);
        }
        self.bytes.store(table.bytes(), Ordering::Relaxed);
        if table.filled() > self.max_series {
            self.has_too_many.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    pub(super) fn volumes(&self) -> Vec<Volume> {
        let series = std::mem::take(&mut *self.table.lock()).into_series();
        let volume = |(key, counts): (table::Key, table::Counts)| {
            let mut total = Count::default();
            counts.iter().for_each(|(_, count)| total += *count);
            let buckets =
                counts.iter().map(|(bucket, count)| (self.buckets.end_of(*bucket), *count)).collect();
            Volume { labels: keys::labels_of(&key), total, buckets }
        };
        // A series may have been made for a stream of which nothing is inside.
        let mut volumes: Vec<Volume> = series.map(volume).filter(|volume| volume.total.entries > 0).collect();
        let larger_first =
            |a: &Volume, b: &Volume| (b.total.bytes, &a.labels).cmp(&(a.total.bytes, &b.labels));
        volumes.sort_unstable_by(larger_first);
        volumes
    }
}
