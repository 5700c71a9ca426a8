//! The head: acknowledged entries that are in the log but not yet in a segment; searchable at once.
//!
//! Lines stay in the batches they came in (no copy); per stream there is a list of addresses. A head takes batches until
//! it is sealed; a sealed head is flushed to segments and dropped.

mod label_values;
mod rows;

pub use rows::HeadRows;

use crate::invariant::invariant;
use crate::manifest::{SegmentId, SegmentMeta};
use label_values::{Arrivals, LabelValues};
use parking_lot::{Mutex, RwLock};
use rows::{Addresses, EntryAddress};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_model::{Batch, Day, Labels, Selector, StreamId, TenantId, TimeRange};

/// Memory per entry beside its bytes.
const ENTRY_BYTES: usize = size_of::<EntryAddress>();
/// Memory per stream, roughly. Its labels are mostly shared with the intake's cache, and with the head before.
const STREAM_BYTES: usize = 128 + size_of::<StreamId>();

/// Most streams that a new head expects of a tenant: about as many as fill one.
const MAX_EXPECTED_STREAMS: usize = 100_000;

/// The index of label values of all tenants takes one in so many bytes of a head: its memory is for lines.
const MAX_INDEX_SHARE: usize = 4;

/// Streams of which a flushed segment has no entries.
type LeftOut = Arc<HashSet<StreamId>>;

/// Entries in memory.
#[derive(Debug, Default)]
pub struct Head {
    inner: RwLock<Inner>,
    /// Memory of the label values that queries had indexed.
    index_bytes: AtomicUsize,
    /// Segments that a flush wrote and could not publish yet: the next attempt takes these very files, so that no
    /// second file with the same rows is left behind.
    written: Mutex<BTreeMap<(TenantId, Day), Option<SegmentMeta>>>,
    /// Streams of which such a segment has nothing, since others had all their rows.
    left_out: Mutex<BTreeMap<(TenantId, Day), LeftOut>>,
    /// Whether their folders were synced. From then on they stay, for a manifest edit that was reported as failed can
    /// be on the disk.
    names_durable: AtomicBool,
    /// Segments of earlier attempts that were removed again. A power cut can bring them back, so their successors say
    /// that they replace them.
    taken_back: Mutex<BTreeMap<(TenantId, Day), Vec<SegmentId>>>,
}

#[derive(Debug, Default)]
struct Inner {
    tenants: HashMap<TenantId, Streams>,
    batches: Vec<Arc<Batch>>,
    bytes: usize,
    /// Streams that are expected.
    expected_streams: usize,
    seq: Option<(u64, u64)>,
    /// Monotonic time of the first and the latest batch.
    touched_ns: Option<(i64, i64)>,
}

/// The streams of one tenant.
#[derive(Debug, Default)]
struct Streams {
    /// Hashed with a secret, like std's, but several times faster.
    by_id: hashbrown::HashMap<StreamId, Stream>,
    /// In the order of their arrival.
    arrived: Vec<StreamId>,
    /// Locked while `inner` is, and never the other way round.
    by_label: Mutex<LabelValues>,
}

#[derive(Debug)]
struct Stream {
    labels: Arc<Labels>,
    addresses: Addresses,
}

/// How full a head is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) bytes: usize,
    pub(crate) seq: Option<(u64, u64)>,
    pub(crate) touched_ns: Option<(i64, i64)>,
}

impl Head {
    /// A head for what follows `before`: with space for half as many streams, for those that come and those that go.
    pub(crate) fn after(before: &Self) -> Self {
        let most = |inner: &Inner| inner.tenants.values().map(|s| s.arrived.len()).max().unwrap_or(0);
        let expected_streams = most(&before.inner.read()).min(MAX_EXPECTED_STREAMS) / 2;
        Self { inner: RwLock::new(Inner { expected_streams, ..Inner::default() }), ..Self::default() }
    }

