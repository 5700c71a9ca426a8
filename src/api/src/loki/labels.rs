//! Which labels, values and streams are there?

use super::json::{put_object, put_text, put_texts};
use super::selector;
use super::window::{self, Window};
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::AppState;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use std::collections::BTreeSet;
use strandline_model::TimeRange;
use strandline_query::{Held, Looked, QueryEngine, Queue, Reader, Slot};

/// What all questions for labels have in common.
pub(super) struct Question {
    pub(super) params: Params,
    pub(super) headers: HeaderMap,
    pub(super) reader: Reader,
    pub(super) range: TimeRange,
}

impl Question {
    pub(super) async fn of(state: &AppState, reader: Reader, request: Request) -> Result<Self, Failure> {
        let (params, headers) = Params::of(state, reader.payer(), request).await?;
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
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    texts(&state, question, |engine, slot, q| {
        let selector = selector::optional(&q.reader, &q.params, slot.regexes())?;
        Ok(engine.label_names(slot, &q.reader, q.range, &selector)?)
    })
    .await
}

/// `GET|POST /loki/api/v1/label/{name}/values` and its older name.
pub(crate) async fn values(
    State(state): State<AppState>,
    Path(name): Path<String>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    texts(&state, question, move |engine, slot, q| {
        let selector = selector::optional(&q.reader, &q.params, slot.regexes())?;
        Ok(engine.label_values(slot, &q.reader, &name, q.range, &selector)?)
    })
    .await
}

async fn texts(
    state: &AppState,
    question: Question,
    ask: impl FnOnce(&QueryEngine, &Slot, &Question) -> Result<Looked<BTreeSet<String>>, Failure> + Send + 'static,
) -> Result<Answer, Failure> {
    let (engine, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_slot(state, Queue::Lookup, &reader, move |slot| {
        let found = ask(&engine, &slot, &question)?;
        let held = Held::from(slot);
        let Looked { found, warnings } = found;
        let (mut head, mut tail) = (head(&warnings), b"}\n".to_vec());
        // Loki leaves the key out when there is nothing.
        if !found.is_empty() {
            head.extend_from_slice(b",\"data\":[");
            tail.insert(0, b']');
        }
        let item = separated(found.into_iter(), |out, text| put_text(out, &text));
        Ok(Answer::of_items(head, holding(held, item), tail, takes_gzip(&question.headers)))
    })
    .await
}

/// What an answer begins with, and what it lacks.
fn head(warnings: &[String]) -> Vec<u8> {
    let mut head = b"{\"status\":\"success\"".to_vec();
    if !warnings.is_empty() {
        head.extend_from_slice(b",\"warnings\":");
        put_texts(&mut head, warnings.iter().map(String::as_str));
    }
    head
}

/// The same items, with the memory that they take.
pub(super) fn holding(
    held: Held,
    mut item: impl FnMut(&mut Vec<u8>) -> bool,
) -> impl FnMut(&mut Vec<u8>) -> bool {
    move |out| {
        let _ = &held;
        item(out)
    }
}

/// Writes the next of `items`, with a comma before all but the first.
pub(super) fn separated<T>(
    mut items: impl Iterator<Item = T>,
    put: impl Fn(&mut Vec<u8>, T),
) -> impl FnMut(&mut Vec<u8>) -> bool {
    let mut first = true;
    move |out| {
        let Some(item) = items.next() else { return false };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        put(out, item);
        true
    }
}

/// `GET|POST /loki/api/v1/series` and its older name.
pub(crate) async fn series(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let question = Question::of(&state, reader, request).await?;
    let (engine, reader) = (state.query.clone(), question.reader.clone());
    blocking::in_slot(&state, Queue::Lookup, &reader, move |slot| {
        let selectors = selector::all_of_match(&question.reader, &question.params, slot.regexes())?;
        let found = engine.series(&slot, &question.reader, question.range, &selectors)?;
        let held = Held::from(slot);
        let Looked { found, warnings } = found;
        let item = separated(found.into_iter(), |out, labels| put_object(out, labels.iter()));
        let mut head = head(&warnings);
        head.extend_from_slice(b",\"data\":[");
        Ok(Answer::of_items(head, holding(held, item), b"]}\n".to_vec(), takes_gzip(&question.headers)))
    })
    .await
}
