//! Many honest clients at once, as fast as they can.

use crate::server::{Server, agent};
use crate::victim::now_ns;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: usize = 32;
const LINES: u128 = 5_000;

/// Each client pushes batches of a megabyte and comes again at once, whatever the answer.
pub fn attack(server: &Server, stop: &AtomicBool) -> String {
    let statuses = Mutex::new(BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let statuses = &statuses;
            scope.spawn(move || {
                let client = agent(Duration::from_secs(60));
                while !stop.load(Ordering::Relaxed) {
                    let body = batch(n);
                    let post = client
                        .post(server.url("/loki/api/v1/push"))
                        .header("Content-Type", "application/json");
                    let status =
                        post.send(&body).map_or_else(|e| e.to_string(), |a| a.status().as_u16().to_string());
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
    });
    format!("{CLIENTS} clients: {:?}", statuses.into_inner().unwrap())
}

fn batch(client: usize) -> String {
    let now = now_ns();
    let mut body = format!(r#"{{"streams":[{{"stream":{{"app":"storm","client":"{client}"}},"values":["#);
    for n in 0..LINES {
        let comma = if n == 0 { "" } else { "," };
        let line = format!(
            "GET /item/{} took {} ms, 200 OK {:032x}{:032x}{:032x}",
            now + n,
            n % 97,
            n * 31,
            now ^ n,
            now * (n + 7)
        );
        body.push_str(&format!(r#"{comma}["{}","{line}"]"#, now + n));
    }
    body.push_str("]}]}");
    body
}