    /// Takes a batch; `seq` is its log sequence, `now_ns` monotonic time.
    pub(crate) fn insert(&self, seq: u64, batch: Arc<Batch>, now_ns: i64) {
        let inner = &mut *self.inner.write();
        let at = inner.batches.len() as u32;
        invariant!(inner.batches.len() < u32::MAX as usize, "a head has too many batches");
        invariant!(
            batch.streams.iter().all(|s| s.entries.end as usize <= batch.entries.len()),
            "a stream has entries that its batch has not"
        );
        inner.bytes += batch.memory_bytes() + batch.entries.len() * ENTRY_BYTES;
        if !inner.tenants.contains_key(&batch.tenant) {
            inner.tenants.insert(batch.tenant.clone(), Streams::with_capacity(inner.expected_streams));
        }
        let Some(streams) = inner.tenants.get_mut(&batch.tenant) else {
            invariant!(false, "a tenant vanished from a head");
            return;
        };
        for stream in &batch.streams {
            let known = streams.by_id.entry(stream.id).or_insert_with(|| {
                streams.arrived.push(stream.id);
                inner.bytes += STREAM_BYTES;
                // Labels that nobody else holds are the head's own: a client can make them as long as it likes.
                if Arc::strong_count(&stream.labels) == 1 {
                    inner.bytes += stream.labels.memory_bytes();
                }
                Stream { labels: Arc::clone(&stream.labels), addresses: Addresses::new() }
            });
            let entries = batch.stream_entries(stream).iter().zip(stream.entries.clone());
            known.addresses.extend(entries.map(|(e, entry)| EntryAddress { ts: e.ts, batch: at, entry }));
        }
        inner.batches.push(batch);
        inner.seq = Some((inner.seq.map_or(seq, |s| s.0), seq));
        inner.touched_ns = Some((inner.touched_ns.map_or(now_ns, |t| t.0), now_ns));
    }

    /// What an earlier attempt to flush wrote for a partition (`None` when all its rows were known already).
    pub(crate) fn written(&self, tenant: &TenantId, day: Day) -> Option<Option<SegmentMeta>> {
        self.written.lock().get(&(tenant.clone(), day)).cloned()
    }

    /// Notes that a partition's segment is in address, though not published.
    pub(crate) fn note_written(&self, tenant: &TenantId, day: Day, meta: Option<SegmentMeta>) {
        let is_of = |meta: &SegmentMeta| meta.tenant == *tenant && meta.day == day;
        invariant!(meta.as_ref().is_none_or(is_of), "a segment of another partition than {tenant} {day}");
        self.written.lock().insert((tenant.clone(), day), meta);
    }

    /// Notes of which streams a partition's segment has no rows, since other segments have them all.
    pub(crate) fn note_left_out(&self, tenant: &TenantId, day: Day, streams: HashSet<StreamId>) {
        self.left_out.lock().insert((tenant.clone(), day), Arc::new(streams));
    }

    /// The streams of which a partition's segment has no rows.
    pub(crate) fn left_out(&self, tenant: &TenantId, day: Day) -> LeftOut {
        self.left_out.lock().get(&(tenant.clone(), day)).cloned().unwrap_or_default()
    }

    /// Whether what was written is in synced folders.
    pub(crate) fn names_are_durable(&self) -> bool {
        self.names_durable.load(Ordering::Relaxed)
    }

    /// Notes that the folders of everything that was written are synced.
    pub(crate) fn note_names_durable(&self) {
        self.names_durable.store(true, Ordering::Relaxed);
    }

    /// Notes that a partition's segment was removed again.
    pub(crate) fn note_taken_back(&self, tenant: &TenantId, day: Day, id: SegmentId) {
        let partition = (tenant.clone(), day);
        self.written.lock().remove(&partition);
        self.taken_back.lock().entry(partition).or_default().push(id);
    }

    /// A partition's segments that were removed again.
    pub(crate) fn taken_back(&self, tenant: &TenantId, day: Day) -> Vec<SegmentId> {
        self.taken_back.lock().get(&(tenant.clone(), day)).cloned().unwrap_or_default()
    }

    pub(crate) fn fill(&self) -> Fill {
        let inner = self.inner.read();
        let bytes = inner.bytes + self.index_bytes.load(Ordering::Relaxed);
        Fill { bytes, seq: inner.seq, touched_ns: inner.touched_ns }
    }

    /// The selected streams' entries inside `range`, by label order.
    pub fn select(&self, tenant: &TenantId, range: TimeRange, selector: &Selector) -> Vec<HeadRows> {
        self.select_where(tenant, |ts| range.contains(ts), selector)
    }

