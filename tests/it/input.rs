//! Bad input: a clear refusal, and nothing that is stored already suffers.

use crate::rig::{Answer, Rig};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const PUSH: &str = "/loki/api/v1/push";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

/// Name, headers, body, expected status.
type Case = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>, u16);

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A push message with one stream, by hand: field 1 stream {1 labels, 2 entry {1 time {1 s}, 2 line}}.
fn protobuf(labels: &str, line: &[u8]) -> Vec<u8> {
    let field = |tag: u8, body: &[u8]| {
        let mut out = vec![tag << 3 | 2];
        strandline_model::metadata::put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(body);
        out
    };
    let seconds: u64 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut time = vec![8];
    strandline_model::metadata::put_varint(&mut time, seconds);
    let entry = [field(1, &time), field(2, line)].concat();
    let stream = [field(1, labels.as_bytes()), field(2, &entry)].concat();
    snap::raw::Encoder::new().compress_vec(&field(1, &stream)).unwrap()
}

fn one_line(answer: &Answer) -> bool {
    let text = answer.text();
    !text.is_empty() && text.trim_end().lines().count() == 1
}

#[test]
fn each_kind_of_bad_push_is_refused_in_one_line_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    let good = serde_json::json!({"streams": [{"stream": {"app": "good"}, "values": [[now(), "kept"]]}]});
    assert_eq!(rig.push_json(&good), Some(204));

    let json = |stream: serde_json::Value, ts: &str| {
        serde_json::json!({"streams": [{"stream": stream, "values": [[ts, "x"]]}]}).to_string().into_bytes()
    };
    let cut = json(serde_json::json!({"app": "x"}), &now())[..30].to_vec();
    let whole = protobuf(r#"{app="x"}"#, b"line");
    let lying_snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00].to_vec();
    let gzipped = gzip(&json(serde_json::json!({"app": "x"}), &now()));
    let encoded = ("Content-Encoding", "gzip");
    let cases: Vec<Case> = vec![
        ("bad label name", vec![JSON], json(serde_json::json!({"a-b": "x"}), &now()), 400),
        ("bad timestamp", vec![JSON], json(serde_json::json!({"app": "x"}), "yesterday"), 400),
        ("cut JSON", vec![JSON], cut, 400),
        ("no content type", vec![("Content-Type", "")], b"x".to_vec(), 400),
        ("unknown encoding", vec![JSON, ("Content-Encoding", "br")], b"x".to_vec(), 400),
        ("not gzip", vec![JSON, encoded], b"not gzip".to_vec(), 400),
        ("cut gzip", vec![JSON, encoded], gzipped[..gzipped.len() / 2].to_vec(), 400),
        ("not snappy", vec![PROTOBUF], b"\x05hello".to_vec(), 400),
        ("cut snappy", vec![PROTOBUF], whole[..whole.len() - 4].to_vec(), 400),
        ("bad labels", vec![PROTOBUF], protobuf("{app=}", b"line"), 400),
        ("no streams", vec![JSON], br#"{"streams":[]}"#.to_vec(), 422),
    ];
    for (name, headers, body, status) in cases {
        let answer = rig.post(PUSH, &headers, &body);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(one_line(&answer), "{name}: {:?}", answer.text());
    }
    let answer = rig.try_post(PUSH, &[PROTOBUF], &lying_snappy).unwrap();
    assert!(answer.status == 400 || answer.status == 413, "{}", answer.text());
    assert_eq!(rig.entries(r#"{app="good"}"#).len(), 1);
}

#[test]
fn bombs_and_floods_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    // A gigabyte of zeros in a megabyte.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..1024 {
        encoder.write_all(&zeros).unwrap();
    }
    let answer = rig.post(PUSH, &[JSON, ("Content-Encoding", "gzip")], &encoder.finish().unwrap());
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(peak_mb(&rig) < 400, "{} MB", peak_mb(&rig));

    let labels: Vec<String> = (0..1_000_000).map(|n| format!("l{n}=\"v\"")).collect();
    let answer = rig.post(PUSH, &[PROTOBUF], &protobuf(&format!("{{{}}}", labels.join(",")), b"line"));
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 10_000, "an error must not be as large as its cause");

    // Bytes that are not UTF-8 stay in the line; JSON answers show them replaced.
    assert_eq!(rig.post(PUSH, &[PROTOBUF], &protobuf(r#"{app="bytes"}"#, b"a\xff\xfeb")).status, 204);
    let found = rig.entries(r#"{app="bytes"} |= "b""#);
    assert_eq!(found.len(), 1);
    assert!(found[0].2.starts_with('a') && found[0].2.ends_with('b'));
}

/// Peak memory of the server in MB.
fn peak_mb(rig: &Rig) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    let body = serde_json::json!({"streams": [{"stream": {"app": "full"}, "values": [[now(), "kept"]]}]});
    assert_eq!(rig.push_json(&body), Some(204));
    assert!(rig.stop().success());
    // More than any disk has: from the first push on there is too little space.
    let mut rig = Rig::new(&rig.dir, &[("STORAGE__MIN_FREE_BYTES", "1000TiB")]);
    rig.start();
    let answer = rig.post(PUSH, &[JSON], body.to_string().as_bytes());
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.retry_after.is_some());
    assert!(answer.text().contains("storage.min_free_bytes"), "{}", answer.text());
    assert_eq!(rig.entries(r#"{app="full"}"#).len(), 1);
}
