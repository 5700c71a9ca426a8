//! Which segments can be read now, and which of them are open.

use super::removals::Removals;
use super::retry;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::invariant::{debug_invariant, invariant};
use crate::manifest::{SegmentId, SegmentMeta};
use crate::segment::{OpenFiles, RemoveSegment, Segment, SegmentFile};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use strandline_model::{Day, TenantId, TimeRange};

/// Most segments whose tables are kept in memory.
const MAX_OPEN: usize = 256;

/// No look was taken at the streams' ages yet.
const UNKNOWN_EXPIRY: i64 = i64::MIN;

/// A listed segment; opened when first needed, its file removed when the last reader of a dropped one is done.
#[derive(Debug)]
pub struct SegmentHandle {
    meta: SegmentMeta,
    file: Arc<SegmentFile>,
    open: Arc<OpenSegments>,
    doomed: AtomicBool,
    /// A read failed: merges leave the segment alone, answers say what they miss.
    damaged: AtomicBool,
    /// No line here is meant by a delete up to this number, or none of it is left.
    clean_of: AtomicU64,
    /// When retention takes the first of the streams (ns); [`UNKNOWN_EXPIRY`] before anyone looked.
    expires_ns: AtomicI64,
}

impl SegmentHandle {
    pub(crate) fn new(meta: SegmentMeta, clean_of: u64, open: &Arc<OpenSegments>) -> Arc<Self> {
        let (file, open) = (SegmentFile::new(&meta, &open.files), Arc::clone(open));
        let (doomed, damaged) = (AtomicBool::new(false), AtomicBool::new(false));
        let (clean_of, expires_ns) = (AtomicU64::new(clean_of), AtomicI64::new(UNKNOWN_EXPIRY));
        Arc::new(Self { meta, file, open, doomed, damaged, clean_of, expires_ns })
    }

    /// The latest delete that is known to mean no line here.
    pub(crate) fn clean_of(&self) -> u64 {
        self.clean_of.load(Ordering::Relaxed)
    }

    /// Notes that no line is meant by deletes up to `number`.
    pub(crate) fn note_clean(&self, number: u64) {
        self.clean_of.fetch_max(number, Ordering::Relaxed);
    }

    /// When retention takes the first of the streams (ns), if that was looked up since the start.
    pub(super) fn expires_ns(&self) -> Option<i64> {
        Some(self.expires_ns.load(Ordering::Relaxed)).filter(|ns| *ns != UNKNOWN_EXPIRY)
    }

    /// Remembers when retention takes the first of the streams: neither streams nor rules change under a running store.
    pub(super) fn note_expiry(&self, ns: i64) {
        self.expires_ns.store(ns.max(UNKNOWN_EXPIRY + 1), Ordering::Relaxed);
    }

    /// What the manifest says of the segment.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// The open segment.
    pub fn open(&self) -> Result<Arc<Segment>, StoreError> {
        let opened = self.open.get(self.meta.id, || Segment::open_listed(&self.file));
        if let Err(e) = &opened {
            self.note_damage(e);
        }
        opened
    }

    /// Remembers that reading failed. Only wrong bytes are remembered for good; what the system refused may work the next
    /// time, and says nothing of the segment.
    pub fn note_damage(&self, error: &StoreError) {
        if !retry::is_corruption(error) {
            metrics::counter!("strandline_segment_read_errors_total", "kind" => retry::kind_of(error))
                .increment(1);
            tracing::warn!(segment = %self.meta.path(), %error, "a segment could not be read this time");
            return;
        }
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(segment = %self.meta.path(), rows = self.meta.rows, %error, "a segment cannot be read");
            metrics::counter!("strandline_segments_damaged_total").increment(1);
        }
    }

    /// Like [`Self::note_damage`] when the error is about this segment's file.
    pub(crate) fn note_damage_if_own(&self, error: &StoreError) {
        if retry::path_of(error).is_some_and(|path| path == self.meta.path()) {
            self.note_damage(error);
        }
    }

    /// Whether something in it was found damaged since it is known here.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The manifest no longer lists the segment: its file goes when the last reader is done.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
        self.file.doom();
    }
}

impl Drop for SegmentHandle {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            // What is kept open would keep the file, which goes with its last reader.
            self.open.forget(self.meta.id);
        }
    }
}

/// The open segments: least recently used ones are closed past a number and an amount of memory.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    files: Arc<OpenFiles>,
    budget_bytes: usize,
    tick: AtomicU64,
    open: Mutex<HashMap<SegmentId, (Arc<Segment>, u64)>>,
    removals: Arc<Removals>,
}

