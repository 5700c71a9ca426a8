//! `strandline tail`: what comes in at a running server, line by line?
//!
//! A connection that breaks is opened again and goes on where it was. What the server closes on purpose ends the tail,
//! with the server's reason.

use crate::answer::{AnswerError, Entry, Frame};
use crate::args::TailArgs;
use crate::output::complain;
use crate::terminal;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;
use strandline_model::Clock;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

/// A broken connection is opened again so many times in a row (as logcli does).
const MAX_RETRIES: u32 = 5;
/// Before the first of them; later ones wait longer.
const RETRY_REST: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server pings every second; a connection that is silent for so long is broken.
const MAX_SILENCE: Duration = Duration::from_secs(30);
/// After a break so many lines are caught up on at most.
const CATCH_UP: u32 = 5000;
/// Lines of one time that are remembered, not to be shown again.
const MAX_TIED: usize = 1000;

/// Why a tail ended.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The server cannot be reached, or not any more.
    #[error("{url}: {why}; is `strandline serve` running there?")]
    Unreachable {
        /// The server.
        url: String,
        /// What happened.
        why: String,
    },
    /// The server refused.
    #[error("the server says {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The reason in the body.
        reason: String,
    },
    /// The server closed the tail.
    #[error("the server closed the tail ({code}): {reason}")]
    Closed {
        /// Code of the close frame.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// A frame is not Loki's JSON.
    #[error("cannot read the answer: {0}")]
    Unreadable(#[from] AnswerError),
    /// A flag makes no sense.
    #[error("{0}")]
    Flag(String),
    /// Nobody reads the output any more, or it cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
}

/// How a connection ended.
enum End {
    /// It broke: worth another try.
    Broken(String),
    /// For good.
    Final(FollowError),
}

impl From<FollowError> for End {
    fn from(error: FollowError) -> Self {
        Self::Final(error)
    }
}

/// Where the tail is.
struct Resume {
    /// Where to begin.
    start_ns: i64,
    limit: u32,
    /// What was shown of the latest time.
    last: Vec<Entry>,
}

/// Writes lines as they come, until the server ends it or the output does.
pub fn follow(
    args: &TailArgs,
    clock: &dyn Clock,
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<(), FollowError> {
    let since_ns = i64::try_from(args.since.as_nanos()).unwrap_or(i64::MAX);
    let start_ns = clock.now_ns().saturating_sub(since_ns);
    let mut resume = Resume { start_ns, limit: args.limit, last: Vec::new() };
    let (mut was_open, mut tries) = (false, 0);
    loop {
        let end = match connect(args, &resume) {
            Ok(mut socket) => {
                (was_open, tries) = (true, 0);
                show(&mut socket, &mut resume, out, is_terminal)
            }
            Err(end) => end,
        };
        let why = match end {
            End::Final(error) => return Err(error),
            End::Broken(why) => why,
        };
        if !was_open || tries >= MAX_RETRIES {
            return Err(FollowError::Unreachable { url: args.url.clone(), why });
        }
        tries += 1;
        complain(&format!("the connection broke ({why}); trying again"));
        std::thread::sleep(RETRY_REST * tries);
    }
}

fn connect(args: &TailArgs, resume: &Resume) -> Result<WebSocket<TcpStream>, End> {
    let address = args.url.trim_end_matches('/').strip_prefix("http://").ok_or_else(|| {
        FollowError::Flag(format!("{}: write the server as http://127.0.0.1:3100", args.url))
    })?;
    let (host, _) = address.split_once('/').unwrap_or((address, ""));
    let target = format!(
        "ws://{address}/loki/api/v1/tail?query={}&start={}&limit={}",
        encoded(&args.query),
        resume.start_ns,
        resume.limit
    );
    let flag = |what: &dyn std::fmt::Display| FollowError::Flag(format!("{}: {what}", args.url));
    let mut request = target.into_client_request().map_err(|e| flag(&e))?;
    // Else live lines of a bare selector come without their metadata, and so without their level.
    let flags = HeaderValue::from_static("categorize-labels");
    request.headers_mut().insert("X-Loki-Response-Encoding-Flags", flags);
    if let Some(tenant) = &args.org_id {
        let value = HeaderValue::from_str(tenant).map_err(|e| FollowError::Flag(format!("--org-id: {e}")))?;
        request.headers_mut().insert("X-Scope-OrgID", value);
    }
    let stream = dial(host).map_err(|e| End::Broken(e.to_string()))?;
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
            let body = response.body().as_deref().unwrap_or_default();
            let reason = String::from_utf8_lossy(body).trim().to_owned();
            Err(FollowError::Refused { status: response.status().as_u16(), reason }.into())
        }
        Err(error) => Err(End::Broken(error.to_string())),
    }
}

fn dial(host: &str) -> io::Result<TcpStream> {
    let with_port = if has_port(host) { host.to_owned() } else { format!("{host}:80") };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in with_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(MAX_SILENCE))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether a port stands behind the name or the address, which may be `[::1]`.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Shows what comes until the connection ends.
