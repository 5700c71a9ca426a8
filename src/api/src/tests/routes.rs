//! Does any path do CPU work on the async runtime? Debug builds fail there ([`strandline_model::polling`]), which a client
//! sees as 500.

use super::rig::Rig;
use crate::ApiConfig;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use strandline_query::LogQlDeletes;
use strandline_store::EngineConfig;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// Every path that the router's source names.
fn paths() -> BTreeSet<String> {
    let source = include_str!("../router.rs");
    let texts = source.split('"').skip(1).step_by(2);
    let paths: BTreeSet<String> = texts
        .filter(|text| text.starts_with('/'))
        .map(|path| {
            ["{name}", "{namespace}", "{group}"]
                .iter()
                .fold(path.to_owned(), |path, part| path.replace(part, "app"))
        })
        .collect();
    assert!(paths.len() >= 40, "{paths:?}");
    paths
}

/// What each path says to parameters with `query` wherever one may stand.
fn ask(rig: &Rig, method: &str, path: &str, query: &str) -> (u16, String) {
    let query = query.replace('%', "%25").replace('+', "%2B").replace('&', "%26");
    let all = format!("query={query}&match[]={query}&start=1&regexp=x&log_level=info&request_id=1");
    let reply = match method {
        "POST" => rig.post(path, &[FORM], all.as_bytes()),
        method => rig.request(method, &format!("{path}?{all}")),
    };
    (reply.status, reply.text())
}

/// The status of a tail's upgrade.
fn upgrade(rig: &Rig, path: &str, query: &str) -> String {
    let mut stream = TcpStream::connect(rig.address).unwrap();
    let head = format!(
        "GET {path}?query={query} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut back = [0; 12];
    stream.read_exact(&mut back).unwrap();
    String::from_utf8_lossy(&back).into_owned()
}

#[test]
fn no_path_reads_a_query_on_the_async_runtime() {
    let engine = EngineConfig { delete_language: Some(Arc::new(LogQlDeletes)), ..EngineConfig::default() };
    let rig = Rig::with(ApiConfig::default(), EngineConfig { min_free_bytes: 0, ..engine });
    rig.push_lines(r#"{"app":"x"}"#, &[(1, "line")]);
    let mut reading = BTreeSet::new();
    for path in paths() {
        for method in METHODS {
            let (status, text) = ask(&rig, method, &path, "{app=~\"x.*y|x\"}");
            assert_ne!(status, 500, "{method} {path}: {text}");
            let (status, text) = ask(&rig, method, &path, "{app=~\"x");
            assert_ne!(status, 500, "{method} {path}: {text}");
            if text.contains("parse error") {
                reading.insert(path.clone());
            }
        }
    }
    let wanted = [
        "/api/prom/label",
        "/api/prom/label/app/values",
        "/api/prom/query",
        "/api/prom/series",
        "/loki/api/v1/delete",
        "/loki/api/v1/detected_field/app/values",
        "/loki/api/v1/detected_fields",
        "/loki/api/v1/detected_labels",
        "/loki/api/v1/format_query",
        "/loki/api/v1/index/stats",
        "/loki/api/v1/index/volume",
        "/loki/api/v1/index/volume_range",
        "/loki/api/v1/label",
        "/loki/api/v1/label/app/values",
        "/loki/api/v1/labels",
        "/loki/api/v1/patterns",
        "/loki/api/v1/query",
        "/loki/api/v1/query_range",
        "/loki/api/v1/series",
        "/strandline/v1/explain",
    ];
    assert_eq!(reading.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    for path in ["/loki/api/v1/tail", "/api/prom/tail"] {
        assert_eq!(upgrade(&rig, path, "%7Bapp%3D~%22x.*y%22%7D"), "HTTP/1.1 101", "{path}");
        assert_eq!(upgrade(&rig, path, "%7Bapp%3D~%22(%22%7D"), "HTTP/1.1 400", "{path}");
    }
}

#[test]
fn tails_wait_for_nobody_who_has_no_tenant() {
    let rig = Rig::start();
    let slots = u32::try_from(rig.state.0.reading.available_permits()).unwrap();
    let _all = rig.state.0.reading.try_acquire_many(slots).unwrap();
    for path in ["/loki/api/v1/tail", "/api/prom/tail"] {
        assert_eq!(upgrade(&rig, path, "%7Bapp%3D%22x%22%7D"), "HTTP/1.1 101", "{path}");
    }
}

#[test]
fn a_tail_without_a_websocket_is_refused_before_its_query_is_read() {
    let rig = Rig::start();
    for path in ["/loki/api/v1/tail", "/api/prom/tail"] {
        let reply = rig.get(&format!("{path}?query={{app=~\"x"), &[]);
        assert_eq!((reply.status, reply.text().as_str()), (400, "Bad Request"), "{path}");
    }
}
