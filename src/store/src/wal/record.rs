//! How a batch is written into a WAL frame: labels in full, so that the frame needs nothing but itself.

use crate::codec::{Compression, compress};
use crate::frame::Payload;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use std::sync::Arc;
use strandline_model::{Batch, BatchEntry, BatchStream, Labels, TenantId};

/// Frame kind of a batch.
pub(crate) const KIND_BATCH: u8 = 1;
/// Frame kind of a note without payload that says how far the log is durable; its sequence is 0.
pub(crate) const KIND_WITNESS: u8 = 2;

/// Encodes and compresses a batch; CPU work that belongs on the pushing thread, not on the log's.
pub(crate) fn encode_batch(batch: &Batch) -> Payload {
    let mut raw = Vec::with_capacity(batch.bytes.len() + batch.entries.len() * 8 + batch.streams.len() * 64);
    put_bytes(&mut raw, batch.tenant.as_str().as_bytes());
    put_varint(&mut raw, batch.streams.len() as u64);
    for stream in &batch.streams {
        put_varint(&mut raw, stream.labels.len() as u64);
        for (name, value) in stream.labels.iter() {
            put_bytes(&mut raw, name.as_bytes());
            put_bytes(&mut raw, value.as_bytes());
        }
        put_varint(&mut raw, stream.entries.len() as u64);
    }
    let mut last = 0i64;
    for entry in &batch.entries {
        put_signed(&mut raw, entry.ts.wrapping_sub(last));
        put_varint(&mut raw, u64::from(entry.line_bytes));
        put_varint(&mut raw, u64::from(entry.metadata_bytes));
        last = entry.ts;
    }
    raw.extend_from_slice(&batch.bytes);
    let mut stored = Vec::new();
    let codec = compress(&mut stored, &raw, Compression::Lz4);
    stored.shrink_to_fit();
    // More than a frame can name is more than one may hold: it is refused by its size.
    let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    Payload { kind: KIND_BATCH, codec, raw_len, stored }
}

/// Decodes what [`encode_batch`] wrote; `None` for any other bytes.
pub(crate) fn decode_batch(raw: &[u8]) -> Option<Batch> {
    let mut reader = Reader::new(raw);
    let tenant = TenantId::new(reader.text()?).ok()?;
    let mut streams = Vec::new();
    let mut total = 0u32;
    for _ in 0..reader.count(2)? {
        let mut pairs = Vec::new();
        for _ in 0..reader.count(2)? {
            pairs.push((reader.text()?, reader.text()?));
        }
        let labels = Labels::from_pairs(&pairs).ok()?;
        let end = total.checked_add(reader.u32()?)?;
        streams.push(BatchStream { id: labels.stream_id(), labels: Arc::new(labels), entries: total..end });
        total = end;
    }
    // Every entry takes at least three bytes.
    if total as usize > reader.rest().len() / 3 {
        return None;
    }
    let (mut entries, mut last, mut at) = (Vec::with_capacity(total as usize), 0i64, 0u32);
    for _ in 0..total {
        let ts = last.wrapping_add(reader.signed()?);
        let (line_bytes, metadata_bytes) = (reader.u32()?, reader.u32()?);
        entries.push(BatchEntry { ts, start: at, line_bytes, metadata_bytes });
        at = at.checked_add(line_bytes)?.checked_add(metadata_bytes)?;
        last = ts;
    }
    let bytes = reader.rest().to_vec();
    let batch = Batch { tenant, streams, entries, bytes };
    let sound =
        at as usize == batch.bytes.len() && batch.entries.iter().all(|e| batch.metadata(e).is_valid());
    sound.then_some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, batches};
    use proptest::prelude::*;

    #[test]
    fn an_empty_batch_round_trips() {
        let batch = batch_of("t", &[]);
        assert_eq!(decode_batch(&encode_raw(&batch)), Some(batch));
    }

    fn encode_raw(batch: &Batch) -> Vec<u8> {
        let payload = encode_batch(batch);
        crate::codec::decompress(payload.codec, &payload.stored, payload.raw_len as usize).unwrap()
    }

    proptest! {
        #[test]
        fn round_trip(batch in batches()) {
            prop_assert_eq!(decode_batch(&encode_raw(&batch)), Some(batch));
        }

        #[test]
        fn foreign_bytes_never_panic(mut raw in batches().prop_map(|b| encode_raw(&b)),
                                     at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let at = at.index(raw.len());
            if cut { raw.truncate(at) } else { raw[at] = byte }
            let _ = decode_batch(&raw);
        }
    }
}
