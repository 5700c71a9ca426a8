//! How long after its acknowledgement is a line with the client, while 1,000 tails are open?
//!
//! `cargo bench --bench tail` starts the real server on a folder of its own, opens tails (half of them few different
//! queries, half of them each its own), pushes at a steady pace, and prints the time from the acknowledgement of a push
//! to each client's receipt of each of its lines. Clients, pusher and server share the machine, so its load is printed
//! with the figures. `TAILS`, `LINES_PER_S`, `LINES_PER_PUSH`, `APPS` and `SECONDS` change what is done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by a panic")]
#![allow(clippy::print_stdout, reason = "the figures")]

use futures_util::StreamExt;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_tungstenite::tungstenite::Message;

/// Queries that are asked by many tails.
const SHARED_QUERIES: usize = 10;
/// Text in front of a line's number.
const MARK: &[u8] = b"id=";
const ID_DIGITS: usize = 10;

/// What is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    tails: usize,
    lines_per_s: usize,
    lines_per_push: usize,
    apps: usize,
    seconds: usize,
}

/// When pushes were acknowledged, and what was received.
struct Ledger {
    started: Instant,
    /// By line: nanoseconds after the start; 0 is not yet.
    acknowledged: Vec<AtomicI64>,
    received: AtomicU64,
    dropped: AtomicU64,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn start(folder: &std::path::Path) -> (Server, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["serve", "--http-listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(child);
    for _ in 0..500 {
        if ureq::get(format!("http://127.0.0.1:{port}/ready")).call().is_ok() {
            return (server, port);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the server is not ready");
}

/// Half of the tails ask few queries; of the others each has its own.
fn query(plan: &Plan, tail: usize) -> String {
    let app = tail % plan.apps;
    match tail % 2 {
        0 => format!("{{app=\"app{}\"}} |= \"id\"", (tail / 2) % SHARED_QUERIES.min(plan.apps)),
        _ => format!("{{app=\"app{app}\"}} != \"tail {tail} does not occur\""),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Reads one tail for good; the delays come back when the server closes it.
async fn follow(port: u16, query: String, ledger: Arc<Ledger>) -> Vec<(usize, i64)> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let url = format!("ws://127.0.0.1:{port}/loki/api/v1/tail?limit=1&query={}", encoded(&query));
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut receipts = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let at = ledger.started.elapsed().as_nanos() as i64;
        let bytes = text.as_bytes();
        for hit in memchr::memmem::find_iter(bytes, MARK) {
            let digits = &text[hit + MARK.len()..hit + MARK.len() + ID_DIGITS];
            receipts.push((digits.parse().unwrap(), at));
            ledger.received.fetch_add(1, Ordering::Relaxed);
        }
        if memchr::memmem::find(bytes, b"dropped_count").is_some() {
            ledger.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
    receipts
}

fn push_all(plan: &Plan, port: u16, ledger: &Ledger) {
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let every = Duration::from_secs_f64(plan.lines_per_push as f64 / plan.lines_per_s as f64);
    let begun = Instant::now();
    for (n, lines) in
        (0..ledger.acknowledged.len()).collect::<Vec<_>>().chunks(plan.lines_per_push).enumerate()
    {
        let due = every * n as u32;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let values: Vec<_> = lines
            .iter()
            .map(|id| {
                serde_json::json!([
                    (now + *id as u128 % 1000).to_string(),
                    format!("id={id:010} GET /item/{id} took 12 ms, 200 OK")
                ])
            })
            .collect();
        let stream = serde_json::json!({"app": format!("app{}", n % plan.apps)});
        let body = serde_json::json!({"streams": [{"stream": stream, "values": values}]}).to_string();
        let url = format!("http://127.0.0.1:{port}/loki/api/v1/push");
        agent.post(url).header("Content-Type", "application/json").send(body).unwrap();
        let at = ledger.started.elapsed().as_nanos() as i64;
        lines.iter().for_each(|id| ledger.acknowledged[*id].store(at, Ordering::Relaxed));
    }
}

fn report(plan: &Plan, ledger: &Ledger, receipts: &[(usize, i64)]) {
    // A line can be with a client before the pusher has read the answer.
    let delay = |(id, at): &(usize, i64)| (at - ledger.acknowledged[*id].load(Ordering::Relaxed)).max(0);
    let mut delays: Vec<i64> = receipts.iter().map(delay).collect();
    delays.sort_unstable();
    assert!(!delays.is_empty(), "no line was received");
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize] as f64 / 1e6;
    println!("{plan:?}");
    println!(
        "received {} lines, frames with losses {}",
        delays.len(),
        ledger.dropped.load(Ordering::Relaxed)
    );
    println!(
        "ack -> client in ms: p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn main() {
    let plan = Plan {
        tails: number("TAILS", 1000),
        lines_per_s: number("LINES_PER_S", 1000),
        lines_per_push: number("LINES_PER_PUSH", 10),
        apps: number("APPS", 20),
        seconds: number("SECONDS", 20),
    };
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = start(folder.path());
    println!("load average before: {}", load_average());
    let total = plan.lines_per_s * plan.seconds;
    let ledger = Arc::new(Ledger {
        started: Instant::now(),
        acknowledged: (0..total).map(|_| AtomicI64::new(0)).collect(),
        received: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let begun = Instant::now();
    let tails: Vec<_> = (0..plan.tails)
        .map(|tail| runtime.spawn(follow(port, query(&plan, tail), Arc::clone(&ledger))))
        .collect();
    let opened = format!("strandline_tails_open {}", plan.tails);
    let metrics = || {
        let answer = ureq::get(format!("http://127.0.0.1:{port}/metrics")).call();
        answer.unwrap().body_mut().read_to_string().unwrap()
    };
    while !metrics().contains(&opened) {
        assert!(begun.elapsed() < Duration::from_secs(120), "the tails do not open");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{} tails open after {:.1} s", plan.tails, begun.elapsed().as_secs_f64());
    push_all(&plan, port, &ledger);
    // Until nothing comes any more.
    let mut last = u64::MAX;
    while last != ledger.received.load(Ordering::Relaxed) {
        last = ledger.received.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
    }
    println!("load average after: {}", load_average());
    for line in metrics().lines().filter(|line| line.starts_with("strandline_tail")) {
        println!("  {line}");
    }
    drop(server);
    let receipts: Vec<(usize, i64)> =
        tails.into_iter().flat_map(|tail| runtime.block_on(tail).unwrap()).collect();
    report(&plan, &ledger, &receipts);
}
