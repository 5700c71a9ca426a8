//! What must hold whatever clients send and disks do, and what happens when it does not.
//!
//! [`invariant!`] states what the program's own logic guarantees. Where one is broken nobody knows what the log, the heads
//! and the segments hold: in debug builds it panics, so that every test finds it; in release builds the first one is
//! remembered, logged and counted, and from then on the store acknowledges and publishes nothing ([`check`]), while reads
//! go on. Damaged bytes from the disk are none: these are typed errors.

use crate::error::StoreError;
use std::fmt;
use std::sync::OnceLock;

/// The first broken invariant of this process. The state of a process is one: the parts that find a fault (a head, a
/// writer of segments) know nothing of the store that they are of.
static FIRST: OnceLock<String> = OnceLock::new();

/// States what must be true. The text says what is wrong when it is not.
macro_rules! invariant {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            $crate::invariant::broken(format_args!($($what)+), file!(), line!());
        }
    };
}

/// The same in debug builds alone: for what is stated per line, or costs more than a few steps.
macro_rules! debug_invariant {
    ($holds:expr, $($what:tt)+) => {
        if cfg!(debug_assertions) {
            $crate::invariant::invariant!($holds, $($what)+);
        }
    };
}

pub(crate) use {debug_invariant, invariant};

/// A statement that does not hold.
#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "debug builds alone: a test has to see it")]
pub(crate) fn broken(what: fmt::Arguments<'_>, file: &str, line: u32) {
    if cfg!(debug_assertions) {
        panic!("a broken invariant at {file}:{line}: {what}");
    }
    note(what, file, line);
}

fn note(what: fmt::Arguments<'_>, file: &str, line: u32) {
    metrics::counter!("strandline_invariants_broken_total").increment(1);
    let mut is_first = false;
    let first = FIRST.get_or_init(|| {
        is_first = true;
        format!("{what} ({file}:{line})")
    });
    if is_first {
        tracing::error!(
            "the store found a fault of its own and takes no more writes; please report it and restart: {first}"
        );
    }
}

/// What is broken, if anything is.
pub(crate) fn fault() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}

/// To be asked before anything is acknowledged or published.
pub(crate) fn check() -> Result<(), StoreError> {
    fault().map_or(Ok(()), |what| Err(StoreError::Fault(what)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::engine::{EncodedBatch, Engine, EngineConfig};
    use crate::runtime::Runtime;
    use crate::testing::batch_of;
    use std::process::Command;
    use std::sync::Arc;
    use strandline_model::{ManualClock, Selector, TenantId, TimeRange};

    #[test]
    #[should_panic(expected = "a broken invariant at")]
    fn debug_builds_panic() {
        invariant!(1 + 1 == 2, "sums are wrong");
        let heads = 3;
        invariant!(heads < 3, "{heads} heads");
    }

    /// In a process of its own, for what is noted is noted for good.
    #[test]
    fn release_builds_acknowledge_and_publish_nothing_more() {
        let name = "invariant::tests::after_a_fault";
        let child =
            Command::new(std::env::current_exe().unwrap()).args(["--exact", name, "--ignored"]).output();
        let output = child.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by the test above"]
    fn after_a_fault() {
        let disk = SimDisk::new(1);
        let config = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
        let engine = Engine::open(Arc::new(disk.clone()), Arc::new(ManualClock::at(0)), config).unwrap().0;
        let batch = || EncodedBatch::new(batch_of("t", &[(r#"{a="b"}"#, 1, b"x")]));
        engine.commit(&[batch()]).unwrap();
        assert!(engine.read_only().is_none());
        note(format_args!("the first of {}", 2), "here.rs", 7);
        note(format_args!("the second"), "here.rs", 8);
        let before = disk.paths();
        let is_fault = |error: StoreError| matches!(error, StoreError::Fault("the first of 2 (here.rs:7)"));
        assert!(is_fault(engine.commit(&[batch()]).unwrap_err()));
        assert!(is_fault(engine.flush_all().unwrap_err()));
        assert_eq!(disk.paths(), before, "no segment was written");
        assert_eq!(engine.read_only().unwrap(), "a fault of the store: the first of 2 (here.rs:7)");
        let tenant = TenantId::new("t").unwrap();
        assert_eq!(engine.series(&tenant, TimeRange::ALL, &Selector::all()).unwrap().len(), 1, "reads go on");
        let runtime = Runtime::start(engine).unwrap();
        assert!(is_fault(runtime.submit(batch(), Box::new(|_| ())).unwrap_err()));
        assert!(is_fault(runtime.stop().unwrap_err()));
    }
}
