//! Writers that push without pause and remember what was acknowledged, for the kill and power-cut tests.

use crate::ledger::is_whole;
use crate::rig::Rig;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What writers sent. Lives in the test's own memory, out of reach of the faults.
#[derive(Default)]
pub struct Sent {
    /// Line -> when it was acknowledged, if it was.
    lines: Mutex<BTreeMap<String, Option<Instant>>>,
    next: AtomicU64,
}

/// Lines of one push.
const LINES: u64 = 40;
/// This old (in days): what the tests' retention deletes.
const OLD_DAYS: i64 = 30;
pub const WRITERS: u64 = 4;

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

impl Sent {
    /// Pushes from several connections until `stop`. Every tenth push holds lines that retention may delete; some
    /// pushes are sent twice, as agents do.
    pub fn load(self: &Arc<Self>, rig: &Rig, stop: &AtomicBool) {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        self.push(rig, writer);
                    }
                });
            }
        });
    }

    fn push(&self, rig: &Rig, writer: u64) {
        let first = self.next.fetch_add(LINES, Ordering::Relaxed);
        let old = (first / LINES).is_multiple_of(10);
        let kind = if old { "old" } else { "new" };
        let lines: Vec<String> = (first..first + LINES).map(|n| text(writer, n)).collect();
        let base = now_ns() - if old { OLD_DAYS * 86_400_000_000_000 } else { 0 };
        let values: Vec<_> = lines.iter().zip(0i64..).map(|(l, i)| (format!("{}", base + i), l)).collect();
        let body = serde_json::json!({"streams": [{
            "stream": {"app": "load", "kind": kind, "writer": writer.to_string(), "part": (first % 7).to_string()},
            "values": values.iter().map(|(ts, line)| serde_json::json!([ts, line])).collect::<Vec<_>>(),
        }]});
        if !old {
            self.lines.lock().unwrap().extend(lines.iter().map(|l| (l.clone(), None)));
        }
        for _ in 0..1 + u64::from(first.is_multiple_of(3)) {
            let acknowledged = rig.push_json(&body) == Some(204);
            if acknowledged && !old {
                let now = Instant::now();
                let mut sent = self.lines.lock().unwrap();
                for line in &lines {
                    sent.entry(line.clone()).and_modify(|at| *at = Some(at.unwrap_or(now)));
                }
            }
        }
    }

    /// Compares with what the server returns. Acknowledgements after `until` do not count: the fault had begun.
    pub fn check(&self, rig: &Rig, until: Instant) -> (usize, usize) {
        let mut found: BTreeSet<String> = BTreeSet::new();
        for (_, _, line) in rig.entries(r#"{app="load", kind="new"}"#) {
            assert!(is_whole(line.as_bytes()), "altered: {line}");
            assert!(found.insert(line.clone()), "doubled: {line}");
        }
        let sent = self.lines.lock().unwrap();
        if let Some(foreign) = found.iter().find(|line| !sent.contains_key(*line)) {
            panic!("never sent: {foreign}");
        }
        let acked: Vec<&String> =
            sent.iter().filter(|(_, at)| at.is_some_and(|at| at < until)).map(|(l, _)| l).collect();
        let lost: Vec<_> = acked.iter().filter(|line| !found.contains(**line)).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged lines lost, first {}",
            lost.len(),
            acked.len(),
            lost[0]
        );
        (acked.len(), found.len())
    }

    /// Forgets the lines of earlier rounds, so that long runs stay fast.
    pub fn forget(&self) {
        self.lines.lock().unwrap().clear();
    }
}

fn text(writer: u64, n: u64) -> String {
    String::from_utf8(crate::ledger::line(writer, n, (n % 13) as usize)).unwrap()
}

/// Lets the writers run for `time`, then calls `fault` while they still do; returns when the fault began.
pub fn under_load(sent: &Arc<Sent>, rig: &mut Rig, time: Duration, fault: impl FnOnce(u32)) -> Instant {
    let stop = AtomicBool::new(false);
    let pid = rig.pid();
    let began = std::thread::scope(|scope| {
        let rig: &Rig = rig;
        let stop = &stop;
        let load = scope.spawn(move || sent.load(rig, stop));
        crate::wait::pass(time);
        let began = Instant::now();
        fault(pid);
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        began
    });
    rig.kill();
    began
}
