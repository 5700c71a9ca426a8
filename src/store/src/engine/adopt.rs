//! What do the segment files say that the manifest does not? In the usual case there is nothing but leftovers of interrupted
//! work. When edits were lost with a damaged manifest, the segments' own footers say what belongs to the store.

use super::open::{Finding, OpenReport, quarantine};
use crate::disk::{Disk, is_medium_error, parent};
use crate::error::{AtPath, Corruption, StoreError};
use crate::losses::Lost;
use crate::manifest::{self, Edit, Manifest, SegmentId};
use crate::segment::{ClosedSegment, Segment};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use strandline_model::{Day, TenantId};

/// What the manifest says of segments.
struct Known {
    /// With their paths.
    listed: BTreeMap<SegmentId, String>,
    /// Those of them whose file is there.
    present: BTreeSet<SegmentId>,
    /// Inputs of unlisted merges that some edit dropped.
    dropped: BTreeSet<SegmentId>,
}

/// A segment file that the manifest does not list.
struct Orphan {
    path: String,
    /// Closed: there can be as many as the store has segments.
    segment: ClosedSegment,
}

/// Compares the manifest with the files, and makes them agree: every sound segment that no other one replaces belongs to
/// the store. Returns the highest counter in any segment's name.
pub(super) fn adopt(
    disk: &Arc<dyn Disk>,
    manifest: &mut Manifest,
    finding: &mut Finding,
    report: &mut OpenReport,
) -> Result<u64, StoreError> {
    let listed: BTreeMap<SegmentId, String> = manifest.segments().map(|m| (m.id, m.path())).collect();
    let mut present = BTreeSet::new();
    let mut orphans: BTreeMap<SegmentId, Orphan> = BTreeMap::new();
    let mut last_counter = 0;
    let partitions = partition_dirs(disk.as_ref())?;
    for (tenant, day) in &partitions {
        let dir = manifest::partition_dir(tenant, *day);
        let names = disk.list(&dir).at(&dir)?;
        if names.is_empty() {
            // Retention took its segments. While the store runs, a flush could be about to write here.
            let _ = disk.remove_dir(&dir).and_then(|()| disk.remove_dir(parent(&dir)));
        }
        for name in names {
            let path = format!("{dir}/{name}");
            // The name of a removed file can come back with a power cut: no new segment may share it (simulated seed
            // 3721, where the clock stood still between two starts).
            last_counter = id_of(&name).map_or(last_counter, |id| last_counter.max(id.counter()));
            if is_ours(&name, ".tmp") {
                disk.remove(&path).at(&path)?;
                report.removed += 1;
            } else if let Some(id) = name.strip_suffix(".seg").and_then(|stem| stem.parse::<SegmentId>().ok())
            {
                if listed.get(&id) == Some(&path) {
                    present.insert(id);
                } else if manifest.is_dropped(id) {
                    disk.remove(&path).at(&path)?;
                    disk.sync_dir(&dir).at(&dir)?;
                    report.removed += 1;
                } else {
                    match read_orphan(disk, id, &path)? {
                        Read::Whole(segment) => {
                            orphans.insert(id, Orphan { path, segment });
                        }
                        unread => {
                            // First of all: what it was found by may be gone after this start.
                            if finding.lost_manifest {
                                let (tenant, path) = (tenant.clone(), path.clone());
                                finding.note(disk.as_ref(), Lost::Segment { tenant, day: *day, path })?;
                            }
                            set_aside_orphan(disk.as_ref(), &path, &unread, report)?;
                        }
                    }
                }
            }
        }
    }
    report
        .missing
        .extend(listed.iter().filter(|(id, _)| !present.contains(id)).map(|(_, path)| path.clone()));
    let inputs = orphans.values().flat_map(|o| o.segment.replaces().iter().copied());
    let dropped: BTreeSet<SegmentId> = inputs.filter(|id| manifest.is_dropped(*id)).collect();
    if manifest.has_dropped() {
        // What is not here may have been removed by a process that was killed before it synced that.
        for (tenant, day) in &partitions {
            let dir = manifest::partition_dir(tenant, *day);
            match disk.sync_dir(&dir) {
                // An empty one that was removed above.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced.at(&dir)?,
            }
        }
        manifest.forget_dropped();
    }
    resolve(disk, manifest, Known { listed, present, dropped }, orphans, report)?;
    Ok(last_counter)
}

fn id_of(name: &str) -> Option<SegmentId> {
    name.split_once('.').and_then(|(stem, _)| stem.parse().ok())
}

pub(super) fn is_ours(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|stem| stem.parse::<SegmentId>().is_ok())
}

pub(super) fn partition_dirs(disk: &dyn Disk) -> Result<Vec<(TenantId, Day)>, StoreError> {
    let mut found = Vec::new();
    for tenant in disk.list("tenants").at("tenants")? {
        let Some(Ok(tenant)) = tenant.strip_suffix('/').map(TenantId::new) else { continue };
        let dir = format!("tenants/{tenant}");
        for day in disk.list(&dir).at(&dir)? {
            if let Some(Ok(day)) = day.strip_suffix('/').map(str::parse) {
                found.push((tenant.clone(), day));
            }
        }
    }
    Ok(found)
}

