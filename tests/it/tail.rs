//! Does a websocket get every line once, at once, and a reason when it ends?

use crate::rig::Rig;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tungstenite::{Error, Message, WebSocket};

type Socket = WebSocket<TcpStream>;

fn now_ns() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn connect(rig: &Rig, path: &str) -> Result<Socket, (u16, String)> {
    let stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    match tungstenite::client(format!("ws://127.0.0.1:{}{path}", rig.port), stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
            Err((response.status().as_u16(), body))
        }
        Err(error) => panic!("{error}: {}", rig.log_tail()),
    }
}

fn tail(rig: &Rig, query: &str) -> Socket {
    connect(rig, &format!("/loki/api/v1/tail?query={}&limit=5000", encoded(query))).unwrap()
}

/// The next frame of JSON, or how the tail ended.
fn next(socket: &mut Socket) -> Result<Value, (u16, String)> {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => {
                let frame = frame.unwrap();
                return Err((frame.code.into(), frame.reason.to_string()));
            }
            _ => {}
        }
    }
}

fn lines(frame: &Value) -> Vec<String> {
    let streams = frame["streams"].as_array().unwrap();
    streams.iter().map(|s| s["values"][0][1].as_str().unwrap().to_owned()).collect()
}

/// Lines up to one that is `last`.
fn until(socket: &mut Socket, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    while !all.iter().any(|line| line == last) {
        all.extend(lines(&next(socket).unwrap()));
    }
    all
}

fn push(rig: &Rig, app: &str, lines: &[String]) {
    let values: Vec<Value> = lines.iter().map(|line| json!([now_ns().to_string(), line])).collect();
    let body = json!({"streams": [{"stream": {"app": app}, "values": values}]});
    assert_eq!(rig.push_json(&body), Some(204), "{}", rig.log_tail());
}

/// The value of a metric without labels; 0 when it has not appeared yet.
fn metric(rig: &Rig, name: &str) -> f64 {
    let text = rig.get("/metrics", &[]).text();
    let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0.0)
}

fn wait_for(rig: &Rig, name: &str, wanted: f64) {
    crate::wait::until(
        || format!("{name} is {}, not {wanted}", metric(rig, name)),
        || metric(rig, name) == wanted,
    );
}

fn server(settings: &[(&str, &str)]) -> (tempfile::TempDir, Rig) {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), settings);
    rig.start();
    (folder, rig)
}

