//! Do counts from the block table equal those of a look at each row, and is that look left out where it can be?

use super::model::{Step, live, steps};
use super::rig::{NOW, Rig, row, tenant};
use crate::metric::{Steps, Value};
use crate::reader::ReadRules;
use crate::{MetricRequest, Query, QueryConfig, QueryStats, Reader};
use proptest::prelude::*;
use std::sync::Arc;
use strandline_model::{Limits, TimeRange};
use strandline_simdisk::SimDisk;

const MS: i64 = 1_000_000;
const DAY: i64 = 86_400_000_000_000;

/// A filter that every line of these tests passes, and that has to look at it.
const LOOK: &str = r#"!= "0123456789""#;

/// Range aggregations with a gap for that filter.
const QUERIES: [&str; 9] = [
    r#"sum(count_over_time({env=~".+"} FILTER [RANGE]))"#,
    r#"sum by (env) (rate({env=~".+"} FILTER [RANGE]))"#,
    r#"count_over_time({n="1"} FILTER [RANGE] offset 2ms)"#,
    r#"sum by (detected_level) (count_over_time({env=~".+"} FILTER | drop __error__ [RANGE]))"#,
    r#"sum by (n, detected_level) (bytes_rate({env="even"} FILTER [RANGE]))"#,
    r#"sum without (m, n_extracted) (bytes_over_time({env=~".+"} FILTER [RANGE]))"#,
    r#"sum by (env) (count_over_time({env=~".+"} FILTER | detected_level=~"x.*" [RANGE]))"#,
    r#"sum by (detected_level) (bytes_over_time({env=~".+"} FILTER | detected_level!="" | n!="2" [RANGE]))"#,
    r#"absent_over_time({n="3"} FILTER [RANGE])"#,
];

fn ask(rig: &Rig, text: &str, steps: Steps, lookback_ns: i64) -> (Value, QueryStats) {
    let Query::Metric(query) = Query::parse(text).unwrap() else { panic!("{text}") };
    let limits = Arc::new(Limits { max_query_lookback_ns: lookback_ns, ..Limits::default() });
    let rules = ReadRules { limits, ..ReadRules::default() };
    let reader = Reader::granted(vec![tenant()], None, rules);
    let request = MetricRequest { reader, query, steps, max_series: None, cut_series: false };
    let found = rig.query.metrics(&request).unwrap();
    assert_eq!(found.warnings, [""; 0]);
    (found.value, found.stats)
}

/// The steps with short times in milliseconds: no range of less can be asked for.
fn in_milliseconds(mut steps: Vec<Step>) -> Vec<Step> {
    let scaled = |ts: i64| if (0..1000).contains(&ts) { ts * MS } else { ts };
    for step in &mut steps {
        match step {
            Step::Push(rows) => rows.iter_mut().for_each(|row| row.ts = scaled(row.ts)),
            Step::Delete(_, _, range) => *range = TimeRange::new(scaled(range.start), scaled(range.end)),
            _ => {}
        }
    }
    steps
}

fn moments() -> impl Strategy<Value = (Steps, &'static str)> {
    let range = prop_oneof![Just("1ms"), Just("3ms"), Just("8ms"), Just("1d"), Just("200d")];
    let start = prop_oneof![4 => (0i64..12).prop_map(|ms| ms * MS), 1 => 0i64..12 * MS, 1 => Just(NOW)];
    let step = prop_oneof![3 => (1i64..6).prop_map(|ms| ms * MS), 1 => 1i64..6 * MS, 1 => Just(DAY)];
    (start, step, 1u32..5, range).prop_map(|(start, step, n, range)| (Steps::range(start, step, n), range))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn counts_from_the_block_table_are_those_of_a_look_at_the_rows(
        steps in steps(),
        asks in proptest::collection::vec((0..QUERIES.len(), moments(), 0i64..16 * MS), 1..12),
    ) {
        let rig = Rig::new();
        live(&rig, in_milliseconds(steps));
        for (query, (steps, range), clip) in asks {
            let text = |filter: &str| QUERIES[query].replace("FILTER", filter).replace("RANGE", range);
            // Cut somewhere in the first windows, or not at all.
            let lookback = if clip < 12 * MS { rig.clock_ns() - clip } else { 0 };
            let (value, _) = ask(&rig, &text(""), steps, lookback);
            let (looked_at, stats) = ask(&rig, &text(LOOK), steps, lookback);
            prop_assert_eq!(stats.blocks_counted, 0);
            prop_assert_eq!(value, looked_at, "{} {:?} {}", text(""), steps, lookback);
        }
    }
}

