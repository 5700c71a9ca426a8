//! Does the engine keep its promises about lookups, the label index, retention and bounds? On the simulated disk.

mod bounds;
mod files;
mod label_load;
mod lookup;
mod merge;
mod restart;
mod retain;

use super::{EncodedBatch, Engine, EngineConfig};
use crate::disk::sim::SimDisk;
use crate::lookup::{LookupLimits, Meter};
use crate::testing::batch_of;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Labels, ManualClock, Selector, TenantId, TimeRange, time};

/// A store on the simulated disk.
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: Arc<Engine>,
}

/// What tests need unless they say otherwise.
pub(super) fn config() -> EngineConfig {
    EngineConfig { min_free_bytes: 0, head_idle_ns: 0, block_bytes: 4096, ..EngineConfig::default() }
}

pub(super) fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

impl Rig {
    pub(super) fn new(config: EngineConfig) -> Self {
        let (disk, clock) = (SimDisk::new(1), Arc::new(ManualClock::at(0)));
        let engine = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap().0;
        Self { disk, clock, engine }
    }

    /// Opens the store anew, as after a stop.
    pub(super) fn reopen(self, config: EngineConfig) -> Self {
        let Self { disk, clock, engine } = self;
        drop(engine);
        let engine = Engine::open(Arc::new(disk.clone()), clock.clone(), config).unwrap().0;
        Self { disk, clock, engine }
    }

    /// Acknowledges rows of `(labels, timestamp, line)`.
    pub(super) fn push(&self, rows: &[(&str, i64, &[u8])]) {
        self.engine.commit(&[EncodedBatch::new(batch_of("t", rows))]).unwrap();
    }

    /// Acknowledges rows and puts them into a segment.
    pub(super) fn flush(&self, rows: &[(&str, i64, &[u8])]) {
        self.push(rows);
        self.engine.flush_all().unwrap();
    }

    /// Merges until nothing is left to merge.
    pub(super) fn compact(&self) {
        self.clock.advance(time::MINUTE_NS);
        while self.engine.compact_one(&mut || true).unwrap() {}
    }

    /// The complete label index must say of each day exactly what the segments' stream tables say.
    pub(super) fn assert_index_is_exact(&self) {
        let index = self.engine.complete_labels().expect("a complete index");
        let catalog = Arc::clone(&self.engine.state.read().catalog);
        let meter = Meter::new(LookupLimits::NONE);
        let indexed = |tenant: &TenantId, range: Option<TimeRange>| -> BTreeSet<Labels> {
            let streams = index.streams(tenant, range, &Selector::all(), usize::MAX, &meter);
            streams.unwrap().into_iter().collect()
        };
        let mut all: BTreeSet<Labels> = BTreeSet::new();
        for ((tenant, day), segments) in catalog.partitions() {
            let rows = segments.iter().flat_map(|handle| handle.open().unwrap().streams().unwrap());
            let wanted: BTreeSet<Labels> = rows.map(|row| row.labels).collect();
            let found = indexed(tenant, Some(TimeRange::new(day.start_ns(), day.end_ns())));
            assert_eq!(found, wanted, "{tenant} {day}");
            all.extend(wanted);
        }
        assert_eq!(indexed(&tenant(), None), all, "a stream of no segment");
    }
}
