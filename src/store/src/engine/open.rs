//! Starting: whatever a crash or damage left behind, the store comes up, serves what is sound and says what is not.

use super::adopt::{adopt, is_ours, partition_dirs};
use super::catalog::{Catalog, OpenSegments, SegmentHandle};
use super::flushed::Flushed;
use super::label_load::LabelChanges;
use super::read_only::ReadOnly;
use super::retry::Retries;
use super::{Engine, EngineConfig, State, delete, retain};
use crate::deletes::Delete;
use crate::disk::{Disk, read_what_is_readable, replace_file};
use crate::documents::Documents;
use crate::error::{AtPath, Corruption, StoreError};
use crate::format;
use crate::frame::MAX_SEQUENCE;
use crate::head::Head;
use crate::labels::LabelIndex;
use crate::losses::{self, Losses, Lost};
use crate::manifest::{self, Manifest, Opened, SegmentMeta};
use crate::wal::{self, ReplayReport, Wal};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, OnceLock};
use strandline_model::{Clock, time};

/// What a start found and did.
#[derive(Debug, Default, Clone)]
pub struct OpenReport {
    /// Segments listed.
    pub segments: usize,
    /// Listed segments whose file is gone: queries over their time carry a warning.
    pub missing: Vec<String>,
    /// Sound segments that the manifest did not list and that were taken up again.
    pub adopted: Vec<String>,
    /// Leftovers of interrupted work that were removed.
    pub removed: usize,
    /// Files set aside in `quarantine/`.
    pub quarantined: Vec<String>,
    /// Damage to the manifest, the log or a document.
    pub damage: Vec<Corruption>,
    /// What the log gave back.
    pub replay: ReplayReport,
    /// What is known to be lost, found now or before, and accepted by nobody.
    pub losses: Vec<String>,
}

const QUARANTINE: &str = "quarantine";

impl Engine {
    /// Opens the data directory: format, manifest, segments, log, label index.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        config: EngineConfig,
    ) -> Result<(Arc<Self>, OpenReport), StoreError> {
        disk.lock("LOCK").map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => StoreError::Locked,
            _ => StoreError::Io { path: "LOCK".to_owned(), source },
        })?;
        format::migrate(disk.as_ref())?;
        let mut report = OpenReport::default();
        let mut finding = Finding::begin(disk.as_ref(), clock.now_ns(), &mut report)?;
        let mut manifest = open_manifest(&disk, &mut finding, &mut report)?;
        let last_counter = adopt(&disk, &mut manifest, &mut finding, &mut report)?;
        let labels_image = (disk.local_path("labels"), manifest.generation());
        let deletes: Vec<Arc<Delete>> =
            delete::pending(manifest.deletes(), &[], config.delete_language.as_ref());
        let taken: Vec<u64> = deletes.iter().map(|d| d.record().seq).collect();
        let (sealed, active, wal) =
            replay(&disk, &clock, &config, &manifest, &taken, &mut finding, &mut report)?;
        let (documents, damage) = Documents::open(Arc::clone(&disk), Arc::clone(&clock), config.documents);
        report.damage.extend(damage);
        let losses = finding.losses;
        report.losses = losses.open().map(ToString::to_string).collect();
        tell_metrics(&losses);
        let open = OpenSegments::new(config.cache_bytes, &disk, config.max_open_files);
        let handle = |meta: &SegmentMeta| {
            SegmentHandle::new(meta.clone(), manifest.deletes().clean_of(meta.id), &open)
        };
        let handles: Vec<_> = manifest.segments().map(handle).collect();
        report.segments = handles.len();
        let at_start = Some(handles.iter().map(|handle| handle.meta().id).collect());
        let label_index_bytes = config.label_index_bytes;
        let catalog = Arc::new(Catalog::default().with(&handles, &[]));
        let newest = handles.iter().map(|h| h.meta().seq.1).fold(wal.last_seq(), u64::max);
        let now = clock.monotonic_ns();
        let engine = Arc::new(Self {
            disk,
            clock,
            config,
            wal: Mutex::new(wal),
            manifest: Mutex::new(manifest),
            labels: RwLock::new(Arc::new(LabelIndex::empty(label_index_bytes))),
            labels_image,
            label_changes: Mutex::new(LabelChanges {
                at_start,
                lost: Some(BTreeSet::new()),
                unseen: BTreeSet::new(),
                too_large_for: None,
            }),
            loading_labels: Mutex::new(()),
            flushed: Mutex::new(Flushed::new(newest)),
            state: RwLock::new(State { active, sealed, catalog, deletes: Arc::new(deletes) }),
            open,
            counter: AtomicU64::new(last_counter + 1),
            flushing: Mutex::new(()),
            compacting: Mutex::new(()),
            retaining: Mutex::new(retain::LastRun::default()),
            read_only: Mutex::new(ReadOnly::default()),
            last_flush: AtomicI64::new(now),
            commits: AtomicU64::new(0),
            observer: OnceLock::new(),
            losses: Mutex::new(losses),
            retries: Mutex::new(Retries::default()),
            documents: Arc::new(documents),
        });
        Ok((engine, report))
    }
}

