//! Which on-disk format a data directory has, and the steps that bring it to this program's.
//!
//! `FORMAT` holds the number on its first line and below it a line per step that was run. Each step is a file in
//! `migrations/`; it must be safe to run again after a crash in its middle, because it is recorded only when done.

use crate::disk::{Disk, read_all, replace_file};
use crate::error::{AtPath, Corruption, StoreError};
use crate::manifest;
use std::io;

#[path = "../../../migrations/m0001_first_layout.rs"]
mod m0001_first_layout;
#[path = "../../../migrations/m0002_deletes.rs"]
mod m0002_deletes;

const PATH: &str = "FORMAT";
const NOT_A_NUMBER: &str = "is not a format number, and the manifest cannot be read to tell: put a copy of FORMAT back from a \
                            backup, or, if this version wrote the directory last, remove the file";

/// One step: brings a directory of format `to - 1` to format `to`.
pub(crate) struct Migration {
    to: u32,
    name: &'static str,
    run: fn(&dyn Disk) -> io::Result<()>,
}

/// All steps, in order.
const MIGRATIONS: &[Migration] = &[
    Migration { to: 1, name: "first layout", run: m0001_first_layout::run },
    Migration { to: 2, name: "deletes", run: m0002_deletes::run },
];

/// Brings the directory to the newest format. Refuses one that is newer, without touching it.
pub(crate) fn migrate(disk: &dyn Disk) -> Result<u32, StoreError> {
    migrate_with(disk, MIGRATIONS)
}

fn migrate_with(disk: &dyn Disk, migrations: &[Migration]) -> Result<u32, StoreError> {
    let known = migrations.last().map_or(0, |m| m.to);
    let (found, mut history) = match read(disk) {
        // All steps are safe to run again, so what the data says is enough.
        Err(StoreError::Corrupt(damage)) if is_readable(disk)? => {
            tracing::warn!(%damage, "the manifest can be read, so the format is one that is known: FORMAT is written anew");
            (0, String::new())
        }
        found => found?,
    };
    if found > known {
        return Err(StoreError::NewerFormat { found, known });
    }
    for migration in migrations.iter().filter(|m| m.to > found) {
        tracing::info!(to = migration.to, name = migration.name, "migrating the data directory");
        (migration.run)(disk).at(migration.name)?;
        history.push_str(&format!("{} {}\n", migration.to, migration.name));
        replace_file(disk, PATH, format!("{}\n{history}", migration.to).as_bytes()).at(PATH)?;
    }
    Ok(known)
}

/// The format number and the recorded history; 0 for a directory without a FORMAT file.
pub(crate) fn read(disk: &dyn Disk) -> Result<(u32, String), StoreError> {
    let bytes = match read_all(disk, PATH, 1 << 20) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((0, String::new())),
        Err(e) => return Err(e).at(PATH),
    };
    let text = String::from_utf8_lossy(&bytes);
    let (number, history) = text.split_once('\n').unwrap_or((&text, ""));
    match number.trim().parse() {
        Ok(number) => Ok((number, history.to_owned())),
        Err(_) => Err(Corruption::new(PATH, "first line", NOT_A_NUMBER).into()),
    }
}

/// Whether the manifest is one that this program can read.
fn is_readable(disk: &dyn Disk) -> Result<bool, StoreError> {
    Ok(manifest::check(disk)?.segments.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn write_file(disk: &dyn Disk, path: &str) -> io::Result<()> {
        replace_file(disk, path, b"done")
    }

    const STEPS: &[Migration] = &[
        Migration { to: 1, name: "one", run: |disk| write_file(disk, "one") },
        Migration { to: 2, name: "two", run: |disk| disk.rename("one", "two") },
        Migration { to: 3, name: "three", run: |disk| write_file(disk, "three") },
    ];

    #[test]
    fn steps_run_once_in_order_and_are_recorded() {
        let disk = SimDisk::new(1);
        assert_eq!(migrate_with(&disk, &STEPS[..1]).unwrap(), 1);
        assert_eq!(migrate_with(&disk, STEPS).unwrap(), 3);
        assert_eq!(migrate_with(&disk, STEPS).unwrap(), 3, "the rename of step two would fail a second time");
        assert_eq!(read(&disk).unwrap(), (3, "1 one\n2 two\n3 three\n".to_owned()));
        assert_eq!(disk.list("").unwrap(), ["FORMAT", "three", "two"]);
    }

    #[test]
    fn a_step_that_fails_is_not_recorded() {
        let disk = SimDisk::new(1);
        migrate_with(&disk, &STEPS[..1]).unwrap();
        disk.remove("one").unwrap();
        assert!(migrate_with(&disk, STEPS).is_err());
        assert_eq!(read(&disk).unwrap().0, 1);
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let disk = SimDisk::new(1);
        replace_file(&disk, PATH, b"7\nfrom the future\n").unwrap();
        let error = migrate(&disk).unwrap_err().to_string();
        assert!(error.contains("format 7") && error.contains("newer strandline"), "{error}");
        assert_eq!(disk.list("").unwrap(), ["FORMAT"]);
        replace_file(&disk, PATH, b"x").unwrap();
        let error = migrate(&disk).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("backup"), "{error}");
    }

    #[test]
    fn a_damaged_or_missing_number_is_found_again_from_the_manifest() {
        let disk = SimDisk::new(1);
        let format = migrate(&disk).unwrap();
        let shared: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
        manifest::Manifest::create(&shared, 0).unwrap();
        let written = disk.read_file(PATH).unwrap();
        for damage in [&b""[..], b"\xff\n", b"two\n"] {
            disk.write_file(PATH, damage).unwrap();
            assert_eq!(migrate(&disk).unwrap(), format);
            assert_eq!(disk.read_file(PATH).unwrap(), written);
        }
        disk.remove(PATH).unwrap();
        assert_eq!(migrate(&disk).unwrap(), format);
        assert_eq!(disk.read_file(PATH).unwrap(), written);
    }
}
