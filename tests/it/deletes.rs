//! Deletes by request on the real server: hidden at once and after `kill -9`, gone from every file of the data directory
//! once they are processed, and taken back while they are not.

use crate::rig::Rig;
use crate::wait::until;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use strandline_model::{ManualClock, TenantId, TimeRange};
use strandline_store::disk::RealDisk;
use strandline_store::engine::{Engine, EngineConfig};
use strandline_store::segment::Columns;

const PATH: &str = "/loki/api/v1/delete";
/// Stands in deleted lines, and not in what asks for their deletion.
const NEEDLE: &str = "q7Zk2vXw9LrT4bNc";

fn now_s() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Pushes a line `age` seconds old.
fn push(rig: &Rig, app: &str, age: i64, line: &str) {
    let ts = format!("{}000000000", now_s() / 10 * 10 - 20 - age);
    let body = json!({"streams": [{"stream": {"app": app}, "values": [[ts, line]]}]});
    assert_eq!(rig.push_json(&body), Some(204));
}

fn lines(rig: &Rig, query: &str) -> Vec<String> {
    let mut lines: Vec<String> = rig.entries(query).into_iter().map(|(_, _, line)| line).collect();
    lines.sort();
    lines
}

fn delete(rig: &Rig, query: &str) -> String {
    let start = (now_s() - 3600).to_string();
    let answer = rig.post_query(PATH, &[("query", query), ("start", &start)]);
    assert_eq!(answer.status, 204, "{}", answer.text());
    answer.request_id.unwrap()
}

fn status(rig: &Rig) -> Vec<(String, String)> {
    let answer = rig.get(PATH, &[]).json();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    answer.as_array().unwrap().iter().map(|d| (text(&d["request_id"]), text(&d["status"]))).collect()
}

