//! Does the real server keep everybody to what is theirs: tokens, users, scopes, tenants, label filters, TLS, and the limits
//! of tenants while they change?

use crate::rig::{Answer, Rig};
use crate::wait::until;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ALL_OF_TIME: [(&str, &str); 2] = [("start", "1000000000000000000"), ("end", "4000000000000000000")];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const T: &str = "1795219200000000000";
/// A line of team a, and one of team b that nobody of team a may ever see a word of.
const OWN: &str = "own-line";
const SECRET: &str = "secret-line";

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens by what they may do; each is its name twice.
fn tokens() -> String {
    let token = |name: &str, scopes: &str, more: &str| {
        let hash = hash(&format!("{name}-{name}"));
        format!("{{name: {name}, token_sha256: \"{hash}\", scopes: [{scopes}]{more}}}")
    };
    let all = [
        token("all", "push, query, admin", ""),
        token("operator", "operate", ""),
        token("scraper", "metrics", ""),
        token("owner", "query, admin", ", tenants: [one]"),
        token("eraser", "delete", ", tenants: [one]"),
        token("pusher", "push", ", tenants: [one]"),
        token("asker", "query", ", tenants: [one]"),
        token("team", "push, query", ", tenants: [one, two], filter: '{team=\"a\"}'"),
    ];
    format!("[{}]", all.join(", "))
}

fn rig(folder: &tempfile::TempDir, more: &[(&str, &str)]) -> Rig {
    let tokens = tokens();
    let base = [("AUTH__ENABLED", "true"), ("AUTH__MULTI_TENANT_QUERIES", "true"), ("AUTH__TOKENS", &tokens)];
    let settings: Vec<(&str, &str)> = base.iter().chain(more).copied().collect();
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    rig
}

fn bearer(name: &str) -> String {
    format!("Bearer {name}-{name}")
}

fn push(rig: &Rig, headers: &[(&str, &str)], streams: &[(&str, &str)]) -> Answer {
    let streams: Vec<_> = streams
        .iter()
        .map(|(team, line)| json!({"stream": {"app": "x", "team": team}, "values": [[T, line, {"trace": line}]]}))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([JSON]).collect();
    rig.post("/loki/api/v1/push", &headers, json!({ "streams": streams }).to_string().as_bytes())
}

#[test]
fn credentials_are_asked_for_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[]);
    for (headers, status) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer wrong-wrong")], 401),
        (vec![("Authorization", "Basic eDp3cm9uZw==")], 401),
        (vec![("X-Scope-OrgID", "one")], 401),
        // `x:asker-asker`, as Grafana sends a token that was given as a password.
        (vec![("Authorization", "Basic eDphc2tlci1hc2tlcg==")], 200),
    ] {
        let answer = rig.get_with("/loki/api/v1/labels", &headers, &ALL_OF_TIME);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status == 401 {
            assert!(answer.challenge.as_ref().unwrap().contains("Basic realm"), "{:?}", answer.challenge);
            assert!(answer.text().contains("Authorization: Bearer"), "{}", answer.text());
        }
    }
    assert_eq!((rig.get("/ready", &[]).status, rig.get("/metrics", &[]).status), (200, 401));
    for (name, status) in [("asker", 403), ("pusher", 403), ("scraper", 200), ("all", 200)] {
        let answer = rig.get_with("/metrics", &[("Authorization", &bearer(name))], &[]);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    assert!(rig.log_tail().contains("the scope admin is several now"), "{}", rig.log_tail());
    let log = std::fs::read_to_string(folder.path().join("data.log")).unwrap();
    for name in ["all", "pusher", "asker", "team"] {
        let token = format!("{name}-{name}");
        assert!(!log.contains(&token) && !log.contains(&hash(&token)), "{name} is in the log");
    }
    let settings = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["config", "--auth.tokens", &tokens()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&settings.stdout).into_owned();
    assert!(text.contains("pusher") && !text.contains(&hash("pusher-pusher")), "{text}");
}

