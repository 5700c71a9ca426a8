//! The datasource: save and test, Explore, panels, context, volumes, the editor's autocomplete.

use super::{CATEGORIZE, END, SECOND, T0, ns, served};
use serde_json::{Value, json};

#[test]
fn save_and_test_sees_one_sample_of_two() {
    let params = [("query", "vector(1)+vector(1)"), ("time", "4000000000"), ("direction", "backward")];
    let answer = served().ok("query", &[], &params);
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(answer["data"]["result"], json!([{ "metric": {}, "value": [4_000_000_000i64, "2"] }]));
}

/// The parser of the datasource reads as it goes: `encodingFlags` behind `result` would come too late.
#[test]
fn keys_come_in_the_order_that_the_parser_needs() {
    let served = served();
    for (query, header) in
        [(r#"{app="web"}"#, Some(CATEGORIZE)), (r#"{app="web"}"#, None), ("vector(1)", None)]
    {
        let (start, end) = (ns(0), ns(END));
        let params =
            [("query", query), ("start", &*start), ("end", &*end), ("limit", "3"), ("step", "60000ms")];
        let text = served.ask("query_range", header.as_slice(), &params).text();
        let place = |key: &str| text.find(&format!("\"{key}\":"));
        let mut places = vec![place("status"), place("data"), place("resultType")];
        if header.is_some() {
            places.push(place("encodingFlags"));
        }
        places.extend([place("result"), place("stats")]);
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {text}");
        assert_eq!(place("encodingFlags").is_some(), header.is_some());
    }
}

#[test]
fn with_the_flag_every_row_is_a_triple_and_without_it_a_pair() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    for query in [r#"{app=~"web|ties"}"#, r#"{app=~"web|ties"} | json"#] {
        let params = [
            ("query", query),
            ("direction", "backward"),
            ("limit", "1000"),
            ("start", &*start),
            ("end", &*end),
            ("step", "15000ms"),
        ];
        let rows = |answer: &Value| {
            let streams = answer["data"]["result"].as_array().unwrap().clone();
            let values = |s: &Value| s["values"].as_array().unwrap().clone();
            streams.iter().flat_map(values).collect::<Vec<Value>>()
        };
        let with = served.ok("query_range", &[CATEGORIZE], &params);
        assert_eq!(with["data"]["encodingFlags"], json!(["categorize-labels"]));
        let triples = rows(&with);
        assert_eq!(triples.len(), 364);
        assert!(
            triples.iter().all(|row| row.as_array().unwrap().len() == 3 && row[2].is_object()),
            "{query}"
        );
        let metadata = |row: &&Value| row[2]["structuredMetadata"]["trace_id"].is_string();
        assert_eq!(triples.iter().filter(metadata).count(), 360);
        let labels =
            with["data"]["result"].as_array().unwrap().iter().map(|s| s["stream"].as_object().unwrap());
        assert!(labels.clone().all(|l| !l.contains_key("trace_id") && !l.contains_key("detected_level")));
        let without = served.ok("query_range", &[], &params);
        assert!(without["data"].get("encodingFlags").is_none());
        assert!(rows(&without).iter().all(|row| row.as_array().unwrap().len() == 2));
    }
}

/// No stream lacks a level here, so a row without any metadata is one whose metadata the query dropped.
#[test]
fn a_row_without_metadata_has_an_empty_object() {
    let (start, end) = (ns(0), ns(END));
    let query = r#"{app="ties"} | drop detected_level"#;
    let params = [("query", query), ("start", &*start), ("end", &*end), ("step", "15000ms")];
    let answer = served().ok("query_range", &[CATEGORIZE], &params);
    let rows = answer["data"]["result"][0]["values"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row[2] == json!({})), "{rows:?}");
}

#[test]
fn the_volume_histogram_counts_every_line_by_level() {
    let (start, end) = (ns(0), ns(END));
    let query = r#"sum by (level, detected_level) (count_over_time({app="web"} | drop __error__[60s]))"#;
    let tags = ("X-Query-Tags", "Source=logvolhist");
    let params = [("query", query), ("start", &*start), ("end", &*end), ("step", "60000ms")];
    let answer = served().ok("query_range", &[CATEGORIZE, tags], &params);
    assert_eq!(answer["data"]["resultType"], "matrix");
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let points = series["values"].as_array().unwrap().iter();
        let sum = points.map(|p| p[1].as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>();
        counts.insert(series["metric"]["detected_level"].as_str().unwrap().to_owned(), sum);
    }
    let wanted = [("error", 90), ("info", 180), ("warn", 90)].map(|(level, n)| (level.to_owned(), n));
    assert_eq!(counts, wanted.into());
}

