//! Are lines counted by pattern, level and time, wherever they lie?

use super::rig::{Rig, Row, row, slot, tenant};
use crate::{Pattern, PatternRequest};
use strandline_model::TimeRange;
use strandline_model::time::SECOND_NS;

fn lines(from: i64, n: i64) -> Vec<Row> {
    let line = |i: i64| {
        let level = if i % 4 == 0 { "error" } else { "info" };
        let text = if i % 4 == 0 { format!("request {i} failed") } else { format!("request {i} took {i}ms") };
        Row { metadata: vec![("detected_level".into(), level.into())], ..row(1, i * SECOND_NS, &text) }
    };
    (from..from + n).map(line).collect()
}

fn patterns(rig: &Rig, selector: &str, range: TimeRange) -> Vec<Pattern> {
    let request = PatternRequest {
        reader: crate::Reader::of(tenant()),
        selector: crate::parse_selector(selector).unwrap(),
        range,
        step_ns: 10 * SECOND_NS,
    };
    let found = rig.query.patterns(&slot(&rig.query), &request).unwrap();
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    found.patterns
}

#[test]
fn lines_in_memory_and_in_segments_count_alike() {
    let rig = Rig::new();
    rig.push(&lines(0, 20));
    rig.engine.flush_all().unwrap();
    rig.push(&lines(20, 20));
    rig.push(&[row(2, 0, "another stream")]);
    let pattern = |text: &str, level: &str, samples: &[(i64, u64)]| Pattern {
        text: text.to_owned(),
        level: Some(level.to_owned()),
        total: samples.iter().map(|(_, n)| n).sum(),
        samples: samples.to_vec(),
    };
    let wanted = [
        pattern("request <_> took <_>", "info", &[(0, 7), (10, 8), (20, 7), (30, 8)]),
        pattern("request <_> failed", "error", &[(0, 3), (10, 2), (20, 3), (30, 2)]),
    ];
    assert_eq!(patterns(&rig, r#"{n="1"}"#, TimeRange::ALL), wanted);
    let part = TimeRange::new(12 * SECOND_NS, 21 * SECOND_NS);
    let wanted = [
        pattern("request <_> took <_>", "info", &[(10, 6), (20, 0)][..1]),
        pattern("request <_> failed", "error", &[(10, 2), (20, 1)]),
    ];
    assert_eq!(patterns(&rig, r#"{n="1"}"#, part), wanted);
    let other = patterns(&rig, r#"{n="2"}"#, TimeRange::ALL);
    assert_eq!(
        other.iter().map(|p| (p.text.as_str(), p.level.as_deref())).collect::<Vec<_>>(),
        [("another stream", None)]
    );
    assert!(patterns(&rig, r#"{n="3"}"#, TimeRange::ALL).is_empty());
}
