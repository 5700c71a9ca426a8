//! What do the tests of queries stand on? A store on a simulated disk with tiny blocks, and batches by hand.

use crate::{
    CancelFlag, Direction, LogQlDeletes, LogQuery, LogRequest, LogResult, QueryConfig, QueryEngine, Reader,
    Slot,
};
use std::sync::Arc;
use strandline_model::{BatchBuilder, Labels, ManualClock, TenantId, TimeRange};
use strandline_simdisk::SimDisk;
use strandline_store::{EncodedBatch, Engine, EngineConfig};

/// Some time after all test data.
pub(super) const NOW: i64 = 1_795_219_200_000_000_000;

/// A store and its query engine.
pub(super) struct Rig {
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: Arc<Engine>,
    pub(super) query: QueryEngine,
}

/// An entry to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) stream: u8,
    pub(super) ts: i64,
    pub(super) line: Vec<u8>,
    pub(super) metadata: Vec<(String, String)>,
}

pub(super) fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

pub(super) fn labels(stream: u8) -> Labels {
    let env = if stream.is_multiple_of(2) { "even" } else { "odd" };
    Labels::from_pairs(&[("n", stream.to_string().as_str()), ("env", env)]).unwrap()
}

pub(super) fn row(stream: u8, ts: i64, line: &str) -> Row {
    Row { stream, ts, line: line.as_bytes().to_vec(), metadata: Vec::new() }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::on(&SimDisk::new(7), QueryConfig { threads: 3, ..QueryConfig::default() })
    }

    pub(super) fn on(disk: &SimDisk, config: QueryConfig) -> Self {
        Self::with_blocks_of(64, disk, config)
    }

    pub(super) fn with_blocks_of(block_bytes: usize, disk: &SimDisk, config: QueryConfig) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let settings = EngineConfig {
            block_bytes,
            wal_file_bytes: 1 << 16,
            delete_language: Some(Arc::new(LogQlDeletes)),
            ..EngineConfig::default()
        };
        let (engine, _) = Engine::open(Arc::new(disk.clone()), clock.clone(), settings).unwrap();
        let query = QueryEngine::new(engine.clone(), config).unwrap();
        Self { clock, engine, query }
    }

    pub(super) fn push(&self, rows: &[Row]) {
        self.push_as(tenant(), rows);
    }

    pub(super) fn push_as(&self, tenant: TenantId, rows: &[Row]) {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|r| r.stream);
        let mut batch = BatchBuilder::new(tenant, 0);
        let mut last = None;
        for row in &rows {
            if last != Some(row.stream) {
                batch.begin_stream(Arc::new(labels(row.stream)));
                last = Some(row.stream);
            }
            let mut pairs = row.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert!(batch.push(row.ts, &row.line, &mut pairs));
        }
        self.engine.commit(&[EncodedBatch::new(batch.finish())]).unwrap();
    }

    /// The wall clock.
    pub(super) fn clock_ns(&self) -> i64 {
        self.engine.clock().now_ns()
    }

    pub(super) fn compact(&self) {
        self.clock.advance(10_000_000_000);
        while self.engine.compact_one(&mut || true).unwrap() {}
    }

    pub(super) fn logs(
        &self,
        query: &str,
        range: TimeRange,
        limit: usize,
        direction: Direction,
    ) -> LogResult {
        self.query.logs(&request(query, range, limit, direction)).unwrap()
    }

    /// All lines, newest first, one stream after the other.
    pub(super) fn lines(&self, query: &str) -> Vec<String> {
        let found = self.logs(query, TimeRange::ALL, 1000, Direction::Backward);
        assert_eq!(found.warnings, [""; 0]);
        shown(&found)
    }
}

/// A slot of a request that nobody gives up.
pub(super) fn slot(engine: &QueryEngine) -> Slot {
    engine.slot(&Reader::of(tenant()), &CancelFlag::default()).unwrap()
}

pub(super) fn request(query: &str, range: TimeRange, limit: usize, direction: Direction) -> LogRequest {
    LogRequest {
        reader: Reader::of(tenant()),
        query: LogQuery::parse(query).unwrap(),
        range,
        limit,
        direction,
        interval_ns: 0,
        categorize: false,
    }
}

/// An answer as `label text timestamp line`, a row each.
pub(super) fn shown(result: &LogResult) -> Vec<String> {
    let rows = result.streams.iter().flat_map(|s| {
        let labels: Vec<String> = s.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let labels = labels.join(",");
        s.entries.iter().map(move |e| format!("{labels} {} {}", e.ts, String::from_utf8_lossy(&e.line)))
    });
    rows.collect()
}
