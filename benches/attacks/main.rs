//! What do attacks do to the server, and to everybody else who uses it meanwhile?
//!
//! `cargo bench --bench attacks -- [ATTACK...]` starts the real server on a folder of its own, runs an attack against it,
//! pushes and asks `/ready` all the while as an innocent client would, and prints what that client saw and how much memory
//! the server took. `cargo test --bench attacks -- ...` does the same with the build for tests. Without a name all attacks
//! are run. `MEMORY` is `server.max_memory` (a list: `128MiB,512MiB,0`; `unset` leaves it out), `SECONDS` how long each
//! takes, `SERVER` another binary to compare with. All of it stays on the loopback interface.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by a panic")]
#![allow(clippy::print_stdout, reason = "the figures")]

mod bombs;
mod readers;
mod server;
mod slow_bodies;
mod storm;
mod streams;
mod tenants;
mod victim;

use server::Server;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The attack of one tenant on another.
const TENANTS: &str = "tenants";

/// An attack: runs against the server until it is told to stop, and says what came of it.
type Attack = fn(&Server, &AtomicBool) -> String;

const ATTACKS: [(&str, Attack); 7] = [
    ("slow-bodies", slow_bodies::attack),
    ("bombs", bombs::attack),
    ("storm", storm::attack),
    ("streams", streams::attack),
    ("silent-readers", readers::silent),
    ("heavy-queries", readers::heavy),
    (TENANTS, tenants::attack),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let memory = std::env::var("MEMORY").unwrap_or_else(|_| "128MiB,512MiB,0".to_owned());
    let seconds = std::env::var("SECONDS").map_or(15, |text| text.parse().expect("a number"));
    println!(
        "| attack | max_memory | pushes p50/p99/max | refused | /ready p50/p99/max | failed | peak anonymous | what came of it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, attack) in ATTACKS {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        for memory in memory.split(',') {
            run(name, attack, memory, Duration::from_secs(seconds));
        }
    }
}

fn run(name: &str, attack: Attack, memory: &str, time: Duration) {
    let server = Server::start(memory, name == TENANTS);
    let stop = AtomicBool::new(false);
    let (pushes, ready, came) = std::thread::scope(|scope| {
        let pushes = scope.spawn(|| victim::pushes(&server, &stop));
        let ready = scope.spawn(|| victim::asks_ready(&server, &stop));
        let attack = scope.spawn(|| attack(&server, &stop));
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        (pushes.join().unwrap(), ready.join().unwrap(), attack.join().unwrap())
    });
    let alive = if server.is_alive() { "alive" } else { "DEAD" };
    println!(
        "| {name} | {memory} | {} | {} | {} | {} | {} MiB | {came}; {alive} |",
        pushes.times(),
        pushes.failed(),
        ready.times(),
        ready.failed(),
        server.peak_bytes() >> 20
    );
}
