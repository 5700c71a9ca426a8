//! Does the Grafana bundle in `data/grafana` fit the server? Its queries are answered, its metrics exist, its parts name
//! each other rightly.

use crate::rig::Rig;
use serde_json::Value;
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
            let query = expr.replace("$service", ".+").replace("$search", "").replace("$__auto", "1m");
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
fn the_metrics_of_the_dashboards_exist() {
    let paths = crate::house::paths_in("src", |path| path.ends_with(".rs"));
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
