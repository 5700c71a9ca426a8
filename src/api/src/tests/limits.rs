//! Does the server bound what clients can hold open, and does it stop in order?

use super::rig::{Rig, T0};
use crate::ApiConfig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use strandline_ingest::{AdmissionConfig, Intake, Sender};
use strandline_model::{MemoryBudget, MemoryClass, TenantId};
use strandline_query::QueryConfig;
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
    assert!(hangs_up(&rig, b"GET /ready HTTP/1.1\r\nhost: localhost\r\nx-slow: "), "half a header");
    assert_eq!(rig.get("/ready", &[]).status, 200);
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let rig = with(ApiConfig { body_pause: Duration::from_millis(200), ..ApiConfig::default() });
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).unwrap();
    // Agents drop what was answered with 408.
    assert!(back.starts_with("HTTP/1.1 503") && back.contains("retry-after: 1"), "{back}");
    assert!(back.contains("did not arrive in time"), "{back}");
}

/// A push of which the header announces `length` bytes and ten come.
fn announced(rig: &Rig, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{\"streams\""
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn what_is_announced_and_does_not_come_is_in_nobodys_way() {
    let rig = with(ApiConfig::default());
    for path in ["/loki/api/v1/push", "/otlp/v1/logs"] {
        let silent: Vec<TcpStream> = (0..5).map(|_| announced(&rig, path, 32 << 20)).collect();
        for _ in 0..20 {
            // The silent ones are all on their way in by now, or will be within these.
            rig.push_lines(r#"{"app":"x"}"#, &[(1, "y")]);
        }
        drop(silent);
    }
}

#[test]
fn bodies_and_pushes_under_way_are_bounded() {
    let memory = MemoryBudget::new(1 << 20, &[]);
    let small = ApiConfig {
        max_body_bytes: 400_000,
        memory: memory.clone(),
        memory_wait: Duration::from_millis(50),
        ..ApiConfig::default()
    };
    let rig = with(small);
    let push = |bytes: usize| {
        let (line, lines) = ("x".repeat(bytes.min(100_000)), bytes.div_ceil(100_000) as i64);
        let values: Vec<String> = (0..lines).map(|n| format!(r#"["{}","{line}"]"#, T0 + n)).collect();
        let values = values.join(",");
        rig.push_json(&format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[{values}]}}]}}"#))
    };
    assert_eq!(push(100).status, 204);
    // Others hold all that there is.
    for class in [MemoryClass::Ingest, MemoryClass::Decode] {
        let others = (0..8).map(|n| memory.lease(class, &TenantId::new(&format!("t{n}")).unwrap()));
        let others: Vec<_> = others.inspect(|lease| while lease.try_grow(1000).is_ok() {}).collect();
        let reply = push(100);
        assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{}", reply.text());
        assert!(reply.text().contains("server.max_memory"), "{}", reply.text());
        drop(others);
        assert_eq!(push(100).status, 204, "what was refused holds nothing");
    }
    let reply = push(500_000);
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("server.max_body_bytes"), "{}", reply.text());
    let reply = push(300_000);
    assert_eq!(reply.status, 413, "more than there ever is: no reason to come back");
    assert!(reply.text().contains("server.max_memory"), "{}", reply.text());
    assert!(memory.usage().iter().all(|usage| usage.used == 0));
}

/// A connection on which `/ready` was answered.
fn idle(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut back = Vec::new();
    while !back.ends_with(b"ready\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        back.push(byte[0]);
    }
    stream
}

/// A connection with a push whose body the server waits for.
fn busy(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut back = [0; 12];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1 100");
    stream
}

/// Asks on new connections until there is room for one.
fn until_there_is_room(rig: &Rig) {
    let begun = std::time::Instant::now();
    loop {
        let reply = rig.get("/loki/api/v1/labels", &[]);
        if reply.status == 200 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{}: {}", reply.status, reply.text());
    }
}

