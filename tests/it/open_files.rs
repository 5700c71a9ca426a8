//! Does a server with few open files serve, merge and recover many segments, with clients connected?

use crate::rig::Rig;
use std::net::TcpStream;
use std::path::Path;

const SEGMENTS: i64 = 2000;
const DAY_NS: i64 = 86_400_000_000_000;

/// Thousands of folders are synced: in memory where there is a file system for that.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn metric(rig: &Rig, name: &str) -> f64 {
    let text = rig.get("/metrics", &[]).text();
    let values =
        text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[test]
fn with_256_files_two_thousand_segments_are_served_merged_and_recovered() {
    let dir = folder();
    let data = dir.path().join("data");
    let mut rig = Rig::new(&data, &[("HEAD__IDLE", "10ms")]);
    rig.limit_open_files(200, 256);
    rig.start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", rig.pid())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(limit.split_whitespace().nth(3), Some("256"), "raised to the hard limit: {limit}");
    let idle: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", rig.port)).unwrap()).collect();
    let now = strandline_now_ns();
    let values: Vec<[String; 2]> =
        (0..SEGMENTS).map(|day| [(now - day * DAY_NS).to_string(), format!("day {day}")]).collect();
    let body = serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": values}]});
    assert_eq!(rig.push_json(&body), Some(204));
    assert_eq!(rig.post("/flush", &[], b"").status, 204);
    assert_eq!(rig.entries("{app=\"x\"}").len() as i64, SEGMENTS);
    crate::wait::until(
        || format!("no merges: {}", rig.log_tail()),
        || metric(&rig, "strandline_merges_total") >= 20.0,
    );
    assert_eq!(rig.entries("{app=\"x\"}").len() as i64, SEGMENTS);
    assert_eq!(metric(&rig, "strandline_segments_damaged_total"), 0.0, "{}", rig.log_tail());
    drop(idle);
    assert!(rig.stop().success());
    for entry in std::fs::read_dir(data.join("manifest")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damaged").unwrap();
    }
    rig.start();
    assert_eq!(rig.entries("{app=\"x\"}").len() as i64, SEGMENTS);
    assert_eq!(metric(&rig, "strandline_segments_damaged_total"), 0.0, "{}", rig.log_tail());
    rig.kill();
}

fn strandline_now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as i64
}
