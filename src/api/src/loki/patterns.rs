//! Which kinds of lines are there? `patterns`.

use super::json::{put_int, put_text, put_texts};
use super::labels::{holding, separated};
use super::{selector, window};
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::AppState;
use axum::extract::{Request, State};
use strandline_model::TimeRange;
use strandline_query::{Held, Pattern, PatternRequest, PatternResult, Queue};

/// `GET|POST /loki/api/v1/patterns`: lines counted by pattern, level and time.
pub(crate) async fn patterns(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let (params, headers) = Params::of(&state, reader.payer(), request).await?;
    let window = window::ordered(&state, &reader, &params)?;
    let step_ns = window::step(&params, window)?;
    let range = TimeRange::new(window.start, window.end.saturating_add(1));
    let (engine, gzip, own_reader) = (state.query.clone(), takes_gzip(&headers), reader.clone());
    blocking::in_slot(&state, Queue::Query, &reader, move |slot| {
        let selector = selector::required(&own_reader, &params, slot.regexes())?;
        let found =
            engine.patterns(&slot, &PatternRequest { reader: own_reader, selector, range, step_ns })?;
        Ok(encode(found, Held::from(slot), gzip))
    })
    .await
}

fn encode(found: PatternResult, held: Held, takes_gzip: bool) -> Answer {
    let mut head = b"{\"status\":\"success\"".to_vec();
    if !found.warnings.is_empty() {
        head.extend_from_slice(b",\"warnings\":");
        put_texts(&mut head, found.warnings.iter().map(String::as_str));
    }
    head.extend_from_slice(b",\"data\":[");
    let item = separated(found.patterns.into_iter(), |out, pattern| put_pattern(out, &pattern));
    Answer::of_items(head, holding(held, item), b"]}\n".to_vec(), takes_gzip)
}

fn put_pattern(out: &mut Vec<u8>, pattern: &Pattern) {
    out.extend_from_slice(b"{\"pattern\":");
    put_text(out, &pattern.text);
    if let Some(level) = &pattern.level {
        out.extend_from_slice(b",\"level\":");
        put_text(out, level);
    }
    out.extend_from_slice(b",\"samples\":[");
    for (i, (seconds, lines)) in pattern.samples.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        put_int(out, *seconds);
        out.push(b',');
        put_int(out, *lines);
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}
