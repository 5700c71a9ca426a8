//! How does a batch get each stream once, of a push in which streams came in pieces?

use crate::label_cache::HashedAlready;
use std::collections::HashMap;
use strandline_model::{Batch, BatchBuilder, StreamId};

/// `batch` with each stream standing once, its entries in the order they came. Clients that send a stream per line
/// make this necessary; all others do not pay for it.
pub(super) fn gathered(batch: Batch) -> Batch {
    let mut first: HashMap<StreamId, usize, HashedAlready> = HashMap::default();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(batch.streams.len());
    for (i, stream) in batch.streams.iter().enumerate() {
        order.push((*first.entry(stream.id).or_insert(i), i));
    }
    order.sort_unstable();
    let mut builder = BatchBuilder::new(batch.tenant.clone(), batch.bytes.len());
    for (first, i) in order {
        let Some(stream) = batch.streams.get(i) else { continue };
        if first == i {
            builder.begin_known_stream(stream.id, stream.labels.clone());
        }
        for entry in batch.stream_entries(stream) {
            // Never refused: the new batch is as large as the old one.
            builder.push_packed(entry.ts, batch.line(entry), batch.metadata(entry));
        }
    }
    builder.finish()
}
