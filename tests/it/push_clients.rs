//! Do the lines of each client that pushes logs arrive, with their labels and metadata? One test for each kind, with the
//! headers and bodies that it sends. Every push is sent twice, as a retry would, and stored once.

use crate::otlp_encoder;
use crate::rig::{Answer, Rig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A time that all clients can write: 2026-11-21T00:00:00.5Z.
const TS: i64 = 1_795_219_200_500_000_000;
const PUSH: &str = "/loki/api/v1/push";

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];
/// A line and its labels and metadata.
type Line<'a> = (&'a str, &'a [(&'a str, &'a str)]);

fn server() -> (tempfile::TempDir, Rig) {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    (folder, rig)
}

/// Pushes `body` twice and reads the lines back.
fn delivers(path: &str, headers: Headers<'_>, body: &[u8], wanted: &[Line<'_>]) {
    let (_folder, rig) = server();
    for _ in 0..2 {
        let answer = rig.post(path, headers, body);
        // Exactly 204 and nothing in it: python-logging-loki takes everything else for an error.
        assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    }
    let found = rig.entries(r#"{service_name=~".+"}"#);
    let mut found: Vec<(String, BTreeMap<String, String>)> =
        found.into_iter().map(|(labels, _, line)| (line, labels)).collect();
    found.sort();
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let wanted: Vec<(String, BTreeMap<String, String>)> =
        wanted.iter().map(|(line, labels)| ((*line).to_owned(), owned(labels))).collect();
    assert_eq!(found, wanted);
}

fn varint_field(number: u8, n: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    strandline_model::metadata::put_varint(&mut out, n);
    out
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    strandline_model::metadata::put_varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

/// A push of one stream with lines a nanosecond apart, as Loki's own clients send it: protobuf in snappy.
fn snappy(labels: &str, lines: &[(&str, &[(&str, &str)])]) -> Vec<u8> {
    let mut stream = field(1, labels.as_bytes());
    for (n, (line, metadata)) in lines.iter().enumerate() {
        let ts = TS as u64 + n as u64;
        let time = [varint_field(1, ts / 1_000_000_000), varint_field(2, ts % 1_000_000_000)].concat();
        let mut entry = [field(1, &time), field(2, line.as_bytes())].concat();
        for (name, value) in *metadata {
            let pair = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
            entry.extend(field(3, &pair));
        }
        stream.extend(field(2, &entry));
    }
    stream.extend(varint_field(3, 77));
    snap::raw::Encoder::new().compress_vec(&field(1, &stream)).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn one_stream(labels: Value, values: Value) -> Vec<u8> {
    json!({"streams": [{"stream": labels, "values": values}]}).to_string().into_bytes()
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const SNAPPY: (&str, &str) = ("Content-Encoding", "snappy");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");

#[test]
fn alloy_and_promtail() {
    let body =
        snappy(r#"{filename="/var/log/syslog", job="varlogs"}"#, &[("a", &[]), ("b", &[("pid", "12")])]);
    let headers = [PROTOBUF, SNAPPY, ("User-Agent", "Alloy/v1.10"), ("X-Scope-OrgID", "fake")];
    let labels = [
        ("detected_level", "unknown"),
        ("filename", "/var/log/syslog"),
        ("job", "varlogs"),
        ("service_name", "varlogs"),
    ];
    delivers(PUSH, &headers, &body, &[("a", &labels), ("b", &[&labels[..], &[("pid", "12")]].concat())]);
}

#[test]
fn docker_driver() {
    let labels =
        r#"{compose_project="p", container_name="web", filename="/x-json.log", host="h", source="stdout"}"#;
    let body = snappy(labels, &[("GET / error\n", &[])]);
    let wanted = [
        ("compose_project", "p"),
        ("container_name", "web"),
        ("detected_level", "error"),
        ("filename", "/x-json.log"),
        ("host", "h"),
        ("service_name", "web"),
        ("source", "stdout"),
    ];
    delivers(
        PUSH,
        &[PROTOBUF, SNAPPY, ("User-Agent", "loki-docker-driver/")],
        &body,
        &[("GET / error\n", &wanted)],
    );
}

#[test]
fn fluent_bit() {
    let body = one_stream(
        json!({"job": "fluent-bit"}),
        json!([[TS.to_string(), "{\"log\":\"x\"}", {"pod": "p", "n": "1"}]]),
    );
    let wanted = [
        ("detected_level", "unknown"),
        ("job", "fluent-bit"),
        ("n", "1"),
        ("pod", "p"),
        ("service_name", "fluent-bit"),
    ];
    let agent = ("User-Agent", "Fluent-Bit");
    delivers(PUSH, &[JSON, agent], &body, &[("{\"log\":\"x\"}", &wanted)]);
    delivers(PUSH, &[JSON, agent, GZIP], &gzip(&body), &[("{\"log\":\"x\"}", &wanted)]);
}

#[test]
fn fluentd_and_logstash() {
    let body = one_stream(json!({"env": "prod"}), json!([[TS.to_string(), "line"]]));
    let wanted: [Line<'_>; 1] =
        [("line", &[("detected_level", "unknown"), ("env", "prod"), ("service_name", "unknown_service")])];
    let basic = ("Authorization", "Basic dXNlcjpwYXNz");
    delivers(PUSH, &[JSON, basic], &body, &wanted);
    delivers(PUSH, &[JSON, GZIP], &gzip(&body), &wanted);
    delivers(PUSH, &[("Content-Type", "application/json; charset=UTF-8")], &body, &wanted);
}

#[test]
fn vector() {
    let labels =
        [("detected_level", "unknown"), ("forwarder", "vector"), ("service_name", "unknown_service")];
    let body = snappy(r#"{forwarder="vector"}"#, &[("{\"a\":1}", &[]), ("{\"a\":2}", &[])]);
    delivers(PUSH, &[PROTOBUF, SNAPPY], &body, &[("{\"a\":1}", &labels), ("{\"a\":2}", &labels)]);
    let json = one_stream(json!({"forwarder": "vector"}), json!([[TS.to_string(), "{\"a\":1}"]]));
    delivers(PUSH, &[JSON, GZIP], &gzip(&json), &[("{\"a\":1}", &labels)]);
    let (_folder, rig) = server();
    assert_eq!(rig.get("/ready", &[]).status, 200, "its health check");
}

/// What the collector's exporter and the SDKs send, in the form of JSON.
fn otlp() -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "cart"}},
            {"key": "host.name", "value": {"stringValue": "h1"}}
        ]},
        "scopeLogs": [{"scope": {"name": "lib"}, "logRecords": [{
            "timeUnixNano": TS.to_string(), "observedTimeUnixNano": TS.to_string(), "severityNumber": 17,
            "severityText": "Error", "body": {"stringValue": "broken"},
            "traceId": "0102030405060708090a0b0c0d0e0f10",
            "attributes": [{"key": "http.status_code", "value": {"intValue": "500"}}]
        }]}]
    }]})
}