/// What a file under a segment's name holds.
enum Read {
    Whole(ClosedSegment),
    /// Segments get their name only when they are whole, so this is damage, not a leftover.
    Damaged,
    /// The medium does not give it.
    Unreadable(StoreError),
}

fn read_orphan(disk: &Arc<dyn Disk>, id: SegmentId, path: &str) -> Result<Read, StoreError> {
    match Segment::open(disk.as_ref(), path) {
        Ok(segment) if segment.meta().id == id && segment.meta().path() == path => {
            Ok(Read::Whole(segment.close()))
        }
        Ok(_) | Err(StoreError::Corrupt(_)) => Ok(Read::Damaged),
        Err(StoreError::Io { path, source }) if is_medium_error(&source) => {
            Ok(Read::Unreadable(StoreError::Io { path, source }))
        }
        Err(other) => Err(other),
    }
}

fn set_aside_orphan(
    disk: &dyn Disk,
    path: &str,
    unread: &Read,
    report: &mut OpenReport,
) -> Result<(), StoreError> {
    if let Read::Unreadable(error) = unread {
        // It stays: a later start may be able to read it.
        tracing::error!(%error, "a segment that the manifest does not list cannot be read and is left where it is");
        report.damage.push(Corruption::new(path, "file", "it cannot be read"));
        return Ok(());
    }
    quarantine(disk, path, report)?;
    disk.remove(path).at(path)
}

fn resolve(
    disk: &Arc<dyn Disk>,
    manifest: &mut Manifest,
    known: Known,
    orphans: BTreeMap<SegmentId, Orphan>,
    report: &mut OpenReport,
) -> Result<(), StoreError> {
    if orphans.is_empty() {
        return Ok(());
    }
    let Known { listed, present, .. } = &known;
    // What listed segments replace is known from their footers; only needed when there are orphans at all.
    let mut replaced: BTreeSet<SegmentId> = BTreeSet::new();
    for path in listed.iter().filter(|(id, _)| present.contains(id)).map(|(_, path)| path) {
        if let Ok(segment) = Segment::open(disk.as_ref(), path) {
            replaced.extend(segment.replaces());
        }
    }
    let complete_merges = complete_merges(&known, &orphans, &replaced);
    let complete = |o: &Orphan| {
        let group = o.segment.group();
        !o.segment.meta().compacted || replaced.contains(&group) || complete_merges.contains(&group)
    };
    let mut taken: Vec<&Orphan> = orphans.values().filter(|o| complete(o)).collect();
    for orphan in &taken {
        replaced.extend(orphan.segment.replaces());
    }
    taken.retain(|o| !replaced.contains(&o.segment.meta().id));
    let kept: BTreeSet<SegmentId> = taken.iter().map(|o| o.segment.meta().id).collect();
    let edit = Edit {
        add: taken.iter().map(|o| o.segment.meta().clone()).collect(),
        drop: listed.keys().filter(|id| replaced.contains(id)).copied().collect(),
        ..Edit::default()
    };
    report.adopted.extend(taken.iter().map(|o| o.path.clone()));
    if !edit.add.is_empty() || !edit.drop.is_empty() {
        manifest.commit(&edit)?;
    }
    for orphan in orphans.values().filter(|o| !kept.contains(&o.segment.meta().id)) {
        disk.remove(&orphan.path).at(&orphan.path)?;
        let dir = parent(&orphan.path);
        disk.sync_dir(dir).at(dir)?;
        report.removed += 1;
    }
    Ok(())
}

/// The merges among the orphans whose result counts. A merge counts when its last output is there, unless what it
/// replaces is still all in place (it was not published, and can be done again), or went into another merge.
fn complete_merges(
    known: &Known,
    orphans: &BTreeMap<SegmentId, Orphan>,
    replaced: &BTreeSet<SegmentId>,
) -> BTreeSet<SegmentId> {
    let mut claimed = replaced.clone();
    let mut complete = BTreeSet::new();
    // Newest first: of two merges that took the same segment the later one went through.
    for orphan in orphans.values().rev().filter(|o| !o.segment.replaces().is_empty()) {
        let replaces = orphan.segment.replaces();
        let mut inputs = replaces.iter().filter(|id| known.listed.contains_key(id)).peekable();
        let interrupted = inputs.peek().is_some() && inputs.all(|id| known.present.contains(id));
        // What the manifest dropped went into a published merge, which is listed itself, or to retention.
        let overtaken = replaces.iter().any(|id| claimed.contains(id) || known.dropped.contains(id));
        if !interrupted && !overtaken {
            claimed.extend(replaces);
            complete.insert(orphan.segment.group());
        }
    }
    // A merge of which a later one took an output was published, whether or not its last output is still here.
    complete.extend(claimed);
    complete
}