#[test]
fn scopes_and_tenants_hold_on_every_path() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[]);
    let with = |name: &str, tenant: Option<&'static str>| {
        let mut headers = vec![("Authorization", bearer(name))];
        headers.extend(tenant.map(|tenant| ("X-Scope-OrgID", tenant.to_owned())));
        headers
    };
    fn of<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
        headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
    for (name, tenant, pushes, reads) in [
        ("pusher", None, 204, 403),
        ("pusher", Some("one"), 204, 403),
        ("pusher", Some("two"), 403, 403),
        ("asker", None, 403, 200),
        ("asker", Some("two"), 403, 403),
        ("asker", Some("one|two"), 403, 403),
        ("asker", Some("../one"), 403, 400),
        ("team", None, 401, 401),
        ("team", Some("two"), 204, 200),
        ("team", Some("one|two"), 400, 200),
        ("all", None, 401, 401),
        ("all", Some("three"), 204, 200),
    ] {
        let headers = with(name, tenant);
        let headers = of(&headers);
        let answer = push(&rig, &headers, &[("a", "x")]);
        assert_eq!(answer.status, pushes, "{name} {tenant:?}: {}", answer.text());
        for path in reading_paths() {
            let answer = rig.get_with(path, &headers, &asking("{team=~\".+\"}"));
            let metric = path.ends_with("explain");
            assert_eq!(answer.status, reads, "{path} {name} {tenant:?} {metric}: {}", answer.text());
        }
    }
    for (name, status) in [("all", 204), ("eraser", 204), ("owner", 204), ("operator", 403), ("asker", 403)] {
        let headers = with(name, Some("one"));
        let path = "/loki/api/v1/delete?query=%7Bapp%3D%22none%22%7D&start=1";
        assert_eq!(rig.post(path, &of(&headers), b"").status, status, "{name}");
        let listed = if status == 204 { 200 } else { 403 };
        assert_eq!(rig.get_with("/loki/api/v1/delete", &of(&headers), &[]).status, listed, "{name}");
        // Nobody reaches beyond their own tenants by it.
        let others = with(name, Some("two"));
        let wanted = if name == "all" { 204 } else { 403 };
        assert_eq!(rig.post(path, &of(&others), b"").status, wanted, "{name}");
    }
    let confined = ["asker", "pusher", "owner", "eraser", "scraper"].map(|name| (name, false));
    for (name, may) in [("all", true), ("operator", true)].into_iter().chain(confined) {
        let headers = with(name, Some("one"));
        let wanted = |status: u16| if may { status } else { 403 };
        for (path, status) in [("/flush", 204), ("/flush/tenant", 204), ("/log_level", 400)] {
            assert_eq!(rig.post(path, &of(&headers), b"").status, wanted(status), "{path} {name}");
        }
        for path in ["/config", "/log_level", "/ingester/prepare_shutdown"] {
            assert_eq!(rig.get_with(path, &of(&headers), &[]).status, wanted(200), "{path} {name}");
        }
        let settings = rig.get_with("/config", &of(&headers), &[]).text();
        assert!(!settings.contains(&hash("asker-asker")), "{settings}");
        if !may {
            assert_eq!(rig.post("/ingester/shutdown", &of(&headers), b"").status, 403, "{name}");
        }
    }
    for path in [
        "/config",
        "/services",
        "/log_level",
        "/config/tenant/v1/limits",
        "/loki/api/v1/drilldown-limits",
        "/loki/api/v1/format_query",
    ] {
        assert_eq!(rig.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(rig.post("/ingester/shutdown", &[], b"").status, 401);
}

/// Every path that answers with something of what is stored.
fn reading_paths() -> [&'static str; 13] {
    [
        "/loki/api/v1/query_range",
        "/loki/api/v1/query",
        "/strandline/v1/explain",
        "/loki/api/v1/labels",
        "/loki/api/v1/label",
        "/api/prom/label",
        "/loki/api/v1/label/team/values",
        "/api/prom/label/team/values",
        "/loki/api/v1/label/trace/values",
        "/loki/api/v1/series",
        "/api/prom/series",
        "/loki/api/v1/patterns",
        "/api/prom/query",
    ]
}

fn asking(query: &str) -> Vec<(&str, &str)> {
    let mut all = vec![
        ("query", query),
        ("match[]", query),
        ("limit", "1000"),
        ("time", "1795219260"),
        ("step", "400000000"),
    ];
    all.extend(ALL_OF_TIME);
    all
}

#[test]
fn nothing_behind_a_label_filter_can_be_read_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[]);
    let all = bearer("all");
    for tenant in ["one", "two"] {
        let headers = [("Authorization", all.as_str()), ("X-Scope-OrgID", tenant)];
        assert_eq!(push(&rig, &headers, &[("a", OWN), ("zz-b", SECRET)]).status, 204);
    }
    let team = bearer("team");
    for in_segments in [false, true] {
        if in_segments {
            assert_eq!(rig.post("/flush", &[("Authorization", all.as_str())], b"").status, 204);
        }
        for tenants in ["one", "two", "one|two"] {
            let headers = [("Authorization", team.as_str()), ("X-Scope-OrgID", tenants)];
            let mut seen = BTreeSet::new();
            for query in [
                "{}",
                "{team=\"zz-b\"}",
                "{team!=\"a\"}",
                "{team=~\"a|zz-b\"}",
                "{app=\"x\"} |= \"secret\" or \"own\"",
                "{app=\"x\"} | team=\"zz-b\" or team=\"a\"",
                "{app=\"x\"} | label_format team=app",
                "sum by (team, trace) (count_over_time({}[1h]))",
                "count_over_time({team=\"zz-b\"}[1h]) or count_over_time({app=\"x\"}[1h])",
                "sum(count_over_time({team=\"a\"}[1h])) by (trace) or sum(count_over_time({}[1h])) by (trace)",
                "topk(5, rate({}[1h]))",
                "label_replace(rate({}[1h]), \"x\", \"$1\", \"team\", \"(.*)\")",
                "{} or {}",
            ] {
                for path in reading_paths() {
                    let answer = rig.get_with(path, &headers, &asking(query)).text();
                    // The query itself may come back in messages and explanations.
                    let answer = answer.replace(query, "");
                    let explains = path.ends_with("explain");
                    assert!(!answer.contains(SECRET), "{path} {query} for {tenants}: {answer}");
                    assert!(explains || !answer.contains("zz-b"), "{path} {query} for {tenants}: {answer}");
                    if answer.contains(OWN) {
                        seen.insert(path);
                    }
                }
            }
            // The test sees what there is to see.
            assert!(
                seen.contains("/loki/api/v1/query_range") && seen.contains("/loki/api/v1/query"),
                "{seen:?}"
            );
        }
        let headers = [("Authorization", team.as_str()), ("X-Scope-OrgID", "one|two")];
        let sum =
            rig.get_with("/loki/api/v1/query", &headers, &asking("sum(count_over_time({}[1h]))")).json();
        assert_eq!(sum["data"]["result"][0]["value"][1], "2", "{sum}");
    }
    let headers = [("Authorization", team.as_str()), ("X-Scope-OrgID", "one")];
    let answer = push(&rig, &headers, &[("a", "second"), ("zz-b", "forged")]);
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("outside of what these credentials may write: {team=\"a\"}"),
        "{}",
        answer.text()
    );
    let headers = [("Authorization", all.as_str()), ("X-Scope-OrgID", "one")];
    let stored = rig.get_with("/loki/api/v1/query_range", &headers, &asking("{}")).text();
    assert!(stored.contains("second") && !stored.contains("forged"), "{stored}");
}

