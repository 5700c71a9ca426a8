//! Segments against a naive model, and against damage to every bit and length.

use super::*;
use crate::codec::Compression;
use crate::disk::{Disk, sim::SimDisk};
use crate::testing::{Row, rows, stream_labels};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use strandline_model::{Day, Labels, Metadata, Selector, TenantId};

type Entry = (i64, Vec<u8>, Vec<(String, String)>);

fn origin() -> Origin {
    let id = SegmentId(7 << 80 | 3);
    let (tenant, replaces) = (TenantId::new("t").unwrap(), vec![SegmentId(1)]);
    Origin { id, group: id, tenant, day: Day(0), compacted: true, seq: (1, 2), replaces }
}

fn by_stream(rows: &[Row]) -> BTreeMap<Labels, Vec<Entry>> {
    let mut streams: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
    for (n, ts, line, metadata) in rows {
        let metadata: BTreeMap<_, _> = metadata.iter().cloned().collect();
        let labels = stream_labels(*n).as_ref().clone();
        streams.entry(labels).or_default().push((*ts, line.clone(), metadata.into_iter().collect()));
    }
    streams.values_mut().for_each(|entries| entries.sort_by_key(|e| e.0));
    streams
}

fn write(
    streams: &BTreeMap<Labels, Vec<Entry>>,
    block_bytes: usize,
    compression: Compression,
) -> (SimDisk, Segment) {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let options = WriterOptions { block_bytes, compression, index: true };
    let mut writer = SegmentWriter::create(&disk, origin(), options).unwrap();
    for (labels, entries) in streams {
        writer.begin_stream(labels).unwrap();
        for (ts, line, metadata) in entries {
            let mut packed = Vec::new();
            Metadata::pack(&mut packed, &mut metadata.iter().map(|(n, v)| (&**n, &**v)).collect());
            writer.push(*ts, line, Metadata(&packed)).unwrap();
        }
    }
    let meta = writer.finish().unwrap().expect("there are rows");
    let segment = Segment::open(&sim, &meta.path()).unwrap();
    assert_eq!(segment.meta(), &meta);
    (sim, segment)
}

fn read(segment: &Segment) -> BTreeMap<Labels, Vec<Entry>> {
    let mut found: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
    let streams = segment.streams().unwrap();
    for index in 0..segment.table().unwrap().blocks.len() {
        let block = segment.block(index, Columns::ALL).unwrap();
        for run in &block.runs {
            let entries = found.entry(streams[run.stream as usize].labels.clone()).or_default();
            for row in block.rows_of(run.stream) {
                let metadata = block.metadata_of(row).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                entries.push((block.times[row], block.line(row).to_vec(), metadata));
            }
        }
    }
    found
}