    fn select_where(
        &self,
        tenant: &TenantId,
        inside: impl Fn(i64) -> bool,
        selector: &Selector,
    ) -> Vec<HeadRows> {
        let (mut found, batches) = {
            let inner = self.inner.read();
            let Some(streams) = inner.tenants.get(tenant) else { return Vec::new() };
            let mut found: Vec<SelectedStream> = Vec::new();
            self.each_selected(streams, selector, inner.bytes, |id, stream| {
                let addresses: Addresses =
                    stream.addresses.iter().filter(|p| inside(p.ts)).copied().collect();
                if !addresses.is_empty() {
                    found.push((id, Arc::clone(&stream.labels), addresses));
                }
            });
            if found.is_empty() {
                return Vec::new();
            }
            (found, Arc::new(inner.batches.clone()))
        };
        let rows = |(id, labels, addresses)| {
            HeadRows { id, labels, addresses, batches: Arc::clone(&batches) }.in_order()
        };
        sort_by_labels(&mut found);
        found.into_iter().map(rows).collect()
    }

    /// All streams' entries from `start` on, the last nanosecond of all included.
    pub(crate) fn select_from(&self, tenant: &TenantId, start: i64) -> Vec<HeadRows> {
        self.select_where(tenant, |ts| ts >= start, &Selector::all())
    }

    /// The labels of selected streams that have an entry inside `range`.
    pub fn series(&self, tenant: &TenantId, range: TimeRange, selector: &Selector) -> Vec<Arc<Labels>> {
        let inner = self.inner.read();
        let mut found = Vec::new();
        if let Some(streams) = inner.tenants.get(tenant) {
            self.each_selected(streams, selector, inner.bytes, |_, stream| {
                if stream.addresses.iter().any(|p| range.contains(p.ts)) {
                    found.push(Arc::clone(&stream.labels));
                }
            });
        }
        found
    }

    /// Calls `each` with every selected stream, in any order.
    fn each_selected<'s>(
        &self,
        streams: &'s Streams,
        selector: &Selector,
        head_bytes: usize,
        mut each: impl FnMut(StreamId, &'s Stream),
    ) {
        match streams.candidates(selector, head_bytes, &self.index_bytes) {
            None => {
                let selected = streams.by_id.iter().filter(|(_, s)| selector.matches(&s.labels));
                selected.for_each(|(id, stream)| each(*id, stream));
            }
            Some(candidates) => {
                let found = candidates.into_iter().filter_map(|i| streams.get(i as usize));
                found.filter(|(_, s)| selector.matches(&s.labels)).for_each(|(id, s)| each(id, s));
            }
        }
    }

    /// The streams that have an entry from `first` to `last` and that `wanted`, told their last one's time, accepts.
    pub(crate) fn streams_between(
        &self,
        tenant: &TenantId,
        (first, last): (i64, i64),
        mut wanted: impl FnMut(StreamId, i64) -> bool,
    ) -> Vec<Arc<Labels>> {
        let inner = self.inner.read();
        let streams = inner.tenants.get(tenant).into_iter().flat_map(|streams| &streams.by_id);
        let latest =
            |s: &Stream| s.addresses.iter().map(|p| p.ts).filter(|ts| first <= *ts && *ts <= last).max();
        let inside = |(id, s): &(&StreamId, &Stream)| latest(s).is_some_and(|latest| wanted(**id, latest));
        streams.filter(inside).map(|(_, s)| Arc::clone(&s.labels)).collect()
    }

    /// The tenants and days that have entries.
    pub(crate) fn partitions(&self) -> BTreeSet<(TenantId, Day)> {
        let inner = self.inner.read();
        let mut found = BTreeSet::new();
        for (tenant, streams) in &inner.tenants {
            let days: BTreeSet<Day> =
                streams.by_id.values().flat_map(|s| s.addresses.iter().map(|p| Day::of(p.ts))).collect();
            found.extend(days.into_iter().map(|day| (tenant.clone(), day)));
        }
        found
    }

    /// Tenants with entries.
    pub(crate) fn tenants(&self) -> Vec<TenantId> {
        self.inner.read().tenants.keys().cloned().collect()
    }
}

impl Streams {
    fn with_capacity(streams: usize) -> Self {
        Self { by_id: hashbrown::HashMap::with_capacity(streams), ..Self::default() }
    }

    /// A stream by its number in the order of arrival.
    fn get(&self, arrival: usize) -> Option<(StreamId, &Stream)> {
        let id = self.arrived.get(arrival)?;
        Some((*id, self.by_id.get(id)?))
    }

