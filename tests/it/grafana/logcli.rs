//! logcli: nanoseconds, directions in capitals, seconds as floats for steps, and statistics read strictly.

use super::{END, ns, rfc, served};
use serde_json::{Value, json};

#[test]
fn a_query_as_logcli_sends_it() {
    let (start, end) = (ns(0), ns(END));
    for (direction, first) in [("BACKWARD", 330), ("FORWARD", 0)] {
        let params = [
            ("query", r#"{app="web"}"#),
            ("direction", direction),
            ("start", &*start),
            ("end", &*end),
            ("limit", "30"),
            ("step", "14.400000"),
            ("interval", "0.000000"),
        ];
        let lines = served().lines(&params);
        assert_eq!(lines.len(), 30);
        // Streams come by labels, and the trace is one of them here.
        assert_eq!(lines.iter().map(|(ts, _)| ts).min().unwrap().to_string(), ns(first * 10), "{direction}");
    }
}

/// Go refuses a fraction where it expects an integer.
#[test]
fn statistics_are_integers_but_for_times() {
    const FLOATS: [&str; 2] = ["execTime", "queueTime"];
    fn check(path: &str, value: &Value) {
        match value {
            Value::Object(members) => members.iter().for_each(|(k, v)| check(&format!("{path}.{k}"), v)),
            Value::Number(number) => {
                let may_be_float = FLOATS.iter().any(|name| path.ends_with(name));
                assert!(may_be_float || number.is_i64() || number.is_u64(), "{path} {number}");
            }
            Value::Bool(_) => {}
            other => panic!("{path} {other}"),
        }
    }
    let (start, end) = (ns(0), ns(END));
    let window = [("start", &*start), ("end", &*end), ("step", "60.000000")];
    for (path, query) in [
        ("query_range", r#"{app="web"}"#),
        ("query_range", r#"rate({app="web"}[1m])"#),
        ("index/volume", r#"{app="web"}"#),
        ("index/volume_range", r#"{app="web"}"#),
    ] {
        let answer = served().ok(path, &[], &[&[("query", query)][..], &window].concat());
        check("stats", &answer["data"]["stats"]);
        assert!(answer["data"]["stats"]["summary"]["execTime"].is_number(), "{path}");
    }
}

#[test]
fn volumes_by_labels_and_by_step() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let base = [("start", &*start), ("end", &*end), ("query", r#"{env="prod"}"#), ("limit", "30")];
    let ask =
        |path: &str, more: &[(&str, &str)]| served.ok(path, &[], &[&base[..], more].concat())["data"].clone();
    let metrics = |data: &Value| {
        data["result"].as_array().unwrap().iter().map(|r| r["metric"].clone()).collect::<Vec<_>>()
    };
    let by_target = ask("index/volume", &[("targetLabels", "app,env"), ("aggregateBy", "series")]);
    assert_eq!(
        metrics(&by_target),
        [json!({ "app": "web", "env": "prod" }), json!({ "app": "pay", "env": "prod" })]
    );
    let by_label = ask("index/volume", &[("aggregateBy", "labels")]);
    assert_eq!(
        metrics(&by_label),
        ["app", "env", "service_name", "pod", "path"].map(|name| json!({ name: "" })),
        "equal ones by name"
    );
    // Steps as whole seconds; the last bucket ends with the window, the others one millisecond early.
    let range = ask("index/volume_range", &[("step", "1000"), ("targetLabels", "app")]);
    assert_eq!(range["resultType"], "matrix");
    let points = range["result"][0]["values"].as_array().unwrap();
    let times: Vec<f64> = points.iter().map(|p| p[0].as_f64().unwrap() - 1_795_219_200.0).collect();
    assert_eq!(
        times.iter().map(|t| (t * 1000.0).round()).collect::<Vec<_>>(),
        [999_999.0, 1_999_999.0, 2_999_999.0, 3_600_000.0]
    );
    let sum = |points: &Value| {
        let points = points.as_array().unwrap().iter();
        points.map(|p| p[1].as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>().to_string()
    };
    assert_eq!(json!(sum(&range["result"][0]["values"])), by_target["result"][0]["value"][1]);
    let gone = ask("index/volume_range", &[("step", "1000"), ("targetLabels", "app,nosuch")]);
    assert_eq!(gone["result"], json!([]));
    let wrong = served.ask("index/volume", &[], &[&base[..], &[("aggregateBy", "nosuch")]].concat());
    assert_eq!((wrong.status, wrong.text().as_str()), (400, "invalid aggregation option"));
}

#[test]
fn series_by_match_and_fields_with_a_go_step() {
    let (start, end) = (ns(0), ns(END));
    let window = [("start", &*start), ("end", &*end)];
    let found = served().ok(
        "series",
        &[],
        &[&window[..], &[("match", r#"{app="web"}"#), ("match", r#"{app="pay"}"#)]].concat(),
    );
    assert_eq!(found["data"].as_array().unwrap().len(), 2);
    let more = [("query", r#"{app="pay"}"#), ("limit", "10"), ("line_limit", "1000"), ("step", "1m0s")];
    let found = served().ok("detected_fields", &[], &[&window[..], &more].concat());
    assert_eq!(found["limit"], 10);
}

/// Nanoseconds, seconds, floats and RFC 3339 mean the same everywhere.
#[test]
fn times_in_every_spelling_on_every_endpoint() {
    let served = served();
    let float = |seconds: i64| format!("{}.0", 1_795_219_200 + seconds);
    let whole = |seconds: i64| (1_795_219_200 + seconds).to_string();
    let spellings: [(String, String); 4] =
        [(ns(0), ns(END)), (rfc(0), rfc(END)), (float(0), float(END)), (whole(0), whole(END))];
    for (path, name) in [
        ("query_range", "query"),
        ("labels", "query"),
        ("label/app/values", "query"),
        ("series", "match[]"),
        ("index/stats", "query"),
        ("index/volume", "query"),
        ("index/volume_range", "query"),
        ("detected_labels", "query"),
        ("detected_fields", "query"),
        ("detected_field/level/values", "query"),
    ] {
        let answers = spellings.iter().map(|(start, end)| {
            let params = [
                (name, r#"{app="pay"}"#),
                ("start", &**start),
                ("end", &**end),
                ("step", "60"),
                ("limit", "10"),
            ];
            let mut answer = served.ok(path, &[], &params);
            if let Some(data) = answer["data"].as_object_mut() {
                data.remove("stats");
            }
            answer
        });
        let answers: Vec<Value> = answers.collect();
        assert!(answers[0].to_string().len() > 30, "{path}: {}", answers[0]);
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{path}: {answers:#?}");
    }
    let at = [ns(END), rfc(END), float(END), whole(END)];
    let answers = at.map(|time| {
        served.ok("query", &[], &[("query", r#"sum(count_over_time({app="pay"}[1h]))"#), ("time", &time)])
    });
    assert!(answers.iter().all(|a| a["data"]["result"][0]["value"][1] == "119"), "{:?}", answers[0]);
}
