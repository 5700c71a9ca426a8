//! What the real server makes of a lock that was removed, of a damaged log and of a manifest that is gone.

use crate::rig::Rig;
use serde_json::json;
use std::process::Command;

fn push(rig: &Rig, n: u32) {
    let ts = (1_795_219_200_000_000_000u64 + u64::from(n)).to_string();
    let body = json!({"streams": [{"stream": {"app": "d"}, "values": [[ts, format!("line {n}")]]}]});
    assert_eq!(rig.push_json(&body), Some(204));
}

const WINDOW: [(&str, &str); 2] = [("start", "1000000000000000000"), ("end", "4000000000000000000")];

/// How many warnings the answers about labels, values and streams hold, which find one each.
fn warnings_of_lookups(rig: &Rig) -> Vec<usize> {
    let series = [WINDOW[0], WINDOW[1], ("match[]", r#"{app="d"}"#)];
    let asked = [
        ("/loki/api/v1/labels", &WINDOW[..]),
        ("/loki/api/v1/label/app/values", &WINDOW[..]),
        ("/loki/api/v1/series", &series[..]),
    ];
    let count = |(path, params): (&str, &[(&str, &str)])| {
        let answer = rig.get(path, params).json();
        assert!(answer["data"].as_array().is_some_and(|found| !found.is_empty()), "{path}: {answer}");
        answer["warnings"].as_array().map_or(0, Vec::len)
    };
    asked.into_iter().map(count).collect()
}

/// What a query says it lacks, and how many lines it finds.
fn asked(rig: &Rig) -> (usize, usize) {
    let window = WINDOW;
    let answer =
        rig.get("/loki/api/v1/query_range", &[("query", r#"{app="d"}"#), window[0], window[1]]).json();
    let streams = answer["data"]["result"].as_array().unwrap().clone();
    let lines = streams.iter().map(|s| s["values"].as_array().unwrap().len()).sum();
    (answer["warnings"].as_array().map_or(0, Vec::len), lines)
}

#[test]
fn without_its_lock_file_a_directory_is_still_one_servers() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    std::fs::remove_file(rig.dir.join("LOCK")).unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&rig.dir)
        .env("STRANDLINE_SERVER__OTLP_GRPC_LISTEN", "off")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("in use by another process"), "{said}");
    let (clean, report) = rig.verify();
    assert!(!clean && report.contains("in use by a running server"), "{report}");
    push(&rig, 1);
    assert_eq!(asked(&rig), (0, 1));
}

#[test]
fn a_lost_push_is_told_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    (1..=5).for_each(|n| push(&rig, n));
    // The last push is vouched for when the log has been idle for a moment.
    let mark = rig.dir.join("wal/mark");
    // One run of sequences: from 1, four more (schema/wal.md).
    let says = |slot: &[u8]| slot.get(56..59) == Some(&[1, 1, 4]);
    let vouched = || std::fs::read(&mark).is_ok_and(|bytes| bytes.chunks(4096).any(says));
    crate::wait::until(|| format!("no mark: {}", rig.log_tail()), vouched);
    rig.kill();
    let log = std::fs::read_dir(rig.dir.join("wal")).unwrap().map(|e| e.unwrap().path());
    let log = log.into_iter().find(|path| path.extension().is_some_and(|e| e == "wal")).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[4 * 512..].fill(0);
    std::fs::write(&log, &bytes).unwrap();
    assert!(!rig.verify().0);
    for _ in 0..2 {
        rig.start();
        assert_eq!(asked(&rig), (1, 4), "{}", rig.log_tail());
        assert_eq!(warnings_of_lookups(&rig), [1, 1, 1]);
        assert!(rig.get("/ready", &[("verbose", "1")]).text().contains("1 acknowledged pushes were lost"));
        assert!(rig.get("/metrics", &[]).text().contains("strandline_lost_frames 1"));
        assert!(rig.stop().success());
        let (clean, report) = rig.verify();
        assert!(!clean && report.contains("--accept-loss"), "{report}");
    }
    let accept = ["verify", "--accept-loss", "--data-dir"];
    let accepted =
        Command::new(env!("CARGO_BIN_EXE_strandline")).args(accept).arg(&rig.dir).output().unwrap();
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    rig.start();
    assert_eq!(asked(&rig), (0, 4));
    assert_eq!(warnings_of_lookups(&rig), [0, 0, 0]);
}

#[test]
fn a_start_does_without_the_manifests_folders_and_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    push(&rig, 1);
    assert_eq!(rig.post("/flush", &[], b"").status, 204);
    push(&rig, 2);
    rig.kill();
    std::fs::write(rig.dir.join("FORMAT"), b"\0\0\0").unwrap();
    std::fs::remove_dir_all(rig.dir.join("manifest")).unwrap();
    rig.start();
    assert_eq!(asked(&rig), (0, 2), "the copy has it");
    rig.kill();
    for lost in ["manifest", "manifest-copy"] {
        std::fs::remove_dir_all(rig.dir.join(lost)).unwrap();
    }
    rig.start();
    assert_eq!(asked(&rig), (1, 2), "deletes may be lost");
}
