//! The manifest against crashes, failed writes, and damage to every bit and length.

use super::log::check;
use super::*;
use crate::disk::{Disk, sim::SimDisk};
use std::sync::Arc;
use strandline_model::{Day, TenantId};

fn meta(n: u128) -> SegmentMeta {
    SegmentMeta {
        id: SegmentId(n),
        tenant: TenantId::new("t").unwrap(),
        day: Day(20_000),
        settled: false,
        rows: 1,
        raw_bytes: 2,
        file_bytes: 3,
        streams: 4,
        blocks: 5,
        time: (6, 7),
        seq: (8, 9),
    }
}

fn add(n: u128) -> Edit {
    Edit { add: vec![meta(n)], low_water: Some(n as u64), ..Edit::default() }
}

fn disk() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new(3);
    sim.create_dir(DIR).unwrap();
    (sim.clone(), Arc::new(sim))
}

fn ids(manifest: &Manifest) -> Vec<u128> {
    manifest.segments().map(|s| s.id.0).collect()
}

fn sound(disk: &Arc<dyn Disk>) -> Manifest {
    match Manifest::open(disk).unwrap() {
        Opened::Sound(manifest) => manifest,
        other => panic!("{other:?}"),
    }
}

#[test]
fn edits_survive_a_crash() {
    let (sim, disk) = disk();
    assert!(matches!(Manifest::open(&disk).unwrap(), Opened::Missing));
    let mut manifest = Manifest::create(&disk, vec![]).unwrap();
    manifest.commit(&add(1)).unwrap();
    manifest.commit(&add(2)).unwrap();
    manifest.commit(&Edit { drop: vec![SegmentId(1)], ..add(3) }).unwrap();
    let generation = manifest.generation();
    sim.crash();
    let manifest = sound(&disk);
    assert_eq!((ids(&manifest), manifest.low_water(), manifest.generation()), (vec![2, 3], 3, generation));
}

#[test]
fn a_failed_write_is_followed_by_a_new_file() {
    let (sim, disk) = disk();
    let mut manifest = Manifest::create(&disk, vec![]).unwrap();
    manifest.commit(&add(1)).unwrap();
    sim.fail_next_sync(1);
    assert!(manifest.commit(&add(2)).is_err());
    assert_eq!(ids(&manifest), [1]);
    manifest.commit(&add(3)).unwrap();
    sim.crash();
    assert_eq!(ids(&sound(&disk)), [1, 3]);
}

#[test]
fn files_are_replaced_when_they_grow() {
    let (sim, disk) = disk();
    let mut manifest = Manifest::create(&disk, vec![]).unwrap();
    for n in 0..3000 {
        let drop = if n > 10 { vec![SegmentId(n - 10)] } else { vec![] };
        manifest.commit(&Edit { drop, ..add(n) }).unwrap();
    }
    let names = sim.list(DIR).unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    sim.crash();
    assert_eq!(ids(&sound(&disk)).len(), 11);
}

/// Three edits in one file: its path and bytes.
fn written() -> (SimDisk, Arc<dyn Disk>, String, Vec<u8>) {
    let (sim, disk) = disk();
    let mut manifest = Manifest::create(&disk, vec![]).unwrap();
    for n in 1..=3 {
        manifest.commit(&add(n)).unwrap();
    }
    let path = format!("{DIR}/{}", sim.list(DIR).unwrap()[0]);
    let bytes = sim.read_file(&path).unwrap();
    (sim, disk, path, bytes)
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    let (sim, disk, path, original) = written();
    for bit in 0..original.len() * 8 {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        sim.write_file(&path, &bytes).unwrap();
        match check(disk.as_ref()).unwrap() {
            Ok(found) => assert_eq!(found.len(), 3, "bit {bit} was silent"),
            Err(damage) => assert_eq!(damage.path, path),
        }
    }
}

#[test]
fn every_truncation_is_noticed_or_a_shorter_history() {
    let (sim, disk, path, original) = written();
    for len in 0..original.len() {
        sim.write_file(&path, &original[..len]).unwrap();
        // A cut between two edits cannot be seen here: at start the segments of lost edits are found by their
        // footers (see `open`).
        if let Ok(found) = check(disk.as_ref()).unwrap() {
            assert_eq!(found, (1..=found.len() as u128).map(meta).collect::<Vec<_>>());
        }
    }
}