    /// The streams among which all selected ones are; `None` where a walk is as good. What the index grows by is added
    /// to `index_bytes`, which may be up to a quarter of `head_bytes`.
    fn candidates(
        &self,
        selector: &Selector,
        head_bytes: usize,
        index_bytes: &AtomicUsize,
    ) -> Option<Arrivals> {
        if self.arrived.len() < label_values::MIN_STREAMS {
            return None;
        }
        let mut by_label = self.by_label.lock();
        let before = by_label.bytes();
        let labels_of = |arrival: usize| self.get(arrival).map(|(_, stream)| &*stream.labels);
        let left = (head_bytes / MAX_INDEX_SHARE).saturating_sub(index_bytes.load(Ordering::Relaxed));
        let found = by_label.candidates(selector, self.arrived.len(), left, labels_of);
        let after = by_label.bytes();
        index_bytes.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
        index_bytes.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        found
    }
}

/// A selected stream with the addresses of its entries.
type SelectedStream = (StreamId, Arc<Labels>, Addresses);

/// Most label sets of a tenant begin alike and differ within a few bytes behind that: comparing these as a number
/// leaves the label texts alone, which lie all over the memory.
fn sort_by_labels(found: &mut [SelectedStream]) {
    let Some((_, first, _)) = found.first() else { return };
    let skip = found.iter().fold(usize::MAX, |skip, (_, labels, _)| first.common_prefix(labels, skip));
    found.sort_by_cached_key(|(_, labels, _)| (labels.prefix_key(skip), Arc::clone(labels)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_of;
    use strandline_model::selector::Matcher;

    #[test]
    fn entries_come_by_time_each_once_ties_in_order_of_arrival() {
        let head = Head::default();
        let a = r#"{app="a"}"#;
        head.insert(1, Arc::new(batch_of("t", &[(a, 5, b"five"), (a, 3, b"three")])), 10);
        head.insert(2, Arc::new(batch_of("t", &[(a, 5, b"five"), (a, 5, b"other"), (a, 4, b"four")])), 11);
        head.insert(3, Arc::new(batch_of("u", &[(a, 5, b"foreign")])), 12);
        let rows = head.select(&TenantId::new("t").unwrap(), TimeRange::ALL, &Selector::all());
        let lines: Vec<_> = (0..rows[0].len()).map(|i| rows[0].content(i).0).collect();
        assert_eq!(lines, [&b"three"[..], b"four", b"five", b"other"]);
        let rows = head.select(&TenantId::new("t").unwrap(), TimeRange::new(4, 5), &Selector::all());
        assert_eq!((rows.len(), rows[0].len(), rows[0].ts(0)), (1, 1, 4));
        let mut again = rows.clone();
        again[0].drop_rows_of(&rows[0]);
        assert!(again[0].is_empty());
        let mut later = head.select(&TenantId::new("t").unwrap(), TimeRange::ALL, &Selector::all());
        later[0].drop_rows_of(&rows[0]);
        assert_eq!(later[0].len(), 3, "only the row at 4 was in the earlier ones");
        let fill = head.fill();
        assert_eq!((fill.seq, fill.touched_ns), (Some((1, 3)), Some((10, 12))));
        assert_eq!(head.partitions().len(), 2);
    }

    #[test]
    fn what_is_looked_up_is_what_a_walk_finds() {
        let (head, tenant) = (Head::default(), TenantId::new("t").unwrap());
        let text = |i: usize| match i % 3 {
            0 => format!(r#"{{env="e{}", id="{}"}}"#, i % 2, i / 2),
            1 => format!(r#"{{app="a{}", id="{i}"}}"#, i % 50),
            _ => format!(r#"{{app="a{}", env="e1"}}"#, i),
        };
        let equal = |pairs: &[(&str, &str)]| Selector {
            matchers: pairs.iter().map(|(name, value)| Matcher::equal(*name, *value)).collect(),
        };
        let selectors = [
            equal(&[("id", "100")]),
            equal(&[("app", "a7")]),
            equal(&[("env", "e1"), ("id", "300")]),
            equal(&[("app", "a31"), ("env", "")]),
            equal(&[("env", "e0")]),
            equal(&[("id", "")]),
            equal(&[("gone", "x")]),
            equal(&[("app", "a7"), ("gone", "x")]),
            equal(&[]),
        ];
        let mut n = 0;
        for (seq, until) in [500usize, 1500, 1500, 1700, 4000, 4001].into_iter().enumerate() {
            let streams: Vec<String> = (n..until).map(text).collect();
            let entries: Vec<(&str, i64, &[u8])> =
                streams.iter().map(|labels| (labels.as_str(), 5, &b"x"[..])).collect();
            if !entries.is_empty() {
                head.insert(seq as u64 + 1, Arc::new(batch_of("t", &entries)), 10);
            }
            n = until;
            let all: Vec<Labels> = (0..n).map(|i| Labels::parse(&text(i)).unwrap()).collect();
            for selector in &selectors {
                let mut wanted: Vec<String> =
                    all.iter().filter(|labels| selector.matches(labels)).map(Labels::to_string).collect();
                wanted.sort();
                wanted.dedup();
                let rows = head.select(&tenant, TimeRange::ALL, selector);
                let mut selected: Vec<String> = rows.iter().map(|rows| rows.labels.to_string()).collect();
                selected.sort();
                assert_eq!(selected, wanted, "{selector:?} of {n}");
                let mut series: Vec<String> =
                    head.series(&tenant, TimeRange::ALL, selector).iter().map(|l| l.to_string()).collect();
                series.sort();
                assert_eq!(series, wanted, "{selector:?} of {n}");
            }
        }
        let inner = head.inner.read();
        let streams = inner.tenants.get(&tenant).unwrap();
        let bounded = head.index_bytes.load(Ordering::Relaxed);
        assert!(0 < bounded && bounded <= inner.bytes / 2, "{bounded} of {}", inner.bytes);
        // As if there were more memory than lines.
        let looked_up = |selector: &Selector| {
            let looks = (0..3).map(|_| streams.candidates(selector, usize::MAX, &head.index_bytes));
            looks.last().flatten()
        };
        assert_eq!(looked_up(&selectors[0]).map(|found| found.len()), Some(2));
        assert_eq!(looked_up(&selectors[6]).map(|found| found.len()), Some(0));
        assert!(looked_up(&selectors[4]).is_none(), "one in six streams is no choice");
        assert!(looked_up(&selectors[5]).is_none(), "streams without the label are in no list");
        let index_bytes = head.index_bytes.load(Ordering::Relaxed);
        assert_eq!(index_bytes, streams.by_label.lock().bytes());
        assert!(index_bytes > 4000 * 8);
        drop(inner);
        assert!(head.fill().bytes > index_bytes);
    }

    #[test]
    fn a_label_that_never_helps_gives_way_to_one_that_does() {
        let (head, tenant) = (Head::default(), TenantId::new("t").unwrap());
        let text = |i: usize| format!(r#"{{a="x", b="x", c="x", d="x", pod="{i}"}}"#);
        let streams: Vec<String> = (0..2000).map(text).collect();
        let entries: Vec<(&str, i64, &[u8])> =
            streams.iter().map(|labels| (labels.as_str(), 5, &b"x"[..])).collect();
        head.insert(1, Arc::new(batch_of("t", &entries)), 10);
        let inner = head.inner.read();
        let streams = inner.tenants.get(&tenant).unwrap();
        let pairs = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("pod", "77")];
        let selector =
            Selector { matchers: pairs.iter().map(|(name, value)| Matcher::equal(*name, *value)).collect() };
        let look = || streams.candidates(&selector, usize::MAX, &head.index_bytes);
        let looks: Vec<Option<usize>> = (0..8).map(|_| look().map(|found| found.len())).collect();
        assert_eq!((looks[0], looks.last()), (None, Some(&Some(1))), "{looks:?}");
        assert_eq!(head.index_bytes.load(Ordering::Relaxed), streams.by_label.lock().bytes());
    }

    #[test]
    fn labels_that_nobody_else_holds_count() {
        let head = Head::default();
        let long = format!("{{app=\"{}\"}}", "x".repeat(10_000));
        head.insert(1, Arc::new(batch_of("t", &[(&long, 5, b"five")])), 10);
        assert!(head.fill().bytes > 10_000);
        let kept = batch_of("t", &[(&long, 5, b"five")]);
        let (head, _cached) = (Head::default(), Arc::clone(&kept.streams[0].labels));
        head.insert(1, Arc::new(kept), 10);
        assert!(head.fill().bytes < 10_000);
    }
}
