//! What can a foreign web page do through a browser that reaches the server? Requests as browsers send them, to the real
//! server on a loopback address.

use crate::rig::Rig;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const FORM: &str = "application/x-www-form-urlencoded";

/// The status of a request with these headers.
fn ask(rig: &Rig, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let has_host = headers.iter().any(|(name, _)| *name == "Host");
    let mut head = format!("{request} HTTP/1.1\r\n");
    if !has_host {
        head.push_str(&format!("Host: 127.0.0.1:{}\r\n", rig.port));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    let mut back = Vec::new();
    while !back.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{request}: {}", String::from_utf8_lossy(&back));
        back.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&back).into_owned();
    (head[9..12].parse().unwrap(), head)
}

fn rig(folder: &tempfile::TempDir, settings: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(&folder.path().join("data"), settings);
    rig.start();
    assert_eq!(
        rig.push_json(&serde_json::json!({"streams": [
            {"stream": {"app": "x"}, "values": [["1795219200000000000", "line"]]}
        ]})),
        Some(204)
    );
    rig
}

const WEBSOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const TAIL: &str = "GET /loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D";
const DELETE: &str = "POST /loki/api/v1/delete?query=%7B%7D&start=1";
const PUSH: &str = "{\"streams\": []}";

#[test]
fn foreign_pages_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = rig(&folder, &[]);
    let own = format!("http://127.0.0.1:{}", rig.port);
    for request in [
        DELETE,
        "PUT /loki/api/v1/delete?query=%7B%7D&start=1",
        "DELETE /loki/api/v1/delete?request_id=1",
        "POST /flush",
        "POST /flush/tenant",
        "POST /log_level?log_level=debug",
        "POST /ingester/prepare_shutdown",
        "DELETE /ingester/prepare_shutdown",
        "POST /ingester/shutdown",
        "POST /loki/api/v1/push",
        "POST /api/prom/push",
        "POST /otlp/v1/logs",
        "POST /v1/logs",
    ] {
        for headers in [
            [("Origin", "http://evil.example")],
            [("Origin", "null")],
            [("Sec-Fetch-Site", "cross-site")],
            [("Sec-Fetch-Site", "same-site")],
        ] {
            let (status, head) = ask(&rig, request, &headers, "");
            assert_eq!(status, 403, "{request} {headers:?}: {head}");
        }
        if !request.contains("push") && !request.contains("logs") {
            for kind in [FORM, "multipart/form-data; boundary=x", "text/plain;charset=UTF-8"] {
                let (status, head) = ask(&rig, request, &[("Content-Type", kind)], "query={}&start=1");
                assert_eq!(status, 415, "{request} {kind}: {head}");
            }
        }
    }
    for (method, path) in [("GET", "/flush"), ("GET", "/flush/tenant"), ("GET", "/ingester/shutdown")] {
        let (status, head) = ask(&rig, &format!("{method} {path}"), &[], "");
        assert!(status == 405 && head.to_ascii_lowercase().contains("allow: post"), "{head}");
    }
    assert_eq!(rig.entries("{app=\"x\"}").len(), 1, "the line is there, and so is the server");
    let deletes = rig.get("/loki/api/v1/delete", &[]).text();
    assert_eq!(deletes.trim(), "[]");
    assert_eq!(rig.get("/ingester/prepare_shutdown", &[]).text(), "unset\n");
    // The server's own pages may, and so may programs, which send none of these headers.
    for headers in [vec![], vec![("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")]] {
        assert_eq!(ask(&rig, "POST /flush", &headers, "").0, 204, "{headers:?}");
        assert_eq!(ask(&rig, "POST /log_level?log_level=info", &headers, "").0, 200, "{headers:?}");
        let json = [&headers[..], &[("Content-Type", "application/json")]].concat();
        assert_eq!(ask(&rig, "POST /loki/api/v1/push", &json, PUSH).0, 422, "{headers:?}");
        assert_eq!(ask(&rig, DELETE, &headers, "").0, 204, "{headers:?}");
    }
    // Clients ask by form.
    let (status, _) = ask(&rig, "POST /loki/api/v1/labels", &[("Content-Type", FORM)], "query={app=\"x\"}");
    assert_eq!(status, 200);
    assert!(rig.stop().success());
}

#[test]
fn tails_are_for_pages_of_the_server_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[("SERVER__ALLOWED_ORIGINS", "[\"https://app.example.com\"]")]);
    let own = format!("http://127.0.0.1:{}", rig.port);
    for path in [TAIL, &TAIL.replace("/loki/api/v1", "/api/prom")] {
        for (origin, wanted) in [
            (None, 101),
            (Some(own.as_str()), 101),
            (Some("https://app.example.com"), 101),
            (Some("http://app.example.com"), 403),
            (Some("https://evil.example"), 403),
            (Some("null"), 403),
        ] {
            let mut headers = WEBSOCKET.to_vec();
            headers.extend(origin.map(|origin| ("Origin", origin)));
            let (status, head) = ask(&rig, path, &headers, "");
            assert_eq!(status, wanted, "{path} {origin:?}: {head}");
        }
    }
}

#[test]
fn names_that_were_bound_to_this_machine_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[("SERVER__ALLOWED_HOSTS", "[logs.example.com]")]);
    for (host, wanted) in [
        ("localhost", 200),
        ("127.0.0.1:3100", 200),
        ("[::1]:3100", 200),
        ("logs.example.com", 200),
        ("evil.example:3100", 403),
        ("127.0.0.1.evil.example", 403),
    ] {
        for path in ["/loki/api/v1/labels", "/metrics", "/config"] {
            let (status, head) = ask(&rig, &format!("GET {path}"), &[("Host", host)], "");
            assert_eq!(status, wanted, "{path} {host}: {head}");
        }
        assert_eq!(ask(&rig, "GET /ready", &[("Host", host)], "").0, 200, "{host}");
    }
    // A page whose name was bound to this address counts as its own origin; the name gives it away.
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(ask(&rig, "POST /flush", &rebound, "").0, 403);
}
