//! Are numbers right, whether lines are in memory or in segments, and whatever their stages look at?

use super::rig::{Rig, row, tenant};
use crate::metric::{Steps, Value};
use crate::{MetricRequest, Query, QueryConfig, QueryError, Reader};
use strandline_model::MemoryBudget;
use strandline_simdisk::SimDisk;

const SECOND: i64 = 1_000_000_000;

/// The answer at second 100 as text: `{labels} value, ...`.
pub(super) fn at_100(rig: &Rig, text: &str) -> Result<String, QueryError> {
    let Query::Metric(query) = Query::parse(text)? else { panic!("{text}") };
    let request = MetricRequest {
        reader: Reader::of(tenant()),
        query,
        steps: Steps::instant(100 * SECOND),
        max_series: Some(5),
        cut_series: false,
    };
    let Value::Matrix(matrix) = rig.query.metrics(&request)?.value else { panic!("{text}") };
    let shown = matrix.series.iter().map(|series| {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{{{}}} {}", labels.join(" "), series.points.first().map_or(f64::NAN, |point| point.1))
    });
    Ok(shown.collect::<Vec<_>>().join(", "))
}

/// Lines in memory, or in segments, or some here and some there.
fn rigs() -> impl Iterator<Item = Rig> {
    let mut rows = Vec::new();
    for i in 0..40 {
        let stream = (i % 2) as u8;
        let line = match i % 4 {
            0 => format!("ms={i} level=info"),
            1 => format!("ms={i} level=error"),
            2 => r#"{"ms":1"#.to_owned(),
            _ => "ms=soon".to_owned(),
        };
        let mut row = row(stream, (60 + i) * SECOND, &line);
        row.metadata.push(("zone".to_owned(), format!("z{}", i % 3)));
        rows.push(row);
    }
    (0..3).map(move |flushed| {
        let rig = Rig::new();
        for part in rows.chunks(20) {
            if flushed == 1 {
                rig.engine.flush_all().unwrap();
            }
            rig.push(part);
        }
        if flushed == 2 {
            rig.engine.flush_all().unwrap();
        }
        rig
    })
}