#[test]
fn exports_of_opentelemetry_are_held_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(&folder, &[]);
    let record = json!({"timeUnixNano": T, "body": {"stringValue": OWN}});
    let export = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
    for path in ["/v1/logs", "/otlp/v1/logs"] {
        let send = |name: &str, tenant: &str| {
            let bearer = bearer(name);
            let headers = [JSON, ("Authorization", &bearer), ("X-Scope-OrgID", tenant)];
            rig.post(path, &headers, export.as_bytes())
        };
        assert_eq!(rig.post(path, &[JSON], export.as_bytes()).status, 401);
        assert_eq!(send("wrong", "one").status, 401);
        assert_eq!(send("asker", "one").status, 403);
        assert_eq!(send("pusher", "two").status, 403);
        assert_eq!(send("pusher", "one").status, 204);
        // Its streams are of no team, and so outside of what this one may write.
        let outside = send("team", "one");
        assert_eq!(outside.status, 400);
        assert!(outside.text().contains("outside of what these credentials may write"), "{}", outside.text());
    }
}

#[test]
fn several_tenants_are_read_as_one_with_a_label_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(
        &folder.path().join("data"),
        &[("AUTH__ENABLED", "true"), ("AUTH__MULTI_TENANT_QUERIES", "true")],
    );
    rig.start();
    for tenant in ["b", "a"] {
        assert_eq!(push(&rig, &[("X-Scope-OrgID", tenant)], &[("t", tenant)]).status, 204);
    }
    let ask =
        |path: &str, query: &str| rig.get_with(path, &[("X-Scope-OrgID", "b|a|b")], &asking(query)).json();
    let lines = ask("/loki/api/v1/query_range", "{app=\"x\"}");
    let of_stream = |i: usize| lines["data"]["result"][i]["stream"]["__tenant_id__"].as_str().unwrap();
    assert_eq!((of_stream(0), of_stream(1)), ("a", "b"));
    assert_eq!(ask("/loki/api/v1/label/__tenant_id__/values", "{}")["data"], json!(["a", "b"]));
    let names = ask("/loki/api/v1/labels", "{}");
    assert_eq!(names["data"], json!(["__tenant_id__", "app", "service_name", "team"]));
    let sum = ask("/loki/api/v1/query", "sum(count_over_time({}[1h]))");
    assert_eq!(sum["data"]["result"][0]["value"][1], "2");
    assert_eq!(push(&rig, &[("X-Scope-OrgID", "a|b")], &[("t", "x")]).status, 400);
}

