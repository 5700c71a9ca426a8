//! What becomes of answers that nobody reads, and of queries for which there is no memory?

use super::rig::{Rig, T0, until};
use crate::ApiConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use strandline_model::MemoryBudget;
use strandline_query::QueryConfig;
use strandline_store::EngineConfig;

const LINE_BYTES: usize = 200_000;

fn rig(memory: &MemoryBudget, write_timeout: Duration, lines: usize) -> Rig {
    let api = ApiConfig { write_timeout, ..ApiConfig::default() };
    let engine = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    let query = QueryConfig { memory: memory.clone(), max_concurrent: 8, ..QueryConfig::default() };
    let rig = Rig::with_query(api, engine, query);
    let texts: Vec<String> = (0..lines).map(|n| format!("{n}{}", "x".repeat(LINE_BYTES))).collect();
    for (n, some) in texts.chunks(20).enumerate() {
        let some: Vec<(i64, &str)> = some.iter().map(|text| (n as i64, text.as_str())).collect();
        rig.push_lines("{\"a\":\"b\"}", &some);
    }
    rig
}

fn used(memory: &MemoryBudget) -> usize {
    memory.usage().iter().map(|usage| usage.used).sum()
}

fn path(limit: usize) -> String {
    format!(
        "/loki/api/v1/query_range?query=%7Ba%3D%22b%22%7D&start={}&end={}&limit={limit}",
        T0 / 1_000_000_000,
        T0 / 1_000_000_000 + 100
    )
}

#[test]
fn answers_that_nobody_reads_are_given_up_and_their_memory_is_free_again() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let rig = rig(&memory, Duration::from_millis(300), 200);
    let silent: Vec<TcpStream> = (0..4)
        .map(|n| {
            let mut socket = TcpStream::connect(rig.address).unwrap();
            let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path(200 - n));
            socket.write_all(request.as_bytes()).unwrap();
            socket
        })
        .collect();
    until("an answer", || used(&memory) > 40 * LINE_BYTES);
    until("the end of all answers", || used(&memory) == 0);
    for mut socket in silent {
        // What was on its way still comes, then the connection is cut: the answer never looks whole.
        let mut back = Vec::new();
        let _ = socket.read_to_end(&mut back);
        assert!(back.starts_with(b"HTTP/1.1 200"));
        assert!(!back.ends_with(b"0\r\n\r\n"), "an answer that was given up ends like a whole one");
    }
}

#[test]
fn an_http_2_client_that_never_opens_its_window_is_given_up() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let rig = rig(&memory, Duration::from_millis(300), 100);
    let mut socket = TcpStream::connect(rig.address).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS with an initial window of nothing.
    bytes.extend_from_slice(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    // HEADERS: GET, http, the path, an authority.
    let path = path(100);
    let mut headers = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    assert!(path.len() < 127);
    headers.extend_from_slice(path.as_bytes());
    headers.extend_from_slice(b"\x01\x09localhost");
    bytes.extend_from_slice(&[0, 0, u8::try_from(headers.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(&headers);
    socket.write_all(&bytes).unwrap();
    until("an answer", || used(&memory) > 20 * LINE_BYTES);
    until("its end", || used(&memory) == 0);
}

#[test]
fn long_answers_come_whole_to_those_who_read_them() {
    let memory = MemoryBudget::new(1 << 30, &[]);
    let rig = rig(&memory, Duration::from_secs(60), 40);
    for headers in [&[][..], &[("accept-encoding", "gzip")]] {
        let reply = rig.get(&path(40).replace("%7Ba%3D%22b%22%7D", "{a=\"b\"}"), headers);
        assert_eq!(reply.header("content-length"), "", "it is sent in pieces");
        if headers.is_empty() {
            assert_eq!(reply.lines().len(), 40);
        }
    }
    until("free memory", || used(&memory) == 0);
}

#[test]
fn heavy_queries_beyond_the_memory_wait_for_each_other() {
    let memory = MemoryBudget::new(24 << 20, &[]);
    let rig = Arc::new(rig(&memory, Duration::from_secs(60), 30));
    let asking: Vec<_> = (0..8)
        .map(|n| {
            let rig = Arc::clone(&rig);
            // Different limits, or they would share an answer.
            std::thread::spawn(move || rig.get(&path(40 - n).replace("%7Ba%3D%22b%22%7D", "{a=\"b\"}"), &[]))
        })
        .collect();
    for thread in asking {
        let reply = thread.join().unwrap();
        match reply.status {
            200 => assert_eq!(reply.lines().len(), 30),
            _ => panic!("{} {}", reply.status, reply.text()),
        }
    }
    assert!(memory.usage().iter().all(|usage| usage.peak <= memory.total()));
    until("free memory", || used(&memory) == 0);
    // What can never fit is refused, with the setting's name.
    let small = MemoryBudget::new(1 << 20, &[]);
    let rig = self::rig(&small, Duration::from_secs(60), 20);
    let reply = rig.get(&path(40).replace("%7Ba%3D%22b%22%7D", "{a=\"b\"}"), &[]);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("server.max_memory"), "{}", reply.text());
}