#[test]
fn numbers_of_memory_and_segments() {
    for rig in rigs() {
        for (query, wanted) in [
            (
                r#"count_over_time({n="0"}[1m])"#,
                "{env=even n=0 zone=z0} 7, {env=even n=0 zone=z1} 6, {env=even n=0 zone=z2} 7",
            ),
            (r#"sum by (env) (count_over_time({n=~".+"}[1m]))"#, "{env=even} 20, {env=odd} 20"),
            (
                r#"sum by (zone) (count_over_time({n=~".+"} |= "level" [1m]))"#,
                "{zone=z0} 7, {zone=z1} 7, {zone=z2} 6",
            ),
            (r#"sum by (n) (bytes_over_time({n="1"} |= "soon" [1m]))"#, "{n=1} 70"),
            // Stages that look at labels alone.
            (r#"sum by (zone) (count_over_time({n=~".+"} | zone="z1" [1m]))"#, "{zone=z1} 13"),
            (r#"sum by (zone) (count_over_time({n=~".+"} | zone=~"z1|z2" | drop zone [1m]))"#, "{} 26"),
            (
                r#"sum by (n, zone) (bytes_over_time({n="1"} |= "soon" | zone!="z0" [1m]))"#,
                "{n=1 zone=z1} 21, {n=1 zone=z2} 21",
            ),
            // Stages that look at lines.
            (
                r#"sum by (level) (count_over_time({n=~".+"} | logfmt | level!="" [1m]))"#,
                "{level=error} 10, {level=info} 10",
            ),
            (
                r#"sum by (level) (sum_over_time({n=~".+"} |= "level" | logfmt | unwrap ms [1m]))"#,
                "{level=error} 190, {level=info} 180",
            ),
            (
                r#"max_over_time({n="0"} | logfmt | level="info" | zone="z0" | unwrap ms [1m]) by (zone)"#,
                "{zone=z0} 36",
            ),
            (r#"sum(count_over_time({n="0"} | line_format "{{.zone}}" |= "z2" [1m]))"#, "{} 7"),
        ] {
            assert_eq!(at_100(&rig, query).unwrap(), wanted, "{query}");
        }
    }
}

#[test]
fn lines_that_stages_cannot_read_are_not_counted_silently() {
    for rig in rigs() {
        let error = |query: &str| at_100(&rig, query).unwrap_err().to_string();
        for query in [
            r#"sum by (ms) (count_over_time({n="0"} | json [1m]))"#,
            r#"count_over_time({n="0"} | json | keep zone [1m])"#,
        ] {
            assert!(
                error(query).starts_with("pipeline error: 'JSONParserErr' for series: '{"),
                "{}",
                error(query)
            );
        }
        let query = r#"sum(count_over_time({n="1"} | logfmt | ms>3 [1m]))"#;
        assert!(error(query).starts_with("pipeline error: 'LabelFilterErr'"), "{}", error(query));
        let query = r#"sum(sum_over_time({n="1"} | logfmt | unwrap ms [1m]))"#;
        assert!(error(query).starts_with("pipeline error: 'SampleExtractionErr'"), "{}", error(query));
        // A bare sum does not look at labels, so it does not look at errors of their parsers either.
        assert_eq!(at_100(&rig, r#"sum(count_over_time({n="0"} | json [1m]))"#).unwrap(), "{} 20");
        let query = r#"sum by (ms) (count_over_time({n="0"} | json | __error__="" [1m]))"#;
        assert_eq!(at_100(&rig, query).unwrap(), "");
        // Errors that are asked for can be counted.
        let query = r#"sum by (env) (count_over_time({n=~".+"} | json | __error__!="" [1m]))"#;
        assert_eq!(at_100(&rig, query).unwrap(), "{env=even} 20, {env=odd} 20");
        let query = r#"sum by (__error__) (count_over_time({n="0"} | json [1m]))"#;
        assert_eq!(at_100(&rig, query).unwrap(), "{__error__=JSONParserErr} 20");
        let query = r#"count_over_time({n=~".+"} | logfmt | drop __error__, __error_details__ [1m])"#;
        assert!(error(query).contains("limits.max_series_per_query"), "{}", error(query));
    }
}

#[test]
fn series_are_leased_as_they_are_made() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let config = QueryConfig { threads: 2, memory: memory.clone(), ..QueryConfig::default() };
    let rig = Rig::on(&SimDisk::new(3), config);
    rig.push(&(0..100).map(|n| row(n, 50 * SECOND, "x")).collect::<Vec<_>>());
    let peak = || memory.usage().iter().map(|usage| usage.peak).sum::<usize>();
    let held = |text: &str| {
        // A thread of the pool may be about to let go of the run before.
        let used = || memory.usage().iter().map(|usage| usage.used).sum::<usize>();
        let is_free = (0..50_000_000).any(|_| {
            std::thread::yield_now();
            used() == 0
        });
        assert!(is_free, "{} bytes stay", used());
        let Query::Metric(query) = Query::parse(text).unwrap() else { panic!("{text}") };
        let reader = Reader::of(tenant());
        // A hundred series of a thousand points: 1.6 MB.
        let steps = Steps::range(50 * SECOND, SECOND, 1000);
        let request = MetricRequest { reader, query, steps, max_series: None, cut_series: false };
        rig.query.metrics(&request).unwrap().held.bytes()
    };
    let series = r#"count_over_time({n=~".+"}[1h])"#;
    assert!(held(&format!("sum({series})")) < 1 << 20);
    assert!(peak() < 1 << 20, "{}", peak());
    let one = held(&format!("avg({series} > 0)"));
    assert!(peak() > 1_600_000, "{}", peak());
    assert!(one < 1 << 20, "one series is left: {one}");
    assert!(held(series) > 1_600_000, "the answer keeps what it takes");
    assert!(held(&format!("{series} + on (n) {series}")) > 1_600_000);
    assert!(peak() > 3_200_000, "{}", peak());
}
