//! What do request heads cost the server, and what does it tell clients that they may send?

use super::rig::{Rig, until};
use crate::ApiConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use strandline_store::EngineConfig;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// HEADERS of a request for `/ready` with `more` behind.
fn headers(more: &[u8]) -> Vec<u8> {
    let block = [b"\x82\x86\x04\x06/ready\x01\x09localhost", more].concat();
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    [&length[1..], &[1, 5, 0, 0, 0, 1], &block].concat()
}

/// The payload of the next frame of this kind.
fn frame(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == kind {
            return payload;
        }
    }
}

#[test]
fn http_2_clients_are_told_modest_bounds() {
    let rig = Rig::start();
    let mut stream = connect(&rig);
    stream.write_all(PREFACE).unwrap();
    let settings = frame(&mut stream, 4);
    let value = |wanted: u8| {
        let entry = settings.chunks(6).find(|entry| entry[1] == wanted);
        entry.map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    assert_eq!(value(3), Some(64), "streams");
    assert_eq!(value(4).unwrap_or(65_535), 65_535, "window of a stream");
    assert!(value(6).unwrap() <= 96 << 10, "header list");
}

#[test]
fn heads_of_very_many_fields_are_refused() {
    let rig = Rig::start();
    // Indexed fields of one byte each: accept-charset, 46 bytes to the peer and more in memory.
    for (fields, status) in [(50, &b"\x88"[..]), (500, b"\x83\x69\x90\xff")] {
        let mut stream = connect(&rig);
        stream.write_all(&[PREFACE, &headers(&vec![0x8f; fields])].concat()).unwrap();
        let answer = frame(&mut stream, 1);
        assert!(answer.windows(status.len()).any(|w| w == status), "{fields}: {answer:?}");
    }
}

#[test]
fn an_http_1_head_that_does_not_end_is_refused_by_its_size() {
    let rig = Rig::start();
    let mut stream = connect(&rig);
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nx: ").unwrap();
    // The server hangs up on what comes behind its bound.
    let _ = stream.write_all(&vec![b'x'; 120 << 10]);
    let mut back = [0; 12];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1 431");
    // Grafana's long queries fit: hyper takes targets of 64 KiB.
    let reply = rig.get(&format!("/ready?{}", "x".repeat(65_000)), &[]);
    assert_eq!(reply.status, 200);
}

#[test]
fn an_http_2_answer_that_is_never_taken_ends_its_connection() {
    let config = ApiConfig { write_timeout: Duration::from_millis(200), ..ApiConfig::default() };
    let rig = Rig::with(config, EngineConfig { min_free_bytes: 0, ..EngineConfig::default() });
    let mut stream = connect(&rig);
    // SETTINGS with an initial window of nothing.
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    stream.write_all(&[&settings[..], &headers(b"")].concat()).unwrap();
    let mut back = Vec::new();
    assert!(stream.read_to_end(&mut back).is_ok(), "the server hangs up");
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0];
    assert!(
        !back.windows(9).any(|frame| frame == ping),
        "before it asks whether anybody is there, which one can answer"
    );
    until("a place that is free again", || rig.state.0.connections.open() == 0);
}

#[test]
fn the_reserve_speaks_http_1_only() {
    let config = ApiConfig { max_connections: 1, ..ApiConfig::default() };
    let rig = Rig::with(config, EngineConfig { min_free_bytes: 0, ..EngineConfig::default() });
    let mut busy = connect(&rig);
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    busy.write_all(head.as_bytes()).unwrap();
    busy.read_exact(&mut [0; 12]).unwrap();
    let mut stream = connect(&rig);
    stream.write_all(PREFACE).unwrap();
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    assert!(!back.starts_with(b"\0\0"), "{back:?} is HTTP/2");
    assert_eq!(rig.get("/ready", &[]).status, 200);
}
