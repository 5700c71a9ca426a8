//! What is there to filter by? `detected_labels`, `detected_fields` and `detected_field/{name}/values`.

use super::json::{put_int, put_text, put_texts};
use super::{labels, logs, selector, window};
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::shared;
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use std::collections::BTreeMap;
use strandline_model::TimeRange;
use strandline_query::detected::{Detected, Field};
use strandline_query::{
    Deadline, Direction, LogRequest, LogResult, Looked, QueryEngine, QueryError, Queue, Reader, Slot,
};

/// Lines that are looked at if the client does not say how many.
const DEFAULT_LINES: usize = 100;
/// Fields or values in an answer if the client does not say how many.
const DEFAULT_LIMIT: usize = 1000;

/// `GET|POST /loki/api/v1/detected_labels`
pub(crate) async fn labels(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = labels::Question::of(&state, reader, request).await?;
    let (engine, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_slot(&state, Queue::Lookup, &reader, move |slot| {
        let selector = selector::optional(&question.reader, &question.params, slot.regexes())?;
        let found = engine.detected_labels(&slot, &question.reader, question.range, &selector)?;
        Ok(Answer::json(encode_labels(&found)).packed_if(takes_gzip(&question.headers)))
    })
    .await
}

/// `GET|POST /loki/api/v1/detected_fields`
pub(crate) async fn fields(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    answer(&state, reader, request, |engine, lines, limit, deadline, gzip| {
        let found = engine.detected_fields(lines, limit, deadline)?;
        Ok(encode(found, "fields", limit, put_field, gzip))
    })
    .await
}

/// `GET|POST /loki/api/v1/detected_field/{name}/values`
pub(crate) async fn values(
    State(state): State<AppState>,
    Path(name): Path<String>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    answer(&state, reader, request, move |engine, lines, limit, deadline, gzip| {
        let found = engine.detected_values(lines, &name, limit, deadline)?;
        Ok(encode(found, "values", limit, |out, value: &String| put_text(out, value), gzip))
    })
    .await
}

/// What both questions for fields have in common.
struct Question {
    request: LogRequest,
    limit: usize,
}

impl Question {
    /// Reads the question; CPU work, for patterns are compiled.
    fn of(state: &AppState, reader: Reader, params: &Params, slot: &Slot) -> Result<Self, Failure> {
        let window = window::ordered(state, &reader, params)?;
        // Checked as Loki does, though nothing here has steps.
        window::step(params, window)?;
        let max = reader.rules().limits.max_entries_per_query;
        let lines = positive(params, "line_limit")?.unwrap_or(DEFAULT_LINES.min(max));
        if lines > max {
            return Err(logs::too_many_entries(lines, max));
        }
        let limit = match positive(params, "limit")? {
            Some(limit) => limit,
            None => positive(params, "field_limit")?.unwrap_or(DEFAULT_LIMIT),
        };
        let request = LogRequest {
            query: reader.log_query(params.get("query").unwrap_or(""), slot.regexes())?,
            reader,
            range: TimeRange::new(window.start, window.end),
            limit: lines,
            direction: Direction::Backward,
            interval_ns: 0,
            categorize: true,
        };
        Ok(Self { request, limit })
    }
}

fn positive(params: &Params, name: &str) -> Result<Option<usize>, Failure> {
    match params.whole_number(name)?.map(usize::try_from) {
        None => Ok(None),
        Some(Err(_) | Ok(0)) => Err(Failure::bad_request(format!("{name} must be a positive value"))),
        Some(Ok(number)) => Ok(Some(number)),
    }
}

async fn answer(
    state: &AppState,
    reader: Reader,
    request: Request,
    ask: impl FnOnce(&QueryEngine, &LogResult, usize, &Deadline, bool) -> Result<Answer, QueryError>
    + Send
    + 'static,
) -> Result<Answer, Failure> {
    let (params, headers) = Params::of(state, reader.payer(), request).await?;
    let (shared, own_reader) = (state.clone(), reader.clone());
    shared::query(state, &reader, move |reading| {
        let Question { request, limit } = Question::of(&shared, own_reader, &params, reading.slot())?;
        // Each line is parsed once more: as much work as the query, and more for lines of JSON.
        reading.run_and_work(request, move |lines, deadline| {
            Ok(ask(&shared.query, &lines, limit, deadline, takes_gzip(&headers))?)
        })
    })
    .await
}

/// `{"detectedLabels":[{"label":"app","cardinality":2}]}`; an empty object when there is nothing.
fn encode_labels(looked: &Looked<BTreeMap<String, usize>>) -> Vec<u8> {
    let Looked { found, warnings } = looked;
    let mut out = b"{".to_vec();
    if !found.is_empty() {
        out.extend_from_slice(b"\"detectedLabels\":");
        put_list(&mut out, found, |out, (label, cardinality)| {
            out.extend_from_slice(b"{\"label\":");
            put_text(out, label);
            out.extend_from_slice(b",\"cardinality\":");
            put_int(out, *cardinality);
            out.push(b'}');
        });
    }
    if !warnings.is_empty() {
        out.extend_from_slice(if found.is_empty() { b"\"warnings\":" } else { b",\"warnings\":" });
        put_texts(&mut out, warnings.iter().map(String::as_str));
    }
    out.extend_from_slice(b"}\n");
    out
}

/// `{"<name>":[...],"limit":1000}`, an empty object when there is nothing; and `warnings` where something could not be read.
fn encode<T: Send + 'static>(
    detected: Detected<T>,
    name: &str,
    limit: usize,
    put: impl Fn(&mut Vec<u8>, &T) + Send + 'static,
    takes_gzip: bool,
) -> Answer {
    let (mut head, mut tail) = (b"{".to_vec(), Vec::new());
    if !detected.found.is_empty() {
        put_text(&mut head, name);
        head.extend_from_slice(b":[");
        tail.extend_from_slice(b"],\"limit\":");
        put_int(&mut tail, limit);
    }
    if !detected.warnings.is_empty() {
        if !detected.found.is_empty() {
            tail.push(b',');
        }
        tail.extend_from_slice(b"\"warnings\":");
        put_texts(&mut tail, detected.warnings.iter().map(String::as_str));
    }
    tail.extend_from_slice(b"}\n");
    let item = labels::separated(detected.found.into_iter(), move |out, found| put(out, &found));
    Answer::of_items(head, item, tail, takes_gzip)
}