/// What a start learns about losses.
pub(super) struct Finding {
    now_ns: i64,
    losses: Losses,
    /// Neither file of the manifest could be believed, or both are gone.
    pub(super) lost_manifest: bool,
}

impl Finding {
    fn begin(disk: &dyn Disk, now_ns: i64, report: &mut OpenReport) -> Result<Self, StoreError> {
        let listed = Losses::load(disk)?;
        let is_damaged = listed.is_none();
        let mut finding = Self { now_ns, losses: listed.unwrap_or_default(), lost_manifest: false };
        if is_damaged {
            quarantine(disk, losses::PATH, report)?;
            finding.note(disk, Lost::Unknown)?;
        }
        Ok(finding)
    }

    /// Notes a loss, on the disk first: what it was found by may be gone after this start.
    pub(super) fn note(&mut self, disk: &dyn Disk, what: Lost) -> Result<(), StoreError> {
        self.losses.note(self.now_ns, what);
        self.losses.save(disk)
    }
}

pub(super) fn tell_metrics(losses: &Losses) {
    let pushes = losses.open().map(|loss| match &loss.what {
        Lost::Pushes(runs) => runs.len(),
        _ => 0,
    });
    metrics::gauge!("strandline_lost_frames").set(pushes.sum::<u64>() as f64);
    metrics::gauge!("strandline_losses").set(losses.open().count() as f64);
}

fn open_manifest(
    disk: &Arc<dyn Disk>,
    finding: &mut Finding,
    report: &mut OpenReport,
) -> Result<Manifest, StoreError> {
    let mut replaced = Vec::new();
    let mut keep = |damage: &Corruption| {
        // The other file has all of it: that this one cannot be kept as evidence is no reason not to start.
        if let Err(error) = quarantine(disk.as_ref(), &damage.path, report) {
            tracing::warn!(%error, "a damaged file could not be set aside");
        }
        replaced.push(damage.clone());
    };
    let damage = match Manifest::open(disk, &mut keep)? {
        Opened::Sound(manifest) => {
            report.damage.extend(replaced);
            // A recovery that was killed before it had taken the segments up goes on.
            finding.lost_manifest = finding.losses.names_deletes() && manifest.segments().next().is_none();
            return Ok(manifest);
        }
        Opened::Missing if !holds_data(disk.as_ref())? => return Manifest::create(disk, 0),
        Opened::Missing => vec![Corruption::new(manifest::DIR, "file", "there is none, and no copy")],
        Opened::Damaged(damage) => damage,
    };
    for damage in damage {
        if damage.path != manifest::DIR {
            quarantine(disk.as_ref(), &damage.path, report)?;
        }
        report.damage.push(damage);
    }
    finding.lost_manifest = true;
    finding.note(disk.as_ref(), Lost::Deletes)?;
    // Seconds count up from one manifest to the next, and stay below 2^30 until 2106.
    let seconds = u64::try_from(finding.now_ns / time::SECOND_NS).unwrap_or(0);
    Manifest::create(disk, (seconds / 4).clamp(1, (1 << 30) - 1))
}

