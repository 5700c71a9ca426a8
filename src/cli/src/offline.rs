//! What can be asked of a data directory without a server: is every byte right, and what does it hold?
//!
//! [`inspect`] and [`measure`] ask the engine; the rest shows their answers.

use crate::config::Config;
use crate::table::{self, Align};
use crate::terminal::escape;
use std::io::{self, Write};
use std::sync::Arc;
use strandline_model::Clock;
use strandline_store::disk::{Disk, RealDisk};
use strandline_store::engine;

/// Why a data directory could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OfflineError(pub String);

/// What `verify` found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Lines in them.
    pub lines: u64,
    /// Bytes read and checked, the log included.
    pub bytes: u64,
    /// Leftovers of interrupted work, which the next start puts right.
    pub notes: Vec<String>,
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

/// Reads and checks every byte of `config.storage.data_dir`.
pub fn inspect(config: &Config) -> Result<Verified, OfflineError> {
    let disk = open_disk(config)?;
    let report = engine::verify(&disk, |_, _| ()).map_err(|e| OfflineError(e.to_string()))?;
    let damage = |d: strandline_store::Corruption| Damage {
        file: d.path,
        offset: None,
        what: format!("{}: {}", d.part, d.what),
    };
    let losses =
        report.losses.into_iter().map(|what| Damage { file: "LOSSES".to_owned(), offset: None, what });
    Ok(Verified {
        segments: report.segments as u64,
        lines: report.rows,
        bytes: report.bytes,
        notes: report.notes,
        damages: report.damage.into_iter().map(damage).chain(losses).collect(),
    })
}

/// Accepts what `config.storage.data_dir` has lost. Returns what was accepted now, in words.
pub fn accept_loss(config: &Config, clock: &dyn Clock) -> Result<Vec<String>, OfflineError> {
    let accepted = engine::accept_losses(&open_disk(config)?, clock.now_ns());
    let accepted = accepted.map_err(|e| OfflineError(e.to_string()))?;
    Ok(accepted.iter().map(ToString::to_string).collect())
}

/// The partitions of `config.storage.data_dir`, by tenant and day.
pub fn measure(config: &Config) -> Result<Vec<PartitionStats>, OfflineError> {
    let partitions = engine::partition_stats(&open_disk(config)?).map_err(|e| OfflineError(e.to_string()))?;
    let stats = |p: engine::PartitionStats| PartitionStats {
        tenant: p.tenant.to_string(),
        day: p.day.to_string(),
        segments: p.segments.0 as u64,
        lines: p.rows,
        raw_bytes: p.raw_bytes,
        disk_bytes: p.file_bytes,
    };
    Ok(partitions.into_iter().map(stats).collect())
}

/// The data directory, which must exist: looking at one must not make it. Locked, for a server that works on it meanwhile
/// would make sound files look damaged.
fn open_disk(config: &Config) -> Result<Arc<dyn Disk>, OfflineError> {
    let dir = &config.storage.data_dir;
    if !dir.is_dir() {
        return Err(OfflineError(format!(
            "{} is not a folder; name the data directory with --data-dir",
            dir.display()
        )));
    }
    let disk = RealDisk::new(dir).map_err(|e| OfflineError(format!("{}: {e}", dir.display())))?;
    match disk.lock("LOCK") {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(OfflineError(format!(
            "{} is in use by a running server; stop it first, or look at a copy",
            dir.display()
        ))),
        // A read-only mount cannot be locked, and nobody writes to it.
        _ => Ok(Arc::new(disk)),
    }
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
    for note in found.notes.iter().filter(|_| for_people) {
        writeln!(out, "note: {}", escape(note))?;
    }
    let (segments, lines, damages) = (found.segments, found.lines, found.damages.len());
    if for_people {
        let verdict = if damages == 0 { "all right".to_owned() } else { format!("{damages} wrong") };
        let size = table::human_bytes(found.bytes);
        writeln!(out, "{segments} segments, {lines} lines, {size}: {verdict}")
    } else {
        let (bytes, notes) = (found.bytes, &found.notes);
        let sum = serde_json::json!({
            "segments": segments, "lines": lines, "bytes": bytes, "damages": damages, "notes": notes
        });
        writeln!(out, "{sum}")
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
        let mut found = Verified { segments: 3, lines: 7, bytes: 2048, ..Verified::default() };
        assert_eq!(
            shown(|out| show_verified(out, &found, true)),
            "3 segments, 7 lines, 2.0 KiB: all right\n"
        );
        found.damages.push(Damage {
            file: "wal/\x1b1".into(),
            offset: Some(512),
            what: "bad checksum".into(),
        });
        assert_eq!(
            shown(|out| show_verified(out, &found, true)),
            "wal/\\x1b1 at byte 512: bad checksum\n3 segments, 7 lines, 2.0 KiB: 1 wrong\n"
        );
        assert_eq!(
            shown(|out| show_verified(out, &found, false)),
            "{\"file\":\"wal/\\u001b1\",\"offset\":512,\"what\":\"bad checksum\"}\n\
             {\"bytes\":2048,\"damages\":1,\"lines\":7,\"notes\":[],\"segments\":3}\n"
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
