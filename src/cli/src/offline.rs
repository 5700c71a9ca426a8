//! What can be asked of a data directory without a server: is every byte right, and what does it hold?
//!
//! Two seams to the engine, [`inspect`] and [`measure`], and how their answers are shown.

use crate::config::Config;
use crate::table::{self, Align};
use crate::terminal::escape;
use std::io::{self, Write};

/// Why a data directory could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OfflineError(pub String);

/// What `verify` found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    /// Files read.
    pub files: u64,
    /// Bytes read and checked.
    pub bytes: u64,
    /// What is wrong; empty when nothing is.
    pub damages: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Damage {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where in the file, when known.
    pub offset: Option<u64>,
    /// What is wrong, and what it costs.
    pub what: String,
}

/// One tenant's day in `stats`.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionStats {
    /// The tenant.
    pub tenant: String,
    /// The day, `YYYY-MM-DD`.
    pub day: String,
    /// Segment files.
    pub segments: u64,
    /// Entries.
    pub lines: u64,
    /// Bytes of the lines as pushed.
    pub raw_bytes: u64,
    /// Bytes of the segment files.
    pub disk_bytes: u64,
}

/// The seam of `verify`: reads every byte of `config.storage.data_dir`.
pub fn inspect(_config: &Config) -> Result<Verified, OfflineError> {
    Err(OfflineError("the engine is not wired up yet".to_owned()))
}

/// The seam of `stats`: the partitions of `config.storage.data_dir`, by tenant and day.
pub fn measure(_config: &Config) -> Result<Vec<PartitionStats>, OfflineError> {
    Err(OfflineError("the engine is not wired up yet".to_owned()))
}

/// Shows what `verify` found.
pub fn show_verified(out: &mut dyn Write, found: &Verified, for_people: bool) -> io::Result<()> {
    for damage in &found.damages {
        if for_people {
            let place = damage.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
            writeln!(out, "{}{place}: {}", escape(&damage.file), escape(&damage.what))?;
        } else {
            let line = serde_json::json!({"file": damage.file, "offset": damage.offset, "what": damage.what});
            writeln!(out, "{line}")?;
        }
    }
    let (files, damages) = (found.files, found.damages.len());
    if for_people {
        let verdict = if damages == 0 { "all right".to_owned() } else { format!("{damages} wrong") };
        writeln!(out, "{files} files, {}: {verdict}", table::human_bytes(found.bytes))
    } else {
        writeln!(out, "{}", serde_json::json!({"files": files, "bytes": found.bytes, "damages": damages}))
    }
}

/// Shows what `stats` found: a row for each partition and, for people, a sum.
pub fn show_stats(out: &mut dyn Write, partitions: &[PartitionStats], for_people: bool) -> io::Result<()> {
    if !for_people {
        for partition in partitions {
            let line = serde_json::json!({
                "tenant": partition.tenant,
                "day": partition.day,
                "segments": partition.segments,
                "lines": partition.lines,
                "raw_bytes": partition.raw_bytes,
                "disk_bytes": partition.disk_bytes,
                "ratio": ratio(partition.raw_bytes, partition.disk_bytes),
            });
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = partitions.iter().map(row).collect();
    let sum = |field: fn(&PartitionStats) -> u64| partitions.iter().map(field).sum();
    rows.push(row(&PartitionStats {
        tenant: "total".to_owned(),
        day: String::new(),
        segments: sum(|p| p.segments),
        lines: sum(|p| p.lines),
        raw_bytes: sum(|p| p.raw_bytes),
        disk_bytes: sum(|p| p.disk_bytes),
    }));
    let columns = [
        ("TENANT", Align::Left),
        ("DAY", Align::Left),
        ("SEGMENTS", Align::Right),
        ("LINES", Align::Right),
        ("RAW", Align::Right),
        ("ON DISK", Align::Right),
        ("RATIO", Align::Right),
    ];
    table::write(out, &columns, &rows)
}

fn row(partition: &PartitionStats) -> Vec<String> {
    let ratio = ratio(partition.raw_bytes, partition.disk_bytes);
    vec![
        partition.tenant.clone(),
        partition.day.clone(),
        partition.segments.to_string(),
        partition.lines.to_string(),
        table::human_bytes(partition.raw_bytes),
        table::human_bytes(partition.disk_bytes),
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}")),
    ]
}

/// Raw bytes per byte on disk, to one decimal.
fn ratio(raw_bytes: u64, disk_bytes: u64) -> Option<f64> {
    (disk_bytes > 0).then(|| (raw_bytes as f64 / disk_bytes as f64 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn verify_names_file_place_and_fault() {
        let mut found = Verified { files: 3, bytes: 2048, damages: Vec::new() };
        assert_eq!(shown(|out| show_verified(out, &found, true)), "3 files, 2.0 KiB: all right\n");
        found.damages.push(Damage {
            file: "wal/\x1b1".into(),
            offset: Some(512),
            what: "bad checksum".into(),
        });
        assert_eq!(
            shown(|out| show_verified(out, &found, true)),
            "wal/\\x1b1 at byte 512: bad checksum\n3 files, 2.0 KiB: 1 wrong\n"
        );
        assert_eq!(
            shown(|out| show_verified(out, &found, false)),
            "{\"file\":\"wal/\\u001b1\",\"offset\":512,\"what\":\"bad checksum\"}\n\
             {\"bytes\":2048,\"damages\":1,\"files\":3}\n"
        );
    }

    #[test]
    fn stats_sum_up_and_survive_an_empty_store() {
        let partition = PartitionStats {
            tenant: "fake".into(),
            day: "2026-11-21".into(),
            segments: 2,
            lines: 10,
            raw_bytes: 3 << 20,
            disk_bytes: 1 << 18,
        };
        let text = shown(|out| show_stats(out, &[partition.clone(), partition.clone()], true));
        let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["total", "4", "20", "6.0", "MiB", "512", "KiB", "12.0"]);
        assert!(shown(|out| show_stats(out, &[], true)).ends_with(" -\n"));
        let line: serde_json::Value =
            serde_json::from_str(&shown(|out| show_stats(out, &[partition], false))).unwrap();
        assert_eq!((line["ratio"].as_f64(), line["lines"].as_u64()), (Some(12.0), Some(10)));
    }
}
