//! Do the requests that Grafana's Loki datasource, Logs Drilldown and logcli send get the answers that these can read? Each
//! as recorded from the clients (parameters, headers, spelling), over data in segments and in memory.

mod datasource;
mod drilldown;
mod logcli;
mod seams;
mod transport;

use crate::rig::{Answer, Rig};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The data begins here: midnight, so that steps and days fall on round numbers.
pub const T0: i64 = 1_795_219_200_000_000_000;
pub const SECOND: i64 = 1_000_000_000;
/// The data ends before this many seconds after [`T0`].
pub const END: i64 = 3600;

/// The header on every data query of the datasource.
pub const CATEGORIZE: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
pub const EXPLORE_LOGS: (&str, &str) = ("X-Query-Tags", "Source=grafana-lokiexplore-app");

/// A server with the data of these tests; one for all tests that run at a time.
pub struct Served {
    pub rig: Rig,
    _folder: tempfile::TempDir,
}

static SERVED: Mutex<Weak<Served>> = Mutex::new(Weak::new());

/// The server, started by whoever needs it first.
pub fn served() -> Arc<Served> {
    let mut known = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(served) = known.upgrade() {
        return served;
    }
    let folder = tempfile::tempdir().unwrap();
    // Loki's own limit: these clients know it.
    let limit = ("LIMITS__MAX_ENTRIES_PER_QUERY", "5000");
    let mut rig = Rig::new(&folder.path().join("data"), &[limit, ("SEGMENT__BLOCK_BYTES", "4KiB")]);
    rig.start();
    push(&rig);
    let served = Arc::new(Served { rig, _folder: folder });
    *known = Arc::downgrade(&served);
    served
}

fn stream(labels: Value, values: Vec<Value>) -> Value {
    json!({ "stream": labels, "values": values })
}

/// Half of the data is flushed, half is in memory.
fn push(rig: &Rig) {
    let at = |seconds: i64| (T0 + seconds * SECOND).to_string();
    let web = |i: i64| {
        let level = ["info", "error", "info", "warn"][i as usize % 4];
        let line = format!(
            r#"{{"level":"{level}","msg":"order {i} placed","status":{},"took":"{}ms","user":{{"id":{i}}}}}"#,
            200 + i % 4 * 100,
            i * 3
        );
        json!([at(i * 10), line, { "trace_id": format!("t{i}") }])
    };
    let pay = |i: i64| json!([at(i * 30), format!("level=info msg=\"paid {i}\" amount={i}.50 size={i}KiB")]);
    let odd = |i: i64| json!([at(60), format!("tied {i}")]);
    for half in [0, 1] {
        let web = (0..360).filter(|i| i % 2 == half).map(web).collect();
        let pay = (0..120).filter(|i| i % 2 == half).map(pay).collect();
        let mut streams = vec![
            stream(json!({ "app": "web", "env": "prod", "pod": "web-1" }), web),
            stream(json!({ "app": "pay", "env": "prod", "path": "a/b" }), pay),
        ];
        if half == 1 {
            streams.push(stream(json!({ "app": "ties" }), (0..4).map(odd).collect()));
        }
        assert_eq!(rig.push_json(&json!({ "streams": streams })), Some(204), "{}", rig.log_tail());
        if half == 0 {
            assert_eq!(rig.post("/flush", &[], b"").status, 204);
        }
    }
}

impl Served {
    /// A GET below `/loki/api/v1/` that must succeed.
    pub fn ok(&self, path: &str, headers: &[(&str, &str)], query: &[(&str, &str)]) -> Value {
        let answer = self.ask(path, headers, query);
        assert_eq!(answer.status, 200, "{path} {query:?}: {}", answer.text());
        assert!(answer.body.ends_with(b"\n"), "{}", answer.text());
        answer.json()
    }

    pub fn ask(&self, path: &str, headers: &[(&str, &str)], query: &[(&str, &str)]) -> Answer {
        self.rig.get_with(&format!("/loki/api/v1/{path}"), headers, query)
    }

    /// Times and lines of a log query, in the order of the answer.
    pub fn lines(&self, query: &[(&str, &str)]) -> Vec<(i64, String)> {
        let answer = self.ok("query_range", &[], query);
        let streams = answer["data"]["result"].as_array().unwrap();
        let values = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
        values.map(|v| (v[0].as_str().unwrap().parse().unwrap(), v[1].as_str().unwrap().to_owned())).collect()
    }

    /// Bytes of the lines and the structured metadata that a log query finds, as they were sent.
    pub fn sent_bytes(&self, query: &[(&str, &str)]) -> usize {
        let answer =
            self.ok("query_range", &[("X-Loki-Response-Encoding-Flags", "categorize-labels")], query);
        let streams = answer["data"]["result"].as_array().unwrap();
        let rows = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
        let bytes = |row: &Value| {
            let metadata = row[2]["structuredMetadata"].as_object().into_iter().flatten();
            let sent = metadata.filter(|(name, _)| *name != "detected_level");
            let metadata: usize = sent.map(|(name, value)| name.len() + value.as_str().unwrap().len()).sum();
            row[1].as_str().unwrap().len() + metadata
        };
        rows.map(bytes).sum()
    }
}

/// Nanoseconds, as the datasource writes times.
pub fn ns(seconds: i64) -> String {
    (T0 + seconds * SECOND).to_string()
}

/// RFC 3339 with milliseconds, as Drilldown writes times; within the hour of the data.
pub fn rfc(seconds: i64) -> String {
    format!("2026-11-21T{:02}:{:02}:{:02}.000Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
