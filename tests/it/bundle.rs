//! Does the Grafana bundle in `data/grafana` fit the server? Its queries are answered, its metrics exist, its parts name
//! each other rightly.

use crate::rig::Rig;
use serde_json::{Value, json};
use std::path::PathBuf;

fn bundle() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/grafana")
}

fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(bundle().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = files
        .map(|path| {
            (path.display().to_string(), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    assert_eq!(found.len(), 3);
    found
}

/// Datasource and expression of every target.
fn targets(dashboard: &Value) -> Vec<(String, String, bool)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    targets
        .map(|target| {
            (text(&target["datasource"]["uid"]), text(&target["expr"]), target["queryType"] == "instant")
        })
        .collect()
}

#[test]
fn the_queries_of_the_dashboards_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    let mut asked = 0;
    for (file, dashboard) in dashboards() {
        for (_, expr, instant) in targets(&dashboard).iter().filter(|(uid, ..)| uid == "strandline") {
            // What Grafana puts in their places before it asks.
            let query = expr.replace("$service", ".+").replace("$search", "").replace("$__interval", "1m");
            let query = query.replace("$__range", "1h");
            assert!(!query.contains('$'), "{file}: {query}");
            let path = if *instant { "/loki/api/v1/query" } else { "/loki/api/v1/query_range" };
            let answer = rig.get(path, &[("query", &query)]);
            assert_eq!(answer.status, 200, "{file}: {query}: {}", answer.text());
            asked += 1;
        }
    }
    assert!(asked > 5, "{asked}");
}

#[test]
fn the_dashboards_are_drawn_by_the_grafana_that_they_ask_for() {
    let mut bars = 0;
    for (file, dashboard) in dashboards() {
        // Older versions of Grafana do not know it, and `$__interval` means the same here.
        assert!(!dashboard.to_string().contains("$__auto"), "{file}");
        for panel in dashboard["panels"].as_array().unwrap() {
            let mut targets = panel["targets"].as_array().unwrap().iter();
            // Many series of an instant query come as one table: without this a single, nameless one is drawn.
            if targets.any(|t| t["queryType"] == "instant" && t["legendFormat"] != "") {
                assert_eq!(panel["options"]["reduceOptions"]["values"], true, "{file}: {}", panel["title"]);
                bars += 1;
            }
        }
    }
    assert_eq!(bars, 2);
}

#[test]
fn the_alert_page_is_told_that_there_are_no_rules() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    let nothing = |data: Value| json!({ "status": "success", "data": data, "errorType": "", "error": "" });
    for path in ["/prometheus/api/v1/rules", "/prometheus/api/v1/rules?type=alert"] {
        assert_eq!(rig.get(path, &[]).json(), nothing(json!({ "groups": [] })), "{path}");
    }
    assert_eq!(rig.get("/prometheus/api/v1/alerts", &[]).json(), nothing(json!({ "alerts": [] })));
    let wrong = rig.get("/prometheus/api/v1/rules", &[("type", "x")]);
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("not supported value \"x\"")));
    for prefix in ["/loki/api/v1/rules", "/api/prom/rules"] {
        for (path, text) in [
            ("", "no rule groups found\n"),
            ("/test", "no rule groups found\n"),
            ("/test/test", "group does not exist\n"),
            ("/a%2Fb/c%2Fd", "group does not exist\n"),
        ] {
            let answer = rig.get(&format!("{prefix}{path}"), &[]);
            assert_eq!((answer.status, answer.text().as_str()), (404, text), "{prefix}{path}");
        }
    }
}

#[test]
fn the_metrics_of_the_dashboards_exist() {
    let paths = crate::architecture::paths_in("src", |path| path.ends_with(".rs"));
    let source = paths
        .iter()
        .map(|path| std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap());
    let source: String = source.collect();
    let name = regex::Regex::new(r"strandline_[a-z_]+").unwrap();
    let mut seen = 0;
    for (file, dashboard) in dashboards() {
        for (_, expr, _) in targets(&dashboard).iter().filter(|(uid, ..)| uid == "strandline-metrics") {
            for metric in name.find_iter(expr) {
                assert!(source.contains(&format!("\"{}\"", metric.as_str())), "{file}: {}", metric.as_str());
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn the_parts_of_the_bundle_name_each_other() {
    let read = |name: &str| std::fs::read_to_string(bundle().join(name)).unwrap();
    let sources = read("provisioning/datasources/strandline.yaml");
    for (file, dashboard) in dashboards() {
        for (uid, ..) in targets(&dashboard) {
            assert!(sources.contains(&format!("uid: {uid}\n")), "{file}: {uid}");
        }
    }
    let compose = read("compose.yaml");
    for name in ["./provisioning:", "./dashboards:/etc/strandline/dashboards", "./prometheus.yaml:"] {
        assert!(compose.contains(name), "{name}");
    }
    assert!(read("provisioning/dashboards/strandline.yaml").contains("path: /etc/strandline/dashboards"));
    for url in ["http://strandline:3100", "http://prometheus:9090"] {
        assert!(sources.contains(url), "{url}");
    }
}