fn check_tables(segment: &Segment, streams: &BTreeMap<Labels, Vec<Entry>>) {
    let (table, rows) = (segment.table().unwrap(), segment.streams().unwrap());
    for (ordinal, row) in rows.iter().enumerate() {
        let entries = &streams[&row.labels];
        assert_eq!(row.rows, entries.len() as u64);
        assert_eq!(row.line_bytes, entries.iter().map(|e| e.1.len() as u64).sum::<u64>());
        assert_eq!(row.time, (entries[0].0, entries[entries.len() - 1].0));
        assert_eq!(segment.find_stream(&row.labels).unwrap(), Some((ordinal as u32, row.clone())));
    }
    assert_eq!(segment.find_stream(&Labels::parse(r#"{z="z"}"#).unwrap()).unwrap(), None);
    let (all, mut counted) = (Selector::all(), Vec::new());
    let each = |ordinal, pairs: &[(&str, &str)], counts| {
        counted.push((ordinal, Labels::from_pairs(pairs).ok()?, counts));
        Some(())
    };
    segment.each_selected(&all, each).unwrap();
    let as_counts = |row: &StreamRow| {
        let StreamRow { labels: _, rows, line_bytes, metadata_bytes, time, blocks } = *row;
        StreamCounts { rows, line_bytes, metadata_bytes, time, blocks }
    };
    let wanted = (0..).zip(&rows).map(|(ordinal, row)| (ordinal, row.labels.clone(), as_counts(row)));
    assert_eq!(counted, wanted.collect::<Vec<_>>());
    assert!(segment.each_selected(&all, |_, _, _| None).is_err());
    for (index, row) in table.blocks.iter().enumerate() {
        let block = segment.block(index, Columns::ALL).unwrap();
        assert_eq!(row.time.0, *block.times.iter().min().unwrap());
        assert_eq!(row.time.1, *block.times.iter().max().unwrap());
        assert_eq!(row.line_bytes, (0..block.rows).map(|i| u64::from(block.line_len(i))).sum::<u64>());
        let only_times = segment.block(index, Columns { times: true, ..Columns::default() }).unwrap();
        assert_eq!((only_times.times, only_times.lines.len()), (block.times, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(rows in rows(200), block_bytes in 1usize..2000, zstd in any::<bool>()) {
        prop_assume!(!rows.is_empty());
        let streams = by_stream(&rows);
        let compression = if zstd { Compression::Zstd(1) } else { Compression::Lz4 };
        let (_, segment) = write(&streams, block_bytes, compression);
        prop_assert_eq!(&read(&segment), &streams);
        check_tables(&segment, &streams);
        prop_assert_eq!(segment.verify(), vec![]);
    }
}

fn small() -> (SimDisk, String, Vec<u8>, BTreeMap<Labels, Vec<Entry>>) {
    let level = |l: &str| vec![("detected_level".to_owned(), l.to_owned())];
    let rows: Vec<Row> = (0..40)
        .map(|i| (i % 3, i64::from(i) * 1000, format!("line {i} of some words").into_bytes(), level("info")))
        .collect();
    let streams = by_stream(&rows);
    let (sim, segment) = write(&streams, 300, Compression::Zstd(1));
    let path = segment.meta().path();
    let bytes = sim.read_file(&path).unwrap();
    (sim, path, bytes, streams)
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (sim, path, original, _) = small();
    for bit in 0..original.len() * 8 {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        sim.write_file(&path, &bytes).unwrap();
        let noticed = match Segment::open(&sim, &path) {
            Err(_) => true,
            Ok(segment) => !segment.verify().is_empty(),
        };
        assert!(noticed, "bit {bit} of {} was silent", original.len() * 8);
    }
}

#[test]
fn every_truncation_is_noticed() {
    let (sim, path, original, _) = small();
    for len in 0..original.len() {
        sim.write_file(&path, &original[..len]).unwrap();
        assert!(Segment::open(&sim, &path).is_err(), "{len} bytes");
    }
}

#[test]
fn a_damaged_block_costs_no_other_block_and_a_damaged_index_no_line() {
    let (sim, path, original, streams) = small();
    let mut bytes = original.clone();
    bytes[10] ^= 1;
    sim.write_file(&path, &bytes).unwrap();
    let segment = Segment::open(&sim, &path).unwrap();
    assert!(segment.block(0, Columns::ALL).is_err());
    assert!(segment.block(1, Columns::ALL).is_ok());
    let postings = original.len() - 400;
    let mut bytes = original;
    bytes[postings] ^= 1;
    sim.write_file(&path, &bytes).unwrap();
    let segment = Segment::open(&sim, &path).unwrap();
    assert_eq!(read(&segment), streams);
}

/// A footer whose checksum holds, and that claims more streams than there is memory for.
#[test]
fn claimed_streams_cost_no_memory() {
    let (sim, path, original, _) = small();
    let len = Segment::open(&sim, &path).unwrap().footer().encode().len();
    let mut footer = Segment::open(&sim, &path).unwrap().footer().clone();
    footer.meta.streams = u32::MAX;
    let mut bytes = original[..original.len() - len].to_vec();
    footer.meta.file_bytes = (bytes.len() + footer.encode().len()) as u64;
    bytes.extend(footer.encode());
    sim.write_file(&path, &bytes).unwrap();
    let segment = Segment::open(&sim, &path).unwrap();
    let rows = segment.streams().unwrap();
    assert!(rows.capacity() <= 256 && rows.len() == 3, "{}", rows.capacity());
    assert!(!segment.verify().is_empty());
}
