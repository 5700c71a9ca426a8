//! New streams without end.

use crate::server::{Server, agent};
use crate::victim::now_ns;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const CLIENTS: usize = 4;
const STREAMS: u64 = 10_000;

/// Each push has streams that were never there before.
pub fn attack(server: &Server, stop: &AtomicBool) -> String {
    let (next, statuses) = (AtomicU64::new(0), Mutex::new(BTreeMap::<String, usize>::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = agent(Duration::from_secs(60));
                while !stop.load(Ordering::Relaxed) {
                    let first = next.fetch_add(STREAMS, Ordering::Relaxed);
                    let now = now_ns();
                    let streams: Vec<String> = (first..first + STREAMS)
                        .map(|n| format!(r#"{{"stream":{{"app":"streams","pod":"pod-{n:016x}"}},"values":[["{now}","x"]]}}"#))
                        .collect();
                    let body = format!(r#"{{"streams":[{}]}}"#, streams.join(","));
                    let post = client.post(server.url("/loki/api/v1/push")).header("Content-Type", "application/json");
                    let status = post.send(&body).map_or_else(|e| e.to_string(), |a| a.status().as_u16().to_string());
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
    });
    format!("{} new streams sent: {:?}", next.into_inner(), statuses.into_inner().unwrap())
}