fn put_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, put: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

/// Structured metadata has `null` for parsers; that is how clients know it.
fn put_field(out: &mut Vec<u8>, field: &Field) {
    out.extend_from_slice(b"{\"label\":");
    put_text(out, &field.label);
    out.extend_from_slice(b",\"type\":");
    put_text(out, field.kind.name());
    out.extend_from_slice(b",\"cardinality\":");
    put_int(out, field.cardinality);
    out.extend_from_slice(b",\"parsers\":");
    match field.parsers.as_slice() {
        [] => out.extend_from_slice(b"null"),
        parsers => put_texts(out, parsers.iter().map(|parser| parser.name())),
    }
    if !field.json_path.is_empty() {
        out.extend_from_slice(b",\"jsonPath\":");
        put_texts(out, field.json_path.iter().map(String::as_str));
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_query::detected::{FieldKind, Parser};

    #[test]
    fn fields_and_their_absence() {
        let field = |parsers: &[Parser], path: &[&str]| Field {
            label: "a".to_owned(),
            kind: FieldKind::Int,
            cardinality: 3,
            parsers: parsers.to_vec(),
            json_path: path.iter().map(|key| (*key).to_owned()).collect(),
        };
        let text = |found: Vec<Field>, warnings: &[&str]| {
            let warnings = warnings.iter().map(|w| (*w).to_owned()).collect();
            encode(Detected { found, warnings }, "fields", 7, put_field, false).into_text()
        };
        assert_eq!(text(Vec::new(), &[]), "{}\n");
        assert_eq!(text(Vec::new(), &["w"]), "{\"warnings\":[\"w\"]}\n");
        assert_eq!(
            text(vec![field(&[], &[]), field(&[Parser::Json, Parser::Logfmt], &["x", "y"])], &["w"]),
            concat!(
                r#"{"fields":[{"label":"a","type":"int","cardinality":3,"parsers":null},"#,
                r#"{"label":"a","type":"int","cardinality":3,"parsers":["json","logfmt"],"jsonPath":["x","y"]}],"#,
                r#""limit":7,"warnings":["w"]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn labels_and_their_absence() {
        let text = |found: &[(&str, usize)]| {
            let found = found.iter().map(|(label, n)| ((*label).to_owned(), *n)).collect();
            String::from_utf8(encode_labels(&Looked { found, warnings: Vec::new() })).unwrap()
        };
        assert_eq!(text(&[]), "{}\n");
        assert_eq!(
            text(&[("app", 2), ("env", 1)]),
            "{\"detectedLabels\":[{\"label\":\"app\",\"cardinality\":2},{\"label\":\"env\",\"cardinality\":1}]}\n"
        );
    }
}
