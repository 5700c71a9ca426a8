//! Real clients against the real server: what they send is read back.
//!
//! `.ci/run` installs them under `target/peers` (`STRANDLINE_TEST_CLIENTS` names another folder): `python/` a virtual
//! environment, `node/` with its modules, `rust/` a target folder. Their sources and pinned versions are in `tests/clients`.

use crate::rig::{Rig, free_port};
use crate::wait::until;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const LINES: usize = 50;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the clients are installed.
fn installed(client: &str) -> PathBuf {
    let folder = std::env::var_os("STRANDLINE_TEST_CLIENTS");
    folder.map_or_else(|| root().join("target/peers"), PathBuf::from).join(client)
}

/// Whether `program` is there; if not, the test is skipped, or fails where all peers have to be there.
pub fn is_there(program: &Path) -> bool {
    let there = program.exists();
    if !there {
        let reason = format!("{} is missing; .ci/run installs it", program.display());
        assert!(std::env::var("STRANDLINE_TEST_PEERS").is_err(), "{reason}");
        println!("skipped: {reason}");
    }
    there
}

struct Server {
    rig: Rig,
    grpc: String,
    _folder: tempfile::TempDir,
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let grpc = format!("127.0.0.1:{}", free_port());
    let mut rig = Rig::new(&folder.path().join("data"), &[("SERVER__OTLP_GRPC_LISTEN", &grpc)]);
    rig.start();
    Server { rig, grpc, _folder: folder }
}

/// Runs a client to its end.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = format!("{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}");
    println!("{told}");
}

/// Asserts that all lines of `service` are there once, each with its metadata or label `part`.
fn assert_delivered(rig: &Rig, service: &str, labels: &[(&str, &str)]) {
    let found = rig.entries(&format!(r#"{{service_name="{service}"}}"#));
    assert_eq!(found.len(), LINES, "{service}: {:?}", found.first());
    let mut numbers = BTreeSet::new();
    for (own, _, line) in &found {
        // winston-loki appends what it cannot place; pino-loki sends its whole record as JSON.
        let number = line.split("line ").nth(1).unwrap_or_else(|| panic!("{service}: {line}"));
        let number: usize = number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        numbers.insert(number);
        let part = if number.is_multiple_of(2) { "even" } else { "odd" };
        let told = own.get("part").map_or_else(|| line.contains(part), |own| own == part);
        assert!(told, "{service}: {own:?} {line}");
        for (name, value) in labels {
            assert_eq!(own.get(*name).map(String::as_str), Some(*value), "{service}: {own:?} {line}");
        }
    }
    assert_eq!(numbers, (0..LINES).collect(), "{service}");
}

#[test]
fn python_logging_loki() {
    let python = installed("python/bin/python");
    if !is_there(&python) {
        return;
    }
    let server = server();
    let script = root().join("tests/clients/python/loki.py");
    run(Command::new(python).arg(script).arg(server.rig.url("")).arg(LINES.to_string()));
    for service in ["python-logging-loki-v0", "python-logging-loki-v1"] {
        assert_delivered(&server.rig, service, &[("severity", "warning"), ("detected_level", "warn")]);
    }
}

#[test]
fn opentelemetry_python() {
    let python = installed("python/bin/python");
    if !is_there(&python) {
        return;
    }
    let server = server();
    let script = root().join("tests/clients/python/otlp.py");
    run(Command::new(python).arg(script).arg(server.rig.url("")).arg(&server.grpc).arg(LINES.to_string()));
    for service in ["otlp-python-http", "otlp-python-gzip", "otlp-python-grpc"] {
        let wanted = [("k8s_namespace_name", "test"), ("host_name", "here"), ("detected_level", "error")];
        assert_delivered(&server.rig, service, &wanted);
    }
}

#[test]
fn pino_and_winston() {
    let folder = installed("node");
    if !is_there(&folder.join("node_modules")) {
        return;
    }
    let server = server();
    // Modules are looked for beside the script.
    let script = folder.join("loki.js");
    std::fs::copy(root().join("tests/clients/node/loki.js"), &script).unwrap();
    run(Command::new("node").arg(script).arg(server.rig.url("")).arg(LINES.to_string()));
    assert_delivered(&server.rig, "pino-loki", &[("replica", "3"), ("detected_level", "error")]);
    for service in ["winston-loki-json", "winston-loki-proto"] {
        assert_delivered(&server.rig, service, &[("level", "error")]);
    }
}

#[test]
fn tracing_loki_and_opentelemetry_rust() {
    let client = installed("rust/debug/strandline-clients");
    if !is_there(&client) {
        return;
    }
    let server = server();
    run(Command::new(client).arg(server.rig.url("")).arg(&server.grpc).arg(LINES.to_string()));
    assert_delivered(&server.rig, "tracing-loki", &[("level", "error")]);
    for service in ["otlp-rust-http", "otlp-rust-json", "otlp-rust-grpc"] {
        let wanted = [("k8s_namespace_name", "test"), ("host_name", "here"), ("detected_level", "error")];
        assert_delivered(&server.rig, service, &wanted);
    }
}

/// Ends the process with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_the_metrics() {
    let program = ["/usr/bin/prometheus", "/usr/local/bin/prometheus"].map(PathBuf::from);
    let program = program.iter().find(|path| path.exists()).unwrap_or(&program[0]).clone();
    if !is_there(&program) {
        return;
    }
    let server = server();
    let body =
        serde_json::json!({"streams": [{"stream": {"app": "a"}, "values": [["1795210260000000000", "x"]]}]});
    assert_eq!(server.rig.push_json(&body), Some(204));
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("prometheus.yml");
    let target = format!("127.0.0.1:{}", server.rig.port);
    let text = format!(
        "scrape_configs:\n- job_name: strandline\n  scrape_interval: 1s\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    std::fs::write(&settings, text).unwrap();
    let port = free_port();
    let log = std::fs::File::create(folder.path().join("prometheus.log")).unwrap();
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", settings.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let value = |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let text = ureq::get(&url).query("query", query).call().ok()?.body_mut().read_to_string().ok()?;
        let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    };
    let log = || std::fs::read_to_string(folder.path().join("prometheus.log")).unwrap_or_default();
    until(
        || format!("not scraped: {}", log()),
        || value("strandline_ingested_lines_total").as_deref() == Some("1"),
    );
    assert_eq!(value("up{job=\"strandline\"}").as_deref(), Some("1"));
}
