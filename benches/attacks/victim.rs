//! What does an innocent client see: how long its requests take, and how many fail?

use crate::server::{Server, agent};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request so often, if the one before has been answered.
const EVERY: Duration = Duration::from_millis(50);

/// Times of requests and how many failed.
#[derive(Debug, Default)]
pub struct Seen {
    times: Vec<Duration>,
    failed: usize,
}

impl Seen {
    /// Times a request; false is a failure.
    pub fn request(&mut self, ask: impl FnOnce() -> bool) {
        let begun = Instant::now();
        if !ask() {
            self.failed += 1;
        }
        self.times.push(begun.elapsed());
        std::thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }

    /// Median, 99th percentile and maximum in milliseconds.
    pub fn times(&self) -> String {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let at = |part: f64| {
            let place = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
            sorted.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        format!("{:.1}/{:.1}/{:.1} ms", at(0.5), at(0.99), at(1.0))
    }

    /// How many of all failed.
    pub fn failed(&self) -> String {
        format!("{} of {}", self.failed, self.times.len())
    }
}

/// The time as pushes have it.
pub fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Pushes small batches until it is told to stop; a push that is not stored has failed.
pub fn pushes(server: &Server, stop: &AtomicBool) -> Seen {
    let (client, mut seen) = (agent(Duration::from_secs(60)), Seen::default());
    while !stop.load(Ordering::Relaxed) {
        let now = now_ns();
        let values: Vec<_> =
            (0..20).map(|n| serde_json::json!([(now + n).to_string(), "an innocent line"])).collect();
        let body =
            serde_json::json!({"streams": [{"stream": {"app": "victim"}, "values": values}]}).to_string();
        seen.request(|| {
            let post =
                client.post(server.url("/loki/api/v1/push")).header("Content-Type", "application/json");
            post.header("X-Scope-OrgID", "victim").send(&body).is_ok_and(|answer| answer.status() == 204)
        });
    }
    seen
}

/// Asks whether the server is ready until it is told to stop.
pub fn asks_ready(server: &Server, stop: &AtomicBool) -> Seen {
    let (client, mut seen) = (agent(Duration::from_secs(60)), Seen::default());
    while !stop.load(Ordering::Relaxed) {
        seen.request(|| client.get(server.url("/ready")).call().is_ok_and(|answer| answer.status() == 200));
    }
    seen
}
