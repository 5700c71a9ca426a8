//! Is what was deleted out of every answer, wherever its lines lie, and nothing else?

use super::metrics::at_100;
use super::rig::{Rig, Row, row, slot, tenant};
use crate::{DeleteError, Reader};

const SECOND: i64 = 1_000_000_000;
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

fn lines() -> Vec<Row> {
    (0..12)
        .map(|i| row(1, (60 + i) * SECOND, &format!("n={i} {}", if i % 3 == 0 { "secret" } else { "plain" })))
        .collect()
}

fn count(rig: &Rig, query: &str) -> String {
    at_100(rig, query).unwrap()
}

/// Runs `check` over lines in memory, in fresh segments, in merged ones, and without the deleted ones.
fn everywhere(deletes: &[&str], check: impl Fn(&Rig, &str)) {
    for state in ["memory", "fresh", "merged", "erased"] {
        let rig = Rig::new();
        for part in lines().chunks(3) {
            rig.push(part);
            if state != "memory" {
                rig.engine.flush_all().unwrap();
            }
        }
        if state == "merged" {
            rig.compact();
        }
        for query in deletes {
            rig.query.add_delete(&tenant(), query, ALL).unwrap();
        }
        if state == "erased" {
            while rig.engine.erase_one(&mut || true).unwrap() {}
            assert!(rig.query.deletes(&tenant()).iter().all(|d| d.processed));
        }
        check(&rig, state);
    }
}

#[test]
fn lines_and_numbers_leave_it_out_wherever_it_lies() {
    everywhere(&[r#"{n="1"} |= "secret""#], |rig, state| {
        assert_eq!(rig.lines(r#"{n="1"}"#).len(), 8, "{state}");
        assert_eq!(rig.lines(r#"{n="1"} |= "secret""#).len(), 0, "{state}");
        for (query, wanted) in [
            (r#"sum(count_over_time({n="1"}[1m]))"#, "{} 8"),
            (r#"sum(bytes_over_time({n="1"}[1m]))"#, "{} 74"),
            (r#"sum(count_over_time({n="1"} |= "secret" [1m]))"#, ""),
            (r#"sum(count_over_time({n="1"} | logfmt | n_extracted > 5 [1m]))"#, "{} 4"),
            (r#"max(max_over_time({n="1"} | logfmt | unwrap n_extracted [1m]))"#, "{} 11"),
        ] {
            assert_eq!(count(rig, query), wanted, "{state} {query}");
        }
    });
}

#[test]
fn a_deleted_line_that_comes_again_is_there_again() {
    everywhere(&["{}"], |rig, state| {
        assert_eq!(count(rig, r#"sum(count_over_time({n="1"}[1m]))"#), "", "{state}");
        rig.push(&lines());
        for step in 0..3 {
            assert_eq!(rig.lines(r#"{n="1"}"#).len(), 12, "{state} {step}");
            assert_eq!(count(rig, r#"sum(count_over_time({n="1"}[1m]))"#), "{} 12", "{state} {step}");
            match step {
                0 => rig.engine.flush_all().unwrap(),
                _ => {
                    rig.compact();
                    while rig.engine.erase_one(&mut || true).unwrap() {}
                }
            }
        }
    });
}

#[test]
fn what_is_taken_back_is_seen_again_until_it_is_gone() {
    let rig = Rig::new();
    rig.push(&lines());
    let number = rig.query.add_delete(&tenant(), "{}", (65 * SECOND, 66 * SECOND)).unwrap();
    assert_eq!(rig.lines(r#"{n="1"}"#).len(), 10, "both ends are included");
    let unknown = rig.query.cancel_delete(&strandline_model::TenantId::new("other").unwrap(), number);
    assert!(matches!(unknown, Err(DeleteError::Unknown)), "{unknown:?}");
    rig.query.cancel_delete(&tenant(), number).unwrap();
    assert_eq!((rig.lines(r#"{n="1"}"#).len(), rig.query.deletes(&tenant()).len()), (12, 0));
    let number = rig.query.add_delete(&tenant(), r#"{n="1"}"#, ALL).unwrap();
    rig.engine.flush_all().unwrap();
    while rig.engine.erase_one(&mut || true).unwrap() {}
    assert!(matches!(rig.query.cancel_delete(&tenant(), number), Err(DeleteError::Processed)));
    let series = rig
        .query
        .series(&slot(&rig.query), &Reader::of(tenant()), strandline_model::TimeRange::ALL, &[])
        .unwrap();
    assert!(series.found.is_empty(), "{series:?}");
}

#[test]
fn too_many_and_wrong_ones_are_refused() {
    let rig = Rig::new();
    assert!(matches!(rig.query.add_delete(&tenant(), "{", ALL), Err(DeleteError::Query(_))));
    let long = format!("{{n=\"{}\"}}", "x".repeat(20_000));
    assert!(matches!(rig.query.add_delete(&tenant(), &long, ALL), Err(DeleteError::TooLong)));
    for _ in 0..strandline_store::engine::MAX_PENDING_DELETES {
        rig.query.add_delete(&tenant(), r#"{n="1"}"#, ALL).unwrap();
    }
    assert!(matches!(rig.query.add_delete(&tenant(), "{}", ALL), Err(DeleteError::TooMany)));
    while rig.engine.erase_one(&mut || true).unwrap() {}
    rig.query.add_delete(&tenant(), "{}", ALL).unwrap();
}
