//! `strandline query`: what does a running server answer?

use crate::answer::{self, Answer};
use crate::args::{Direction, QueryArgs};
use crate::explain::Account;
use std::io::Read;
use std::time::Duration;
use strandline_model::Clock;

/// Answers beyond this are cut off as a fault rather than taken into memory.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
/// A server's reason for a refusal is one line; more is not worth showing.
const MAX_REASON_BYTES: u64 = 4096;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The server cannot be reached or the transfer broke.
    #[error("{url}: {source}; is `strandline serve` running there?")]
    Transfer {
        /// The server.
        url: String,
        /// What the HTTP client says.
        source: Box<ureq::Error>,
    },
    /// The server refused.
    #[error("the server says {status}: {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The reason in the body.
        reason: String,
    },
    /// The answer is not Loki's JSON.
    #[error("cannot read the answer: {0}")]
    Unreadable(#[from] answer::AnswerError),
    /// A flag makes no sense.
    #[error("{0}")]
    Flag(String),
}

/// Sends the query and reads the whole answer.
pub fn ask(args: &QueryArgs, clock: &dyn Clock) -> Result<Answer, AskError> {
    Ok(Answer::parse(&send(args, "/loki/api/v1/query_range", clock)?)?)
}

/// Lets the server run the query and tell what that took.
pub fn explain(args: &QueryArgs, clock: &dyn Clock) -> Result<Account, AskError> {
    Ok(Account::parse(&send(args, "/strandline/v1/explain", clock)?)?)
}

fn send(args: &QueryArgs, path: &str, clock: &dyn Clock) -> Result<Vec<u8>, AskError> {
    let (start, end) = time_range(args, clock.now_ns());
    let url = endpoint(&args.url, path)?;
    let mut request = agent().get(&url).query_pairs([
        ("query", args.query.as_str()),
        ("start", &start),
        ("end", &end),
        ("limit", &args.limit.to_string()),
        ("direction", args.direction.as_str()),
    ]);
    if let Some(tenant) = &args.org_id {
        request = request.header("X-Scope-OrgID", tenant);
    }
    if let Some(token) = &args.token {
        request = request.header("Authorization", &format!("Bearer {token}"));
    }
    let failed = |source: ureq::Error| AskError::Transfer { url: args.url.clone(), source: Box::new(source) };
    let mut response = accepted(request.call().map_err(failed)?)?;
    response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(failed)
}

/// What speaks HTTP for all commands.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        // A proxy for the internet has no business between us and a server on this machine.
        .proxy(None)
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .into()
}

/// The response, unless it is a refusal.
pub fn accepted(
    mut response: ureq::http::Response<ureq::Body>,
) -> Result<ureq::http::Response<ureq::Body>, AskError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    // A reason cut short by a broken transfer is better than none.
    let _ = response.body_mut().as_reader().take(MAX_REASON_BYTES).read_to_end(&mut body);
    let reason = String::from_utf8_lossy(&body).trim().to_owned();
    Err(AskError::Refused { status: status.as_u16(), reason })
}

/// The address of `path` on a server.
pub fn endpoint(url: &str, path: &str) -> Result<String, AskError> {
    if url.starts_with("https://") {
        return Err(AskError::Flag(format!("{url}: only http:// is spoken as yet")));
    }
    if !url.starts_with("http://") {
        return Err(AskError::Flag(format!("{url}: write the server as http://127.0.0.1:3100")));
    }
    Ok(format!("{}{path}", url.trim_end_matches('/')))
}

/// `start` and `end` as the server takes them: `--start` and `--end` verbatim, else `--since` before now.
fn time_range(args: &QueryArgs, now_ns: i64) -> (String, String) {
    let since_ns = i64::try_from(args.since.as_nanos()).unwrap_or(i64::MAX);
    let start = args.start.clone().unwrap_or_else(|| now_ns.saturating_sub(since_ns).to_string());
    // The end is exclusive, and lines of this very moment are wanted.
    let end = args.end.clone().unwrap_or_else(|| now_ns.saturating_add(1).to_string());
    (start, end)
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use strandline_model::ManualClock;

    fn args(line: &[&str]) -> QueryArgs {
        match Cli::try_parse_from(["strandline", "query"].iter().chain(line)).unwrap().command {
            Command::Query(args) => args,
            other => panic!("{other:?}"),
        }
    }

    /// Answers one request with `response` and returns the request's first line and headers.
    fn one_shot(response: &'static str) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            stream.write_all(response.as_bytes()).unwrap();
            head
        });
        (url, server)
    }

    #[test]
    fn the_request_carries_query_range_and_tenant_encoded() {
        let (url, server) = one_shot(
            "HTTP/1.1 200 OK\r\ncontent-length: 69\r\n\r\n\
             {\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":[]}}     ",
        );
        let args = args(&["{app=\"x\"} |= \"a&b c\"", "--url", &url, "--since", "1s", "--org-id", "t1"]);
        let answer = ask(&args, &ManualClock::at(5_000_000_000)).unwrap();
        assert!(answer.entries.is_empty());
        let head = server.join().unwrap();
        assert!(head[0].starts_with("GET /loki/api/v1/query_range?query=%7Bapp%3D%22x%22%7D"), "{head:?}");
        assert!(head[0].contains("a%26b"), "{head:?}");
        assert!(head[0].contains("start=4000000000&end=5000000001&limit=100&direction=backward"), "{head:?}");
        assert!(head.iter().any(|line| line.eq_ignore_ascii_case("x-scope-orgid: t1")), "{head:?}");
    }

    #[test]
    fn a_refusal_keeps_its_reason() {
        let (url, server) = one_shot("HTTP/1.1 400 Bad Request\r\ncontent-length: 12\r\n\r\nparse error\n");
        let error = ask(&args(&["{", "--url", &url]), &ManualClock::default()).unwrap_err();
        assert_eq!(error.to_string(), "the server says 400: parse error");
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{free}");
        let error = ask(&args(&["{a=\"b\"}", "--url", &url]), &ManualClock::default()).unwrap_err();
        assert!(error.to_string().starts_with(&url), "{error}");
        assert!(ask(&args(&["{}", "--url", "127.0.0.1:3100"]), &ManualClock::default()).is_err());
    }

    #[test]
    fn given_times_go_through_verbatim() {
        let args = args(&["{}", "--start", "2026-11-21T00:00:00Z", "--end", "12"]);
        assert_eq!(time_range(&args, 7), ("2026-11-21T00:00:00Z".to_owned(), "12".to_owned()));
    }
}
