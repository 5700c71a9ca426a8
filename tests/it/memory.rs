//! Does the server stay within its memory whatever is sent, and does it go on taking lines meanwhile?

use crate::rig::Rig;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const PUSH: &str = "/loki/api/v1/push";
const MIB: u64 = 1 << 20;

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A push that unpacks to about `bytes`, in lines of `line` bytes.
fn bomb(bytes: usize, line: usize) -> Vec<u8> {
    let (text, now) = ("x".repeat(line), now_ns());
    let values: Vec<String> =
        (0..bytes / (line + 26)).map(|n| format!(r#"["{}","{text}"]"#, now + n as u128)).collect();
    gzip(&format!(r#"{{"streams":[{{"stream":{{"app":"bomb"}},"values":[{}]}}]}}"#, values.join(",")))
}

/// Anonymous memory: what the process allocated.
fn anonymous_bytes(rig: &Rig) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", rig.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

fn push_a_line(rig: &Rig, line: &str) -> Option<u16> {
    rig.push_json(&serde_json::json!({"streams": [
        {"stream": {"app": "victim"}, "values": [[now_ns().to_string(), line]]}
    ]}))
}

/// Pushes until it is stored, as agents do.
fn push_until_stored(rig: &Rig, line: &str) {
    crate::wait::until(
        || format!("never stored: {}", rig.log_tail()),
        || match push_a_line(rig, line) {
            Some(204) => true,
            Some(503) => false,
            other => panic!("{other:?}: {}", rig.log_tail()),
        },
    );
}

#[test]
fn bombs_and_slow_bodies_in_a_small_container_leave_it_alive_and_taking_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__MAX_MEMORY", "128MiB")]);
    rig.start();
    // Bodies that are announced and do not come.
    let silent: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
            let head = format!(
                "POST {PUSH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n0123456789"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let bombs = [bomb(3 << 20, 100_000), bomb(3 << 20, 1), bomb(60 << 20, 100_000)];
    let (stop, rig) = (AtomicBool::new(false), &rig);
    let mut peak = 0;
    std::thread::scope(|scope| {
        let sender = |n: usize| {
            let (bombs, stop) = (&bombs, &stop);
            move || {
                for round in 0..4 {
                    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
                    let answer = rig.post(PUSH, &headers, &bombs[(n + round) % bombs.len()]);
                    assert!([204, 413, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        };
        let senders: Vec<_> = (0..16).map(|n| scope.spawn(sender(n))).collect();
        for n in 0.. {
            push_until_stored(rig, &format!("line {n}"));
            assert_eq!(rig.get("/ready", &[]).status, 200);
            peak = peak.max(anonymous_bytes(rig));
            if senders.iter().all(|sender| sender.is_finished()) {
                break;
            }
        }
    });
    assert!(peak < 128 * MIB, "{} MiB", peak / MIB);
    drop(silent);
    assert!(rig.entries(r#"{app="victim"}"#).iter().any(|(_, _, line)| line == "line 0"));
}

#[test]
fn new_streams_above_the_bound_are_refused_and_known_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__MAX_ACTIVE_STREAMS", "1000")]);
    rig.start();
    assert_eq!(push_a_line(&rig, "first"), Some(204));
    let streams: Vec<_> = (0..3000)
        .map(|n| serde_json::json!({"stream": {"pod": n.to_string()}, "values": [[now_ns().to_string(), "x"]]}))
        .collect();
    let body = serde_json::json!({"streams": streams}).to_string();
    let answer = rig.post(PUSH, &[("Content-Type", "application/json")], body.as_bytes());
    assert_eq!((answer.status, answer.retry_after.is_some()), (429, true), "{}", answer.text());
    assert!(answer.text().starts_with("maximum active stream limit exceeded"), "{}", answer.text());
    assert!(answer.text().contains("server.max_active_streams"), "{}", answer.text());
    assert_eq!(rig.entries(r#"{pod=~".+"}"#).len(), 999, "those that fit are stored");
    assert_eq!(push_a_line(&rig, "second"), Some(204), "a stream that is known goes on");
    let known = rig.entries(r#"{app="victim"}"#);
    assert_eq!(known.len(), 2);
}

#[test]
fn a_body_that_never_fits_is_refused_for_good_and_the_start_warns() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("SERVER__MAX_MEMORY", "128MiB"), ("SERVER__MAX_BODY_BYTES", "4GiB")];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let log = rig.log_tail();
    assert!(log.contains("server.max_body_bytes is 4GiB, but server.max_memory (128MiB)"), "{log}");
    let answer = rig.post(PUSH, &[("Content-Type", "application/json")], &vec![b' '; 40 << 20]);
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("server.max_memory"), "{}", answer.text());
}