#[test]
fn what_is_deleted_stays_hidden_after_a_kill_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("DELETES__CANCEL_PERIOD", "1h")]);
    rig.start();
    push(&rig, "a", 5, "user=1 in a segment");
    push(&rig, "a", 4, "user=2 in a segment");
    assert_eq!(rig.post("/flush", &[], b"").status, 204);
    push(&rig, "a", 3, "user=1 in the log");
    push(&rig, "b", 2, "user=1 of another stream");
    let id = delete(&rig, r#"{app="a"} |= "user=1""#);
    rig.kill();
    rig.start();
    let left = ["user=1 of another stream", "user=2 in a segment"];
    assert_eq!(lines(&rig, r#"{app=~".+"}"#), left);
    assert_eq!(status(&rig), [(id.clone(), "received".to_owned())]);
    // The same line again, pushed after the request.
    push(&rig, "a", 3, "user=1 in the log");
    assert_eq!(lines(&rig, r#"{app="a"}"#), ["user=1 in the log", "user=2 in a segment"]);
    rig.kill();
    rig.start();
    assert_eq!(lines(&rig, r#"{app="a"}"#), ["user=1 in the log", "user=2 in a segment"]);
    assert_eq!(rig.delete(PATH, &[("request_id", "ffffffff")]).status, 404);
    assert_eq!(rig.delete(PATH, &[("request_id", &id)]).status, 204);
    assert_eq!(status(&rig), []);
    rig.kill();
    rig.start();
    assert_eq!(lines(&rig, r#"{app="a"} |= "segment""#), ["user=1 in a segment", "user=2 in a segment"]);
    assert!(rig.stop().success());
    let (clean, report) = rig.verify();
    assert!(clean, "{report}");
}

#[test]
fn what_is_deleted_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("HEAD__MAX_BYTES", "64KiB"), ("WAL__FILE_BYTES", "64KiB"), ("HEAD__IDLE", "1s")];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    // Some of it in merged segments, some in fresh ones, some in the log and in log files that are used again.
    for round in 0..8 {
        push(&rig, "mixed", round, &format!("user=1 token={NEEDLE} {round}"));
        push(&rig, "mixed", round, &format!("user=2 {round} {}", "filler ".repeat(3000)));
        push(&rig, "doomed", round, &format!("user=1 token={NEEDLE} {round}"));
        if round < 6 {
            assert_eq!(rig.post("/flush", &[], b"").status, 204);
        }
    }
    assert!(holds(&rig.dir, NEEDLE.as_bytes()), "the search must be able to find it");
    let id = delete(&rig, r#"{app=~"mixed|doomed"} |= "user=1""#);
    assert_eq!(lines(&rig, r#"{app=~".+"} |= "user=1""#), [""; 0]);
    assert_eq!(lines(&rig, r#"{app=~".+"}"#).len(), 8);
    push(&rig, "mixed", 100, "pushed later");
    until(
        || format!("not processed: {}", rig.log_tail()),
        || status(&rig) == [(id.clone(), "processed".to_owned())],
    );
    assert_eq!(rig.delete(PATH, &[("request_id", &id)]).status, 400);
    assert_eq!(lines(&rig, r#"{app=~".+"}"#).len(), 9);
    let apps = rig.get("/loki/api/v1/label/app/values", &[]).json();
    assert_eq!(apps["data"], json!(["mixed"]), "a stream without lines leaves the index");
    rig.kill();
    assert!(!holds(&rig.dir, NEEDLE.as_bytes()), "the bytes of a deleted line are in a file");
    let decoded = decoded(&rig.dir);
    assert_eq!(decoded.len(), 9);
    assert!(decoded.iter().all(|line| !line.contains(NEEDLE)));
    let (clean, report) = rig.verify();
    assert!(clean, "{report}");
    rig.start();
    assert_eq!(lines(&rig, r#"{app=~".+"}"#).len(), 9);
}

/// Whether any file below `dir` holds these bytes as they are.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, bytes),
        false => std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

/// Every line that a stopped store holds, segments unpacked and the log replayed.
fn decoded(dir: &Path) -> Vec<String> {
    let disk = Arc::new(RealDisk::new(dir).unwrap());
    let clock = Arc::new(ManualClock::at(now_s() * 1_000_000_000));
    let (engine, _) = Engine::open(disk, clock, EngineConfig::default()).unwrap();
    let tenant = TenantId::default_tenant();
    engine.flush_all().unwrap();
    let mut lines = Vec::new();
    for handle in engine.view(&tenant, TimeRange::ALL).segments {
        let segment = handle.open().unwrap();
        for index in 0..segment.table().unwrap().blocks.len() {
            let block = segment.block(index, Columns::ALL).unwrap();
            lines.extend((0..block.rows).map(|row| String::from_utf8_lossy(block.line(row)).into_owned()));
        }
    }
    lines
}

#[test]
fn a_tenant_may_be_kept_from_deleting() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("LIMITS__DELETION_MODE", "disabled")]);
    rig.start();
    let answer = rig.post_query(PATH, &[("query", "{}"), ("start", "1")]);
    assert_eq!((answer.status, answer.text()), (403, "deletion is not available for this tenant".to_owned()));
    assert_eq!(rig.get(PATH, &[]).status, 403);
    assert_eq!(rig.get("/loki/api/v1/cache/generation_numbers", &[]).text(), "\"\"\n");
}

#[test]
fn deleting_needs_the_scope_and_no_label_filter() {
    let token = |name: &str, more: &str| {
        let hash: String =
            Sha256::digest(format!("{name}-{name}").as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        format!("{{name: {name}, token_sha256: \"{hash}\", {more}}}")
    };
    let all = [
        token("operator", "scopes: [push, query, admin]"),
        token("asker", "scopes: [push, query]"),
        token("bound", "scopes: [push, query, admin], filter: '{team=\"a\"}'"),
    ];
    let tokens = format!("[{}]", all.join(", "));
    let folder = tempfile::tempdir().unwrap();
    let settings = [("AUTH__ENABLED", "true"), ("AUTH__TOKENS", tokens.as_str())];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let statuses = ["operator", "asker", "bound", "nobody"].map(|name| {
        let bearer = format!("Bearer {name}-{name}");
        let headers = [("Authorization", bearer.as_str()), ("X-Scope-OrgID", "one")];
        let post = rig.post(&format!("{PATH}?query=%7B%7D&start=1"), &headers, b"").status;
        (rig.get_with(PATH, &headers, &[]).status, post)
    });
    assert_eq!(statuses, [(200, 204), (403, 403), (403, 403), (401, 401)]);
}
