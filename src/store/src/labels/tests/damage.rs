//! Is an image that is not the one that was saved always noticed, and never the process's end?

use super::{LabelIndex, Labels, Selector, is_ready, labels, open, tenant};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use strandline_model::Day;

fn streams(n: usize) -> Vec<Labels> {
    (0..n)
        .map(|i| labels(&format!("{{app=\"app-{}\", pod=\"pod-{i}-{}\"}}", i % 9, i * 7919 % 1000)))
        .collect()
}

/// Saves an image in a few commits, as a store does.
fn save(dir: &Path, streams: &[Labels]) {
    let (index, _) = open(dir, 0);
    index.set_complete(true);
    for (part, generation) in streams.chunks(streams.len() / 3).zip(1..) {
        index.add(&tenant("t"), Day(1), part.iter());
        index.commit(generation);
    }
    index.commit(7);
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

/// Opens an image: true when it is used, and then it must be right. Afterwards the index must work and save.
fn survives(dir: &Path, streams: &[Labels]) -> bool {
    let (index, state) = open(dir, 7);
    let all = |index: &LabelIndex| -> BTreeSet<Labels> {
        index.series(&tenant("t"), None, &Selector::all(), usize::MAX).into_iter().collect()
    };
    let wanted: BTreeSet<Labels> = streams.iter().cloned().collect();
    if is_ready(&state) {
        assert_eq!(all(&index), wanted);
        return true;
    }
    assert!(all(&index).is_empty() && !index.is_complete());
    index.add(&tenant("t"), Day(1), streams.iter());
    index.set_complete(true);
    index.commit(8);
    assert!(index.is_persistent());
    drop(index);
    let (index, state) = open(dir, 8);
    assert!(is_ready(&state), "{state:?}");
    assert_eq!(all(&index), wanted);
    false
}

/// Damages copies of one image in many ways.
fn damage(rounds: u64, hurt: impl Fn(u64, &mut Vec<u8>)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("labels"));
    let streams = streams(900);
    save(&good, &streams);
    let mut used = 0;
    for round in 0..rounds {
        copy(&good, &bad);
        let all = files(&bad);
        let file = &all[round as usize % all.len()];
        let mut bytes = fs::read(file).unwrap();
        hurt(round, &mut bytes);
        fs::write(file, bytes).unwrap();
        used += usize::from(survives(&bad, &streams));
    }
    used
}

fn random(round: u64) -> u64 {
    let mut z = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

#[test]
fn an_undamaged_copy_is_used() {
    assert_eq!(damage(4, |_, _| ()), 4);
}

#[test]
fn flipped_bits() {
    damage(40, |round, bytes| {
        let bit = random(round) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    });
}

#[test]
fn overwritten_sectors() {
    damage(24, |round, bytes| {
        let at = random(round) as usize % bytes.len();
        let fill = if round % 2 == 0 { 0 } else { random(round + 1) as u8 };
        bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = fill);
    });
}

#[test]
fn cut_off_files() {
    damage(24, |round, bytes| bytes.truncate(random(round) as usize % (bytes.len() + 1)));
}

#[test]
fn missing_and_foreign_files() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("labels"));
    let streams = streams(900);
    save(&good, &streams);
    for file in files(&good) {
        copy(&good, &bad);
        fs::remove_file(bad.join(file.file_name().unwrap())).unwrap();
        survives(&bad, &streams);
    }
    copy(&good, &bad);
    fs::write(bad.join("notes.txt"), "mine").unwrap();
    assert!(survives(&bad, &streams));
    fs::remove_dir_all(&bad).unwrap();
    fs::write(&bad, "a file where the folder should be").unwrap();
    let (index, state) = open(&bad, 7);
    assert!(!is_ready(&state));
    index.set_complete(true);
    index.commit(8);
    assert!(!index.is_persistent());
}

#[test]
fn an_old_copy_of_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (now, old) = (dir.path().join("labels"), dir.path().join("old"));
    let streams = streams(900);
    save(&now, &streams);
    copy(&now, &old);
    let (index, state) = open(&now, 7);
    assert!(is_ready(&state));
    index.drop_day(&tenant("t"), Day(1));
    index.commit(9);
    drop(index);
    copy(&old, &now);
    let (index, state) = open(&now, 9);
    assert!(!is_ready(&state) && index.tenants().is_empty());
    assert!(!now.exists());
}

#[test]
fn one_damaged_image_is_kept_for_a_look() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("labels"));
    let streams = streams(30);
    save(&good, &streams);
    for round in 1..4 {
        copy(&good, &bad);
        fs::write(bad.join("conf"), "segment_size: what?").unwrap();
        assert!(!is_ready(&open(&bad, 7).1));
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["good", &format!("labels.bad-{round}")]);
    }
}

#[test]
fn an_image_that_fails_at_run_time_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let streams = streams(30);
    save(&path, &streams);
    let (index, state) = open(&path, 7);
    assert!(is_ready(&state) && index.is_persistent());
    fs::remove_dir_all(&path).unwrap();
    index.add(&tenant("u"), Day(1), streams.iter());
    index.commit(8);
    assert!(!index.is_persistent() && index.is_complete());
    index.drop_day(&tenant("t"), Day(1));
    index.commit(9);
    assert_eq!(index.tenants(), [tenant("u")]);
}

#[test]
fn an_incomplete_index_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let (index, _) = open(&path, 1);
    index.add(&tenant("t"), Day(1), streams(30).iter());
    index.commit(1);
    drop(index);
    assert!(!is_ready(&open(&path, 1).1) && !path.exists());
}

#[test]
fn many_threads_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels");
    let (index, _) = open(&path, 0);
    index.set_complete(true);
    let streams = streams(600);
    std::thread::scope(|scope| {
        for part in streams.chunks(100) {
            let index = &index;
            scope.spawn(move || {
                for labels in part {
                    index.add(&tenant("t"), Day(1), [labels].into_iter());
                    index.label_names(&tenant("t"), None, &Selector::all());
                }
            });
        }
        (1..6).for_each(|generation| index.commit(generation));
    });
    index.commit(6);
    drop(index);
    let (index, state) = open(&path, 6);
    assert!(is_ready(&state));
    assert_eq!(index.stream_count(&tenant("t")), 600);
}
