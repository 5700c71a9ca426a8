//! The log against damage: every bit, every length, stale frames, failed syncs.

use super::*;
use crate::disk::sim::{Faults, SimDisk};
use crate::disk::{Disk, read_all};
use crate::testing::batch_of;
use std::sync::Arc;
use strandline_model::Batch;

fn numbered(n: i64) -> Batch {
    batch_of("t", &[(r#"{a="b"}"#, n, format!("line {n}").as_bytes())])
}

fn replayed(disk: &dyn Disk, low_water: u64) -> (Vec<i64>, ReplayReport) {
    let mut found = Vec::new();
    let from = ReplayFrom { low_water, ..ReplayFrom::default() };
    let replayed = replay(disk, &from, |_, batch| found.push(batch.entries[0].ts)).unwrap();
    (found, replayed.report)
}

fn written(n: i64) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    disk.create_dir(DIR).unwrap();
    let mut wal = Wal::new(Arc::new(disk.clone()), 1 << 20, &[], 0);
    for i in 1..=n {
        let payload = encode_batch(&numbered(i));
        assert_eq!(wal.append(&[&payload], true).unwrap(), i as u64);
    }
    (disk, wal)
}

#[test]
fn what_was_appended_comes_back_in_order_behind_the_low_water_mark() {
    let (disk, _wal) = written(5);
    disk.crash();
    assert_eq!(replayed(&disk, 0).0, [1, 2, 3, 4, 5]);
    assert_eq!(replayed(&disk, 3), (vec![4, 5], ReplayReport { frames: 2, lines: 2, ..Default::default() }));
}

#[test]
fn every_flipped_bit_costs_at_most_its_own_frame_and_is_reported() {
    let (disk, mut wal) = written(4);
    wal.witness().unwrap();
    let path = file_path(1);
    let used = 5 * crate::frame::ALIGN;
    let original = read_all(&disk, &path, 1 << 30).unwrap();
    for bit in 0..used * 8 {
        let mut bytes = original[..used].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.write_file(&path, &bytes).unwrap();
        let (found, report) = replayed(&disk, 0);
        let hit = (bit / 8 / crate::frame::ALIGN) as i64 + 1;
        let without: Vec<i64> = (1..=4).filter(|n| *n != hit).collect();
        if found == [1, 2, 3, 4] {
            assert!(report.damage.is_empty(), "harmless only in padding and witness: bit {bit}");
        } else {
            assert_eq!(found, without, "bit {bit}");
            assert!(report.lost == 1 && !report.damage.is_empty(), "bit {bit}: {report:?}");
        }
    }
}

#[test]
fn every_truncation_keeps_the_frames_before_it() {
    let (disk, _wal) = written(4);
    let path = file_path(1);
    let original = read_all(&disk, &path, 1 << 30).unwrap();
    for len in 0..4 * crate::frame::ALIGN {
        disk.write_file(&path, &original[..len]).unwrap();
        let (found, _) = replayed(&disk, 0);
        let whole: Vec<i64> = (1..=4).filter(|n| found.contains(n)).collect();
        assert_eq!(found, whole);
        assert!(found.len() >= len / crate::frame::ALIGN, "{len} bytes hold {found:?}");
    }
}

#[test]
fn frames_of_a_recycled_files_former_use_are_not_taken_for_data() {
    let (disk, mut wal) = written(3);
    wal.retire(3).unwrap();
    // A group larger than the file moves the log on; then the first file is recycled for the next one.
    let large = encode_batch(&batch_of("t", &[(r#"{a="b"}"#, 4, &vec![7u8; 300_000])]));
    let noise = |i: u64| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()) as u8;
    let random: Vec<u8> = (0..2_000_000).map(noise).collect();
    let huge = encode_batch(&batch_of("t", &[(r#"{a="b"}"#, 5, &random)]));
    wal.append(&[&large], true).unwrap();
    wal.append(&[&huge], true).unwrap();
    wal.retire(4).unwrap();
    let again = encode_batch(&batch_of("t", &[(r#"{a="b"}"#, 6, &random)]));
    wal.append(&[&again], true).unwrap();
    disk.crash();
    assert_eq!(replayed(&disk, 4).0, [5, 6]);
    // The newest file was another one before: by its epoch only its own frame counts, whatever the mark says.
    let newest = disk.list(DIR).unwrap().pop().unwrap();
    let bytes = read_all(&disk, &format!("{DIR}/{newest}"), 1 << 30).unwrap();
    let mut seqs = Vec::new();
    super::replay::scan_file(file_number(&newest).unwrap(), &bytes, |frame| seqs.push(frame.position.seq));
    assert_eq!(seqs, [6]);
}

/// A delete asks which of its lines the log may still hold.
#[test]
fn a_spare_file_that_cannot_be_used_stays_known() {
    let (disk, mut wal) = written(3);
    let large = |n| encode_batch(&batch_of("t", &[(r#"{a="b"}"#, n, &random(n as u64, 300_000))]));
    wal.append(&[&large(4)], true).unwrap();
    wal.retire(3).unwrap();
    assert_eq!(wal.first_seq(), Some(1), "the first file is spare");
    disk.set_faults(Faults { open_errno: Some(libc::EMFILE), ..Faults::default() });
    assert!(wal.append(&[&large(5)], true).is_err());
    assert_eq!(wal.first_seq(), Some(1), "renamed, and not opened");
    disk.set_faults(Faults::default());
    wal.append(&[&large(5)], true).unwrap();
    wal.scrub().unwrap();
    wal.retire(5).unwrap();
    assert_eq!(wal.first_seq(), None);
    let left = disk.list(DIR).unwrap().into_iter().filter(|name| file_number(name).is_some()).count();
    assert_eq!(left, 0);
}

fn random(seed: u64, len: usize) -> Vec<u8> {
    let noise = |i: u64| xxhash_rust::xxh3::xxh3_64(&(seed << 32 | i).to_le_bytes()) as u8;
    (0..len as u64).map(noise).collect()
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_moves_to_a_new_file() {
    let (disk, mut wal) = written(1);
    disk.fail_next_sync(1);
    let payload = encode_batch(&numbered(2));
    assert!(wal.append(&[&payload], true).is_err());
    wal.append(&[&payload], true).unwrap();
    disk.crash();
    let (found, report) = replayed(&disk, 0);
    assert!(found == [1, 2] || found == [1, 2, 2], "{found:?}");
    assert_eq!(report.lost, 0);
}

#[test]
fn released_space_is_given_back_and_sequences_go_on() {
    let (disk, mut wal) = written(3);
    wal.release(2).unwrap();
    assert!(wal.holds_files(), "frame 3 is not in a segment yet");
    wal.release(3).unwrap();
    assert!(disk.list(DIR).unwrap().is_empty());
    wal.append(&[&encode_batch(&numbered(4))], true).unwrap();
    assert_eq!(wal.last_seq(), 4);
    disk.crash();
    assert_eq!(replayed(&disk, 3).0, [4]);
}

/// Whole frames with sequences that nobody can count up to.
#[test]
fn sequences_out_of_reach_are_no_frames() {
    use crate::frame::{Payload, Position, put_frame};
    let (disk, _wal) = written(2);
    let mut bytes = read_all(&disk, &file_path(1), 1 << 30).unwrap()[..2 * crate::frame::ALIGN].to_vec();
    let none = Payload { kind: 2, codec: crate::codec::Codec::Raw, raw_len: 0, stored: Vec::new() };
    for (seq, base, durable) in [(0, 3, u64::MAX), (0, 4, u64::MAX), (u64::MAX, 1, 2)] {
        put_frame(&mut bytes, Position { epoch: 1, seq, base, durable }, &none);
    }
    disk.write_file(&file_path(1), &bytes).unwrap();
    assert_eq!(replayed(&disk, 0), (vec![1, 2], ReplayReport { frames: 2, lines: 2, ..Default::default() }));
    assert_eq!(replayed(&disk, u64::MAX).0, Vec::<i64>::new());
}

#[test]
fn nothing_that_was_scrubbed_stays_in_a_file() {
    let disk = SimDisk::new(1);
    disk.create_dir(DIR).unwrap();
    let mut wal = Wal::new(Arc::new(disk.clone()), 4096, &[], 0);
    let push = |wal: &mut Wal, n| wal.append(&[&encode_batch(&numbered(n))], true).unwrap();
    let holds = |line: &str| {
        let files = disk.paths().into_iter().filter(|path| path.starts_with(DIR));
        files
            .map(|path| disk.read_file(&path).unwrap())
            .any(|bytes| bytes.windows(line.len()).any(|window| window == line.as_bytes()))
    };
    // Files of eight frames. The first becomes a spare, and the third is made of it.
    (11..=18).for_each(|n| assert!(push(&mut wal, n) > 0));
    push(&mut wal, 19);
    wal.retire(8).unwrap();
    (20..=27).for_each(|n| assert!(push(&mut wal, n) > 0));
    assert!(holds("line 18") && wal.first_seq() == Some(1), "old bytes stay behind new ones");
    assert_eq!(wal.scrub().unwrap(), 17);
    push(&mut wal, 28);
    assert_eq!(wal.first_seq(), Some(1));
    wal.retire(17).unwrap();
    assert_eq!(wal.first_seq(), Some(18));
    assert!((11..=27).all(|n| !holds(&format!("line {n}"))) && holds("line 28"));
    // What was begun since is used again.
    (29..=36).for_each(|n| assert!(push(&mut wal, n) > 0));
    wal.retire(25).unwrap();
    assert_eq!((wal.first_seq(), holds("line 28")), (Some(18), true));
}

/// The last group has nothing behind it in its file that could vouch for it.
#[test]
fn the_mark_tells_the_loss_of_the_end_from_a_write_that_was_cut_off() {
    let lost = |disk: &SimDisk| replayed(disk, 0).1.lost;
    for marked in [false, true] {
        let (disk, mut wal) = written(4);
        if marked {
            wal.write_mark().unwrap();
        }
        let whole = disk.read_file(&file_path(1)).unwrap();
        disk.flip_bit(&file_path(1), 8 * (3 * 512 + 70)).unwrap();
        assert_eq!((replayed(&disk, 0).0, lost(&disk)), (vec![1, 2, 3], u64::from(marked)));
        assert_eq!(replayed(&disk, 4).1.lost, 0, "it is in a segment");
        disk.write_file(&file_path(1), &whole[..512]).unwrap();
        assert_eq!(lost(&disk), if marked { 3 } else { 0 }, "cut off");
        disk.remove(&file_path(1)).unwrap();
        assert_eq!(lost(&disk), if marked { 4 } else { 0 }, "the file is gone");
        let replayed = replay(&disk, &ReplayFrom::default(), |_, _| ()).unwrap();
        assert_eq!(replayed.last_seq, if marked { 4 } else { 0 }, "what was vouched for is not given again");
        let known = ReplayFrom { known_lost: replayed.lost, ..ReplayFrom::default() };
        assert_eq!(replay(&disk, &known, |_, _| ()).unwrap().report, ReplayReport::default());
    }
}

#[test]
fn the_mark_vouches_for_no_group_whose_sync_failed() {
    let (disk, mut wal) = written(2);
    disk.fail_next_sync(1);
    assert!(wal.append(&[&encode_batch(&numbered(3))], true).is_err());
    wal.append(&[&encode_batch(&numbered(4))], true).unwrap();
    wal.write_mark().unwrap();
    disk.crash();
    assert_eq!(replayed(&disk, 0).1.lost, 0);
    disk.remove(&file_path(1)).unwrap();
    assert_eq!(replayed(&disk, 0).1.lost, 2, "1 and 2; 3 was promised to nobody, 4 is in the next file");
    assert_eq!(wal.last_seq(), 4);
}