#[test]
fn a_prefix_stands_in_front_of_all_and_long_urls_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__HTTP_PATH_PREFIX", "/logs/")]);
    rig.start();
    assert_eq!(rig.get("/logs/ready", &[]).status, 200);
    assert_eq!(rig.get("/loki/api/v1/labels", &[]).status, 404);
    assert_eq!(rig.get("/logs/loki/api/v1/labels", &[]).status, 200);
    assert_eq!(rig.get("/logs/nothing", &[]).text(), "404 page not found\n");
    // As long as the HTTP library lets an URL be.
    let query = format!("{{app=\"x\"}} |= `{}`", "a".repeat(64_000));
    let answer = rig.get("/logs/loki/api/v1/query_range", &[("query", &query)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let long = "h".repeat(64_000);
    assert_eq!(rig.get_with("/logs/loki/api/v1/labels", &[("X-Long", &long)], &[]).status, 200);
}

#[test]
fn strict_is_lokis_and_not_the_default() {
    let folder = tempfile::tempdir().unwrap();
    for (strict, status) in [("false", 200), ("true", 400)] {
        let mut rig = Rig::new(&folder.path().join("data"), &[("QUERY__LOKI_STRICT", strict)]);
        rig.start();
        let range = rig.get("/loki/api/v1/query_range", &asking("{}"));
        let instant = rig.get("/loki/api/v1/query", &asking("{app=\"x\"}"));
        assert_eq!((range.status, instant.status), (status, status), "{strict}");
        for query in ["{}", "sum(rate({a=~\".*\"}[5m]))"] {
            assert_eq!(
                rig.get("/loki/api/v1/format_query", &[("query", query)]).status,
                status,
                "{strict} {query}"
            );
        }
        if strict == "true" {
            assert!(range.text().contains("queries require at least one regexp or equality matcher"));
            assert!(instant.text().contains("log queries are not supported as an instant query type"));
            assert_eq!(rig.get("/loki/api/v1/query", &asking("sum(rate({}[5m]))")).status, 400);
        }
        rig.stop();
    }
}

fn hang_up(rig: &Rig) {
    assert!(
        std::process::Command::new("kill").args(["-HUP", &rig.pid().to_string()]).status().unwrap().success()
    );
}

#[test]
fn limits_of_tenants_change_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overrides.yaml");
    std::fs::write(&file, "overrides:\n  small:\n    max_line_size: 4B\n").unwrap();
    let path = file.to_string_lossy().into_owned();
    let mut rig = Rig::new(
        &folder.path().join("data"),
        &[("AUTH__ENABLED", "true"), ("LIMITS__OVERRIDES_FILE", &path)],
    );
    rig.start();
    let status = |tenant: &str, line: &str| push(&rig, &[("X-Scope-OrgID", tenant)], &[("t", line)]).status;
    assert_eq!(
        (status("small", "12345"), status("small", "1234"), status("other", "12345")),
        (400, 204, 204)
    );
    // Broken: what held goes on to hold, and the log says where.
    std::fs::write(&file, "overrides:\n  small:\n    max_line_sise: 9B\n").unwrap();
    hang_up(&rig);
    until(
        || "a complaint".to_owned(),
        || rig.log_tail().contains("overrides.yaml:3:5: max_line_sise: unknown limit"),
    );
    assert!(rig.log_tail().contains("max_line_size"), "{}", rig.log_tail());
    assert_eq!(status("small", "12345"), 400);
    std::fs::write(&file, "overrides:\n  small:\n    max_line_size: 9B\n  slow:\n    ingestion_rate: 10\n")
        .unwrap();
    hang_up(&rig);
    until(|| "the new limit".to_owned(), || status("small", "12345") == 204);
    let answer = push(&rig, &[("X-Scope-OrgID", "slow")], &[("t", "much more than ten bytes")]);
    assert_eq!(answer.status, 429);
    assert!(answer.text().starts_with("ingestion rate limit exceeded for user slow (limit: 10 bytes/sec"));
    assert!(answer.text().contains("limits.ingestion_rate") && answer.retry_after.is_some());
    let text = "overrides:\n  hurried: {query_timeout: 1ns}\n  short: {max_query_length: 1h, required_labels: [team]}\n  \
                few: {max_global_streams_per_user: 1}\n";
    std::fs::write(&file, text).unwrap();
    hang_up(&rig);
    let ask = |tenant: &str, query: &str, end: &str| {
        let window = [("query", query), ("start", "1795219200"), ("end", end)];
        rig.get_with("/loki/api/v1/query_range", &[("X-Scope-OrgID", tenant)], &window)
    };
    until(|| "the next limits".to_owned(), || ask("hurried", "{}", "1795219260").status == 504);
    assert_eq!(ask("other", "{}", "1795219260").status, 200);
    let long = ask("short", "{team=\"t\"}", "1795230000");
    assert_eq!(
        (long.status, long.text().contains("limits.max_query_length")),
        (400, true),
        "{}",
        long.text()
    );
    let bare = ask("short", "{app=\"x\"}", "1795219260");
    assert_eq!((bare.status, bare.text().contains("limits.required_labels")), (400, true), "{}", bare.text());
    assert_eq!(ask("short", "{team=\"t\"}", "1795219260").status, 200);
    // One stream fits; the other waits, and may come again with the first.
    for _ in 0..2 {
        let answer = push(&rig, &[("X-Scope-OrgID", "few")], &[("a", "fits"), ("b", "waits")]);
        assert_eq!(answer.status, 429);
        assert!(answer.text().contains("limits.max_active_streams"), "{}", answer.text());
    }
    let stored = ask("few", "{}", "1795219260").text();
    assert!(stored.matches("\"fits\"]").count() == 1 && !stored.contains("waits"), "{stored}");
    std::fs::remove_file(&file).unwrap();
    hang_up(&rig);
    until(|| "a complaint about the lost file".to_owned(), || rig.log_tail().contains("No such file"));
    assert_eq!(ask("hurried", "{}", "1795219260").status, 504);
}

