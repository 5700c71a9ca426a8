//! Does a reader see all that it may, of all its tenants, and nothing else? In memory and in segments.

use super::rig::{NOW, Rig, request, row, shown, slot, tenant};
use crate::metric::{Steps, Value};
use crate::volume::VolumeBy;
use crate::{Direction, LabelFilter, LogRequest, MetricRequest, Query, ReadRules, Reader, VolumeRequest};
use std::sync::Arc;
use strandline_model::{Limits, Selector, TenantId, TimeRange};

const SECOND: i64 = 1_000_000_000;

fn other() -> TenantId {
    TenantId::new("u").unwrap()
}

fn reader(filter: Option<&str>) -> Reader {
    let filter = filter.map(|text| Arc::new(LabelFilter::parse(text).unwrap()));
    Reader::granted(vec![tenant(), other()], filter, ReadRules::default())
}

/// Two tenants with the same streams, in memory, in segments, and in both.
fn rigs() -> impl Iterator<Item = Rig> {
    (0..3).map(|i| {
        let rig = Rig::new();
        rig.push(&[row(1, SECOND, "one"), row(2, 2 * SECOND, "two")]);
        rig.push_as(other(), &[row(1, SECOND, "one"), row(1, 3 * SECOND, "three")]);
        if i > 0 {
            rig.engine.flush_all().unwrap();
        }
        if i > 1 {
            rig.compact();
            // The same again: it counts once.
            rig.push_as(other(), &[row(1, 3 * SECOND, "three")]);
        }
        rig
    })
}

fn lines(rig: &Rig, reader: Reader, query: &str, limit: usize) -> Vec<String> {
    let request = request(query, TimeRange::ALL, limit, Direction::Backward);
    shown(&rig.query.logs(&LogRequest { reader, ..request }).unwrap())
}

fn numbers(rig: &Rig, reader: Reader, query: &str) -> String {
    let Query::Metric(query) = reader.query(query, &crate::RegexMemory::unlimited()).unwrap() else {
        panic!("{query}")
    };
    let request = MetricRequest {
        reader,
        query,
        steps: Steps::instant(100 * SECOND),
        max_series: None,
        cut_series: false,
    };
    let answer = rig.query.metrics(&request).unwrap();
    let Value::Matrix(matrix) = &answer.value else { panic!("no series") };
    let series = matrix.series.iter().map(|series| {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{} {}", labels.join(","), series.points[0].1)
    });
    series.collect::<Vec<_>>().join("; ")
}

