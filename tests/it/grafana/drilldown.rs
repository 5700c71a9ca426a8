//! Logs Drilldown: its landing page, a service's page and its tabs. Times are RFC 3339 with milliseconds.

use super::{CATEGORIZE, END, EXPLORE_LOGS, ns, rfc, served};
use serde_json::{Value, json};

fn window() -> [(&'static str, String); 2] {
    [("start", rfc(0)), ("end", rfc(END))]
}

fn resource(path: &str, more: &[(&str, &str)]) -> Value {
    let window = window();
    let window: Vec<(&str, &str)> = window.iter().map(|(name, value)| (*name, value.as_str())).collect();
    served().ok(path, &[EXPLORE_LOGS], &[more, &window].concat())
}

#[test]
fn the_landing_page_lists_services_by_volume() {
    // No targetLabels: the labels of the matchers are the ones.
    let found = resource("index/volume", &[("query", "{service_name=~`.+`}"), ("limit", "5000")]);
    assert_eq!(found["data"]["resultType"], "vector");
    let services: Vec<(&str, u64)> = found["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (r["metric"]["service_name"].as_str().unwrap(), r["value"][1].as_str().unwrap().parse().unwrap())
        })
        .collect();
    let names: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["web", "pay", "ties"], "largest first: {services:?}");
    assert_eq!(services[2].1, 4 * "tied 0".len() as u64);
    let filtered =
        resource("index/volume", &[("query", "{service_name=~`.+`, env=`prod`}"), ("limit", "5000")]);
    assert_eq!(filtered["data"]["result"][0]["metric"], json!({ "env": "prod", "service_name": "web" }));
    let all = resource("index/volume", &[("query", "{}"), ("limit", "1")]);
    assert_eq!(all["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(all["data"]["result"][0]["metric"]["pod"], "web-1", "all labels where none is named");
}

#[test]
fn labels_are_detected_with_and_without_a_query() {
    let names = |found: &Value| {
        let labels = found["detectedLabels"].as_array().unwrap().clone();
        labels
            .iter()
            .map(|l| (l["label"].as_str().unwrap().to_owned(), l["cardinality"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let wanted = [("app", 3), ("env", 1), ("path", 1), ("pod", 1), ("service_name", 3)];
    assert_eq!(names(&resource("detected_labels", &[("query", "")])), wanted.map(|(n, c)| (n.to_owned(), c)));
    let of_one = names(&resource("detected_labels", &[("query", r#"{app="ties"}"#)]));
    assert_eq!(of_one, [("app", 1), ("service_name", 1)].map(|(n, c)| (n.to_owned(), c)));
    assert_eq!(resource("detected_labels", &[("query", r#"{app="nosuch"}"#)]), json!({}));
}

#[test]
fn the_pipeline_of_every_service_page() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let range = |query: &str, step: &str| {
        let params = [
            ("query", query),
            ("start", &*start),
            ("end", &*end),
            ("direction", "backward"),
            ("limit", "100"),
            ("step", step),
        ];
        served.ok("query_range", &[CATEGORIZE, EXPLORE_LOGS], &params)["data"]["result"].clone()
    };
    // json finds nothing in the one and logfmt nothing in the other: no error may be left of either.
    let logs = range("{env=`prod`} | json | logfmt | drop __error__, __error_details__", "60000ms");
    let streams = logs.as_array().unwrap();
    assert_eq!(streams.iter().map(|s| s["values"].as_array().unwrap().len()).sum::<usize>(), 100);
    assert!(!logs.to_string().contains("__error"), "{logs}");
    let filtered = range(
        "{service_name=`web`} | json user_id=\"user[\\\"id\\\"]\", status=\"status\" | logfmt | drop __error__, __error_details__ \
         | user_id=`41` | status>=300 | detected_level=\"error\" or detected_level=\"warn\"",
        "60000ms",
    );
    let rows = filtered[0]["values"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0][2]["parsed"]["user_id"]), (1, &json!("41")));
    let text = range("{service_name=`pay`} |~ `(?i)PAID 7\"` |> `<_>amount=<_>` !> `<_>zzz<_>`", "60000ms");
    assert_eq!(text[0]["values"].as_array().unwrap().len(), 1);
    let counted = range(
        "sum(count_over_time({env=`prod`} | json | logfmt | drop __error__, __error_details__ [3600s]))",
        "3600000ms",
    );
    let points = counted[0]["values"].as_array().unwrap();
    let sum: u64 = points.iter().map(|p| p[1].as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 480);
}

#[test]
fn fields_have_types_parsers_and_paths() {
    let query = "{env=`prod`} | json | logfmt | drop __error__, __error_details__";
    let found = resource("detected_fields", &[("query", query), ("line_limit", "480")]);
    let field = |label: &str| {
        let fields = found["fields"].as_array().unwrap();
        fields.iter().find(|f| f["label"] == label).unwrap_or_else(|| panic!("{label} in {found}")).clone()
    };
    assert_eq!(
        field("trace_id"),
        json!({ "label": "trace_id", "type": "string", "cardinality": 360, "parsers": null })
    );
    assert_eq!(
        field("user_id"),
        json!({ "label": "user_id", "type": "int", "cardinality": 360, "parsers": ["json"], "jsonPath": ["user", "id"] })
    );
    assert_eq!(field("took")["type"], "duration");
    assert_eq!(
        field("size"),
        json!({ "label": "size", "type": "bytes", "cardinality": 120, "parsers": ["logfmt"] })
    );
    assert_eq!(field("amount")["type"], "float");
    let mut parsers: Vec<String> = serde_json::from_value(field("msg")["parsers"].clone()).unwrap();
    parsers.sort();
    assert_eq!(parsers, ["json", "logfmt"]);
    let few =
        resource("detected_fields", &[("query", "{app=`web`}"), ("line_limit", "5"), ("field_limit", "2")]);
    assert_eq!((few["fields"].as_array().unwrap().len(), &few["limit"]), (2, &json!(2)));
    let values =
        resource("detected_field/size/values", &[("query", "{app=`pay`} | size=`3KiB`"), ("limit", "1000")]);
    assert_eq!(values, json!({}), "a filter in front of the parsers finds no size");
}

#[test]
fn fields_are_of_log_queries_only() {
    for path in ["detected_fields", "detected_field/a/values"] {
        let answer = served().ask(path, &[EXPLORE_LOGS], &[("query", r#"rate({app="web"}[1m])"#)]);
        assert_eq!((answer.status, answer.text().as_str()), (400, "only log selector is supported"));
        let many = served().ask(path, &[], &[("query", r#"{app="web"}"#), ("line_limit", "5001")]);
        assert_eq!(many.status, 400, "{}", many.text());
    }
}