const OTLP_LABELS: [(&str, &str); 9] = [
    ("detected_level", "error"),
    ("host_name", "h1"),
    ("http_status_code", "500"),
    ("observed_timestamp", "1795219200500000000"),
    ("scope_name", "lib"),
    ("service_name", "cart"),
    ("severity_number", "17"),
    ("severity_text", "Error"),
    ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
];

#[test]
fn opentelemetry_collector_and_sdks() {
    let message = otlp_encoder::export(&otlp());
    let wanted: [Line<'_>; 1] = [("broken", &OTLP_LABELS)];
    delivers("/otlp/v1/logs", &[PROTOBUF, GZIP], &gzip(&message), &wanted);
    delivers("/v1/logs", &[PROTOBUF], &message, &wanted);
    let packed = zstd::encode_all(message.as_slice(), 3).unwrap();
    delivers("/otlp/v1/logs", &[PROTOBUF, ("Content-Encoding", "zstd")], &packed, &wanted);
    delivers("/v1/logs", &[JSON], otlp().to_string().as_bytes(), &wanted);
}

#[test]
fn opentelemetry_errors_are_statuses_in_the_encoding_of_the_request() {
    let (_folder, rig) = server();
    let protobuf = rig.post("/otlp/v1/logs", &[PROTOBUF], b"{nope");
    assert_eq!(protobuf.status, 400);
    assert_eq!(protobuf.body[0], 2 << 3 | 2, "google.rpc.Status with a message");
    let json = rig.post("/otlp/v1/logs", &[JSON], b"{nope");
    assert_eq!(json.status, 400);
    assert!(json.json()["message"].as_str().unwrap().contains("invalid JSON"));
    assert_eq!(rig.post("/v1/logs", &[JSON], b"{\"resourceLogs\":[]}").status, 422);
    assert_eq!(rig.post("/v1/logs", &[("Content-Type", "text/plain")], b"x").status, 400);
    // A record that is refused does not cost the others.
    let mut export = otlp();
    let records = export["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array_mut().unwrap();
    records.push(json!({"timeUnixNano": TS.to_string(), "body": {"stringValue": "x".repeat(300_000)}}));
    let partly = rig.post("/v1/logs", &[JSON], export.to_string().as_bytes());
    assert_eq!(partly.status, 400);
    assert!(partly.json()["message"].as_str().unwrap().starts_with("max entry size"));
    assert_eq!(rig.entries(r#"{service_name="cart"}"#).len(), 1);
}

#[test]
fn loki4j() {
    let labels =
        [("app", "my-app"), ("detected_level", "info"), ("level", "INFO"), ("service_name", "my-app")];
    let body = one_stream(json!({"app": "my-app", "level": "INFO"}), json!([[TS.to_string(), "a"]]));
    delivers(PUSH, &[JSON], &body, &[("a", &labels)]);
    delivers(PUSH, &[PROTOBUF], &snappy(r#"{app="my-app",level="INFO"}"#, &[("a", &[])]), &[("a", &labels)]);
}

#[test]
fn serilog() {
    let line = r#"{"Message":"x"}"#;
    let values = json!([[TS.to_string(), line, {"ElapsedMs": "12.5", "RequestId": "0HM"}]]);
    let body = one_stream(json!({"app": "net", "level": "warning"}), values);
    let wanted = [
        ("ElapsedMs", "12.5"),
        ("RequestId", "0HM"),
        ("app", "net"),
        ("detected_level", "warn"),
        ("level", "warning"),
        ("service_name", "net"),
    ];
    delivers(PUSH, &[("Content-Type", "application/json; charset=utf-8")], &body, &[(line, &wanted)]);
}

#[test]
fn python_logging_loki() {
    let labels = r#"{application="my-app",logger="my-logger",severity="error"}"#;
    let entries = json!([{"ts": "2026-11-21T00:00:00.500000Z", "line": "boom"}]);
    let v0 = json!({"streams": [{"labels": labels, "entries": entries}]}).to_string();
    let wanted: [Line<'_>; 1] = [(
        "boom",
        &[
            ("application", "my-app"),
            ("detected_level", "error"),
            ("logger", "my-logger"),
            ("service_name", "my-app"),
            ("severity", "error"),
        ],
    )];
    // Its default emitter writes the old form, whatever path it is given.
    delivers(PUSH, &[JSON, ("User-Agent", "python-requests/2.32")], v0.as_bytes(), &wanted);
    delivers("/api/prom/push", &[JSON], v0.as_bytes(), &wanted);
    let v1 = one_stream(
        json!({"application": "my-app", "logger": "my-logger", "severity": "error"}),
        json!([[TS.to_string(), "boom"]]),
    );
    delivers(PUSH, &[JSON], &v1, &wanted);
}

#[test]
fn pino_loki() {
    let body = one_stream(
        json!({"level": "info", "pid": 4242, "secure": true, "x": null}),
        json!([[TS.to_string(), "{\"msg\":\"x\"}"]]),
    );
    let wanted = [
        ("detected_level", "info"),
        ("level", "info"),
        ("pid", "4242"),
        ("secure", "true"),
        ("service_name", "unknown_service"),
        ("x", "null"),
    ];
    delivers(PUSH, &[JSON], &body, &[("{\"msg\":\"x\"}", &wanted)]);
}

#[test]
fn winston_loki() {
    let metadata = json!({"user": {"id": 7, "tags": ["a", 1]}, "ok": true, "none": null, "trace.id": "t"});
    let body = one_stream(json!({"job": "w", "level": "info"}), json!([[TS.to_string(), "hello", metadata]]));
    let labels = [("detected_level", "info"), ("job", "w"), ("level", "info"), ("service_name", "w")];
    let more = [("ok", "true"), ("trace_id", "t"), ("user_id", "7"), ("user_tags", "[\"a\",1]")];
    // Refused, it would send the same for ever.
    delivers(PUSH, &[JSON], &body, &[("hello", &[&labels[..], &more].concat())]);
    let packed = snappy(r#"{job="w",level="info"}"#, &[("hello", &[])]);
    delivers(PUSH, &[PROTOBUF], &packed, &[("hello", &labels)]);
}

#[test]
fn tracing_loki() {
    let line = r#"{"message":"x","_target":"t"}"#;
    let body = snappy(r#"{host="h",level="warn"}"#, &[(line, &[])]);
    let wanted =
        [("detected_level", "warn"), ("host", "h"), ("level", "warn"), ("service_name", "unknown_service")];
    delivers(PUSH, &[("Content-Type", "application/x-snappy")], &body, &[(line, &wanted)]);
}

#[test]
fn grafana_state_history_and_scripts() {
    let body = one_stream(json!({"from": "state-history", "orgID": "1"}), json!([[TS.to_string(), "{}"]]));
    let wanted: [Line<'_>; 1] = [(
        "{}",
        &[
            ("detected_level", "unknown"),
            ("from", "state-history"),
            ("orgID", "1"),
            ("service_name", "unknown_service"),
        ],
    )];
    delivers(PUSH, &[JSON], &body, &wanted);
    // curl -d without a header.
    delivers(PUSH, &[("Content-Type", "application/x-www-form-urlencoded")], &body, &wanted);
    let packed = zstd::encode_all(body.as_slice(), 3).unwrap();
    delivers(PUSH, &[JSON, ("Content-Encoding", "zstd")], &packed, &wanted);
}

fn first_line(answer: &Answer) -> String {
    answer.text().lines().next().unwrap_or("").to_owned()
}

#[test]
fn the_first_line_of_a_refusal_is_a_plain_reason() {
    let (_folder, rig) = server();
    let long = "é".repeat(1000);
    let value = json!([[TS.to_string(), "x".repeat(300_000)]]);
    let labels = json!({"a": long, "b": long, "c": "x"});
    for (headers, body) in [
        ([JSON], one_stream(labels, value)),
        ([JSON], one_stream(json!({"a-b": "c"}), json!([[TS.to_string(), "x"]]))),
        ([JSON], one_stream(json!({(&*long): "c"}), json!([[TS.to_string(), "x"]]))),
        ([JSON], one_stream(json!({"a": "b"}), json!([["0", "x"]]))),
        ([PROTOBUF], snappy("{a.b=\"c\"}", &[("x", &[])])),
        ([PROTOBUF], snappy(&format!("{{a=\"{long}\", a=\"{long}\"}}"), &[("x", &[])])),
    ] {
        let answer = rig.post(PUSH, &headers, &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        let line = first_line(&answer);
        assert!(!line.is_empty() && line.len() <= 1024, "{} bytes: {line}", line.len());
        assert!(!line.starts_with(['{', '<']), "{line}");
    }
}

/// Sends a request in pieces and returns what came back up to the end of the first headers, then all the rest.
fn raw(rig: &Rig, head: &str, body: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = Vec::new();
    let mut byte = [0];
    while !first.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        first.push(byte[0]);
    }
    stream.write_all(body).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    (String::from_utf8(first).unwrap(), rest)
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (_folder, rig) = server();
    let body = one_stream(json!({"app": "curl"}), json!([[TS.to_string(), "x"]]));
    let head = format!(
        "POST {PUSH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let (first, rest) = raw(&rig, &head, &body);
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    assert!(rest.starts_with("HTTP/1.1 204"), "{rest}");
    assert_eq!(rig.entries(r#"{app="curl"}"#).len(), 1);
}

#[test]
fn a_refused_body_is_read_before_the_answer_and_the_connection_stays_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("AUTH__ENABLED", "true")]);
    rig.start();
    let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    let body = vec![b' '; 4 << 20];
    for _ in 0..2 {
        let head =
            format!("POST {PUSH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // Would fail if the server closed the connection instead of reading on.
        stream.write_all(&body).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"no org id\n") {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 401"));
    }
}

#[test]
fn what_was_dropped_is_counted_by_tenant_and_reason() {
    let (_folder, rig) = server();
    let values = json!([[TS.to_string(), "fine"], ["0", "lost"], ["-1", "lost"]]);
    assert_eq!(rig.post(PUSH, &[JSON], &one_stream(json!({"app": "x"}), values)).status, 400);
    assert_eq!(rig.post(PUSH, &[JSON], b"{").status, 400);
    let metrics = rig.get("/metrics", &[]).text();
    for wanted in [
        "loki_distributor_lines_received_total{tenant=\"fake\"} 3",
        "loki_discarded_samples_total{reason=\"no_timestamp\",tenant=\"fake\"} 2",
        "strandline_rejected_lines_total{reason=\"no_timestamp\",tenant=\"fake\"} 2",
        "strandline_push_refused_total{reason=\"undecodable\",tenant=\"fake\"} 1",
    ] {
        assert!(metrics.lines().any(|line| line == wanted), "{wanted}\n{metrics}");
    }
}
