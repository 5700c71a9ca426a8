//! What a reader would refuse is refused by the writer, before anything is lost.

use super::{Rig, config, tenant};
use crate::codec::Compression;
use crate::disk::Disk;
use crate::engine::EncodedBatch;
use crate::error::StoreError;
use crate::manifest::{Edit, SegmentId};
use crate::segment::{MAX_REPLACES, Origin, SegmentWriter, WriterOptions};
use crate::testing::batch_of;
use std::sync::Arc;
use strandline_model::{Day, Labels, Metadata, TimeRange};

#[test]
fn a_batch_beyond_a_log_record_is_refused_before_it_is_written() {
    let rig = Rig::new(config());
    let mut encoded = EncodedBatch::new(batch_of("t", &[(r#"{a="x"}"#, 1, b"x")]));
    encoded.payload.raw_len = (1 << 30) + 1;
    let ops = rig.disk.ops();
    let refused = rig.engine.commit(&[encoded]);
    assert!(matches!(refused, Err(StoreError::BatchTooLarge { limit: 1_073_741_824, .. })), "{refused:?}");
    assert_eq!(rig.disk.ops(), ops);
    rig.flush(&[(r#"{a="x"}"#, 1, b"x")]);
}

/// A segment of one line that says it replaces `n` others.
fn write(rig: &Rig, id: u128, n: usize) -> Result<crate::manifest::SegmentMeta, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(rig.disk.clone());
    let id = SegmentId(id << 80);
    let replaces = (0..n as u128).map(|i| SegmentId(i | id.0)).collect();
    let origin =
        Origin { id, group: id, tenant: tenant(), day: Day(0), compacted: false, seq: (0, 0), replaces };
    let options = WriterOptions { block_bytes: 4096, compression: Compression::Lz4, index: false };
    let mut writer = SegmentWriter::create(&disk, origin, options)?;
    writer.begin_stream(&Labels::parse(&format!(r#"{{id="{id}"}}"#)).unwrap())?;
    writer.push(1, b"x", Metadata::default())?;
    Ok(writer.finish()?.unwrap())
}

#[test]
fn a_footer_beyond_what_readers_accept_is_not_written() {
    let rig = Rig::new(config());
    let before = rig.disk.paths();
    let refused = write(&rig, 1, MAX_REPLACES + 1000);
    assert!(matches!(refused, Err(StoreError::PartTooLarge { part: "footer", .. })), "{refused:?}");
    assert_eq!(rig.disk.paths(), before);
    let meta = write(&rig, 2, MAX_REPLACES).unwrap();
    assert_eq!(
        crate::segment::Segment::open(&rig.disk, &meta.path()).unwrap().replaces().len(),
        MAX_REPLACES
    );
}

#[test]
fn a_merge_takes_as_few_inputs_as_its_footer_can_name() {
    let rig = Rig::new(config());
    let add = [MAX_REPLACES - 50, MAX_REPLACES - 50, 10, 20, 30];
    let add: Vec<_> = (1..).zip(add).map(|(id, n)| write(&rig, id, n).unwrap()).collect();
    rig.engine.publish(&Edit { add, ..Edit::default() }, None, |_| ()).unwrap();
    rig.compact();
    let view = rig.engine.view(&tenant(), TimeRange::ALL);
    assert_eq!(view.segments.iter().map(|s| s.meta().rows).sum::<u64>(), 5);
    let readable = view.segments.iter().filter(|s| s.open().is_ok()).count();
    assert_eq!((view.segments.len(), readable), (3, 3), "the three small ones are one now");
}