/// Two streams of blocks, half a minute each, of two levels and none.
fn filled() -> Rig {
    let rig = Rig::new();
    let rows = (0..240).map(|i| {
        let mut row = row((i % 2) as u8, i * 1_000_000_000, "0123456789");
        match i % 3 {
            0 => row.metadata.push(("detected_level".to_owned(), "info".to_owned())),
            1 => row.metadata.push(("detected_level".to_owned(), "warn".to_owned())),
            _ => {}
        }
        row
    });
    rig.push(&rows.collect::<Vec<_>>());
    rig.engine.flush_all().unwrap();
    rig
}

/// More levels than a table counts say nothing of the levels.
#[test]
fn a_block_of_many_levels_is_read_for_a_count_by_level() {
    let rig = Rig::with_blocks_of(1 << 20, &SimDisk::new(7), QueryConfig::default());
    let rows = (0..60).map(|i| {
        let mut row = row(1, (i + 1) * 1_000_000_000, "x");
        row.metadata.push(("detected_level".to_owned(), format!("level{i}")));
        row
    });
    rig.push(&rows.collect::<Vec<_>>());
    rig.engine.flush_all().unwrap();
    for (text, series, is_read) in [
        (r#"sum by (detected_level) (count_over_time({n="1"} | drop __error__ [1h]))"#, 60, true),
        (r#"sum by (n) (count_over_time({n="1"}[1h]))"#, 1, false),
    ] {
        let (value, stats) = ask(&rig, text, Steps::range(3_600_000_000_000, 1, 1), 0);
        let Value::Matrix(matrix) = value else { panic!("{text}") };
        assert_eq!(matrix.series.len(), series, "{text}");
        assert_eq!(stats.blocks > 0, is_read, "{text}: {stats:?}");
    }
}

#[test]
fn blocks_inside_a_window_are_not_read() {
    let rig = filled();
    let minute = 60_000_000_000;
    let stats = |text: &str, steps: Steps| {
        let (value, stats) = ask(&rig, text, steps, 0);
        let Value::Matrix(matrix) = value else { panic!("{text}") };
        let total: f64 = matrix.series.iter().flat_map(|s| &s.points).map(|point| point.1).sum();
        (total, stats)
    };
    let whole = Steps::range(4 * minute, minute, 1);
    for (text, total) in [
        (r#"sum by (n) (count_over_time({n=~".+"}[1h]))"#, 240.0),
        (r#"sum by (detected_level) (count_over_time({n=~".+"} | drop __error__ [1h]))"#, 240.0),
        (r#"sum by (n, detected_level) (bytes_over_time({n=~".+"}[1h]))"#, 2400.0),
        (r#"sum(count_over_time({n=~".+"} | detected_level="warn" [1h]))"#, 80.0),
    ] {
        let (found, stats) = stats(text, whole);
        assert_eq!((found, stats.blocks, stats.lines()), (total, 0, 0), "{text}");
        assert_eq!(stats.blocks_counted + stats.blocks_ruled_out, stats.blocks_considered, "{text}");
        assert!(stats.blocks_considered >= 20, "{text}: {stats:?}");
    }
    // Blocks that the edges of minutes cut are read, the others are not.
    let (found, cut) = stats(r#"sum(count_over_time({n=~".+"}[1m]))"#, Steps::range(minute, minute, 4));
    assert_eq!(found, 239.0, "a window lacks the time at its start");
    assert!(0 < cut.blocks && cut.blocks < cut.blocks_counted, "{cut:?}");
    // What the table does not tell.
    for text in [
        r#"sum(count_over_time({n=~".+"} |= "1" [1h]))"#,
        r#"sum(count_over_time({n=~".+"} | logfmt | a="" [1h]))"#,
        r#"count_over_time({n=~".+"} | __error__="" | label_format m="{{ __line__ }}" [1h])"#,
    ] {
        let (_, stats) = stats(text, whole);
        assert_eq!(stats.blocks_counted, 0, "{text}");
        assert!(stats.blocks > 0, "{text}");
    }
    // Nor what is deleted of a block.
    rig.query.add_delete(&tenant(), r#"{n="1"}"#, (0, 10_000_000_000)).unwrap();
    let (found, hidden) = stats(r#"sum(count_over_time({n=~".+"}[1h]))"#, whole);
    assert_eq!((found, hidden.blocks_counted), (235.0, 0));
}