/// Whether anything was ever written here: a manifest is there before the first frame and the first segment.
fn holds_data(disk: &dyn Disk) -> Result<bool, StoreError> {
    if disk.list(wal::DIR).at(wal::DIR)?.iter().any(|name| wal::file_number(name).is_some()) {
        return Ok(true);
    }
    for (tenant, day) in partition_dirs(disk)? {
        let dir = manifest::partition_dir(&tenant, day);
        if disk.list(&dir).at(&dir)?.iter().any(|name| is_ours(name, ".seg")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps a damaged file as evidence.
pub(super) fn quarantine(disk: &dyn Disk, path: &str, report: &mut OpenReport) -> Result<(), StoreError> {
    disk.create_dir(QUARANTINE).at(QUARANTINE)?;
    let name = path.replace('/', "-");
    let taken: BTreeSet<String> = disk.list(QUARANTINE).at(QUARANTINE)?.into_iter().collect();
    // A file number can come again after a start with an empty log; evidence is not written over.
    let names = std::iter::once(name.clone()).chain((2u32..).map(|n| format!("{name}.{n}")));
    let Some(free) = names.into_iter().find(|name| !taken.contains(name)) else { return Ok(()) };
    let kept = format!("{QUARANTINE}/{free}");
    let bytes = read_what_is_readable(disk, path, 1 << 32).at(path)?;
    replace_file(disk, &kept, &bytes).at(&kept)?;
    report.quarantined.push(kept);
    Ok(())
}

type Replayed = (VecDeque<Arc<Head>>, Arc<Head>, Wal);

/// Brings back what only the log has. `taken` names the sequences at which pending deletes were taken: a head lies before
/// each or behind it.
fn replay(
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    config: &EngineConfig,
    manifest: &Manifest,
    taken: &[u64],
    finding: &mut Finding,
    report: &mut OpenReport,
) -> Result<Replayed, StoreError> {
    let low_water = manifest.low_water();
    let in_segments = newest_sequence(manifest.segments());
    let from = wal::ReplayFrom { low_water, in_segments, known_lost: finding.losses.pushes() };
    let (mut sealed, mut active) = (VecDeque::new(), Arc::new(Head::default()));
    let straddles = |head: &Head, next: u64| {
        head.fill().seq.is_some_and(|(first, _)| taken.iter().any(|seq| first <= *seq && *seq < next))
    };
    let replayed = wal::replay(disk.as_ref(), &from, |seq, batch| {
        if straddles(&active, seq) {
            sealed.push_back(std::mem::take(&mut active));
        }
        active.insert(seq, Arc::new(batch), clock.monotonic_ns());
        if active.fill().bytes >= config.head_max_bytes {
            sealed.push_back(std::mem::take(&mut active));
        }
    })?;
    // Sequences go on behind all that were ever used. A delete's may be higher than any that is left, of groups that
    // failed. When the manifest was lost, its mark is, and only the segments know how far the log had come: a delete with
    // a lower sequence than theirs would cover nothing.
    let newest = manifest.deletes().records().map(|record| record.seq).max().unwrap_or(0);
    let last_seq = replayed.last_seq.max(newest).max(in_segments);
    if straddles(&active, last_seq + 1) {
        sealed.push_back(std::mem::take(&mut active));
    }
    let damaged: BTreeSet<&String> = replayed.report.damage.iter().map(|d| &d.path).collect();
    for path in damaged.into_iter().filter(|path| path.ends_with(".wal")) {
        quarantine(disk.as_ref(), path, report)?;
    }
    if !replayed.lost.is_empty() {
        finding.note(disk.as_ref(), Lost::Pushes(replayed.lost))?;
    }
    finding.losses.forget_below(low_water);
    report.damage.extend(replayed.report.damage.iter().cloned());
    report.replay = replayed.report;
    let mut wal = Wal::new(Arc::clone(disk), config.wal_file_bytes, &replayed.files, last_seq);
    wal.scrub_up_to(newest);
    if sync_found(disk.as_ref(), &replayed.files) {
        wal.note_synced(replayed.found, low_water);
    }
    Ok((sealed, active, wal))
}

/// The highest sequence of the log that is in any of these segments.
pub(super) fn newest_sequence<'m>(segments: impl IntoIterator<Item = &'m SegmentMeta>) -> u64 {
    let newest = segments.into_iter().map(|meta| meta.seq.1);
    newest.filter(|seq| *seq < MAX_SEQUENCE).max().unwrap_or(0)
}

/// Makes durable what a killed process left to the system, so that the log's mark may vouch for it.
fn sync_found(disk: &dyn Disk, files: &[wal::OldFile]) -> bool {
    let sync = |file: &wal::OldFile| disk.open(&wal::file_path(file.number))?.sync();
    let synced = files.iter().try_for_each(sync);
    if let Err(error) = &synced {
        tracing::warn!(%error, "the log that was found could not be synced; its end is not vouched for");
    }
    synced.is_ok()
}
