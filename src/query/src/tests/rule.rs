//! A sketch of a rule evaluator: it waits for the wall clock, asks a metric query as of that moment, keeps in a document since
//! when the condition holds, and tells once that it has held for long enough. It shows that [`WallTicks`], the query engine
//! and documents are enough for it, across a restart and on a simulated disk.

use super::rig::{NOW, Rig, row, tenant};
use crate::metric::Steps;
use crate::{MetricRequest, Query, QueryConfig, Reader};
use parking_lot::Mutex;
use strandline_model::time::SECOND_NS;
use strandline_model::{Clock, Signal, WallTicks};
use strandline_simdisk::SimDisk;
use strandline_store::documents::{Collection, Expect};

const MINUTE_NS: i64 = 60 * SECOND_NS;

/// What a rule is at. The store keeps it as text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Inactive,
    /// The condition holds since then.
    Pending(i64),
    /// It has held for long enough; whether that was told.
    Firing {
        told: bool,
    },
}

impl State {
    fn text(self) -> String {
        match self {
            Self::Inactive => "inactive".to_owned(),
            Self::Pending(since) => format!("pending {since}"),
            Self::Firing { told } => format!("firing {told}"),
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        match text.split_once(' ') {
            Some(("pending", since)) => Self::Pending(since.parse().unwrap()),
            Some(("firing", told)) => Self::Firing { told: told == "true" },
            _ => Self::Inactive,
        }
    }
}

/// A rule of one tenant.
struct Evaluator<'r> {
    rig: &'r Rig,
    expr: &'r str,
    for_ns: i64,
    /// Where notifications go.
    told: &'r Mutex<Vec<i64>>,
}

impl Evaluator<'_> {
    /// Evaluates at each full minute until it is stopped.
    fn run(&self, stop: &Signal) {
        let clock = &*self.rig.clock;
        let mut ticks = WallTicks::new(clock, MINUTE_NS, 0);
        while let Ok(tick) = ticks.block(clock, stop) {
            self.evaluate(tick.at_ns);
        }
    }

    fn holds(&self, at_ns: i64) -> bool {
        let Query::Metric(query) = Query::parse(self.expr).unwrap() else { panic!("{}", self.expr) };
        let (reader, steps) = (Reader::of(tenant()), Steps::instant(at_ns));
        let request = MetricRequest { reader, query, steps, max_series: None, cut_series: false };
        !self.rig.query.metrics(&request).unwrap().value.into_matrix(&steps).series.is_empty()
    }

    fn evaluate(&self, at_ns: i64) {
        let documents = self.rig.engine.documents();
        let states = Collection::of_tenant(&tenant(), "alert-state").unwrap();
        let stored = documents.get(&states, "panics").unwrap();
        let was = stored.as_ref().map_or(State::Inactive, |document| State::read(&document.bytes));
        let now = match (self.holds(at_ns), was) {
            (false, _) => State::Inactive,
            (true, State::Inactive) => State::Pending(at_ns),
            (true, State::Pending(since)) if at_ns - since >= self.for_ns => State::Firing { told: false },
            (true, same) => same,
        };
        let mut expect = stored.map_or(Expect::Absent, |document| Expect::Version(document.version));
        let mut put = |state: State| {
            expect =
                Expect::Version(documents.put(&states, "panics", state.text().as_bytes(), expect).unwrap());
        };
        if now != was {
            put(now);
        }
        // What was not told before a crash is told after it.
        if now == (State::Firing { told: false }) {
            self.told.lock().push(at_ns);
            put(State::Firing { told: true });
        }
    }
}

/// Runs the rule for some minutes, in each of which a line is logged.
fn minutes(rig: &Rig, count: i64, line: &str, told: &Mutex<Vec<i64>>) {
    let expr = r#"sum(count_over_time({n="1"} |= "panic" [1m])) > 0"#;
    let evaluator = Evaluator { rig, expr, for_ns: 2 * MINUTE_NS, told };
    let stop = Signal::default();
    std::thread::scope(|scope| {
        scope.spawn(|| evaluator.run(&stop));
        let waits = || {
            while rig.clock.alarms() == 0 {
                std::thread::yield_now()
            }
        };
        for second in 0..count * 60 {
            waits();
            if second % 60 == 30 {
                rig.push(&[row(1, rig.clock.now_ns(), line)]);
            }
            // A wait for the wall clock looks at it each second.
            rig.clock.advance(SECOND_NS);
        }
        waits();
        stop.stop();
    });
}

#[test]
fn a_rule_fires_once_also_across_a_restart() {
    let (disk, told) = (SimDisk::new(5), Mutex::new(Vec::new()));
    let rig = Rig::on(&disk, QueryConfig::default());
    let begun = NOW - NOW.rem_euclid(MINUTE_NS);
    minutes(&rig, 2, "panic", &told);
    assert!(told.lock().is_empty(), "it holds for one minute");
    minutes(&rig, 2, "panic", &told);
    assert_eq!(*told.lock(), [begun + 3 * MINUTE_NS]);

    drop(rig);
    disk.crash();
    let rig = Rig::on(&disk, QueryConfig::default());
    rig.clock.advance(4 * MINUTE_NS);
    minutes(&rig, 2, "panic", &told);
    assert_eq!(told.lock().len(), 1, "it is firing still, and that was told");
    minutes(&rig, 2, "all is well", &told);
    minutes(&rig, 3, "panic", &told);
    assert_eq!(told.lock().len(), 2, "it was well in between");
}
