//! What do clients of before Loki's v1 API get? `/api/prom/query` answers lines in a form of its own.

use super::json::{put_line, put_text};
use super::logs::{self, Question};
use super::stats;
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::shared;
use crate::state::AppState;
use axum::extract::{Request, State};
use std::fmt::Write;
use std::sync::Arc;
use strandline_model::labels::write_quoted;
use strandline_model::time::Rfc3339Nano;
use strandline_query::LogResult;

/// `GET|POST /api/prom/query`: lines; `regexp` is one more filter.
pub(crate) async fn query(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let (mut params, headers) = Params::of(&state, reader.payer(), request).await?;
    if let Some(regexp) = params.get("regexp") {
        let mut text = format!("{} |~ ", params.get("query").unwrap_or(""));
        // Writing into a string does not fail.
        let _ = write_quoted(&mut text, regexp);
        params.set("query", text);
    }
    let (shared, own_reader) = (state.clone(), reader.clone());
    shared::query(&state, &reader, move |reading| {
        let Question::Log(request) =
            logs::over_range(&shared, own_reader, &params, &headers, reading.slot())?
        else {
            return Err(Failure::bad_request("legacy endpoints only support streams result type"));
        };
        reading.run(request, move |found, _| Ok(encode(found, takes_gzip(&headers))))
    })
    .await
}

fn encode(result: Arc<LogResult>, takes_gzip: bool) -> Answer {
    let mut tail = b"],\"stats\":".to_vec();
    stats::put(&mut tail, &result.stats);
    tail.extend_from_slice(b"}\n");
    let (mut stream, mut entry) = (0, 0);
    let next = move |out: &mut Vec<u8>| {
        let Some(found) = result.streams.get(stream) else { return false };
        if entry == 0 {
            out.extend_from_slice(if stream > 0 { b",{\"labels\":" } else { b"{\"labels\":" });
            put_text(out, &selector(found.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
            out.extend_from_slice(b",\"entries\":[");
        }
        if let Some(line) = found.entries.get(entry) {
            out.extend_from_slice(if entry > 0 { b",{\"ts\":" } else { b"{\"ts\":" });
            put_text(out, &Rfc3339Nano(line.ts).to_string());
            out.extend_from_slice(b",\"line\":");
            put_line(out, &line.line);
            out.push(b'}');
            entry += 1;
        }
        if entry >= found.entries.len() {
            out.extend_from_slice(b"]}");
            (stream, entry) = (stream + 1, 0);
        }
        true
    };
    Answer::of_items(b"{\"streams\":[".to_vec(), next, tail, takes_gzip)
}

/// Labels as text.
pub(crate) fn selector<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = "{".to_owned();
    for (i, (name, value)) in labels.enumerate() {
        // Writing into a string does not fail.
        let _ = write!(text, "{}{name}=", if i > 0 { ", " } else { "" });
        let _ = write_quoted(&mut text, value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_query::{ResultEntry, ResultStream};

    #[test]
    fn labels_are_text_and_times_are_rfc3339() {
        let entry = ResultEntry {
            ts: 1_500_000_000,
            line: Box::from(*b"x"),
            packed_metadata: Box::default(),
            packed_parsed: Box::default(),
        };
        let labels = vec![("a".to_owned(), "b\"".to_owned()), ("c".to_owned(), "d".to_owned())];
        let streams = vec![ResultStream { labels, entries: vec![entry] }];
        let text = encode(Arc::new(LogResult { streams, ..LogResult::default() }), false).into_text();
        let wanted = r#"{"streams":[{"labels":"{a=\"b\\\"\", c=\"d\"}","entries":[{"ts":"1970-01-01T00:00:01.5Z","line":"x"}]}],"stats":{"#;
        assert!(text.starts_with(wanted), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
