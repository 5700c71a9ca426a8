//! The entries of one stream in a head, as they are handed out.

use crate::invariant::{debug_invariant, invariant};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::sync::Arc;
use strandline_model::{Batch, Labels, Metadata, StreamId};

/// Mostly one, where streams are many: it needs no allocation of its own.
pub(super) type Addresses = SmallVec<[EntryAddress; 1]>;

/// Where an entry lies: which batch, and which of its entries.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryAddress {
    pub(super) ts: i64,
    pub(super) batch: u32,
    pub(super) entry: u32,
}

/// The entries of one stream in a head: by time, ties in order of arrival, each once.
#[derive(Debug, Clone)]
pub struct HeadRows {
    /// The stream.
    pub id: StreamId,
    /// Its labels.
    pub labels: Arc<Labels>,
    pub(super) addresses: Addresses,
    pub(super) batches: Arc<Vec<Arc<Batch>>>,
}

impl HeadRows {
    /// The rows as they are handed out.
    pub(super) fn in_order(mut self) -> Self {
        if !self.addresses.is_sorted_by_key(|p| p.ts) {
            // Stable: equal times keep their order of arrival.
            self.addresses.sort_by_key(|p| p.ts);
        }
        self.drop_repeats();
        debug_invariant!(self.addresses.is_sorted_by_key(|p| p.ts), "rows of a stream are out of order");
        invariant!(!self.addresses.is_empty(), "a selected stream has no row");
        self
    }

    /// Agents send whole batches again; of entries equal in time, line and metadata the first stays.
    fn drop_repeats(&mut self) {
        let batches = &self.batches;
        let mut seen: HashSet<(&[u8], Metadata<'_>)> = HashSet::new();
        let mut previous: Option<EntryAddress> = None;
        self.addresses.retain(|address| {
            let Some(last) = previous.replace(*address).filter(|last| last.ts == address.ts) else {
                seen.clear();
                return true;
            };
            if seen.is_empty() {
                seen.insert(content(batches, last));
            }
            seen.insert(content(batches, *address))
        });
    }

    /// Drops the rows that an earlier head's rows of the same stream hold too.
    pub fn drop_rows_of(&mut self, earlier: &Self) {
        let last = earlier.ts(earlier.len().saturating_sub(1));
        if self.id != earlier.id || self.is_empty() || earlier.is_empty() || self.ts(0) > last {
            return;
        }
        let from = earlier.addresses.partition_point(|address| address.ts < self.ts(0));
        let known: HashSet<(i64, &[u8], Metadata<'_>)> = (from..earlier.len())
            .map(|i| (earlier.ts(i), earlier.content(i)))
            .map(|(ts, (line, metadata))| (ts, line, metadata))
            .collect();
        let batches = Arc::clone(&self.batches);
        self.addresses.retain(|address| {
            let (line, metadata) = content(&batches, *address);
            !known.contains(&(address.ts, line, metadata))
        });
    }

    /// Keeps the rows whose index `keep` accepts.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut i = 0;
        self.addresses.retain(|_| {
            i += 1;
            keep(i - 1)
        });
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Timestamp of the `i`-th entry.
    pub fn ts(&self, i: usize) -> i64 {
        let address = self.addresses.get(i);
        invariant!(
            address.is_some() || self.addresses.is_empty(),
            "time of row {i} of {}",
            self.addresses.len()
        );
        address.map_or(0, |p| p.ts)
    }

    /// Line and metadata of the `i`-th entry.
    pub fn content(&self, i: usize) -> (&[u8], Metadata<'_>) {
        let address = self.addresses.get(i);
        invariant!(address.is_some(), "content of row {i} of {}", self.addresses.len());
        address.map_or((&[], Metadata::default()), |p| content(&self.batches, *p))
    }
}

fn content(batches: &[Arc<Batch>], address: EntryAddress) -> (&[u8], Metadata<'_>) {
    let batch = batches.get(address.batch as usize);
    let found = batch.and_then(|b| b.entries.get(address.entry as usize).map(|e| (b.line(e), b.metadata(e))));
    // An empty line in its address would be flushed as if it were one.
    invariant!(found.is_some(), "no entry {} in batch {} of a head", address.entry, address.batch);
    found.unwrap_or((&[], Metadata::default()))
}
