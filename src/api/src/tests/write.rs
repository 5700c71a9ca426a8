//! Do pushes come in whole, and are bad ones refused with the right status?

use super::encoder::{Entry, Stream, gzip, protobuf, snappy};
use super::rig::{Rig, T0};
use crate::ApiConfig;
use strandline_store::EngineConfig;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];
/// Name of a case, headers, body, status and a part of the text.
type Refused<'a> = (&'a str, Headers<'a>, Vec<u8>, u16, &'a str);

const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn stream(labels: &str, line: &[u8]) -> Stream {
    let entry = Entry { ts: T0 + 5, line: line.to_vec(), metadata: vec![("trace".into(), "t1".into())] };
    Stream { labels: labels.into(), entries: vec![entry] }
}

#[test]
fn every_packing_is_stored_once() {
    let rig = Rig::start();
    let message = protobuf(&[stream("{app=\"p\"}", b"hello")]);
    let json = format!(
        r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{}","hello",{{"trace":"t1"}}]]}}]}}"#,
        T0 + 5
    );
    let pushes: [(&str, Headers<'_>, Vec<u8>); 5] = [
        ("/loki/api/v1/push", &[PROTOBUF], snappy(&message)),
        ("/api/prom/push", &[PROTOBUF], snappy(&message)),
        ("/loki/api/v1/push", &[PROTOBUF, GZIP], gzip(&snappy(&message))),
        ("/loki/api/v1/push", &[JSON], json.clone().into_bytes()),
        ("/loki/api/v1/push", &[JSON, GZIP], gzip(json.as_bytes())),
    ];
    for (path, headers, body) in pushes {
        let reply = rig.post(path, headers, &body);
        assert_eq!((reply.status, reply.text()), (204, String::new()), "{path} {headers:?}");
    }
    let wanted = [r#"{"app":"p","detected_level":"unknown","service_name":"p","trace":"t1"} 5 hello"#];
    assert_eq!(rig.query(r#"{app="p"}"#, "").lines(), wanted);
    rig.runtime.flush().unwrap();
    let again = rig.post("/loki/api/v1/push", &[PROTOBUF], &snappy(&message));
    assert_eq!(again.status, 204);
    assert_eq!(
        rig.query(r#"{app="p"}"#, "").lines(),
        wanted,
        "a repeated push is one entry, wherever it lies"
    );
}

#[test]
fn bytes_that_are_not_text_survive() {
    let rig = Rig::start();
    let message = protobuf(&[stream("{app=\"p\"}", b"bad \xff\xfe end")]);
    assert_eq!(rig.post("/loki/api/v1/push", &[PROTOBUF], &snappy(&message)).status, 204);
    for _ in 0..2 {
        let lines = rig.query(r#"{app="p"} |= "end""#, "").lines();
        assert!(lines.len() == 1 && lines[0].ends_with(" end"), "{lines:?}");
        rig.runtime.flush().unwrap();
    }
}

#[test]
fn bad_pushes_and_their_statuses() {
    let rig = Rig::start();
    let good = snappy(&protobuf(&[stream("{app=\"p\"}", b"hello")]));
    let many: Vec<String> = (0..1_000_000).map(|i| format!("l{i}=\"v\"")).collect();
    let huge = snappy(&protobuf(&[stream(&format!("{{{}}}", many.join(",")), b"x")]));
    let bomb = gzip(&vec![b' '; 200 << 20]);
    #[rustfmt::skip]
    let table: Vec<Refused<'_>> = vec![
        ("wrong label", &[PROTOBUF], snappy(&protobuf(&[stream("{a.b=\"p\"}", b"x")])), 400, "couldn't parse labels"),
        ("cut body", &[PROTOBUF], good[..good.len() - 3].to_vec(), 400, "snappy: corrupt input"),
        ("cut gzip", &[PROTOBUF, GZIP], gzip(&good)[..20].to_vec(), 400, "gzip: "),
        ("no gzip", &[PROTOBUF, GZIP], good.clone(), 400, "gzip: "),
        ("encoding", &[PROTOBUF, ("content-encoding", "br")], good.clone(), 400, "Content-Encoding \"br\" not supported"),
        ("odd type", &[("content-type", "a/b/c; =")], good.clone(), 400, "mime: unexpected content after media subtype"),
        ("bad time", &[JSON], br#"{"streams":[{"stream":{"a":"b"},"values":[["soon","x"]]}]}"#.to_vec(), 400, ""),
        ("bad json", &[JSON], br#"{"streams":[{"#.to_vec(), 400, ""),
        ("no streams", &[JSON], br#"{"streams":[]}"#.to_vec(), 422, "error at least one valid stream is required for ingestion"),
        ("bomb", &[JSON, GZIP], bomb, 413, "request body too large"),
        ("label bomb", &[PROTOBUF], huge, 400, "stream '{l0="),
    ];
    for (what, headers, body, status, text) in table {
        let reply = rig.post("/loki/api/v1/push", headers, &body);
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert!(reply.text().contains(text), "{what}: {}", reply.text());
        assert!(
            reply.text().ends_with('\n') && reply.text().lines().count() == 1,
            "{what}: {:?}",
            reply.text()
        );
        assert!(reply.text().len() < 5000, "{what}");
    }
    assert_eq!(rig.query(r#"{service_name=~".+"}"#, "").lines(), [""; 0], "nothing of them is stored");
}

#[test]
fn valid_lines_of_a_partly_bad_push_are_stored() {
    let rig = Rig::start();
    let long = "x".repeat(300_000);
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","good"],["{}","{long}"]]}}]}}"#,
        T0 + 1
    );
    let reply = rig.push_json(&body);
    assert_eq!(reply.status, 400);
    assert!(
        reply.text().starts_with("max entry size '262144' bytes exceeded for stream"),
        "{}",
        reply.text()
    );
    assert_eq!(rig.query(r#"{app="p"}"#, "").lines().len(), 1);
}

#[test]
fn tenants_are_apart_and_required_when_asked_for() {
    let config = ApiConfig { auth_enabled: true, ..ApiConfig::default() };
    let rig = Rig::with(config, EngineConfig { min_free_bytes: 0, ..EngineConfig::default() });
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","mine"]]}}]}}"#);
    let reply = rig.push_json(&body);
    assert_eq!((reply.status, reply.text().as_str()), (401, "no org id\n"));
    let push = |tenant: &str| {
        rig.post("/loki/api/v1/push", &[JSON, ("X-Scope-OrgID", tenant)], body.as_bytes()).status
    };
    assert_eq!((push("a"), push("a|b"), push("a/b")), (204, 400, 400));
    let path =
        format!("/loki/api/v1/query_range?query={{app=\"p\"}}&start={T0}&end={}&step=60", T0 + 1_000_000_000);
    let entries = |tenant: &str| rig.get(&path, &[("X-Scope-OrgID", tenant)]).lines().len();
    assert_eq!((entries("a"), entries("b")), (1, 0));
    assert_eq!(rig.get(&path, &[]).status, 401);
    assert_eq!(rig.get(&path, &[("X-Scope-OrgID", "a|b")]).status, 500);
    assert_eq!(rig.get("/ready", &[]).status, 200);
}

#[test]
fn a_store_that_takes_no_writes_says_when_to_try_again() {
    let rig =
        Rig::with(ApiConfig::default(), EngineConfig { min_free_bytes: u64::MAX, ..EngineConfig::default() });
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","x"]]}}]}}"#);
    let reply = rig.push_json(&body);
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert!(reply.text().starts_with("the store is read-only") && reply.text().lines().count() == 1);
    assert!(rig.get("/ready?verbose", &[]).text().contains("read-only: only"));
    assert_eq!(rig.query(r#"{app="p"}"#, "").status, 200, "reads go on");
}
