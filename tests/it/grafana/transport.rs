//! What lies below the questions: long URLs, packed answers, encoded values, forms.

use super::{END, ns, served};
use serde_json::json;
use std::io::Read;

/// The datasource sends everything in the URL.
#[test]
fn a_url_of_32_kib_is_read() {
    let (start, end) = (ns(0), ns(END));
    let others: Vec<String> =
        (0..900).map(|i| format!(r#"pod!="one-of-the-pods-that-are-not-wanted-{i}""#)).collect();
    let query = format!(r#"{{app="web",{}}}"#, others.join(","));
    assert!(query.len() > 32 << 10);
    for path in ["query_range", "index/stats", "index/volume", "detected_labels", "labels"] {
        let params = [("query", &*query), ("start", &*start), ("end", &*end), ("limit", "5")];
        let answer = served().ask(path, &[], &params);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() > 40, "{path}: {}", answer.text());
    }
}

#[test]
fn answers_are_packed_for_those_who_ask() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    for path in ["query_range", "index/volume"] {
        let params = [("query", r#"{app="web"}"#), ("start", &*start), ("end", &*end)];
        let plain = served.ask(path, &[("Accept-Encoding", "identity")], &params);
        let packed = served.ask(path, &[("Accept-Encoding", "gzip")], &params);
        assert_eq!(packed.body.get(..2), Some(&[0x1f, 0x8b][..]), "{path}: {} bytes", plain.body.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
        let unpacked: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(unpacked["data"]["result"], plain.json()["data"]["result"]);
    }
}

/// A label name in the path is encoded by the client, and once more by a proxy that keeps slashes apart.
#[test]
fn values_with_slashes_survive_their_encoding() {
    let served = served();
    let (start, end) = (ns(0), ns(END));
    let window = [("start", &*start), ("end", &*end)];
    let values = served.ok("label/path/values", &[], &window);
    assert_eq!(values["data"], json!(["a/b"]));
    let query = r#"{path="a/b"}"#;
    let found = served.ok("index/stats", &[], &[&window[..], &[("query", query)]].concat());
    assert_eq!(found["entries"], 120);
    let raw = format!("/loki/api/v1/index/stats?query=%7Bpath%3D%22a%2Fb%22%7D&start={start}&end={end}");
    assert_eq!(served.rig.get(&raw, &[]).json(), found);
    let path = format!("/loki/api/v1/label/%70ath/values?start={start}&end={end}");
    assert_eq!(served.rig.get(&path, &[]).json()["data"], json!(["a/b"]));
    // A name that no label can have is a name without values, whatever is encoded in it.
    for name in ["a%2Fb", "a%252Fb", "%25"] {
        let path = format!("/loki/api/v1/label/{name}/values?start={start}&end={end}");
        let answer = served.rig.get(&path, &[]);
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": "success" })), "{name}");
        let path = format!(
            "/loki/api/v1/detected_field/{name}/values?start={start}&end={end}&query={{app=%22web%22}}"
        );
        let answer = served.rig.get(&path.replace('{', "%7B").replace('}', "%7D"), &[]);
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{name}");
    }
}

#[test]
fn forms_are_read_like_urls() {
    let served = served();
    let form = format!("query=%7Bapp%3D%22pay%22%7D&start={}&end={}", ns(0), ns(END));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    for path in ["index/stats", "detected_labels", "detected_fields"] {
        let posted = served.rig.post(&format!("/loki/api/v1/{path}"), &headers, form.as_bytes());
        let asked = served.rig.get(&format!("/loki/api/v1/{path}?{form}"), &[]);
        assert_eq!((posted.status, posted.text()), (200, asked.text()), "{path}");
    }
    // Neither a body that is no form nor another method is for these.
    assert_eq!(served.rig.post("/loki/api/v1/index/stats", &[], form.as_bytes()).status, 400);
}

#[test]
fn volumes_can_be_switched_off_and_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |settings: &[(&str, &str)]| {
        let mut rig = crate::rig::Rig::new(&folder.path().join("data"), settings);
        rig.start();
        let streams: Vec<_> = (0..3)
            .map(|i| json!({ "stream": { "app": format!("a{i}") }, "values": [[ns(i), "x"]] }))
            .collect();
        assert_eq!(rig.push_json(&json!({ "streams": streams })), Some(204));
        let params = [("query", r#"{app=~".+"}"#), ("start", &*ns(0)), ("end", &*ns(END))];
        let answer = rig.get("/loki/api/v1/index/volume", &params);
        (answer.status, answer.text())
    };
    assert_eq!(ask(&[("LIMITS__VOLUME_ENABLED", "false")]), (404, "not found".to_owned()));
    let (status, text) = ask(&[("LIMITS__VOLUME_MAX_SERIES", "2")]);
    assert_eq!(status, 400);
    assert!(text.starts_with("the query hit the max number of series limit (limit: 2 series)"), "{text}");
    assert_eq!(ask(&[("LIMITS__VOLUME_MAX_SERIES", "3")]).0, 200);
}