/// Lines around one line: forward begins with it, backward ends before it, and lines of the same time are on one side only.
#[test]
fn context_around_equal_times_is_whole_and_shows_nothing_twice() {
    let served = served();
    let (before, at, after) = (ns(60 - 7200), ns(60), ns(60 + 7200));
    for selector in [r#"{app="ties"}"#, r#"{app=~"web|ties"}"#] {
        let ask = |direction, start: &str, end: &str, limit| {
            served.lines(&[
                ("query", selector),
                ("direction", direction),
                ("start", start),
                ("end", end),
                ("limit", limit),
                ("step", "5000ms"),
            ])
        };
        let mut whole = ask("forward", &before, &after, "1000");
        let newer = ask("forward", &at, &after, "1000");
        let older = ask("backward", &before, &at, "1000");
        assert!(newer.iter().all(|(ts, _)| *ts >= T0 + 60 * SECOND));
        assert!(older.iter().all(|(ts, _)| *ts < T0 + 60 * SECOND));
        assert_eq!(newer.iter().filter(|(_, line)| line.starts_with("tied")).count(), 4);
        let mut parts = [older, newer].concat();
        whole.sort();
        parts.sort();
        assert_eq!(parts, whole);
        assert_eq!(ask("forward", &at, &after, "2").len(), 2);
    }
}

#[test]
fn the_editor_finds_labels_values_and_streams() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let window = [("start", &*start), ("end", &*end)];
    let ask = |path: &str, more: &[(&str, &str)]| {
        served.ok(path, &[], &[&window[..], more].concat())["data"].clone()
    };
    assert_eq!(ask("labels", &[]), json!(["app", "env", "path", "pod", "service_name"]));
    assert_eq!(ask("labels", &[("query", r#"{app="ties"}"#)]), json!(["app", "service_name"]));
    assert_eq!(ask("label/app/values", &[]), json!(["pay", "ties", "web"]));
    assert_eq!(ask("label/app/values", &[("query", r#"{env="prod"}"#)]), json!(["pay", "web"]));
    // Shard splitting: nothing there is the answer that switches it off.
    let shards = served.ok(
        "label/__stream_shard__/values",
        &[],
        &[&window[..], &[("query", r#"{app="web"}"#)]].concat(),
    );
    assert_eq!(shards, json!({ "status": "success" }));
    let ties = json!([{ "app": "ties", "service_name": "ties" }]);
    for name in ["match[]", "match"] {
        assert_eq!(ask("series", &[(name, r#"{app="ties"}"#)]), ties, "{name}");
    }
    let both = ask("series", &[("match[]", r#"{app="ties"}"#), ("match[]", r#"{app="pay"}"#)]);
    assert_eq!(both.as_array().unwrap().len(), 2);
}

#[test]
fn the_size_of_a_query_is_told_exactly() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let stats = |query: &str, start: &str, end: &str| {
        served.ok("index/stats", &[], &[("query", query), ("start", start), ("end", end)])
    };
    let sent = served.sent_bytes(&[
        ("query", r#"{env="prod"}"#),
        ("start", &start),
        ("end", &end),
        ("limit", "5000"),
    ]);
    let all = stats(r#"{env="prod"}"#, &start, &end);
    assert_eq!((&all["streams"], &all["entries"]), (&json!(2), &json!(480)));
    assert_eq!(all["bytes"], sent);
    assert!(all["chunks"].as_u64().unwrap() > 1);
    let none = json!({ "streams": 0, "chunks": 0, "bytes": 0, "entries": 0 });
    assert_eq!(stats(r#"{app="nosuch"}"#, &start, &end), none);
    // A minute of it, cut out of blocks and memory.
    assert_eq!(stats(r#"{env="prod"}"#, &ns(600), &ns(660))["entries"], 8);
    for (query, text) in [
        ("", "parse error at line 1, col 1: syntax error: unexpected $end"),
        (r#"{app="web"} |= "x""#, "only label matchers are supported"),
        (r#"rate({app="web"}[1m])"#, "only label matchers are supported"),
    ] {
        let answer = served.ask("index/stats", &[], &[("query", query)]);
        assert_eq!((answer.status, answer.text().as_str()), (400, text));
    }
}

#[test]
fn fields_for_ad_hoc_filters() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let params = [("query", r#"{app="web"}"#), ("start", &*start), ("end", &*end), ("limit", "1000")];
    let found = served.ok("detected_fields", &[], &params);
    let labels: Vec<&str> =
        found["fields"].as_array().unwrap().iter().map(|f| f["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["detected_level", "level", "msg", "status", "took", "trace_id", "user_id"]);
    let values = served.ok("detected_field/level/values", &[], &params);
    let mut levels: Vec<&str> =
        values["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    levels.sort_unstable();
    assert_eq!((levels, &values["limit"]), (vec!["error", "info", "warn"], &json!(1000)));
    assert_eq!(served.ok("detected_field/nosuch/values", &[], &params), json!({}));
}

#[test]
fn a_log_query_is_no_instant_metric_and_errors_are_plain_text() {
    let answer = served().ask("query", &[], &[("query", "{app=")]);
    assert_eq!(answer.status, 400);
    assert!(answer.text().starts_with("parse error at line 1"), "{}", answer.text());
    let tail = served().ask("../v2alpha/tail", &[], &[]);
    assert_eq!(tail.status, 404);
}
