//! Which lines, or which numbers? `query_range` and `query`.

use super::streams::{self, CATEGORIZE};
use super::{metrics, window};
use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::http::shared;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use strandline_model::TimeRange;
use strandline_query::metric::Steps;
use strandline_query::{Direction, LogQuery, LogRequest, MetricQuery, MetricRequest, Query, Reader, Slot};

const ENCODING_FLAGS: &str = "x-loki-response-encoding-flags";
const QUERY_TAGS: &str = "x-query-tags";
const DRILLDOWN: &str = "Source=grafana-lokiexplore-app";
const DEFAULT_LIMIT: usize = 100;

/// What a request asks for.
pub(crate) enum Question {
    /// Lines.
    Log(LogRequest),
    /// Numbers.
    Metric(MetricRequest),
}

/// `GET|POST /loki/api/v1/query_range`
pub(crate) async fn query_range(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let (params, headers) = Params::of(&state, reader.payer(), request).await?;
    answer(&state, reader, headers, move |state, reader, headers, slot| {
        over_range(state, reader, &params, headers, slot)
    })
    .await
}

/// `GET|POST /loki/api/v1/query`: numbers at `time`, or the newest lines up to it.
pub(crate) async fn query(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let (params, headers) = Params::of(&state, reader.payer(), request).await?;
    answer(&state, reader, headers, move |state, reader, headers, slot| {
        at_time(state, reader, &params, headers, slot)
    })
    .await
}

/// A question with `start`, `end` and `step`.
pub(crate) fn over_range(
    state: &AppState,
    reader: Reader,
    params: &Params,
    headers: &HeaderMap,
    slot: &Slot,
) -> Result<Question, Failure> {
    let window = window::ordered(state, &reader, params)?;
    let step_ns = window::step(params, window)?;
    // Metric queries have no use for these, but a mistake in them is one all the same.
    limit(params, usize::MAX)?;
    direction(params)?;
    window::interval(params)?;
    Ok(match reader.query(params.get("query").unwrap_or(""), slot.regexes())? {
        Query::Log(query) => {
            let range = TimeRange::new(window.start, window.end);
            Question::Log(log_request(params, reader, query, range)?)
        }
        Query::Metric(query) => {
            let steps = window::aligned_steps(window, step_ns);
            Question::Metric(metric_request(reader, query, steps, headers))
        }
    })
}

/// A question with `time`.
pub(crate) fn at_time(
    state: &AppState,
    reader: Reader,
    params: &Params,
    headers: &HeaderMap,
    slot: &Slot,
) -> Result<Question, Failure> {
    let time = window::timestamp(params, "time")?.unwrap_or_else(|| state.query.clock().now_ns());
    limit(params, usize::MAX)?;
    direction(params)?;
    Ok(match reader.query(params.get("query").unwrap_or(""), slot.regexes())? {
        Query::Log(_) if reader.rules().strict => {
            return Err(Failure::bad_request(
                "log queries are not supported as an instant query type, please change your query to a range query \
                 type (query.loki_strict is on)",
            ));
        }
        Query::Log(query) => {
            let range = TimeRange::new(time.saturating_sub(window::since(params)?), time.saturating_add(1));
            Question::Log(log_request(params, reader, query, range)?)
        }
        Query::Metric(query) => {
            Question::Metric(metric_request(reader, query, Steps::instant(time), headers))
        }
    })
}

/// Reads the question, runs it and writes its answer. All of it is CPU work: patterns are compiled while a question is read.
async fn answer(
    state: &AppState,
    reader: Reader,
    headers: HeaderMap,
    read: impl FnOnce(&AppState, Reader, &HeaderMap, &Slot) -> Result<Question, Failure> + Send + 'static,
) -> Result<Answer, Failure> {
    let (app, own_reader) = (state.clone(), reader.clone());
    shared::query(state, &reader, move |reading| match read(&app, own_reader, &headers, reading.slot())? {
        Question::Log(request) => {
            let (flags, gzip) = (encoding_flags(&headers), takes_gzip(&headers));
            let categorize = flags.iter().any(|flag| flag == CATEGORIZE);
            reading.run(LogRequest { categorize, ..request }, move |found, _| {
                Ok(streams::answer(found, &flags, gzip))
            })
        }
        Question::Metric(request) => {
            let (gzip, steps) = (takes_gzip(&headers), request.steps);
            reading.run(request, move |found, _| Ok(metrics::answer(found, steps, gzip)))
        }
    })
    .await
}