#[test]
fn history_and_live_lines_meet_while_lines_come_in() {
    let (_folder, rig) = server(&[]);
    let total = 300;
    let done = AtomicBool::new(false);
    let tails = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..total {
                push(&rig, ["a", "b"][n % 2], &[format!("line {n}")]);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut tails = Vec::new();
        while !done.load(Ordering::Relaxed) && tails.len() < 200 {
            tails.push(tail(&rig, r#"{app=~"a|b"} | line_format "{{__line__}}""#));
        }
        tails
    });
    push(&rig, "a", &["the last".to_owned()]);
    assert!(tails.len() > 5, "only {} tails were opened meanwhile", tails.len());
    for mut socket in tails {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        until(&mut socket, "the last").into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
        assert_eq!(counts.len(), total + 1);
        assert!(counts.values().all(|n| *n == 1), "{counts:?}");
    }
}

#[test]
fn equal_tails_share_a_matcher_and_all_get_each_line() {
    let (_folder, rig) = server(&[]);
    let mut tails: Vec<Socket> = (0..200).map(|_| tail(&rig, r#"{app="a"} |= "x""#)).collect();
    tails.push(tail(&rig, r#"{app="b"}"#));
    wait_for(&rig, "strandline_tails_open", 201.0);
    assert_eq!(metric(&rig, "strandline_tail_matchers"), 2.0);
    push(&rig, "a", &["x1".to_owned(), "y1".to_owned()]);
    push(&rig, "b", &["z".to_owned()]);
    push(&rig, "a", &["x2".to_owned()]);
    let mut other = tails.pop().unwrap();
    assert_eq!(until(&mut other, "z"), ["z"]);
    for socket in &mut tails {
        assert_eq!(until(socket, "x2"), ["x1", "x2"]);
    }
    assert!(metric(&rig, "strandline_tail_frames_total") >= 201.0);
    drop((tails, other));
    wait_for(&rig, "strandline_tails_open", 0.0);
    assert_eq!(metric(&rig, "strandline_tail_matchers"), 0.0);
}

#[test]
fn a_slow_client_loses_lines_and_is_told_and_no_one_else_notices() {
    let (_folder, rig) = server(&[]);
    let mut slow = tail(&rig, r#"{app="a"}"#);
    let mut quick = tail(&rig, r#"{app="a"}"#);
    wait_for(&rig, "strandline_tails_open", 2.0);
    // More than the system's buffers take, and one frame each.
    let (total, pad) = (300, "p".repeat(200_000));
    let line = |n: usize| format!("{n} {pad}");
    for n in 0..total {
        push(&rig, "a", &[line(n)]);
        // In step, so that this one is quick on any machine; it gets here only if it does not wait for the other.
        assert_eq!(until(&mut quick, &line(n)).len(), 1, "the quick one gets all");
    }
    let (mut got, mut lost, mut named) = (Vec::new(), 0, 0);
    while got.last() != Some(&(total - 1)) {
        let frame = next(&mut slow).unwrap();
        lost += frame["dropped_count"].as_u64().unwrap_or(0) as usize;
        for entry in frame["dropped_entries"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(entry["labels"]["app"], "a");
            assert!(entry["timestamp"].as_str().unwrap().parse::<i64>().unwrap() > 0);
            named += 1;
        }
        got.extend(
            lines(&frame).iter().map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap()),
        );
    }
    assert!(lost > 0 && named == lost, "{lost} lost, {named} named");
    assert_eq!(got.len() + lost, total, "each line came or was named as lost");
    assert!(got.is_sorted());
    // Counted when a frame is in all queues, which may be after a client has it.
    wait_for(&rig, "strandline_tail_dropped_entries_total{reason=\"slow_client\"}", lost as f64);
}

#[test]
fn each_end_has_its_code_and_reason() {
    let settings = [("LIMITS__MAX_CONCURRENT_TAIL_REQUESTS", "2"), ("QUERY__LOKI_STRICT", "true")];
    let (_folder, rig) = server(&settings);
    let of = |query: &str| format!("/loki/api/v1/tail?query={}", encoded(query));
    let mut numbers = connect(&rig, &of(r#"rate({app="a"}[1m])"#)).unwrap();
    assert_eq!(next(&mut numbers).unwrap_err(), (1011, "only log selector is supported".to_owned()));
    drop(numbers);
    for (path, says) in [
        (of(r#"{app="a""#), "parse error"),
        (of(r#"{app=~".*"}"#), "at least one"),
        (of(r#"{app="a"}"#) + "&delay_for=6", "delay_for can't be greater than 5"),
        (of(r#"{app="a"}"#) + "&limit=0", "limit must be a positive value"),
    ] {
        let (status, text) = connect(&rig, &path).unwrap_err();
        assert!(status == 400 && text.contains(says), "{path}: {status} {text}");
    }
    assert_eq!(rig.get("/loki/api/v1/tail", &[("query", r#"{app="a"}"#)]).status, 400);

    let open = [tail(&rig, r#"{app="a"}"#), tail(&rig, r#"{app="b"}"#)];
    wait_for(&rig, "strandline_tails_open", 2.0);
    let mut third = tail(&rig, r#"{app="a"}"#);
    let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2) \
                (limits.max_concurrent_tail_requests)";
    assert_eq!(next(&mut third).unwrap_err(), (1011, text.to_owned()));
    drop(open);
    wait_for(&rig, "strandline_tails_open", 0.0);
    drop(tail(&rig, r#"{app="a"}"#));

    let (_folder, rig) = server(&[("LIMITS__TAIL_MAX_DURATION", "1s")]);
    let mut brief = tail(&rig, r#"{app="a"}"#);
    assert_eq!(next(&mut brief).unwrap_err(), (1011, "reached tail max duration limit".to_owned()));

    let (_folder, rig) = server(&[("SERVER__MAX_TAILS", "2")]);
    let _open = [tail(&rig, r#"{app="a"}"#), tail(&rig, r#"{app="b"}"#)];
    let (status, text) = connect(&rig, &of(r#"{app="a"}"#)).unwrap_err();
    assert!(status == 503 && text.contains("server.max_tails is 2"), "{status} {text}");
}

#[test]
fn a_stop_closes_tails_with_a_reason_and_does_not_wait_for_stuck_ones() {
    let (_folder, mut rig) = server(&[]);
    let mut sockets: Vec<Socket> =
        (0..20).map(|n| tail(&rig, &format!("{{app=\"a\"}} != \"{n}\""))).collect();
    let stuck = tail(&rig, r#"{app="big"}"#);
    wait_for(&rig, "strandline_tails_open", 21.0);
    let pad = "p".repeat(200_000);
    (0..100).for_each(|_| push(&rig, "big", std::slice::from_ref(&pad)));
    let readers: Vec<_> = sockets
        .drain(..)
        .map(|mut socket| {
            std::thread::spawn(move || {
                let end = next(&mut socket).unwrap_err();
                // The library answers the close frame when it is asked for more.
                while socket.read().is_ok() {}
                end
            })
        })
        .collect();
    let status = rig.stop();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (1001, "the server is shutting down".to_owned()));
    }
    assert!(status.success(), "{}", rig.log_tail());
    assert!(!rig.log_tail().contains("did not end in time"), "{}", rig.log_tail());
    drop(stuck);
}

#[test]
fn forms_of_frames() {
    let (_folder, rig) = server(&[]);
    let ts = now_ns();
    let value = json!([ts.to_string(), "n=1 m=<x>", {"k": "v"}]);
    let body = json!({"streams": [{"stream": {"app": "a"}, "values": [value]}]});
    assert_eq!(rig.push_json(&body), Some(204));
    let query = encoded(r#"{app="a"} | logfmt"#);
    let mut plain = connect(&rig, &format!("/loki/api/v1/tail?query={query}&delay_for=5")).unwrap();
    let labels =
        json!({"app": "a", "k": "v", "m": "<x>", "n": "1", "service_name": "a", "detected_level": "unknown"});
    let mut frame = next(&mut plain).unwrap();
    // A level may or may not be found in a line without one.
    frame["streams"][0]["stream"]["detected_level"] = json!("unknown");
    assert_eq!(frame, json!({"streams": [{"stream": labels, "values": [[ts.to_string(), "n=1 m=<x>"]]}]}));
    let mut legacy = connect(&rig, &format!("/api/prom/tail?query={}", encoded(r#"{app="a"}"#))).unwrap();
    let frame = next(&mut legacy).unwrap();
    assert_eq!(frame["dropped_entries"], Value::Null);
    assert!(frame["streams"][0]["labels"].as_str().unwrap().starts_with("{app=\"a\", "), "{frame}");
    assert_eq!(frame["streams"][0]["entries"][0]["line"], "n=1 m=<x>");
    let stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    let uri = format!("ws://127.0.0.1:{}/loki/api/v1/tail?query={query}", rig.port).parse().unwrap();
    let request = tungstenite::ClientRequestBuilder::new(uri)
        .with_header("X-Loki-Response-Encoding-Flags", "categorize-labels");
    let (mut socket, _) = tungstenite::client(request, stream).unwrap();
    let frame = next(&mut socket).unwrap();
    assert_eq!(frame["encodingFlags"], json!(["categorize-labels"]));
    assert_eq!(frame["streams"][0]["stream"], json!({"app": "a", "service_name": "a"}));
    assert_eq!(frame["streams"][0]["values"][0][2]["structuredMetadata"]["k"], "v");
    assert_eq!(frame["streams"][0]["values"][0][2]["parsed"], json!({"m": "<x>", "n": "1"}));
    // What a client sends is read and ignored.
    socket.send(Message::text("hello")).unwrap();
    push(&rig, "a", &["n=2".to_owned()]);
    assert_eq!(lines(&next(&mut socket).unwrap()), ["n=2"]);
}

#[test]
fn the_command_shows_lines_as_they_come() {
    let (_folder, mut rig) = server(&[]);
    push(&rig, "a", &["before".to_owned()]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["tail", r#"{app="a"}"#, "--url", &rig.url("")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(command.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next_line = || -> Value { serde_json::from_str(&shown.next().unwrap()).unwrap() };
    assert_eq!(next_line()["line"], "before");
    push(&rig, "a", &["after".to_owned()]);
    let after = next_line();
    assert_eq!((&after["line"], &after["labels"]["app"]), (&json!("after"), &json!("a")));
    assert!(rig.stop().success());
    let output = command.wait_with_output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("closed the tail (1001): the server is shutting down"), "{error}");
}
