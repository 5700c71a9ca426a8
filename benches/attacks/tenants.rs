//! Many clients of one tenant ask for what is dear; how long does a cheap question of another tenant take?

use crate::readers::{fill, path};
use crate::server::{Server, agent};
use crate::victim::Seen;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const CLIENTS: usize = 100;
/// The header that names a tenant.
const TENANT: &str = "X-Scope-OrgID";
/// Every line of the tenant, parsed; a different limit each, or they would share an answer.
const HEAVY: &str = "%7Bapp%3D%22big%22%7D%20%7C~%20%22%5Ba-z%5D%2B%5B0-9%5D%2Bx%3F%22%20%7C%20regexp%20%22(%3FP%3Cw%3E%5Ba-f%5D%2B)%22%20%7C%20w%3D%22zz%22";

/// A hundred heavy clients of one tenant, and one of another.
pub fn attack(server: &Server, stop: &AtomicBool) -> String {
    fill(server, "heavy");
    let mut light = Seen::default();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let answered = &answered;
            scope.spawn(move || {
                let client = agent(Duration::from_secs(60));
                while !stop.load(Ordering::Relaxed) {
                    let asked = client.get(server.url(&path(HEAVY, 4900 - n))).header(TENANT, "heavy").call();
                    answered
                        .fetch_add(usize::from(asked.is_ok_and(|a| a.status() == 200)), Ordering::Relaxed);
                }
            });
        }
        let client = agent(Duration::from_secs(60));
        while !stop.load(Ordering::Relaxed) {
            light.request(|| {
                let needle = server.url(&path("%7Bapp%3D%22victim%22%7D", 1));
                client.get(needle).header(TENANT, "victim").call().is_ok_and(|a| a.status() == 200)
            });
        }
    });
    let answered = answered.into_inner();
    format!("the other tenant's query {}, {} failed; {answered} heavy ones", light.times(), light.failed())
}