fn show(
    socket: &mut WebSocket<TcpStream>,
    resume: &mut Resume,
    out: &mut dyn Write,
    is_terminal: bool,
) -> End {
    let color = terminal::stdout_has_color();
    loop {
        let frame = match socket.read() {
            Ok(Message::Text(text)) => match Frame::parse(&text) {
                Ok(frame) => frame,
                Err(error) => return End::Final(error.into()),
            },
            Ok(Message::Close(Some(frame))) => {
                let (code, reason) = (frame.code.into(), frame.reason.to_string());
                return End::Final(FollowError::Closed { code, reason });
            }
            Ok(Message::Close(None)) => return End::Broken("closed without a reason".to_owned()),
            Ok(_) => continue,
            Err(error) => return End::Broken(error.to_string()),
        };
        if let Err(error) = resume.write(frame, out, is_terminal, color) {
            return End::Final(FollowError::Output(error));
        }
    }
}

impl Resume {
    /// Writes a frame and moves on behind it.
    fn write(&mut self, frame: Frame, out: &mut dyn Write, is_terminal: bool, color: bool) -> io::Result<()> {
        for warning in &frame.warnings {
            complain(&format!("warning: {warning}"));
        }
        if frame.dropped > 0 {
            complain(&format!("{} lines were dropped: they came faster than they were read", frame.dropped));
        }
        for entry in frame.entries {
            if self.is_known(&entry) {
                continue;
            }
            if is_terminal {
                entry.write_text(out, color)?
            } else {
                entry.write_json(out)?
            }
            self.note(entry);
        }
        out.flush()
    }

    /// Whether the entry was shown before the connection broke.
    fn is_known(&self, entry: &Entry) -> bool {
        self.limit == CATCH_UP && entry.timestamp_ns == self.start_ns && self.last.contains(entry)
    }

    fn note(&mut self, entry: Entry) {
        if entry.timestamp_ns > self.start_ns || self.last.is_empty() {
            self.start_ns = entry.timestamp_ns.max(self.start_ns);
            self.last.clear();
        }
        // From here on a new connection is one that goes on.
        self.limit = CATCH_UP;
        if entry.timestamp_ns == self.start_ns && self.last.len() < MAX_TIED {
            self.last.push(entry);
        }
    }
}

/// What may not stand in a URL, as `%xx`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use std::net::TcpListener;
    use strandline_model::ManualClock;
    use tungstenite::handshake::server::{Request, Response};
    use tungstenite::protocol::CloseFrame;

    fn args(url: &str) -> TailArgs {
        let line = ["strandline", "tail", "{app=\"x\"}", "--url", url, "--since", "1s", "--org-id", "t1"];
        match Cli::try_parse_from(line).unwrap().command {
            Command::Tail(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn frame(ts: i64, line: &str) -> Message {
        let json =
            serde_json::json!({"streams": [{"stream": {"app": "x"}, "values": [[ts.to_string(), line]]}]});
        Message::text(json.to_string())
    }

    #[test]
    #[allow(clippy::result_large_err, reason = "the shape of tungstenite's callback")]
    fn a_broken_tail_goes_on_where_it_was_and_a_closed_one_ends_with_its_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut accept = || {
                let (stream, _) = listener.accept().unwrap();
                let mut target = String::new();
                let note = |request: &Request, response: Response| {
                    target = format!("{} {:?}", request.uri(), request.headers()["x-scope-orgid"]);
                    Ok(response)
                };
                let socket = tungstenite::accept_hdr(stream, note).unwrap();
                asked.push(target);
                socket
            };
            let mut first = accept();
            for (ts, line) in [(6_000_000_000, "one"), (7_000_000_000, "two")] {
                first.send(frame(ts, line)).unwrap();
            }
            drop(first);
            let mut second = accept();
            for (ts, line) in [(7_000_000_000, "two"), (7_000_000_000, "three"), (6_500_000_000, "late")] {
                second.send(frame(ts, line)).unwrap();
            }
            second.close(Some(CloseFrame { code: 1001.into(), reason: "stopping".into() })).unwrap();
            while second.read().is_ok() {}
            asked
        });
        let mut out = Vec::new();
        let clock = ManualClock::at(6_000_000_000);
        let error = follow(&args(&url), &clock, &mut out, false).unwrap_err();
        assert_eq!(error.to_string(), "the server closed the tail (1001): stopping");
        let lines: Vec<String> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_str().unwrap().into()
            })
            .collect();
        assert_eq!(lines, ["one", "two", "three", "late"]);
        let asked = server.join().unwrap();
        let query = "/loki/api/v1/tail?query=%7Bapp%3D%22x%22%7D";
        assert_eq!(asked[0], format!("{query}&start=5000000000&limit=100 \"t1\""));
        assert_eq!(asked[1], format!("{query}&start=7000000000&limit=5000 \"t1\""));
    }

    #[test]
    fn a_server_that_is_not_there_or_refuses_is_no_reason_to_try_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = io::Read::read(&mut stream, &mut request).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n\r\nparse error").unwrap();
        });
        let clock = ManualClock::default();
        let error = follow(&args(&url), &clock, &mut Vec::new(), false).unwrap_err();
        assert_eq!(error.to_string(), "the server says 400: parse error");
        server.join().unwrap();
        let error = follow(&args(&url), &clock, &mut Vec::new(), false).unwrap_err();
        assert!(matches!(error, FollowError::Unreachable { .. }), "{error}");
        assert!(matches!(
            follow(&args("127.0.0.1:3100"), &clock, &mut Vec::new(), false).unwrap_err(),
            FollowError::Flag(_)
        ));
        assert!(has_port("[::1]:3100") && has_port("a:1") && !has_port("a") && !has_port("[::1]"));
    }
}
