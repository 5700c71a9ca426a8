//! The server under attack: the real binary, and how much memory it takes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A server on a folder of its own; ended when dropped.
pub struct Server {
    pub port: u16,
    child: Child,
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// A server with this `server.max_memory`, of one tenant or of those that requests name.
    pub fn start(max_memory: &str, tenants: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::env::var_os("SERVER_LOG").map_or_else(Stdio::null, |path| {
            Stdio::from(std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap())
        });
        let program = std::env::var_os("SERVER").unwrap_or_else(|| env!("CARGO_BIN_EXE_strandline").into());
        let mut command = Command::new(program);
        if max_memory != "unset" {
            command.env("STRANDLINE_SERVER__MAX_MEMORY", max_memory);
        }
        let child = command
            .args(["serve", "--http-listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(folder.path().join("data"))
            .env("STRANDLINE_SERVER__OTLP_GRPC_LISTEN", "off")
            .env("STRANDLINE_AUTH__ENABLED", tenants.to_string())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (pid, highest, over) = (child.id(), Arc::clone(&peak), Arc::clone(&ended));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                highest.fetch_max(anonymous_bytes(pid), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        let server = Self { port, child, peak, ended, _folder: folder };
        for _ in 0..500 {
            if server.is_alive() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server is not ready");
    }

    /// A URL of the server.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A raw connection.
    pub fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], self.port)), Duration::from_secs(5))
            .ok()
    }

    /// Whether it answers.
    pub fn is_alive(&self) -> bool {
        agent(Duration::from_secs(10))
            .get(self.url("/ready"))
            .call()
            .is_ok_and(|answer| answer.status() == 200)
    }

    /// Most anonymous memory so far: what the process allocated. Pages of files can be dropped by the system at any time.
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that takes every status for an answer.
pub fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build().into()
}

fn anonymous_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|kib| kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}