/// A certificate for `localhost`, written where the server looks.
fn certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

struct Client {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl Client {
    /// A connection that trusts this certificate alone.
    fn connect(port: u16, trusted: &[u8]) -> std::io::Result<Self> {
        Self::connect_as(port, trusted, None)
    }

    /// The same for a client with a certificate and a key.
    fn connect_as(port: u16, trusted: &[u8], own: Option<(&[u8], &[u8])>) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.to_vec().into()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = rustls::pki_types::PrivateKeyDer::try_from(key.to_vec()).unwrap();
                config.with_client_auth_cert(vec![certificate.to_vec().into()], key).unwrap()
            }
        };
        let name = "localhost".try_into().unwrap();
        let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        tls.complete_io(&mut tcp)?;
        Ok(Self { stream: rustls::StreamOwned::new(tls, tcp) })
    }

    /// The status line of an answer; the connection stays open.
    fn ready(&mut self) -> String {
        self.stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"ready\n") {
            let mut byte = [0];
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    }
}

#[test]
fn certificates_change_without_breaking_connections() {
    let folder = tempfile::tempdir().unwrap();
    let first = certificate(folder.path());
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let mut rig =
        Rig::new(&folder.path().join("data"), &[("TLS__CERT_FILE", &cert), ("TLS__KEY_FILE", &key)]);
    rig.spawn();
    let mut open = None;
    until(
        || "the server".to_owned(),
        || {
            open = Client::connect(rig.port, &first).ok();
            open.is_some()
        },
    );
    let mut open = open.unwrap();
    assert_eq!(open.ready(), "HTTP/1.1 200 OK");
    // A key that does not fit: the old certificate stays.
    let good_key = std::fs::read(folder.path().join("key.pem")).unwrap();
    std::fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    hang_up(&rig);
    until(|| "a complaint".to_owned(), || rig.log_tail().contains("the one that was stays"));
    assert_eq!(Client::connect(rig.port, &first).unwrap().ready(), "HTTP/1.1 200 OK");
    let log = rig.log_tail();
    let inside = String::from_utf8_lossy(&good_key).lines().nth(1).unwrap_or_default().to_owned();
    assert!(!log.contains("nonsense") && !log.contains(&inside), "{log}");
    let second = certificate(folder.path());
    hang_up(&rig);
    until(|| "the new certificate".to_owned(), || Client::connect(rig.port, &second).is_ok());
    assert!(Client::connect(rig.port, &first).is_err());
    // Who was there has noticed nothing.
    assert_eq!(open.ready(), "HTTP/1.1 200 OK");
    // Without TLS there is no answer.
    let mut plain = TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    plain.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut back = Vec::new();
    let _ = plain.read_to_end(&mut back);
    assert!(!back.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&back));
    assert!(rig.stop().success());
}

