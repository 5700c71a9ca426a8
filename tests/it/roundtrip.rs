//! Logs go in and come back, the same lines in the same streams, whatever happens to the store in between.

use crate::rig::Rig;
use crate::wait::until;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DAY_NS: i64 = 86_400_000_000_000;

/// Services with lines of their own kind, over two days; some lines repeat, some are odd.
fn push_all(rig: &Rig) -> usize {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let mut total = 0;
    for service in ["web", "db", "cron"] {
        let line = |n: i64| match service {
            "web" => {
                format!(r#"10.0.0.{} - - "GET /item/{n} HTTP/1.1" {} {}"#, n % 250, 200 + n % 4 * 100, n * 7)
            }
            "db" => format!("level=info msg=\"checkpoint {n}\" lsn=0/{n:08X} trace={:032x}", n * 0x9E37_79B9),
            _ => format!("job {n} finished\nwith a second line, 中文 and \\ \"quotes\""),
        };
        let values: Vec<_> = (0..4000)
            .map(|n| serde_json::json!([(now - DAY_NS + n * (DAY_NS / 4000)).to_string(), line(n), {"n": n.to_string()}]))
            .collect();
        total += values.len();
        for part in values.chunks(500) {
            let body =
                serde_json::json!({"streams": [{"stream": {"app": service, "env": "test"}, "values": part}]});
            assert_eq!(rig.push_json(&body), Some(204), "{}", rig.log_tail());
        }
    }
    total
}

/// Per stream the number of lines and a hash over all of them, in order.
fn summary(rig: &Rig) -> BTreeMap<String, (usize, u64)> {
    let mut streams: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for (labels, ts, line) in rig.entries(r#"{env="test"}"#) {
        streams.entry(labels["app"].clone()).or_default().push((ts, line));
    }
    let hash = |lines: &mut Vec<(i64, String)>| {
        lines.sort();
        (lines.len(), xxhash_rust::xxh3::xxh3_64(format!("{lines:?}").as_bytes()))
    };
    streams.into_iter().map(|(app, mut lines)| (app, hash(&mut lines))).collect()
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(segment_files(&path));
        } else if path.extension().is_some_and(|e| e == "seg") {
            found.push(path);
        }
    }
    found
}

fn wait_until_compacted(rig: &Rig) {
    until(
        || format!("nothing was merged: {}", rig.log_tail()),
        || rig.get("/metrics", &[]).text().lines().any(|l| l.starts_with("strandline_merges_total")),
    );
}

#[test]
fn every_line_survives_kills_merges_and_damaged_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("HEAD__MAX_BYTES", "400KiB"),
        ("SEGMENT__BLOCK_BYTES", "32KiB"),
        ("STORAGE__MIN_FREE_BYTES", "1MiB"),
    ];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let total = push_all(&rig);
    let before = summary(&rig);
    assert_eq!(before.values().map(|(n, _)| n).sum::<usize>(), total);
    rig.kill();
    rig.start();
    assert_eq!(summary(&rig), before, "after kill -9");
    assert_eq!(rig.post("/flush", &[], b"").status, 204);
    wait_until_compacted(&rig);
    assert_eq!(summary(&rig), before, "after compaction");
    assert!(rig.stop().success());
    let (clean, report) = rig.verify();
    assert!(clean, "{report}");

    std::fs::remove_dir_all(rig.dir.join("labels")).unwrap();
    rig.start();
    assert_eq!(summary(&rig), before, "with the label index deleted");
    let values = rig.get("/loki/api/v1/label/app/values", &[("since", "72h")]).json();
    assert_eq!(values["data"], serde_json::json!(["cron", "db", "web"]));
    assert!(rig.stop().success());

    // The text index lies behind the blocks, right before the footer.
    let largest = segment_files(&rig.dir).into_iter().max_by_key(|p| p.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let at = bytes.len() - 600;
    bytes[at] ^= 0x10;
    std::fs::write(&largest, bytes).unwrap();
    assert!(!rig.verify().0, "verify must notice the damage");
    rig.start();
    assert_eq!(summary(&rig), before, "with a damaged text index");
    let found = rig.entries(r#"{env="test"} |= "checkpoint 1234""#);
    assert_eq!(found.len(), 1);
    assert!(rig.stop().success());
}

#[test]
fn a_needle_is_found_in_head_and_segments_and_a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    push_all(&rig);
    for _ in 0..2 {
        assert_eq!(rig.entries(r#"{env="test"} |= "/item/3999 ""#).len(), 1);
        assert_eq!(rig.entries(r#"{app="web"} |~ "GET /item/39[0-9]{2} ""#).len(), 100);
        assert_eq!(rig.entries(r#"{app="db"} |~ "(?i)CHECKPOINT 77 ?\"""#).len(), 1);
        assert_eq!(rig.entries(r#"{app="db"} |= "checkpoint 77\"""#).len(), 1);
        assert_eq!(rig.entries(r#"{env="test"} |= "no such thing""#).len(), 0);
        assert_eq!(rig.post("/flush", &[], b"").status, 204);
    }
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&rig.dir)
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));
}
