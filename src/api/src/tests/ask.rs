//! Do questions get Loki's answers?

use super::rig::{Rig, T0};
use std::io::Read;

fn filled() -> Rig {
    let rig = Rig::start();
    rig.push_lines(
        r#"{"app":"web","env":"prod"}"#,
        &[(1, "level=info one"), (2, "level=error two <b>"), (3, "three")],
    );
    rig.push_lines(r#"{"app":"db","env":"prod"}"#, &[(2, "level=warn query took 5ms"), (9, "nine")]);
    rig
}

#[test]
fn lines_come_back_by_stream_direction_limit_and_filter() {
    let rig = filled();
    let web = |level: &str| {
        format!(r#"{{"app":"web","detected_level":"{level}","env":"prod","service_name":"web"}}"#)
    };
    let db = |level: &str| {
        format!(r#"{{"app":"db","detected_level":"{level}","env":"prod","service_name":"db"}}"#)
    };
    let s = 1_000_000_000i64;
    for _ in 0..2 {
        assert_eq!(
            rig.query(r#"{env="prod"}"#, "").lines(),
            [
                format!("{} {} nine", db("unknown"), 9 * s),
                format!("{} {} level=warn query took 5ms", db("warn"), 2 * s),
                format!("{} {} level=error two <b>", web("error"), 2 * s),
                format!("{} {} level=info one", web("info"), s),
                format!("{} {} three", web("unknown"), 3 * s),
            ]
        );
        assert_eq!(
            rig.query(r#"{env="prod"} |~ "o(ne|k)""#, "&direction=forward").lines(),
            [
                format!("{} {} level=warn query took 5ms", db("warn"), 2 * s),
                format!("{} {} level=info one", web("info"), s),
            ]
        );
        assert_eq!(
            rig.query(r#"{env="prod"} != "level""#, "&limit=1").lines(),
            [format!("{} {} nine", db("unknown"), 9 * s)]
        );
        assert_eq!(rig.query(r#"{app="web"} |= "zzz""#, "").lines(), [""; 0]);
        // The same from segments.
        assert_eq!(rig.post("/flush", &[], b"").status, 204);
    }
}

#[test]
fn the_answer_has_loki_s_shape() {
    let rig = filled();
    let reply = rig.query(r#"{app="web"} |= "two""#, "");
    assert_eq!((reply.header("vary"), reply.header("content-encoding")), ("Accept-Encoding", ""));
    assert!(reply.text().contains("level=error two \\u003cb\\u003e"));
    let json = reply.json();
    assert_eq!(
        (json["status"].as_str(), json["data"]["resultType"].as_str()),
        (Some("success"), Some("streams"))
    );
    assert_eq!(json["data"]["stats"]["summary"]["totalEntriesReturned"], 1);
    assert!(json.get("warnings").is_none());
    let path = format!(
        "/loki/api/v1/query_range?query={{app=\"web\"}} |= \"two\"&start={T0}&end={}&step=60",
        T0 + 9_000_000_000
    );
    let flags = [("X-Loki-Response-Encoding-Flags", "categorize-labels"), ("accept-encoding", "gzip")];
    let reply = rig.get(&path, &flags);
    assert_eq!(reply.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["data"]["encodingFlags"][0], "categorize-labels");
    assert_eq!(
        json["data"]["result"][0]["stream"],
        serde_json::json!({"app":"web","env":"prod","service_name":"web"})
    );
    assert_eq!(
        json["data"]["result"][0]["values"][0],
        serde_json::json!([(T0 + 2_000_000_000).to_string(), "level=error two <b>", {"structuredMetadata":{"detected_level":"error"}}])
    );
}

#[test]
fn forms_merge_with_the_url_and_instant_queries_look_back() {
    let rig = filled();
    let form = format!("query=%7Bapp%3D%22web%22%7D&start={T0}&limit=1");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let reply = rig.post(
        &format!("/loki/api/v1/query_range?end={}&limit=3", T0 + 3_000_000_000),
        &headers,
        form.as_bytes(),
    );
    assert_eq!(reply.lines().len(), 1);
    assert!(reply.lines()[0].ends_with("2000000000 level=error two <b>"), "the end is not inside");
    let at = |time: i64| {
        rig.get(&format!("/loki/api/v1/query?query={{app=\"web\"}}&time={time}"), &[]).lines().len()
    };
    assert_eq!(at(T0 + 2_000_000_000), 2);
    assert_eq!(at(T0 + 3_601_500_000_000), 2);
    let thinned = rig.query(r#"{env="prod"}"#, "&interval=2");
    assert_eq!(thinned.lines().len(), 3, "{:?}", thinned.lines());
}

#[test]
fn labels_values_and_series() {
    let rig = filled();
    let window = format!("start={T0}&end={}", T0 + 86_400_000_000_000i64);
    for _ in 0..2 {
        let data = |path: &str| {
            let mark = if path.contains('?') { '&' } else { '?' };
            rig.get(&format!("{path}{mark}{window}"), &[]).json()["data"].clone()
        };
        for path in ["/loki/api/v1/labels", "/loki/api/v1/label", "/api/prom/label"] {
            assert_eq!(data(path), serde_json::json!(["app", "env", "service_name"]), "{path}");
        }
        assert_eq!(data("/loki/api/v1/label/app/values"), serde_json::json!(["db", "web"]));
        assert_eq!(data("/api/prom/label/app/values?query={app=~\"w.*\"}"), serde_json::json!(["web"]));
        let db = serde_json::json!({"app":"db","env":"prod","service_name":"db"});
        let web = serde_json::json!({"app":"web","env":"prod","service_name":"web"});
        assert_eq!(data("/loki/api/v1/series"), serde_json::json!([db, web]));
        assert_eq!(data("/api/prom/series?match={}"), serde_json::json!([db, web]));
        let both = "/loki/api/v1/series?match[]={app=\"web\"}&match[]={env=\"prod\",app!=\"db\"}";
        assert_eq!(data(both), serde_json::json!([web]));
        assert_eq!(rig.runtime.flush().map_err(|e| e.to_string()), Ok(()));
    }
    assert_eq!(rig.get("/loki/api/v1/labels?start=1&end=2", &[]).text(), "{\"status\":\"success\"}\n");
    assert_eq!(
        rig.get("/loki/api/v1/series?start=1&end=2", &[]).text(),
        "{\"status\":\"success\",\"data\":[]}\n"
    );
}

#[test]
fn wrong_questions_are_refused_with_loki_s_words() {
    let rig = Rig::start();
    for (path, status, text) in [
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&start=x",
            400,
            "could not parse 'start' parameter: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&start=5&end=4",
            400,
            "end timestamp must not be before or equal to start time",
        ),
        ("/loki/api/v1/query_range?query={a=\"b\"}&limit=0", 400, "limit must be a positive value"),
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&limit=ten",
            400,
            "strconv.Atoi: parsing \"ten\": invalid syntax",
        ),
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&limit=5001",
            400,
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000) (limits.max_entries_per_query)",
        ),
        ("/loki/api/v1/query_range?query={a=\"b\"}&direction=up", 400, "invalid direction 'up'"),
        ("/loki/api/v1/query_range?query=vector(1)&limit=0", 400, "limit must be a positive value"),
        ("/loki/api/v1/query_range?query=vector(1)&direction=up", 400, "invalid direction 'up'"),
        (
            "/loki/api/v1/query_range?query=vector(1)&interval=-1s",
            400,
            "cannot parse \"-1s\" to a valid duration",
        ),
        ("/loki/api/v1/query?query=vector(1)&limit=0", 400, "limit must be a positive value"),
        ("/loki/api/v1/query?query=vector(1)&direction=up", 400, "invalid direction 'up'"),
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&interval=-1s",
            400,
            "cannot parse \"-1s\" to a valid duration",
        ),
        (
            "/loki/api/v1/query_range?query={a=\"b\"}&step=0",
            400,
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        ("/loki/api/v1/labels?query={a=\"b\"} |= \"x\"", 400, "only label matchers are supported"),
        (
            "/loki/api/v1/labels?start=5&end=4",
            400,
            "this data is no longer available, it is past now - max_query_lookback (0s)",
        ),
        ("/nowhere", 404, "404 page not found\n"),
    ] {
        let reply = rig.get(path, &[]);
        assert_eq!((reply.status, reply.text().as_str()), (status, text), "{path}");
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    for path in [
        "/loki/api/v1/query_range?query=",
        "/loki/api/v1/query_range?query={a=\"b\"",
        "/loki/api/v1/series?match={",
    ] {
        let reply = rig.get(path, &[]);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().starts_with("parse error"), "{path}: {}", reply.text());
    }
    assert_eq!(
        rig.raw(b"DELETE /loki/api/v1/labels HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .get(9..12),
        Some("404")
    );
    assert_eq!(
        rig.raw(b"GET /loki/api/v1/push HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").get(9..12),
        Some("405")
    );
}

#[test]
fn the_server_tells_how_it_is() {
    let rig = filled();
    assert_eq!((rig.get("/ready", &[]).status, rig.get("/ready", &[]).text().as_str()), (200, "ready\n"));
    assert!(rig.get("/ready?verbose", &[]).text().contains("writes are taken"));
    assert_eq!(rig.get("/health", &[]).text(), "ok\n");
    assert!(rig.get("/metrics", &[]).header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!((rig.get("/flush", &[]).status, rig.get("/flush", &[]).header("allow")), (405, "POST"));
    assert_eq!(rig.post("/flush", &[], b"").status, 204);
    let version = rig.get("/loki/api/v1/status/buildinfo", &[]).json()["version"].clone();
    assert!(version.as_str().is_some_and(|v| v.starts_with("3.")));
}