#[test]
fn clients_without_a_certificate_stay_outside_where_one_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let server = certificate(folder.path());
    let make = || rcgen::generate_simple_self_signed(vec!["agent".to_owned()]).unwrap();
    let (known, stranger) = (make(), make());
    std::fs::write(folder.path().join("ca.pem"), known.cert.pem()).unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (cert, key, ca) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
    let settings = [("TLS__CERT_FILE", cert.as_str()), ("TLS__KEY_FILE", &key), ("TLS__CLIENT_CA_FILE", &ca)];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.spawn();
    let ask = |own: Option<(&[u8], &[u8])>| {
        let mut client = Client::connect_as(rig.port, &server, own)?;
        client.stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut back = Vec::new();
        client.stream.read_to_end(&mut back)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&back).starts_with("HTTP/1.1 200"))
    };
    let der = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    };
    let (own, own_key) = der(&known);
    until(|| "the server".to_owned(), || ask(Some((&own, &own_key))).is_ok_and(|answered| answered));
    let (other, other_key) = der(&stranger);
    // With TLS 1.3 a client learns of its refusal when it reads.
    assert!(ask(None).is_err());
    assert!(ask(Some((&other, &other_key))).is_err());
}

#[test]
fn a_user_comes_with_the_password_that_was_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["token", "password", "ann", "--scopes", "query", "--tenant", "one"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pass word\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    // What is printed is a settings file.
    let settings = folder.path().join("settings.yaml");
    std::fs::write(&settings, output.stdout).unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[("CONFIG", &settings.to_string_lossy())]);
    rig.start();
    let ask = |value: &str| rig.get_with("/loki/api/v1/labels", &[("Authorization", value)], &[]).status;
    // `ann:pass word`, twice: the second time it is remembered; then a wrong one.
    assert_eq!((ask("Basic YW5uOnBhc3Mgd29yZA=="), ask("Basic YW5uOnBhc3Mgd29yZA==")), (200, 200));
    assert_eq!(ask("Basic YW5uOnBhc3Nfd29yZA=="), 401);
    assert_eq!(push(&rig, &[("Authorization", "Basic YW5uOnBhc3Mgd29yZA==")], &[("a", "x")]).status, 403);
}
