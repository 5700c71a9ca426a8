//! Checking every byte of a data directory without changing any.

use super::catalog::{Catalog, OpenSegments, SegmentHandle};
use super::open::newest_sequence;
use super::read::PartitionStats;
use crate::disk::Disk;
use crate::documents;
use crate::error::{AtPath, Corruption, StoreError};
use crate::format;
use crate::losses::{self, Loss, Losses, Lost};
use crate::manifest::{Checked, SegmentMeta, check};
use crate::segment::Segment;
use crate::wal::{self, ReplayFrom, Replayed};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a verification found.
#[derive(Debug, Default, Clone)]
pub struct VerifyReport {
    /// Number in FORMAT.
    pub format: u32,
    /// Segments read.
    pub segments: usize,
    /// Entries in them.
    pub rows: u64,
    /// Bytes read and checked, the log included.
    pub bytes: u64,
    /// Frames in the log.
    pub wal_frames: u64,
    /// Sound documents.
    pub documents: usize,
    /// Everything that is wrong.
    pub damage: Vec<Corruption>,
    /// What was lost, as a start found, and nobody has accepted.
    pub losses: Vec<String>,
    /// Things that a start puts right: leftovers of interrupted work.
    pub notes: Vec<String>,
}

/// Verifies the directory; `progress` is called with (segments done, segments in all).
pub fn verify(
    disk: &Arc<dyn Disk>,
    mut progress: impl FnMut(usize, usize),
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    match format::read(disk.as_ref()) {
        Ok((found, _)) => report.format = found,
        Err(StoreError::Corrupt(damage)) => report.damage.push(damage),
        Err(other) => return Err(other),
    }
    let listed = check(disk.as_ref())?;
    let segments = listed.segments.clone().unwrap_or_default();
    report.damage.extend(listed.damage.iter().cloned());
    report.notes.extend(listed.notes.iter().cloned());
    let losses = match Losses::load(disk.as_ref())? {
        Some(losses) => losses,
        None => {
            report.damage.push(Corruption::new(losses::PATH, "list of losses", "checksum does not hold"));
            Losses::default()
        }
    };
    report.losses = losses.open().map(ToString::to_string).collect();
    for (i, meta) in segments.iter().enumerate() {
        verify_segment(disk, meta, &mut report);
        progress(i + 1, segments.len());
    }
    note_leftovers(disk.as_ref(), &segments, &mut report)?;
    verify_log(disk.as_ref(), &listed, &losses, &mut report)?;
    verify_documents(disk.as_ref(), &mut report);
    Ok(report)
}

fn verify_documents(disk: &dyn Disk, report: &mut VerifyReport) {
    let checked = documents::check(disk);
    report.documents = checked.documents;
    report.bytes += checked.bytes;
    report.damage.extend(checked.damage);
    let note = |path| format!("{path} was left by a write that was cut off; the next start removes it");
    report.notes.extend(checked.leftovers.into_iter().map(note));
    let note = |path| format!("{path} is none of the documents: if it was one, its name is damaged");
    report.notes.extend(checked.foreign.into_iter().map(note));
}

fn verify_segment(disk: &Arc<dyn Disk>, meta: &SegmentMeta, report: &mut VerifyReport) {
    let path = meta.path();
    match Segment::open(disk.as_ref(), &path) {
        Ok(segment) if segment.meta() != meta => {
            report.damage.push(Corruption::new(&path, "footer", "does not say what the manifest says"));
        }
        Ok(segment) => {
            report.segments += 1;
            report.rows += meta.rows;
            report.bytes += meta.file_bytes;
            report.damage.extend(segment.verify());
        }
        Err(StoreError::Corrupt(damage)) => report.damage.push(damage),
        Err(other) => report.damage.push(Corruption::new(&path, "file", other.to_string())),
    }
}

fn note_leftovers(
    disk: &dyn Disk,
    segments: &[SegmentMeta],
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let listed: BTreeSet<String> = segments.iter().map(SegmentMeta::path).collect();
    for tenant in disk.list("tenants").at("tenants")? {
        for day in disk.list(&format!("tenants/{tenant}")).at(&tenant)? {
            let dir = format!("tenants/{tenant}{}", day.trim_end_matches('/'));
            for name in disk.list(&dir).at(&dir)? {
                let path = format!("{dir}/{name}");
                if !listed.contains(&path) {
                    report
                        .notes
                        .push(format!("{path} is not listed; the next start takes it up or removes it"));
                }
            }
        }
    }
    Ok(())
}

fn verify_log(
    disk: &dyn Disk,
    listed: &Checked,
    losses: &Losses,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let Replayed { report: replayed, files, .. } =
        wal::replay(disk, &replay_from(listed, losses), |_, _| ())?;
    report.wal_frames = replayed.frames;
    report.damage.extend(replayed.damage);
    for file in files {
        let path = wal::file_path(file.number);
        report.bytes += disk.open(&path).and_then(|file| file.len()).at(&path)?;
    }
    Ok(())
}

fn replay_from(listed: &Checked, losses: &Losses) -> ReplayFrom {
    // Without the manifest's mark every frame counts as new; what its segments hold is not known either.
    let in_segments = listed.segments.as_deref().map_or(0, newest_sequence);
    ReplayFrom { low_water: listed.low_water, in_segments, known_lost: losses.pushes() }
}

/// Accepts what is lost: answers do not mention it any more, and [`verify`] does not count it as wrong. What the log lacks
/// need not have been found by a start before. Returns what was accepted now. `now_ns` is the wall clock.
pub fn accept_losses(disk: &Arc<dyn Disk>, now_ns: i64) -> Result<Vec<Loss>, StoreError> {
    let (mut losses, mut accepted) = (Losses::load(disk.as_ref())?, Vec::new());
    if losses.is_none() {
        accepted.push(Loss { found_ns: now_ns, accepted: true, what: Lost::Unknown });
    }
    let losses = losses.get_or_insert_default();
    let listed = check(disk.as_ref())?;
    // Without a manifest a start has to find out first what is lost.
    if listed.segments.is_some() {
        let lost = wal::replay(disk.as_ref(), &replay_from(&listed, losses), |_, _| ())?.lost;
        if !lost.is_empty() {
            losses.note(now_ns, Lost::Pushes(lost));
        }
    }
    accepted.extend(losses.accept());
    if !accepted.is_empty() {
        losses.save(disk.as_ref())?;
    }
    Ok(accepted)
}

/// Sizes per partition, read from the manifest alone.
pub fn partition_stats(disk: &Arc<dyn Disk>) -> Result<Vec<PartitionStats>, StoreError> {
    let listed = check(disk.as_ref())?;
    let Some(segments) = listed.segments else {
        let damage = listed.damage.into_iter().next();
        return Err(damage.unwrap_or_else(|| Corruption::new("manifest", "file", "there is none")).into());
    };
    let open = OpenSegments::new(0, disk, 1);
    let handles: Vec<_> = segments.into_iter().map(|meta| SegmentHandle::new(meta, 0, &open)).collect();
    Ok(super::read::stats_of(&Catalog::default().with(&handles, &[])))
}
