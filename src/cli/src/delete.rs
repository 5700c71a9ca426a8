//! `strandline delete`: which lines go, which requests are under way, and which are taken back?

use crate::args::{DeleteAction, DeleteArgs};
use crate::ask::{AskError, accepted, agent, endpoint};
use crate::table::{self, Align};
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;
use std::io::{self, Write};

const PATH: &str = "/loki/api/v1/delete";
/// Longer lists are cut off as a fault rather than taken into memory.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// What the server said.
#[derive(Debug)]
pub enum Told {
    /// The number of a new request.
    Taken(String),
    /// A request was taken back.
    Cancelled,
    /// All requests, as they came and read.
    Requests(Vec<u8>, Vec<Request>),
}

/// A request, as the server lists it.
#[derive(Debug, Deserialize)]
pub struct Request {
    request_id: String,
    start_time: f64,
    end_time: f64,
    query: String,
    status: String,
}

/// Does what the flags say.
pub fn run(args: &DeleteArgs) -> Result<Told, AskError> {
    let url = endpoint(&args.url, PATH)?;
    let failed = |source: ureq::Error| AskError::Transfer { url: args.url.clone(), source: Box::new(source) };
    let tenant = args.org_id.iter().map(|tenant| ("X-Scope-OrgID", tenant.as_str()));
    let agent = agent();
    match &args.action {
        DeleteAction::Create { query, start, end } => {
            let mut params = vec![("query", query.as_str()), ("start", start)];
            params.extend(end.iter().map(|end| ("end", end.as_str())));
            let request = tenant.fold(agent.post(&url).query_pairs(params), |r, (n, v)| r.header(n, v));
            let response = accepted(request.send_empty().map_err(failed)?)?;
            let id = response.headers().get("x-delete-request-id").and_then(|id| id.to_str().ok());
            Ok(Told::Taken(id.unwrap_or_default().to_owned()))
        }
        DeleteAction::Cancel { id } => {
            let request = agent.delete(&url).query("request_id", id);
            let request = tenant.fold(request, |r, (n, v)| r.header(n, v));
            accepted(request.call().map_err(failed)?).map(|_| Told::Cancelled)
        }
        DeleteAction::List => {
            let request = tenant.fold(agent.get(&url), |r, (n, v)| r.header(n, v));
            let mut response = accepted(request.call().map_err(failed)?)?;
            let body =
                response.body_mut().with_config().limit(MAX_LIST_BYTES).read_to_vec().map_err(failed)?;
            let requests =
                serde_json::from_slice(&body).map_err(|e| AskError::Flag(format!("{}: {e}", args.url)))?;
            Ok(Told::Requests(body, requests))
        }
    }
}

impl Told {
    /// A table or a number for a person, the server's JSON for a program.
    pub fn write(&self, out: &mut dyn Write, for_person: bool) -> io::Result<()> {
        match self {
            Self::Taken(id) => writeln!(out, "{}", crate::terminal::escape(id)),
            Self::Cancelled => Ok(()),
            Self::Requests(json, _) if !for_person => out.write_all(json),
            Self::Requests(_, requests) => {
                let columns = ["request", "status", "from", "to", "query"].map(|name| (name, Align::Left));
                let row = |r: &Request| {
                    let times = [r.start_time, r.end_time].map(time);
                    let [from, to] = times;
                    vec![r.request_id.clone(), r.status.clone(), from, to, r.query.clone()]
                };
                table::write(out, &columns, &requests.iter().map(row).collect::<Vec<_>>())
            }
        }
    }
}

fn time(seconds: f64) -> String {
    let time = DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64);
    time.map_or_else(|| seconds.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_a_table() {
        let json = br#"[{"request_id":"0000000a","start_time":1795219723,"end_time":1795219724.5,
            "query":"{app=\"x\"}","status":"received","created_at":1,"user_id":""}]"#;
        let told = Told::Requests(json.to_vec(), serde_json::from_slice(json).unwrap());
        let mut out = Vec::new();
        told.write(&mut out, true).unwrap();
        let text = String::from_utf8(out).unwrap();
        let wanted = "0000000a  received  2026-11-21T00:08:43Z  2026-11-21T00:08:44.500Z  {app=\"x\"}\n";
        assert_eq!(text.lines().nth(1), Some(wanted.trim_end()));
        let mut out = Vec::new();
        told.write(&mut out, false).unwrap();
        assert_eq!(out, json);
    }
}