#[test]
fn idle_connections_give_way_and_busy_ones_do_not() {
    let rig = with(ApiConfig { max_connections: 3, ..ApiConfig::default() });
    let mut silent = TcpStream::connect(rig.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut others = [idle(&rig), idle(&rig)];
    // Three are open, all of them idle; each new one takes the place of the oldest.
    let newer = [idle(&rig), idle(&rig), idle(&rig)];
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "closed");
    for other in &mut others {
        assert_eq!(other.read(&mut [0]).unwrap(), 0, "closed");
    }
    let pushes = [busy(&rig), busy(&rig), busy(&rig)];
    let refused = rig.get("/loki/api/v1/labels", &[]);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.text().contains("server.max_connections"), "{}", refused.text());
    for path in ["/ready", "/metrics", "/health"] {
        assert_eq!(rig.get(path, &[]).status, 200, "{path}");
    }
    // Silent ones in the reserve do not keep anybody out either.
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
    assert_eq!(rig.get("/ready", &[]).status, 200);
    drop((pushes, silent, newer));
    until_there_is_room(&rig);
}

#[test]
fn one_address_has_its_own_bound() {
    let rig = with(ApiConfig { max_connections_of_address: 2, ..ApiConfig::default() });
    let pushes = [busy(&rig), busy(&rig)];
    assert_eq!(rig.get("/loki/api/v1/labels", &[]).status, 503);
    assert_eq!(rig.get("/ready", &[]).status, 200);
    drop(pushes);
    until_there_is_room(&rig);
}

#[test]
fn idle_connections_end_in_time() {
    let rig = with(ApiConfig { idle_timeout: Duration::from_millis(200), ..ApiConfig::default() });
    assert_eq!(idle(&rig).read(&mut [0]).unwrap(), 0);
    // HTTP/2: preface and empty settings, then nothing more.
    let mut stream = TcpStream::connect(rig.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    assert!(stream.read_to_end(&mut Vec::new()).is_ok());
}

#[test]
fn a_stop_lets_requests_finish_and_idle_connections_go() {
    let mut rig = with(ApiConfig { drain_timeout: Duration::from_secs(20), ..ApiConfig::default() });
    let mut idle = TcpStream::connect(rig.address).unwrap();
    idle.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut back = [0; 12];
    idle.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1 200");
    let mut busy = TcpStream::connect(rig.address).unwrap();
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","late"]]}}]}}"#);
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).unwrap();
    // The server asks for the body when the request is under way; it gets it after the stop has begun.
    let mut asked = [0; 25];
    busy.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let address = rig.address;
    let sender = std::thread::spawn(move || {
        while TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        busy.write_all(body.as_bytes()).unwrap();
        let mut back = Vec::new();
        busy.read_to_end(&mut back).unwrap();
        String::from_utf8_lossy(&back).into_owned()
    });
    rig.stop();
    assert!(sender.join().unwrap().starts_with("HTTP/1.1 204"));
    assert!(TcpStream::connect(rig.address).is_err());
}

#[test]
fn a_small_push_does_not_wait_for_large_ones() {
    let admission = AdmissionConfig { decode_slots: 1, ..AdmissionConfig::default() };
    let engine = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    let rig = Rig::with_admission(ApiConfig::default(), admission, engine, QueryConfig::default());
    let line = "x".repeat(100_000);
    let large = |n: usize| {
        let values: Vec<String> = (0..40).map(|i| format!(r#"["{}","{line}"]"#, T0 + i)).collect();
        format!(r#"{{"streams":[{{"stream":{{"app":"l{n}"}},"values":[{}]}}]}}"#, values.join(","))
    };
    // The one slot of the large ones is taken, and not given back before we say so.
    let (entered, in_slot) = mpsc::sync_channel(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let (admission, released) = (rig.state.0.admission.clone(), Mutex::new(released));
    std::thread::scope(|scope| {
        let holds = scope.spawn(move || {
            let sender = Sender::new(TenantId::default_tenant(), Arc::default());
            let feed = move |_: &mut Intake<'_>| {
                entered.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                Ok(())
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(admission.push_entries(&sender, 1 << 20, feed)).unwrap().stored
        });
        in_slot.recv().unwrap();
        let waits = scope.spawn(|| rig.push_json(&large(0)).status);
        rig.push_lines(r#"{"app":"small"}"#, &[(1, "y")]);
        assert!(!waits.is_finished());
        release.send(()).unwrap();
        assert_eq!(holds.join().unwrap(), 0);
        assert_eq!(waits.join().unwrap(), 204);
    });
    // Small as sent, large once unpacked: decoded all the same.
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(large(1).as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    assert!(packed.len() < 100_000);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(rig.post("/loki/api/v1/push", &headers, &packed).status, 204);
}
