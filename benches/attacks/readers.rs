//! Clients that ask for much: some never read what they get, some ask for all at once.

use crate::server::{Server, agent};
use crate::victim::now_ns;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOCKETS: usize = 30;
const CLIENTS: usize = 8;
/// Bytes of lines that there are to ask for.
const STORED: usize = 30 << 20;
const LINE: usize = 8 << 10;

/// Sockets that ask for a large answer each and never read.
pub fn silent(server: &Server, stop: &AtomicBool) -> String {
    fill(server, "attacker");
    let mut open: Vec<TcpStream> = Vec::new();
    let mut asked = 0;
    for n in 0..SOCKETS {
        // Different questions, or they would share an answer.
        let request =
            format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path("%7Bapp%3D%22big%22%7D", 4900 - n));
        if let Some(mut socket) = server.connect()
            && socket.write_all(request.as_bytes()).is_ok()
        {
            open.push(socket);
            asked += 1;
        }
    }
    wait(stop);
    format!("{asked} sockets asked for {} MiB each", STORED >> 20)
}

/// Clients that ask for all there is, again and again, and read it.
pub fn heavy(server: &Server, stop: &AtomicBool) -> String {
    fill(server, "attacker");
    let statuses = Mutex::new(BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let statuses = &statuses;
            scope.spawn(move || {
                let client = agent(Duration::from_secs(60));
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.get(server.url(&path("%7Bapp%3D%22big%22%7D", 4900 - n))).call();
                    let status = answer.map_or_else(
                        |e| e.to_string(),
                        |mut answer| {
                            let status = answer.status().as_u16().to_string();
                            let read =
                                std::io::copy(&mut answer.body_mut().as_reader(), &mut std::io::sink());
                            if read.is_ok() { status } else { format!("{status}, cut off") }
                        },
                    );
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
    });
    format!("{CLIENTS} clients: {:?}", statuses.into_inner().unwrap())
}

fn wait(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A question about the last hour.
pub fn path(query: &str, limit: usize) -> String {
    let now = now_ns();
    let start = now.saturating_sub(3_600_000_000_000);
    format!("/loki/api/v1/query_range?query={query}&start={start}&end={}&limit={limit}", now + 1_000_000_000)
}

/// Stores lines for `tenant`.
pub fn fill(server: &Server, tenant: &str) {
    let client = agent(Duration::from_secs(60));
    let (mut stored, mut tries) = (0, 0);
    while stored < STORED && tries < 500 {
        tries += 1;
        let now = now_ns();
        let values: Vec<_> = (0..100)
            .map(|n| {
                serde_json::json!([(now + n).to_string(), format!("{:x}", now * (n + 7)).repeat(LINE / 30)])
            })
            .collect();
        let body = serde_json::json!({"streams": [{"stream": {"app": "big"}, "values": values}]}).to_string();
        let post = client.post(server.url("/loki/api/v1/push")).header("Content-Type", "application/json");
        let post = post.header("X-Scope-OrgID", tenant);
        if post.send(&body).is_ok_and(|answer| answer.status() == 204) {
            stored += 100 * LINE;
        }
    }
}
