//! A running server for tests: the real binary on a folder of its own, spoken to over HTTP as a client would.

use crate::wait::until;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server and its folder.
pub struct Rig {
    pub dir: PathBuf,
    pub port: u16,
    settings: Vec<(String, String)>,
    log: PathBuf,
    open_files: Option<(u32, u32)>,
    child: Option<Child>,
    agent: ureq::Agent,
}

/// What came back for one request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub challenge: Option<String>,
    /// `X-Delete-Request-ID`
    pub request_id: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Rig {
    /// A server on `dir` with these settings (environment variable names without `STRANDLINE_`), not started yet.
    pub fn new(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(120))).build().into();
        // Tests read everything back in one answer.
        let all = ("LIMITS__MAX_ENTRIES_PER_QUERY", "10000000");
        // Servers side by side would fight for the port, and a developer may have one of their own.
        let no_grpc = ("SERVER__OTLP_GRPC_LISTEN", "off");
        let settings =
            [all, no_grpc].iter().chain(settings).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let log = dir.with_extension("log");
        Self { dir: dir.to_owned(), port: free_port(), settings, log, open_files: None, child: None, agent }
    }

    /// Puts the server's log into `folder` instead of beside the data.
    pub fn log_beside(&mut self, folder: &Path) {
        self.log = folder.join("server.log");
    }

    /// Starts the server with these limits of open files from now on (soft, hard).
    pub fn limit_open_files(&mut self, soft: u32, hard: u32) {
        self.open_files = Some((soft, hard));
    }

    /// Starts the server without a look at whether it is ready. Its log goes to `server.log` beside the data.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let program = env!("CARGO_BIN_EXE_strandline");
        let mut command = match self.open_files {
            None => Command::new(program),
            Some((soft, hard)) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
                shell.arg("-c").arg(script).arg(program);
                shell
            }
        };
        command.arg("serve").arg("--data-dir").arg(&self.dir);
        command.arg("--http-listen").arg(format!("127.0.0.1:{}", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        for (key, value) in &self.settings {
            command.env(format!("STRANDLINE_{key}"), value);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&mut self) -> Duration {
        let begun = Instant::now();
        self.spawn();
        let ready = self.url("/ready");
        let (child, agent, log) = (self.child.as_mut().unwrap(), &self.agent, &self.log);
        until(
            || format!("not ready: {}", last_lines(log)),
            || {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("the server ended with {status}: {}", last_lines(log));
                }
                agent.get(&ready).call().is_ok_and(|a| a.status() == 200)
            },
        );
        begun.elapsed()
    }

    /// The last lines that the server logged.
    pub fn log_tail(&self) -> String {
        last_lines(&self.log)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and the exit status it ends with.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        child.wait().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A POST with a body; `None` when the connection broke.
    pub fn try_post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read_answer(request.send(body).ok()?)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_post(path, headers, body).unwrap_or_else(|| panic!("POST {path} broke: {}", self.log_tail()))
    }

    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        self.get_with(path, &[], query)
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)], query: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(self.url(path)).query_pairs(query.iter().copied());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read_answer(request.call().unwrap()).unwrap()
    }

    /// A DELETE.
    pub fn delete(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        let request = self.agent.delete(self.url(path)).query_pairs(query.iter().copied());
        read_answer(request.call().unwrap()).unwrap()
    }

    /// A POST with all in its URL.
    pub fn post_query(&self, path: &str, query: &[(&str, &str)]) -> Answer {
        let request = self.agent.post(self.url(path)).query_pairs(query.iter().copied());
        read_answer(request.send_empty().unwrap()).unwrap()
    }

    /// Pushes JSON; the status.
    pub fn push_json(&self, body: &serde_json::Value) -> Option<u16> {
        let headers = [("Content-Type", "application/json")];
        self.try_post("/loki/api/v1/push", &headers, body.to_string().as_bytes()).map(|a| a.status)
    }

    /// All entries that a log query finds over all of time: stream labels as the answer prints them, timestamp, line.
    pub fn entries(&self, query: &str) -> Vec<(BTreeMap<String, String>, i64, String)> {
        let window = [("start", "1000000000000000000"), ("end", "4000000000000000000")];
        let params =
            [&[("query", query), ("limit", "10000000"), ("direction", "forward")][..], &window].concat();
        let answer = self.get("/loki/api/v1/query_range", &params);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert!(answer.get("warnings").is_none(), "{}", answer["warnings"]);
        let mut found = Vec::new();
        for stream in answer["data"]["result"].as_array().unwrap() {
            let labels: BTreeMap<String, String> = serde_json::from_value(stream["stream"].clone()).unwrap();
            for value in stream["values"].as_array().unwrap() {
                let ts = value[0].as_str().unwrap().parse().unwrap();
                found.push((labels.clone(), ts, value[1].as_str().unwrap().to_owned()));
            }
        }
        found
    }

    /// Runs `strandline verify` on the (stopped) folder: exit status and output.
    pub fn verify(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_strandline"))
            .args(["verify", "--data-dir"])
            .arg(&self.dir)
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

fn last_lines(log: &Path) -> String {
    let Ok(file) = std::fs::File::open(log) else { return String::new() };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read_answer(answer: ureq::http::Response<ureq::Body>) -> Option<Answer> {
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (retry_after, challenge, request_id) =
        (header("Retry-After"), header("WWW-Authenticate"), header("X-Delete-Request-ID"));
    let mut body = Vec::new();
    answer.into_body().into_reader().read_to_end(&mut body).ok()?;
    Some(Answer { status, retry_after, challenge, request_id, body })
}
