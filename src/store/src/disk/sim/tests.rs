//! Does the simulated disk lose, keep and refuse what its page says?

use super::{Faults, SimDisk};
use crate::disk::{Disk, DiskFile, read_all, replace_file};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.create(path).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

/// What a crash can leave of the same story, over many seeds: the files with their content.
fn outcomes(story: impl Fn(&SimDisk)) -> BTreeSet<Vec<(String, String)>> {
    (0..300)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            story(&disk);
            disk.crash();
            let file = |path: String| {
                let text = String::from_utf8_lossy(&disk.read_file(&path).unwrap()).into_owned();
                (path, text)
            };
            disk.paths().into_iter().map(file).collect()
        })
        .collect()
}

fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn it_is_a_disk() {
    let disk = SimDisk::new(1);
    assert_eq!(disk.create("a/file").unwrap_err().kind(), ErrorKind::NotFound);
    disk.create_dir("a/b").unwrap();
    replace_file(&disk, "a/b/file", b"hello").unwrap();
    put(&disk, "a/other", b"x");
    assert_eq!(disk.list("a/b").unwrap(), ["file"]);
    assert_eq!(disk.list("a").unwrap(), ["b/", "other"]);
    assert_eq!(disk.list("").unwrap(), ["a/"]);
    assert_eq!(disk.list("none").unwrap(), Vec::<String>::new());
    assert_eq!(read_all(&disk, "a/b/file", 10).unwrap(), b"hello");
    assert_eq!(disk.open("a/b").unwrap_err().kind(), ErrorKind::IsADirectory);
    assert_eq!(disk.remove_dir("a/b").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(disk.rename("none", "other").unwrap_err().kind(), ErrorKind::NotFound);
    let file = disk.open("a/b/file").unwrap();
    file.preallocate(1000).unwrap();
    file.preallocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 1000);
    assert_eq!(file.read_at(&mut [0; 2], 999).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    disk.remove("a/b/file").unwrap();
    file.read_at(&mut [0; 2], 0).unwrap();
    disk.remove_dir("a/b").unwrap();
    assert_eq!(disk.list("a").unwrap(), ["other"]);
    assert_eq!(disk.local_path("a"), None);
    assert!(disk.free_bytes().unwrap() > 1 << 40);
}

#[test]
fn what_was_synced_survives_every_crash() {
    let left = outcomes(|disk| {
        put(disk, "file", b"text").sync().unwrap();
        disk.sync_dir("").unwrap();
        disk.create_dir("deep/er").unwrap();
        put(disk, "deep/er/file", b"more").sync().unwrap();
        disk.sync_dir("deep/er").unwrap();
    });
    assert_eq!(left, BTreeSet::from([files(&[("deep/er/file", "more"), ("file", "text")])]));
}

#[test]
fn a_name_that_was_not_synced_may_vanish_with_its_content() {
    let left = outcomes(|disk| put(disk, "file", b"text").sync().unwrap());
    assert_eq!(left, BTreeSet::from([files(&[]), files(&[("file", "text")])]));
}

#[test]
fn a_rename_shows_the_old_name_or_the_new_one() {
    let left = outcomes(|disk| {
        disk.write_file("file", b"old").unwrap();
        put(disk, "file.tmp", b"new").sync().unwrap();
        disk.sync_dir("").unwrap();
        disk.rename("file.tmp", "file").unwrap();
    });
    let before = files(&[("file", "old"), ("file.tmp", "new")]);
    assert_eq!(left, BTreeSet::from([before, files(&[("file", "new")])]));
}

#[test]
fn a_renamed_file_keeps_its_identity() {
    // The content was never synced: the new name is there with whatever reached the disk.
    let left = outcomes(|disk| {
        let file = put(disk, "a", b"1");
        disk.rename("a", "b").unwrap();
        file.write_at(b"2", 1).unwrap();
        file.sync().unwrap();
        disk.sync_dir("").unwrap();
        put(disk, "a", b"again").sync().unwrap();
    });
    let renamed = files(&[("b", "12")]);
    assert_eq!(left, BTreeSet::from([renamed, files(&[("a", "again"), ("b", "12")])]));
}

#[test]
fn a_rotation_never_loses_the_rotated_file() {
    let left = outcomes(|disk| {
        disk.write_file("log", b"one").unwrap();
        disk.rename("log", "log.1").unwrap();
        put(disk, "log", b"two").sync().unwrap();
    });
    let all = files(&[("log", "two"), ("log.1", "one")]);
    assert_eq!(left, BTreeSet::from([files(&[("log", "one")]), files(&[("log.1", "one")]), all]));
}

#[test]
fn a_move_between_folders_needs_both_synced() {
    let story = |sync: &'static [&'static str]| {
        move |disk: &SimDisk| {
            disk.write_file("a/file", b"x").unwrap();
            disk.create_dir("b").unwrap();
            disk.rename("a/file", "b/file").unwrap();
            sync.iter().for_each(|dir| disk.sync_dir(dir).unwrap());
        }
    };
    let (old, new) = (files(&[("a/file", "x")]), files(&[("b/file", "x")]));
    assert_eq!(outcomes(story(&["a"])), BTreeSet::from([old, new.clone()]));
    assert_eq!(outcomes(story(&["a", "b"])), BTreeSet::from([new]));
}

