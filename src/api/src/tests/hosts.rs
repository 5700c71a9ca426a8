//! Which names may clients use for the server? The rig listens on a loopback address.

use super::rig::{Rig, T0};

fn push(rig: &Rig, path: &str, headers: &str) -> String {
    let body = format!(r#"{{"streams":[{{"stream":{{"app":"p"}},"values":[["{T0}","x"]]}}]}}"#);
    let head = format!(
        "POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    rig.raw(format!("{head}{body}").as_bytes()).get(9..12).unwrap_or("").to_owned()
}

#[test]
fn agents_behind_a_proxy_push_by_whatever_name() {
    let rig = Rig::start();
    let host = "host: logs.example.com\r\n";
    assert_eq!(push(&rig, "/loki/api/v1/push", host), "204");
    assert_eq!(push(&rig, "/api/prom/push", host), "204");
    assert_ne!(push(&rig, "/otlp/v1/logs", host), "403");
    // What a browser sends is for a page, which may have bound that name to this machine.
    for sign in ["origin: http://logs.example.com\r\n", "sec-fetch-site: same-origin\r\n"] {
        assert_eq!(push(&rig, "/loki/api/v1/push", &format!("{host}{sign}")), "403", "{sign}");
    }
    // Nothing else is asked by another's name.
    assert_eq!(push(&rig, "/flush", host), "403");
    assert_eq!(push(&rig, "/loki/api/v1/labels", host), "403");
    assert!(rig.state.0.has_refused_a_host.load(std::sync::atomic::Ordering::Relaxed), "and the log says so");
}
