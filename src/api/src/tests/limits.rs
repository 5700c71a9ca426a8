//! Does the door stay shut to those who hold it open, and does it close in order?

use super::rig::{Rig, T0};
use crate::ApiConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use strandline_store::EngineConfig;

fn with(config: ApiConfig) -> Rig {
    Rig::with(config, EngineConfig { min_free_bytes: 0, ..EngineConfig::default() })
}

/// Sends `bytes` and waits for the server to hang up.
fn hangs_up(rig: &Rig, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).is_ok()
}

#[test]
fn silent_clients_are_dropped() {
    let rig = with(ApiConfig { header_timeout: Duration::from_millis(200), ..ApiConfig::default() });
    assert!(hangs_up(&rig, b""), "nothing at all");
    assert!(hangs_up(&rig, b"P"), "HTTP/2's preface begins like a POST");
    assert!(hangs_up(&rig, b"GET /ready HTTP/1.1\r\nhost: x\r\nx-slow: "), "half a header");
    assert_eq!(rig.get("/ready", &[]).status, 200);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let rig = with(ApiConfig { body_pause: Duration::from_millis(200), ..ApiConfig::default() });
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut back = [0; 12];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1 408");
}

#[test]
fn bodies_and_pushes_under_way_are_bounded() {
    let small = ApiConfig { max_body_bytes: 1000, max_inflight_push_bytes: 500, ..ApiConfig::default() };
    let rig = with(small);
    let push = |bytes: usize| {
        let line = "x".repeat(bytes);
        rig.push_json(&format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","{line}"]]}}]}}"#))
    };
    assert_eq!(push(100).status, 204);
    let reply = push(600);
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    assert_eq!(push(2000).status, 413);
    assert_eq!(push(100).status, 204, "what was refused holds nothing");
}

#[test]
fn connections_wait_when_there_are_too_many() {
    let rig = with(ApiConfig {
        max_connections: 1,
        header_timeout: Duration::from_millis(300),
        ..ApiConfig::default()
    });
    let silent = TcpStream::connect(rig.address).unwrap();
    // Served once the silent one is dropped for being silent.
    assert_eq!(rig.get("/ready", &[]).status, 200);
    drop(silent);
}

#[test]
fn a_stop_lets_requests_finish_and_idle_connections_go() {
    let mut rig = with(ApiConfig { drain_timeout: Duration::from_secs(20), ..ApiConfig::default() });
    let mut idle = TcpStream::connect(rig.address).unwrap();
    idle.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut back = [0; 12];
    idle.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1 200");
    let mut busy = TcpStream::connect(rig.address).unwrap();
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","late"]]}}]}}"#);
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).unwrap();
    // The head has arrived before the stop, the body comes after it.
    std::thread::sleep(Duration::from_millis(100));
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        busy.write_all(body.as_bytes()).unwrap();
        let mut back = Vec::new();
        busy.read_to_end(&mut back).unwrap();
        String::from_utf8_lossy(&back).into_owned()
    });
    rig.stop();
    assert!(sender.join().unwrap().starts_with("HTTP/1.1 204"));
    assert!(TcpStream::connect(rig.address).is_err());
}
