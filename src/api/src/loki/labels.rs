//! Which labels, values and streams are there?

use super::json::{put_object, put_texts};
use super::selector;
use super::window::{self, Window};
use crate::access::Asker;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::Door;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use std::collections::BTreeSet;
use strandline_model::{Labels, TimeRange};
use strandline_query::{QueryEngine, Queue, Reader, Turn};

/// What all questions for labels have in common.
pub(super) struct Question {
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
    pub(super) reader: Reader,
    pub(super) range: TimeRange,
}

impl Question {
    pub(super) async fn of(state: &Door, reader: Reader, request: Request) -> Result<Self, Failure> {
        let (params, headers) = Params::of(state, request).await?;
        let Window { start, end } = window::allowed(state, &reader, &params)?;
        if end < start {
            return Err(Failure::bad_request(
                "this data is no longer available, it is past now - max_query_lookback (0s)",
            ));
        }
        Ok(Self { params, headers, reader, range: TimeRange::new(start, end.saturating_add(1)) })
    }
}

/// `GET|POST /loki/api/v1/labels` and its older names.
pub(crate) async fn names(
    State(state): State<Door>,
    Asker(reader): Asker,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    texts(&state, question, |engine, turn, q| {
        let selector = selector::optional(&q.reader, &q.params)?;
        Ok(engine.label_names(turn, &q.reader, q.range, &selector)?)
    })
    .await
}

/// `GET|POST /loki/api/v1/label/{name}/values` and its older name.
pub(crate) async fn values(
    State(state): State<Door>,
    Path(name): Path<String>,
    Asker(reader): Asker,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    texts(&state, question, move |engine, turn, q| {
        let selector = selector::optional(&q.reader, &q.params)?;
        Ok(engine.label_values(turn, &q.reader, &name, q.range, &selector)?)
    })
    .await
}

async fn texts(
    state: &Door,
    question: Question,
    ask: impl FnOnce(&QueryEngine, &Turn, &Question) -> Result<BTreeSet<String>, Failure> + Send + 'static,
) -> Result<Answer, Failure> {
    let (engine, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_turn(state, Queue::Lookup, &reader, move |turn| {
        let found = ask(&engine, &turn, &question)?;
        let mut out = b"{\"status\":\"success\"".to_vec();
        // Loki leaves the key out when there is nothing.
        if !found.is_empty() {
            out.extend_from_slice(b",\"data\":");
            put_texts(&mut out, found.iter().map(String::as_str));
        }
        out.extend_from_slice(b"}\n");
        Ok(Answer::json(out).packed_if(takes_gzip(&question.headers)))
    })
    .await
}

/// `GET|POST /loki/api/v1/series` and its older name.
pub(crate) async fn series(
    State(state): State<Door>,
    Asker(reader): Asker,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    let (engine, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_turn(&state, Queue::Lookup, &reader, move |turn| {
        let selectors = selector::all_of_match(&question.reader, &question.params)?;
        let found = engine.series(&turn, &question.reader, question.range, &selectors)?;
        Ok(Answer::json(encode_series(&found)).packed_if(takes_gzip(&question.headers)))
    })
    .await
}

fn encode_series(found: &BTreeSet<Labels>) -> Vec<u8> {
    let mut out = b"{\"status\":\"success\",\"data\":[".to_vec();
    for (i, labels) in found.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_object(&mut out, labels.iter());
    }
    out.extend_from_slice(b"]}\n");
    out
}