impl OpenSegments {
    pub(crate) fn new(budget_bytes: usize, disk: &Arc<dyn Disk>, max_files: usize) -> Arc<Self> {
        let removals = Arc::<Removals>::default();
        let removing: Arc<dyn RemoveSegment> = Arc::<Removals>::clone(&removals);
        let files = OpenFiles::new(Arc::clone(disk), max_files, removing);
        let (tick, open) = (AtomicU64::new(0), Mutex::new(HashMap::new()));
        Arc::new(Self { files, budget_bytes, tick, open, removals })
    }

    fn get(
        &self,
        id: SegmentId,
        open: impl FnOnce() -> Result<Segment, StoreError>,
    ) -> Result<Arc<Segment>, StoreError> {
        let tick = self.tick.fetch_add(1, Ordering::Relaxed);
        if let Some((segment, used)) = self.open.lock().get_mut(&id) {
            *used = tick;
            return Ok(Arc::clone(segment));
        }
        let segment = Arc::new(open()?);
        let mut kept = self.open.lock();
        self.make_room(&mut kept);
        Ok(Arc::clone(&kept.entry(id).or_insert((segment, tick)).0))
    }

    fn make_room(&self, kept: &mut HashMap<SegmentId, (Arc<Segment>, u64)>) {
        let mut bytes: usize = kept.values().map(|(s, _)| s.memory_bytes()).sum();
        while kept.len() >= MAX_OPEN || bytes > self.budget_bytes {
            let Some(oldest) = kept.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id) else {
                break;
            };
            bytes -= kept.remove(&oldest).map_or(0, |(s, _)| s.memory_bytes()).min(bytes);
        }
    }

    /// The files of dropped segments.
    pub(super) fn removals(&self) -> &Removals {
        &self.removals
    }

    /// Files that are open.
    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.files.len()
    }

    fn forget(&self, id: SegmentId) {
        self.open.lock().remove(&id);
    }
}

/// The readable segments by partition. A value of this type never changes: readers keep theirs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    partitions: BTreeMap<(TenantId, Day), Vec<Arc<SegmentHandle>>>,
}

impl Catalog {
    /// This catalog with some segments more and some less.
    pub(crate) fn with(&self, add: &[Arc<SegmentHandle>], drop: &[SegmentId]) -> Self {
        let mut partitions = self.partitions.clone();
        debug_invariant!(
            self.all().all(|s| add.iter().all(|a| a.meta.id != s.meta.id)),
            "a segment is listed twice"
        );
        if !drop.is_empty() {
            let drop: HashSet<&SegmentId> = drop.iter().collect();
            partitions.retain(|_, segments| {
                segments.retain(|s| !drop.contains(&s.meta.id));
                !segments.is_empty()
            });
        }
        for handle in add {
            let key = (handle.meta.tenant.clone(), handle.meta.day);
            let segments = partitions.entry(key).or_default();
            segments.push(Arc::clone(handle));
            // Entries with equal times come in the order in which they were acknowledged.
            segments.sort_by_key(|s| (s.meta.seq, s.meta.id));
        }
        invariant!(partitions.values().all(|segments| !segments.is_empty()), "a partition without segments");
        Self { partitions }
    }

    /// Says of some segments that no line in them is meant by deletes up to a number.
    pub(crate) fn note_clean(&self, clean: &[(SegmentId, u64)]) {
        let clean: HashMap<SegmentId, u64> = clean.iter().copied().collect();
        if clean.is_empty() {
            return;
        }
        for segment in self.all() {
            if let Some(number) = clean.get(&segment.meta.id) {
                segment.note_clean(*number);
            }
        }
    }

    /// Dooms segments that the catalog after this one no longer lists.
    pub(crate) fn doom(&self, dropped: &[SegmentId]) {
        let dropped: HashSet<&SegmentId> = dropped.iter().collect();
        if !dropped.is_empty() {
            self.all().filter(|s| dropped.contains(&s.meta.id)).for_each(|s| s.doom());
        }
    }

    /// The segments of `tenant` that may hold entries in `range`.
    pub(crate) fn segments(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<SegmentHandle>> {
        let days = (tenant.clone(), Day::of(range.start))..=(tenant.clone(), Day::of(range.end));
        if range.start > range.end {
            return Vec::new();
        }
        let inside = |s: &&Arc<SegmentHandle>| range.overlaps(s.meta.time.0, s.meta.time.1);
        self.partitions.range(days).flat_map(|(_, s)| s.iter().filter(inside).cloned()).collect()
    }

    /// The segments of one partition.
    pub(crate) fn partition(&self, tenant: &TenantId, day: Day) -> &[Arc<SegmentHandle>] {
        self.partitions.get(&(tenant.clone(), day)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&(TenantId, Day), &Vec<Arc<SegmentHandle>>)> {
        self.partitions.iter()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<SegmentHandle>> {
        self.partitions.values().flatten()
    }
}
