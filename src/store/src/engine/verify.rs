//! Checking every byte of a data directory without changing any.

use super::catalog::{Catalog, OpenSegments, SegmentHandle};
use super::read::PartitionStats;
use crate::disk::{Disk, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use crate::format;
use crate::manifest::{SegmentMeta, check};
use crate::segment::Segment;
use crate::wal;
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
    /// Everything that is wrong.
    pub damage: Vec<Corruption>,
    /// Things that a start puts right: leftovers of interrupted work.
    pub notes: Vec<String>,
}

/// Verifies the directory; `progress` is called with (segments done, segments in all).
pub fn verify(
    disk: &Arc<dyn Disk>,
    mut progress: impl FnMut(usize, usize),
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let (found, _) = format::read(disk.as_ref())?;
    report.format = found;
    let segments = match check(disk.as_ref())? {
        Ok(segments) => segments,
        Err(damage) => {
            report.damage.push(damage);
            Vec::new()
        }
    };
    for (i, meta) in segments.iter().enumerate() {
        verify_segment(disk, meta, &mut report);
        progress(i + 1, segments.len());
    }
    note_leftovers(disk.as_ref(), &segments, &mut report)?;
    verify_log(disk.as_ref(), &mut report)?;
    Ok(report)
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

fn verify_log(disk: &dyn Disk, report: &mut VerifyReport) -> Result<(), StoreError> {
    // Without the manifest's mark every frame counts as new; lost ones below the mark are in segments.
    let low_water = crate::manifest::low_water(disk)?;
    let (replayed, files, _) = wal::replay(disk, low_water, |_, _| ())?;
    report.wal_frames = replayed.frames;
    report.damage.extend(replayed.damage);
    for file in files {
        let path = wal::file_path(file.number);
        report.bytes += read_all(disk, &path, 1 << 32).at(&path)?.len() as u64;
    }
    Ok(())
}

/// Sizes per partition, read from the manifest alone.
pub fn partition_stats(disk: &Arc<dyn Disk>) -> Result<Vec<PartitionStats>, StoreError> {
    let segments = check(disk.as_ref())??;
    let open = OpenSegments::new(0);
    let handles: Vec<_> = segments.into_iter().map(|meta| SegmentHandle::new(meta, 0, disk, &open)).collect();
    Ok(super::read::stats_of(&Catalog::default().with(&handles, &[])))
}