#[test]
fn lines_of_all_tenants_come_in_one_order_each_with_its_tenant() {
    for rig in rigs() {
        assert_eq!(
            lines(&rig, reader(None), "{}", 10),
            [
                "__tenant_id__=t,env=even,n=2 2000000000 two",
                "__tenant_id__=t,env=odd,n=1 1000000000 one",
                "__tenant_id__=u,env=odd,n=1 3000000000 three",
                "__tenant_id__=u,env=odd,n=1 1000000000 one",
            ]
        );
        // The newest of all, not of each.
        assert_eq!(
            lines(&rig, reader(None), "{}", 2),
            ["__tenant_id__=t,env=even,n=2 2000000000 two", "__tenant_id__=u,env=odd,n=1 3000000000 three"]
        );
        let of_one = ["__tenant_id__=u,env=odd,n=1 3000000000 three"];
        assert_eq!(lines(&rig, reader(None), r#"{__tenant_id__="u"} |= "ee""#, 10), of_one);
        assert_eq!(lines(&rig, reader(None), r#"{} |= "ee" | __tenant_id__="u""#, 10), of_one);
        assert_eq!(lines(&rig, reader(None), r#"{__tenant_id__="x"}"#, 10), [""; 0]);
    }
}

#[test]
fn sums_over_tenants_are_sums() {
    for rig in rigs() {
        let ask = |query: &str| numbers(&rig, reader(None), query);
        assert_eq!(ask("sum(count_over_time({}[5m]))"), " 4");
        assert_eq!(
            ask("sum by (__tenant_id__) (count_over_time({}[5m]))"),
            "__tenant_id__=t 2; __tenant_id__=u 2"
        );
        assert_eq!(ask("sum by (n) (count_over_time({}[5m]))"), "n=1 3; n=2 1");
        assert_eq!(ask("avg(count_over_time({}[5m]))"), format!(" {}", 4.0 / 3.0));
        assert_eq!(ask("topk(1, count_over_time({}[5m]))"), "__tenant_id__=u,env=odd,n=1 2");
        assert_eq!(
            ask(r#"sum(count_over_time({__tenant_id__="u"}[5m])) / sum(count_over_time({}[5m]))"#),
            " 0.5"
        );
    }
}

#[test]
fn nothing_behind_the_filter_is_seen_however_it_is_asked_for() {
    for rig in rigs() {
        let own = || reader(Some(r#"{env="even"}"#));
        let two = ["__tenant_id__=t,env=even,n=2 2000000000 two"];
        for query in ["{}", r#"{n=~".+"}"#, r#"{env=~"odd|even"}"#, r#"{} |~ "one|two""#] {
            assert_eq!(lines(&rig, own(), query, 10), two, "{query}");
        }
        assert_eq!(lines(&rig, own(), r#"{env="odd"}"#, 10), [""; 0]);
        assert_eq!(numbers(&rig, own(), "sum(count_over_time({}[5m]))"), " 1");
        assert_eq!(
            numbers(&rig, own(), r#"sum(count_over_time({}[5m])) + sum(count_over_time({n="1"}[5m]))"#),
            ""
        );
        let all = Selector::all();
        let values = |name: &str| {
            rig.query.label_values(&slot(&rig.query), &own(), name, TimeRange::ALL, &all).unwrap().found
        };
        assert_eq!(values("n").into_iter().collect::<Vec<_>>(), ["2"]);
        assert_eq!(values("__tenant_id__").into_iter().collect::<Vec<_>>(), ["t", "u"]);
        let series = rig
            .query
            .series(&slot(&rig.query), &own(), TimeRange::ALL, &[all.clone(), all.clone()])
            .unwrap()
            .found;
        let series: Vec<String> = series.iter().map(ToString::to_string).collect();
        assert_eq!(series, [r#"{__tenant_id__="t", env="even", n="2"}"#]);
        // Two readers that ask the same at the same time share an answer only if they may see the same.
        assert_ne!(own().key(), reader(None).key());
    }
}

#[test]
fn labels_of_several_tenants_are_the_union_and_the_tenant() {
    for rig in rigs() {
        let names = rig
            .query
            .label_names(&slot(&rig.query), &reader(None), TimeRange::ALL, &Selector::all())
            .unwrap()
            .found;
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["__tenant_id__", "env", "n"]);
        let one = Reader::of(tenant());
        let names =
            rig.query.label_names(&slot(&rig.query), &one, TimeRange::ALL, &Selector::all()).unwrap().found;
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["env", "n"]);
    }
}

#[test]
fn a_reader_looks_back_as_far_as_its_limits_say_whatever_the_query_asks_for() {
    let rig = Rig::new();
    rig.push(&[row(1, NOW - 100 * SECOND, "old"), row(2, NOW - 10 * SECOND, "new")]);
    let limits = Limits { max_query_lookback_ns: 50 * SECOND, ..Limits::default() };
    let rules = ReadRules { limits: Arc::new(limits), ..ReadRules::default() };
    let reader = Reader::granted(vec![tenant()], None, rules);
    let seen = lines(&rig, reader.clone(), "{}", 10);
    assert_eq!(seen, [format!("env=even,n=2 {} new", NOW - 10 * SECOND)]);
    let asked = reader.query("sum(count_over_time({}[1h]))", &crate::RegexMemory::unlimited());
    let Query::Metric(query) = asked.unwrap() else { panic!() };
    let steps = Steps::instant(NOW);
    let request = MetricRequest { reader, query, steps, max_series: None, cut_series: false };
    let Value::Matrix(matrix) = rig.query.metrics(&request).unwrap().value else { panic!() };
    assert_eq!(matrix.series[0].points, [(0, 1.0)]);
}

#[test]
fn volumes_and_detected_labels_are_of_what_the_reader_sees() {
    let volumes = |rig: &Rig, reader: Reader, by| {
        let request = VolumeRequest {
            reader,
            selector: Selector::all(),
            range: TimeRange::new(SECOND, 3 * SECOND + 1),
            step_ns: None,
            by,
            targets: Vec::new(),
            max_series: 100,
        };
        let mut all: Vec<String> = Vec::new();
        for range in [request.range, TimeRange::new(SECOND + 1, 9 * SECOND)] {
            let found =
                rig.query.volume(&slot(&rig.query), &VolumeRequest { range, ..request.clone() }).unwrap();
            all.extend(found.volumes.iter().map(|volume| {
                let labels: Vec<String> = volume.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{} {}", labels.join(","), volume.total.entries)
            }));
            all.push("-".to_owned());
        }
        all.join("; ")
    };
    for rig in rigs() {
        assert_eq!(
            volumes(&rig, reader(None), VolumeBy::Streams),
            "__tenant_id__=u,env=odd,n=1 2; __tenant_id__=t,env=even,n=2 1; __tenant_id__=t,env=odd,n=1 1; -; \
             __tenant_id__=u,env=odd,n=1 1; __tenant_id__=t,env=even,n=2 1; -"
        );
        let own = || reader(Some(r#"{env="even"}"#));
        assert_eq!(
            volumes(&rig, own(), VolumeBy::Series),
            "__tenant_id__=t,env=even,n=2 1; -; __tenant_id__=t,env=even,n=2 1; -"
        );
        let stats = |reader: &Reader| {
            let found =
                rig.query.stream_stats(&slot(&rig.query), reader, &Selector::all(), TimeRange::ALL).unwrap();
            (found.streams, found.total.entries)
        };
        assert_eq!((stats(&reader(None)), stats(&own())), ((3, 4), (1, 1)));
        let labels = |reader: &Reader| {
            let found = rig
                .query
                .detected_labels(&slot(&rig.query), reader, TimeRange::ALL, &Selector::all())
                .unwrap()
                .found;
            found.into_iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>()
        };
        // The streams' numbers are left out.
        assert_eq!(labels(&reader(None)), ["__tenant_id__ 2", "env 2"]);
        assert_eq!(labels(&own()), ["__tenant_id__ 1", "env 1"]);
    }
}
