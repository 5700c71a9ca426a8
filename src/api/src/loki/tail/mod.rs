//! Which lines come from now on? `tail`, a websocket.

mod frames;
mod open_tails;
mod question;
mod session;

pub(crate) use open_tails::OpenTails;

use super::logs::{encoding_flags, limit};
use super::streams::CATEGORIZE;
use super::window;
use crate::access::{self, QueryAccess};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::sites;
use crate::state::AppState;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use frames::Form;
use question::Question;
use strandline_model::time::HOUR_NS;
use strandline_query::{Query, Queue, Reader};

/// Largest message that a client may send. Nobody reads it.
const MAX_CLIENT_BYTES: usize = 16 << 10;
/// Memory of each tail for what its client sends: pongs, mostly.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// Frames are gathered up to this size before they are written, as far as they wait already.
const WRITE_BUFFER_BYTES: usize = 32 << 10;
/// Longest `delay_for` in seconds (Loki's).
const MAX_DELAY_S: u64 = 5;

/// `GET /loki/api/v1/tail`
pub(crate) async fn tail(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Response, Failure> {
    open(state, reader, request, false).await
}

/// `GET /api/prom/tail`
pub(crate) async fn legacy_tail(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Response, Failure> {
    open(state, reader, request, true).await
}

async fn open(state: AppState, reader: Reader, request: Request, legacy: bool) -> Result<Response, Failure> {
    let (mut parts, _) = request.into_parts();
    sites::check_origin(&state.config.allowed_origins, &parts.headers, &parts.uri)?;
    // Before the query is read, which costs something.
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &());
    let upgrade = upgrade.await.map_err(|_| Failure::bad_request("Bad Request"))?;
    let address = access::peer(&parts);
    let params = Params::from_query(parts.uri.query().unwrap_or(""));
    let (shared, own_reader, headers) = (state.clone(), reader.clone(), parts.headers);
    let reading = move |_slot| question(&shared, own_reader, &params, &headers, legacy);
    let question = blocking::in_slot(&state, Queue::Lookup, &reader, reading).await?;
    let counted = state.tails.enter(address).map_err(Failure::busy)?;
    let upgrade = upgrade
        .max_message_size(MAX_CLIENT_BYTES)
        .max_frame_size(MAX_CLIENT_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES);
    Ok(upgrade.on_upgrade(move |socket| session::run(state, question, socket, counted)))
}

/// Reads the request; CPU work, for patterns are compiled.
fn question(
    state: &AppState,
    reader: Reader,
    params: &Params,
    headers: &HeaderMap,
    legacy: bool,
) -> Result<Question, Failure> {
    let query = match reader.query(params.get("query").unwrap_or(""), &state.query.tail_regexes(&reader))? {
        Query::Log(query) => Some(query),
        Query::Metric(_) => None,
    };
    check_delay(params)?;
    let hour_ago = || state.query.clock().now_ns().saturating_sub(HOUR_NS);
    let start = window::timestamp(params, "start")?.unwrap_or_else(hour_ago);
    let limit = limit(params, reader.rules().limits.max_entries_per_query)?;
    let form = match legacy {
        true => Form::Legacy,
        false if encoding_flags(headers).iter().any(|flag| flag == CATEGORIZE) => Form::Categorized,
        false => Form::Plain,
    };
    Ok(Question { reader, query, start, limit, form })
}

/// Loki holds lines back for so long to bring them into order; here they come at once, so it only has to make sense.
fn check_delay(params: &Params) -> Result<(), Failure> {
    let Some(text) = params.get("delay_for") else { return Ok(()) };
    match text.parse::<u64>() {
        Ok(0..=MAX_DELAY_S) => Ok(()),
        Ok(_) => Err(Failure::bad_request(format!("delay_for can't be greater than {MAX_DELAY_S}"))),
        Err(_) => Err(Failure::bad_request(format!("delay_for is not a number of seconds: {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_as_loki_takes_them() {
        let of = |query: &str| check_delay(&Params::from_query(query)).map_err(|f| f.text().to_owned());
        for query in ["", "delay_for=", "delay_for=0", "delay_for=5"] {
            assert_eq!(of(query), Ok(()), "{query}");
        }
        assert_eq!(of("delay_for=6").unwrap_err(), "delay_for can't be greater than 5");
        for query in ["delay_for=-1", "delay_for=x", "delay_for=1.5"] {
            assert!(of(query).is_err(), "{query}");
        }
    }
}
