//! What the engine's own tests share: batches by hand and at random.

use proptest::prelude::*;
use std::sync::Arc;
use strandline_model::{Batch, BatchBuilder, Labels, TenantId};

/// A batch of `(labels, timestamp, line)`; equal labels next to each other share a stream.
pub(crate) fn batch_of(tenant: &str, rows: &[(&str, i64, &[u8])]) -> Batch {
    let mut builder = BatchBuilder::new(TenantId::new(tenant).unwrap(), 0);
    let mut last = "";
    for (labels, ts, line) in rows {
        if *labels != last {
            builder.begin_stream(Arc::new(Labels::parse(labels).unwrap()));
            last = labels;
        }
        assert!(builder.push(*ts, line, &mut vec![("detected_level", "info")]));
    }
    builder.finish()
}

/// Random rows: few streams, clustered and wild times, any bytes, some metadata.
pub(crate) type Row = (u8, i64, Vec<u8>, Vec<(String, String)>);

pub(crate) fn rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let ts = prop_oneof![8 => 0i64..200_000_000_000_000, 1 => any::<i64>()];
    let line = prop_oneof![
        8 => "[a-d ]{0,40}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..40)
    ];
    let metadata = proptest::collection::vec(("[a-c]", "[x-z]{1,3}"), 0..3);
    proptest::collection::vec((0u8..5, ts, line, metadata), 0..max)
}

pub(crate) fn stream_labels(n: u8) -> Arc<Labels> {
    let n = n.to_string();
    Arc::new(Labels::from_pairs(&[("app", "x"), ("n", n.as_str())]).unwrap())
}

/// A batch of random rows.
pub(crate) fn batch_from(mut rows: Vec<Row>) -> Batch {
    rows.sort_by_key(|r| r.0);
    let mut builder = BatchBuilder::new(TenantId::new("t").unwrap(), 0);
    let mut last = None;
    for (n, ts, line, metadata) in &rows {
        if last != Some(n) {
            builder.begin_stream(stream_labels(*n));
            last = Some(n);
        }
        let mut pairs = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert!(builder.push(*ts, line, &mut pairs));
    }
    builder.finish()
}

pub(crate) fn batches() -> impl Strategy<Value = Batch> {
    rows(30).prop_map(batch_from)
}