#[test]
fn a_removed_file_may_come_back() {
    let story = |sync: bool| {
        move |disk: &SimDisk| {
            disk.write_file("d/file", b"x").unwrap();
            disk.remove("d/file").unwrap();
            disk.remove_dir("d").unwrap();
            if sync {
                disk.sync_dir("").unwrap();
            }
        }
    };
    assert_eq!(outcomes(story(false)), BTreeSet::from([files(&[]), files(&[("d/file", "x")])]));
    assert_eq!(outcomes(story(true)), BTreeSet::from([files(&[])]));
}

#[test]
fn a_folder_that_is_removed_and_made_again_is_there_after_a_crash() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        disk.write_file("d/file", b"x").unwrap();
        disk.remove("d/file").unwrap();
        disk.remove_dir("d").unwrap();
        disk.create_dir("d").unwrap();
        disk.crash();
        put(&disk, "d/file", b"y");
    }
}

#[test]
fn unsynced_writes_are_kept_lost_or_torn() {
    let left = outcomes(|disk| {
        disk.write_file("file", b"aaaa").unwrap();
        let file = disk.open("file").unwrap();
        file.write_at(b"bb", 0).unwrap();
        file.write_at(b"cc", 4).unwrap();
    });
    let texts: BTreeSet<String> = left.into_iter().flatten().map(|(_, text)| text).collect();
    for possible in ["aaaa", "bbaa", "aaaacc", "bbaacc", "aaaa\0\0"] {
        assert!(texts.contains(possible), "{possible:?}");
    }
    assert!(texts.iter().any(|text| !text.trim_end_matches('\0').chars().all(|c| "abc".contains(c))));
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        for i in 0..20u8 {
            put(&disk, &format!("file{i}"), &[i; 2000]);
        }
        disk.crash();
        disk.paths().into_iter().map(|p| (disk.read_file(&p).unwrap(), p)).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn after_a_crash_handles_are_dead_and_locks_are_free() {
    let disk = SimDisk::new(1);
    let (one, two) = (disk.clone(), disk.clone());
    let file = put(&disk, "file", b"x");
    one.lock("LOCK").unwrap();
    assert_eq!(two.lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
    disk.crash();
    assert!(file.read_at(&mut [0], 0).is_err() && file.write_at(b"y", 0).is_err());
    assert!(file.sync().is_err() && file.len().is_err() && file.preallocate(9).is_err());
    two.lock("LOCK").unwrap();
    // The first holder's lock fell with the crash; its end must not free the new one.
    drop(one);
    assert!(disk.lock("LOCK").is_err());
    drop(two);
    disk.lock("LOCK").unwrap();
}

#[test]
fn a_halted_disk_refuses_everything_until_the_crash() {
    let disk = SimDisk::new(1);
    let file = put(&disk, "file", b"x");
    assert_eq!(disk.ops(), 2);
    disk.halt_after(3);
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    assert!(!disk.is_halted());
    assert!(file.write_at(b"y", 0).is_err());
    assert!(disk.is_halted());
    assert!(file.read_at(&mut [0], 0).is_err() && disk.list("").is_err() && disk.open("file").is_err());
    assert!(disk.create("other").is_err() && disk.lock("LOCK").is_err() && disk.free_bytes().is_err());
    assert_eq!(disk.ops(), 5);
    disk.crash();
    assert_eq!(read_all(&disk, "file", 10).unwrap(), b"x");
    disk.halt_after(1);
    assert!(disk.remove("file").is_err());
}

#[test]
fn a_failed_sync_can_be_repeated_unless_the_disk_lies() {
    for lying in [false, true] {
        let disk = SimDisk::new(1);
        disk.write_file("file", b"old").unwrap();
        disk.set_faults(Faults { lying_after_failed_sync: lying, ..Faults::default() });
        let file = disk.open("file").unwrap();
        file.write_at(b"new", 0).unwrap();
        disk.fail_next_sync(1);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(disk.read_file("file").unwrap(), b"new");
        disk.crash();
        assert_eq!(disk.read_file("file").unwrap(), if lying { b"old" } else { b"new" });
    }
}

#[test]
fn what_is_written_again_after_the_lie_is_durable() {
    let disk = SimDisk::new(1);
    disk.write_file("file", b"").unwrap();
    disk.set_faults(Faults { lying_after_failed_sync: true, ..Faults::default() });
    let file = disk.open("file").unwrap();
    file.write_at(b"lost", 0).unwrap();
    disk.fail_next_sync(1);
    assert!(file.sync().is_err());
    file.write_at(b"kept", 4).unwrap();
    file.sync().unwrap();
    disk.crash();
    assert_eq!(disk.read_file("file").unwrap(), b"\0\0\0\0kept");
}

#[test]
fn errors_come_as_often_as_asked() {
    let disk = SimDisk::new(1);
    let file = put(&disk, "file", b"x");
    let rates = Faults {
        sync_error_per_mille: 100,
        write_error_per_mille: 500,
        read_error_per_mille: 900,
        ..Faults::default()
    };
    disk.set_faults(rates);
    let count = |call: &dyn Fn() -> bool| (0..1000).filter(|_| call()).count();
    assert!((50..150).contains(&count(&|| file.sync().is_err())));
    assert!((50..150).contains(&count(&|| disk.sync_dir("").is_err())));
    assert!((400..600).contains(&count(&|| file.write_at(b"yy", 0).is_err())));
    assert!((850..950).contains(&count(&|| file.read_at(&mut [0], 0).is_err())));
}

#[test]
fn a_full_disk_takes_what_fits_and_overwrites_in_place() {
    let disk = SimDisk::new(1);
    disk.set_faults(Faults { capacity_bytes: Some(1000), ..Faults::default() });
    let file = put(&disk, "file", &[1; 900]);
    assert_eq!(disk.free_bytes().unwrap(), 100);
    assert_eq!(file.write_at(&[2; 200], 850).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1000);
    assert_eq!(disk.free_bytes().unwrap(), 0);
    file.write_at(&[3; 1000], 0).unwrap();
    let other = disk.create("other").unwrap();
    assert_eq!(other.preallocate(10).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove("file").unwrap();
    other.preallocate(10).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 990);
}

#[test]
fn damage_is_done_to_both_images() {
    let disk = SimDisk::new(1);
    disk.write_file("a/b/file", &[0; 4]).unwrap();
    disk.flip_bit("a/b/file", 9).unwrap();
    disk.truncate("a/b/file", 3).unwrap();
    assert!(disk.flip_bit("a/b/file", 24).is_err());
    disk.crash();
    assert_eq!(disk.read_file("a/b/file").unwrap(), [0, 2, 0]);
    assert_eq!(disk.paths(), ["a/b/file"]);
    assert!(disk.read_file("none").is_err());
}
