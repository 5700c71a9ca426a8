//! What do the tests of the server stand on? A server of their own and a client that sees everything.

use crate::{ApiConfig, ApiState, serve};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use strandline_ingest::{Admission, AdmissionConfig, Submitter};
use strandline_model::SystemClock;
use strandline_query::{QueryConfig, QueryEngine};
use strandline_store::disk::RealDisk;
use strandline_store::{Engine, EngineConfig, Runtime};
use tokio::sync::oneshot;
use ureq::http::Response;

/// A time that is easy to recognise: 2026-11-21T00:00:00Z.
pub(super) const T0: i64 = 1_795_219_200_000_000_000;

/// A running server. Stops when dropped.
pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) runtime: Arc<Runtime>,
    pub(super) state: ApiState,
    pub(super) query: Arc<QueryEngine>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json; charset=UTF-8");
        assert!(self.body.ends_with(b"\n"));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Lines of a streams answer: label object, timestamp, line; one a row.
    pub(super) fn lines(&self) -> Vec<String> {
        let json = self.json();
        let streams = json["data"]["result"].as_array().unwrap().clone();
        let rows = streams.iter().flat_map(|s| {
            let values = s["values"].as_array().unwrap().clone();
            let labels = s["stream"].to_string();
            values.into_iter().map(move |v| {
                let ts = v[0].as_str().unwrap().parse::<i64>().unwrap() - T0;
                format!("{labels} {ts} {}", v[1].as_str().unwrap())
            })
        });
        rows.collect()
    }
}

impl Rig {
    pub(super) fn start() -> Self {
        Self::with(ApiConfig::default(), EngineConfig { min_free_bytes: 0, ..EngineConfig::default() })
    }

    pub(super) fn with(config: ApiConfig, engine: EngineConfig) -> Self {
        Self::with_query(config, engine, QueryConfig::default())
    }

    pub(super) fn with_query(config: ApiConfig, engine: EngineConfig, query: QueryConfig) -> Self {
        let admission = AdmissionConfig {
            memory: config.memory.clone(),
            memory_wait: config.memory_wait,
            ..AdmissionConfig::default()
        };
        Self::with_admission(config, admission, engine, query)
    }

    pub(super) fn with_admission(
        config: ApiConfig,
        admission: AdmissionConfig,
        engine: EngineConfig,
        query: QueryConfig,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
        let (engine, _) = Engine::open(disk, Arc::new(SystemClock::default()), engine).unwrap();
        let runtime = Arc::new(Runtime::start(Arc::clone(&engine)).unwrap());
        let query = Arc::new(QueryEngine::new(engine, query).unwrap());
        let prometheus = PrometheusBuilder::new().build_recorder().handle();
        let admission = Admission::new(Submitter::new(Arc::clone(&runtime)), admission);
        let state = ApiState::new(admission, Arc::clone(&query), config, prometheus, None);
        let kept = state.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let server = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            tokio.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(listener, state, stopped).await.unwrap();
            });
        });
        let address = told.recv().unwrap();
        Self { address, runtime, state: kept, query, stop: Some(stop), server: Some(server), _folder: folder }
    }

    /// Asks the server to stop and waits until it has.
    pub(super) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            self.server.take().unwrap().join().unwrap();
            self.runtime.stop().unwrap();
        }
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().new_agent()
    }

    fn reply(response: Result<Response<ureq::Body>, ureq::Error>) -> Reply {
        let mut response = response.unwrap();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// A GET; `path` carries its parameters, not encoded yet.
    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Self::agent().get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::reply(request.call())
    }

    /// A POST.
    pub(super) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Self::agent().post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::reply(request.send(body))
    }

    /// A request of any method without a body.
    pub(super) fn request(&self, method: &str, path: &str) -> Reply {
        let request = ureq::http::Request::builder().method(method).uri(self.url(path)).body(()).unwrap();
        Self::reply(Self::agent().run(request))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{}", self.address, encoded(path))
    }

    pub(super) fn push_json(&self, body: &str) -> Reply {
        self.post("/loki/api/v1/push", &[("content-type", "application/json")], body.as_bytes())
    }

    /// Pushes lines of one stream: label object, then seconds after [`T0`] and the line.
    pub(super) fn push_lines(&self, labels: &str, lines: &[(i64, &str)]) {
        let values: Vec<String> = lines
            .iter()
            .map(|(s, line)| {
                format!("[\"{}\",{}]", T0 + s * 1_000_000_000, serde_json::to_string(line).unwrap())
            })
            .collect();
        let body = format!("{{\"streams\":[{{\"stream\":{labels},\"values\":[{}]}}]}}", values.join(","));
        let reply = self.push_json(&body);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    /// All lines of a query over the day of [`T0`].
    pub(super) fn query(&self, query: &str, more: &str) -> Reply {
        let path = format!(
            "/loki/api/v1/query_range?query={query}&start={}&end={}&step=60{more}",
            T0,
            T0 + 86_400_000_000_000
        );
        self.get(&path, &[])
    }

    /// Sends bytes as they are and returns all that comes back until the server closes.
    pub(super) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(bytes).unwrap();
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        String::from_utf8_lossy(&back).into_owned()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Encodes what may not stand in a request line.
pub(super) fn encoded(path: &str) -> String {
    let mut out = String::new();
    for b in path.bytes() {
        match b {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'?'
            | b'='
            | b'&'
            | b'-'
            | b'_'
            | b'.'
            | b':' => {
                out.push(char::from(b));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Waits for a condition, for a minute at most.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} did not come in a minute");
}
