//! The log's reader on foreign bytes, also behind checksums that hold: what it hands on is sound, and repeatable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::disk::disk_with;
use strandline_model::Batch;
use strandline_store::fuzzing::{WAL_PATH, decode_batch, encode_batch, frames, replay};

fuzz_target!(init: strandline_fuzz::seeds::plant("wal"), |data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    // Bytes as they are, the payload of one frame, or frames whose checksums hold.
    let file = match choice {
        0 => rest.to_vec(),
        1 => {
            if let Some(batch) = decode_batch(rest) {
                check(&batch);
            }
            return;
        }
        _ => frames(rest),
    };
    let low_water = if choice & 0x80 == 0 { 0 } else { u64::from(choice & 0x7f) };
    let (sim, _) = disk_with(WAL_PATH, &file);
    let mut batches = Vec::new();
    let (report, last) = replay(&sim, low_water, |seq, batch| batches.push((seq, batch))).unwrap();
    assert_eq!(report.frames, batches.len() as u64);
    assert_eq!(report.lines, batches.iter().map(|(_, batch)| batch.entries.len() as u64).sum::<u64>());
    assert_eq!(report.damage.is_empty(), report.lost == 0, "{report:?}");
    for (seq, batch) in &batches {
        assert!((low_water + 1..=last).contains(seq));
        check(batch);
    }
    let mut again = Vec::new();
    let second = replay(&sim, low_water, |seq, batch| again.push((seq, batch))).unwrap();
    assert_eq!(((report, last), batches), (second, again));
});

fn check(batch: &Batch) {
    let mut at = 0;
    for stream in &batch.streams {
        assert_eq!((stream.entries.start, stream.id), (at, stream.labels.stream_id()));
        at = stream.entries.end;
        for entry in batch.stream_entries(stream) {
            assert_eq!(batch.line(entry).len(), entry.line_bytes as usize);
            assert!(batch.metadata(entry).is_valid());
        }
    }
    assert_eq!(at as usize, batch.entries.len());
    let raw = encode_batch(batch).unwrap();
    assert_eq!(decode_batch(&raw).as_ref(), Some(batch));
}
