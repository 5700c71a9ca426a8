//! A sketch of a second tier of storage: segments on another disk, behind the same query engine. It shows that [`Storage`]
//! is enough for an archive, and what that has to do: list its segments, look into their stream tables, join both sides.

use super::rig::{Rig, request, row, shown, slot, tenant};
use crate::metric::Steps;
use crate::storage::{LookupResult, Selection, Storage};
use crate::{Direction, MetricRequest, Query, QueryConfig, QueryEngine, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strandline_model::time::SECOND_NS;
use strandline_model::{Clock, Labels, Selector, TenantId, TimeRange};
use strandline_simdisk::SimDisk;
use strandline_store::disk::{Disk, read_all};
use strandline_store::engine::{CommitObserver, DeleteError, LabelSets, SegmentFolder, SegmentHandle};
use strandline_store::head::{Head, HeadRows};
use strandline_store::{
    DeleteRecord, Engine, LookupAnswer, LookupError, SegmentMeta, StoreError, UnreadSegment, View,
};

/// An engine, and segments that are not in it any more.
#[derive(Debug)]
struct Tiers {
    engine: Arc<Engine>,
    archived: Vec<Arc<SegmentHandle>>,
}

impl Tiers {
    fn archived(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<SegmentHandle>> {
        let inside = |s: &&Arc<SegmentHandle>| {
            s.meta().tenant == *tenant && range.overlaps(s.meta().time.0, s.meta().time.1)
        };
        self.archived.iter().filter(inside).cloned().collect()
    }

    /// Adds what archived segments have to what the engine knows.
    fn join<T>(
        &self,
        streams: Selection<'_>,
        found: LookupResult<T>,
        mut add: impl FnMut(&mut T, &Labels),
    ) -> LookupResult<T> {
        let LookupAnswer { mut found, mut unread } = found?;
        for segment in self.archived(streams.tenant, streams.range) {
            if (streams.limits.stop)() {
                return Err(LookupError::Stopped);
            }
            let each = |_, row: strandline_store::segment::StreamRow| add(&mut found, &row.labels);
            let read = segment.open().and_then(|s| s.selected_between((0, u32::MAX), streams.selector, each));
            unread.extend(read.err().map(|error| UnreadSegment { segment, error }));
        }
        Ok(LookupAnswer { found, unread })
    }
}

impl Storage for Tiers {
    fn clock(&self) -> &Arc<dyn Clock> {
        self.engine.clock()
    }

    fn view(&self, tenant: &TenantId, range: TimeRange) -> View {
        let mut view = self.engine.view(tenant, range);
        // Older than what the engine has: they come first.
        view.segments.splice(0..0, self.archived(tenant, range));
        view
    }

    fn drop_stored_rows(
        &self,
        tenant: &TenantId,
        view: &View,
        head: &Head,
        rows: &mut [HeadRows],
    ) -> Result<(), StoreError> {
        let is_archived = |s: &Arc<SegmentHandle>| self.archived.iter().any(|other| Arc::ptr_eq(s, other));
        let (archived, own) = view.segments.iter().cloned().partition(is_archived);
        let view = View { segments: own, ..view.clone() };
        let own = Storage::drop_stored_rows(&*self.engine, tenant, &view, head, rows);
        own.and(SegmentFolder::drop_rows_of(&archived, &view.deletes, head, rows))
    }

    fn warnings(&self, tenant: &TenantId, range: TimeRange) -> Vec<String> {
        self.engine.loss_warnings(tenant, range)
    }

    fn label_names(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<String>> {
        self.join(streams, Storage::label_names(&*self.engine, streams), |names, labels| {
            names.extend(labels.iter().map(|(name, _)| name.to_owned()));
        })
    }

    fn label_values(&self, streams: Selection<'_>, name: &str) -> LookupResult<BTreeSet<String>> {
        self.join(streams, Storage::label_values(&*self.engine, streams, name), |values, labels| {
            values.extend(labels.get(name).map(str::to_owned));
        })
    }

    fn label_sets(&self, streams: Selection<'_>) -> LookupResult<LabelSets> {
        self.join(
            streams,
            Storage::label_sets(&*self.engine, streams),
            |sets: &mut BTreeMap<_, _>, labels| {
                labels.iter().for_each(|(name, value)| {
                    let values: &mut BTreeSet<String> = sets.entry(name.to_owned()).or_default();
                    values.insert(value.to_owned());
                });
            },
        )
    }

    fn series(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<Labels>> {
        self.join(streams, Storage::series(&*self.engine, streams), |series, labels| {
            series.insert(labels.clone());
        })
    }

    fn few_streams(&self, streams: Selection<'_>, most: usize) -> Option<Vec<Labels>> {
        // The archive has no label index, so where it has a say all streams of its segments are looked at.
        let none = self.archived(streams.tenant, streams.range).is_empty();
        none.then(|| Storage::few_streams(&*self.engine, streams, most)).flatten()
    }

    fn commits(&self) -> u64 {
        self.engine.commits()
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) -> bool {
        self.engine.observe(observer)
    }

    fn read_only(&self) -> Option<String> {
        self.engine.read_only()
    }

    fn troubles(&self) -> Vec<String> {
        Storage::troubles(&*self.engine)
    }

    fn add_delete(&self, tenant: &TenantId, query: &str, range: (i64, i64)) -> Result<u64, DeleteError> {
        self.engine.add_delete(tenant, query, range)
    }

    fn cancel_delete(&self, tenant: &TenantId, number: u64) -> Result<(), DeleteError> {
        self.engine.cancel_delete(tenant, number)
    }

    fn deletes(&self, tenant: &TenantId) -> Vec<DeleteRecord> {
        self.engine.deletes(tenant)
    }
}

/// Moves all segments of a store to a disk of their own. Returns it, the list of them, and the path of one.
fn archive(old: &SimDisk) -> (SimDisk, Vec<SegmentMeta>, String) {
    let disk = SimDisk::new(11);
    let folder = "tenants/t/1970-01-01";
    ["tenants", "tenants/t", folder].into_iter().for_each(|dir| disk.create_dir(dir).unwrap());
    let mut path = String::new();
    for name in old.list(folder).unwrap() {
        path = format!("{folder}/{name}");
        let bytes = read_all(old, &path, 1 << 20).unwrap();
        disk.create(&path).unwrap().write_at(&bytes, 0).unwrap();
    }
    let rig = Rig::on(old, QueryConfig::default());
    let listed = rig.engine.view(&tenant(), TimeRange::ALL).segments;
    (disk, listed.iter().map(|s| s.meta().clone()).collect(), path)
}

#[test]
fn a_second_tier_answers_beside_the_engine_and_its_damage_is_a_warning() {
    let old = SimDisk::new(9);
    let rig = Rig::on(&old, QueryConfig::default());
    rig.push(&[row(1, 10, "old one"), row(2, 20, "old two")]);
    rig.engine.flush_all().unwrap();
    drop(rig);
    let (disk, list, path) = archive(&old);

    let rig = Rig::new();
    // One of the archived lines is sent again, and lies in memory.
    rig.push(&[row(1, 10, "old one"), row(3, 30, "new")]);
    let open = || {
        let folder = SegmentFolder::new(Arc::new(disk.clone()), 1 << 20, 8);
        let archived = list.iter().map(|meta| folder.segment(meta.clone())).collect();
        let tiers = Tiers { engine: rig.engine.clone(), archived };
        QueryEngine::new(Arc::new(tiers), QueryConfig::default()).unwrap()
    };
    let query = open();
    let lines = |query: &QueryEngine| {
        let request = request(r#"{n=~".+"} |~ "old|new""#, TimeRange::ALL, 9, Direction::Forward);
        let found = query.logs(&request).unwrap();
        (shown(&found), found.warnings)
    };
    let values = |query: &QueryEngine| {
        let (reader, all) = (Reader::of(tenant()), Selector::all());
        let found = query.label_values(&slot(query), &reader, "n", TimeRange::ALL, &all).unwrap();
        (found.found.into_iter().collect::<String>(), found.warnings.len())
    };
    let count = |query: &QueryEngine| {
        let Query::Metric(sum) = Query::parse(r#"sum(count_over_time({n=~".+"}[1s]))"#).unwrap() else {
            panic!()
        };
        let (reader, steps) = (Reader::of(tenant()), Steps::instant(SECOND_NS - 1));
        let request = MetricRequest { reader, query: sum, steps, max_series: None, cut_series: false };
        query.metrics(&request).unwrap().value.into_matrix(&steps).series[0].points[0].1
    };
    let all = ["env=odd,n=1 10 old one", "env=even,n=2 20 old two", "env=odd,n=3 30 new"];
    let mut found = lines(&query);
    found.0.sort_by_key(|line| all.iter().position(|known| known == line));
    assert_eq!(found, (all.map(str::to_owned).to_vec(), vec![]));
    assert_eq!(values(&query), ("123".to_owned(), 0));
    assert_eq!(count(&query), 3.0, "what is in both tiers counts once");

    disk.remove(&path).unwrap();
    let query = open();
    let (found, warnings) = lines(&query);
    assert!(found.iter().any(|line| line.ends_with("30 new")), "{found:?} {warnings:?}");
    assert!(warnings.len() == 1 && warnings[0].contains("up to 2 lines"), "{warnings:?}");
    assert_eq!(values(&query), ("13".to_owned(), 1));
}