fn metric_request(reader: Reader, query: MetricQuery, steps: Steps, headers: &HeaderMap) -> MetricRequest {
    let max_series = Some(reader.rules().limits.max_series_per_query).filter(|max| *max > 0);
    let cut_series = is_drilldown(headers);
    MetricRequest { reader, query, steps, max_series, cut_series }
}

/// Grafana's Logs Drilldown would rather show some series than none.
fn is_drilldown(headers: &HeaderMap) -> bool {
    let tags = headers.get_all(QUERY_TAGS).iter().filter_map(|v| v.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == DRILLDOWN)
}

fn log_request(
    params: &Params,
    reader: Reader,
    query: LogQuery,
    range: TimeRange,
) -> Result<LogRequest, Failure> {
    Ok(LogRequest {
        limit: limit(params, reader.rules().limits.max_entries_per_query)?,
        reader,
        direction: direction(params)?,
        interval_ns: window::interval(params)?,
        query,
        range,
        categorize: false,
    })
}

/// `limit`, no more than `max`.
pub(crate) fn limit(params: &Params, max: usize) -> Result<usize, Failure> {
    match params.whole_number("limit")?.map(usize::try_from) {
        None => Ok(DEFAULT_LIMIT.min(max)),
        Some(Err(_) | Ok(0)) => Err(Failure::bad_request("limit must be a positive value")),
        Some(Ok(limit)) if limit > max => Err(too_many_entries(limit, max)),
        Some(Ok(limit)) => Ok(limit),
    }
}

/// More lines are asked for than one answer may have.
pub(super) fn too_many_entries(limit: usize, max: usize) -> Failure {
    Failure::bad_request(format!(
        "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {max}) \
         (limits.max_entries_per_query)"
    ))
}

fn direction(params: &Params) -> Result<Direction, Failure> {
    match params.get("direction") {
        None => Ok(Direction::Backward),
        Some(text) if text.eq_ignore_ascii_case("backward") => Ok(Direction::Backward),
        Some(text) if text.eq_ignore_ascii_case("forward") => Ok(Direction::Forward),
        Some(text) => Err(Failure::bad_request(format!("invalid direction '{text}'"))),
    }
}

/// How the client wants its answer written.
pub(crate) fn encoding_flags(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(ENCODING_FLAGS);
    let flags = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim);
    flags.filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_directions() {
        let of = |query: &str| limit(&Params::from_query(query), 5000).map_err(|f| f.text().to_owned());
        assert_eq!((of(""), of("limit=7")), (Ok(100), Ok(7)));
        for (query, text) in [
            ("limit=0", "limit must be a positive value"),
            ("limit=-1", "limit must be a positive value"),
            ("limit=ten", "strconv.Atoi: parsing \"ten\": invalid syntax"),
            (
                "limit=99999999999999999999",
                "strconv.Atoi: parsing \"99999999999999999999\": value out of range",
            ),
            (
                "limit=6000",
                "max entries limit per query exceeded, limit > max_entries_limit_per_query (6000 > 5000) (limits.max_entries_per_query)",
            ),
        ] {
            assert_eq!(of(query).unwrap_err(), text);
        }
        let of = |query: &str| direction(&Params::from_query(query)).map_err(|f| f.text().to_owned());
        assert_eq!((of(""), of("direction=FORWARD")), (Ok(Direction::Backward), Ok(Direction::Forward)));
        assert_eq!(of("direction=up").unwrap_err(), "invalid direction 'up'");
    }
}
