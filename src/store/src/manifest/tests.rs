//! The manifest against crashes, failed writes, and damage to every bit and length.

use super::read::check;
use super::*;
use crate::disk::{Disk, sim::SimDisk};
use std::sync::Arc;
use strandline_model::{Day, TenantId};

fn meta(n: u128) -> SegmentMeta {
    SegmentMeta {
        id: SegmentId(n),
        tenant: TenantId::new("t").unwrap(),
        day: Day(20_000),
        compacted: false,
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
    match Manifest::open(disk, &mut |_| ()).unwrap() {
        Opened::Sound(manifest) => manifest,
        other => panic!("{other:?}"),
    }
}

#[test]
fn edits_survive_a_crash() {
    let (sim, disk) = disk();
    assert!(matches!(Manifest::open(&disk, &mut |_| ()).unwrap(), Opened::Missing));
    let mut manifest = Manifest::create(&disk, 0).unwrap();
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
    let mut manifest = Manifest::create(&disk, 0).unwrap();
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
    let mut manifest = Manifest::create(&disk, 0).unwrap();
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
    let mut manifest = Manifest::create(&disk, 0).unwrap();
    for n in 1..=3 {
        manifest.commit(&add(n)).unwrap();
    }
    let path = format!("{DIR}/{}", sim.list(DIR).unwrap()[0]);
    let bytes = sim.read_file(&path).unwrap();
    (sim, disk, path, bytes)
}

fn copy_of(path: &str) -> String {
    path.replace(DIR, COPY_DIR)
}

#[test]
fn every_flipped_bit_of_one_file_is_noticed_and_costs_nothing() {
    let (sim, disk, path, original) = written();
    let last_edit = original.len() - crate::frame::ALIGN;
    for (bit, path) in (0..original.len() * 8).flat_map(|bit| [(bit, path.clone()), (bit, copy_of(&path))]) {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        sim.write_file(&path, &bytes).unwrap();
        let found = check(disk.as_ref()).unwrap();
        assert_eq!(found.segments.unwrap().len(), 3, "bit {bit} of {path}");
        assert!(found.damage.iter().all(|damage| damage.path == path), "{:?}", found.damage);
        // The last edit of one file alone could be one that a crash cut off; padding harms nothing.
        let is_content = bit / 8 % crate::frame::ALIGN < crate::frame::HEADER;
        let told = found.damage.len() + found.notes.len();
        assert!(told == 1 || !is_content, "bit {bit} of {path} was silent");
        assert!(bit / 8 >= last_edit || found.notes.is_empty(), "bit {bit} of {path}: {:?}", found.notes);
        sim.write_file(&path, &original).unwrap();
    }
}

#[test]
fn every_flipped_bit_of_both_files_is_noticed_or_harmless() {
    let (sim, disk, path, original) = written();
    let last_edit = original.len() - crate::frame::ALIGN;
    for bit in 0..original.len() * 8 {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        for path in [&path, &copy_of(&path)] {
            sim.write_file(path, &bytes).unwrap();
        }
        let found = check(disk.as_ref()).unwrap();
        match found.segments.map(|segments| segments.len()) {
            Some(3) => assert!(found.damage.is_empty(), "bit {bit}"),
            // Two damages that look like one write that was cut off: of the last edit, at the same place of both files.
            Some(2) => assert!(bit / 8 >= last_edit && found.notes.len() == 2, "bit {bit}"),
            _ => assert_eq!(found.damage.len(), 2, "bit {bit}"),
        }
    }
}

#[test]
fn every_truncation_of_one_file_costs_nothing() {
    let (sim, disk, path, original) = written();
    for (len, path) in (0..original.len()).flat_map(|len| [(len, path.clone()), (len, copy_of(&path))]) {
        sim.write_file(&path, &original[..len]).unwrap();
        assert_eq!(check(disk.as_ref()).unwrap().segments.unwrap().len(), 3);
        sim.write_file(&path, &original).unwrap();
    }
}

#[test]
fn one_file_is_enough_and_an_old_copy_is_not_believed() {
    for gone in [DIR, COPY_DIR] {
        let (sim, disk, path, _) = written();
        sim.remove(&path.replace(DIR, gone)).unwrap();
        assert_eq!(ids(&sound(&disk)), [1, 2, 3]);
        assert_eq!((sim.list(DIR).unwrap(), sim.list(DIR).unwrap().len()), (sim.list(COPY_DIR).unwrap(), 1));
    }
    // A program that knows no copies begins a new file in one folder at each start.
    let (sim, disk, path, _) = written();
    let old = sim.read_file(&path).unwrap();
    drop(sound(&disk));
    sim.write_file(&copy_of(&path), &old).unwrap();
    let newer = format!("{DIR}/{}", sim.list(DIR).unwrap()[0]);
    sim.remove(&copy_of(&newer)).unwrap();
    assert_eq!(ids(&sound(&disk)), [1, 2, 3]);
    let newer = format!("{DIR}/{}", sim.list(DIR).unwrap()[0]);
    sim.write_file(&copy_of(&path), &old).unwrap();
    sim.remove(&copy_of(&newer)).unwrap();
    sim.flip_bit(&newer, 80).unwrap();
    assert!(matches!(Manifest::open(&disk, &mut |_| ()).unwrap(), Opened::Damaged(_)));
}

#[test]
fn what_is_gone_for_good_is_not_named_any_more() {
    let (_, disk) = disk();
    let mut manifest = Manifest::create(&disk, 0).unwrap();
    for n in 0..5_000u128 {
        let drop = if n > 10 { vec![SegmentId(n - 10)] } else { vec![] };
        manifest.commit(&Edit { drop: drop.clone(), ..add(n) }).unwrap();
        manifest.forget_removed(&drop.into_iter().collect());
    }
    assert_eq!(manifest.dropped_count(), 0);
    // What a start reads is at most what one file's edits dropped.
    assert!(sound(&disk).dropped_count() < 2_100);
}
