//! From when to when? Loki's rules for `start`, `end`, `since`, `time` and `step`.

use super::duration;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::state::AppState;
use chrono::DateTime;
use std::fmt::Display;
use strandline_model::time::{HOUR_NS, SECOND_NS};
use strandline_query::Reader;
use strandline_query::metric::Steps;
use strandline_query::reader::go_duration;

const MILLISECOND_NS: i64 = 1_000_000;
/// Integers of more digits are nanoseconds, all others seconds.
const MAX_SECOND_DIGITS: usize = 10;
/// Most points of a series.
const MAX_STEPS: i64 = 11_000;

/// Two bounds as the client gave them; what they include is up to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// The window of `start`, `end` and `since`, if it is not longer than the reader's limits allow.
pub(crate) fn allowed(state: &AppState, reader: &Reader, params: &Params) -> Result<Window, Failure> {
    let window = window(params, state.query.clock().now_ns())?;
    check_length(window, reader.rules().limits.max_query_length_ns)
}

/// The same, for endpoints that refuse a window whose end is before its start.
pub(crate) fn ordered(state: &AppState, reader: &Reader, params: &Params) -> Result<Window, Failure> {
    let window = allowed(state, reader, params)?;
    if window.end < window.start {
        return Err(Failure::bad_request("end timestamp must not be before or equal to start time"));
    }
    Ok(window)
}

fn check_length(window: Window, max_ns: i64) -> Result<Window, Failure> {
    let length = window.end.saturating_sub(window.start);
    if max_ns > 0 && length > max_ns {
        return Err(Failure::bad_request(format_args!(
            "the query time range exceeds the limit (query length: {}, limit: {}) (limits.max_query_length)",
            go_duration(length),
            go_duration(max_ns)
        )));
    }
    Ok(window)
}

/// The window of `start`, `end` and `since`.
pub(crate) fn window(params: &Params, now_ns: i64) -> Result<Window, Failure> {
    let end = timestamp(params, "end")?.unwrap_or(now_ns);
    let since = since(params)?;
    let start = timestamp(params, "start")?;
    Ok(Window { start: start.unwrap_or_else(|| end.min(now_ns).saturating_sub(since)), end })
}

/// How far to look back when no `start` says it.
pub(crate) fn since(params: &Params) -> Result<i64, Failure> {
    let Some(text) = params.get("since") else { return Ok(HOUR_NS) };
    let wrong = || parse_failure("since", format!("not a valid duration string: {text:?}"));
    duration::prometheus(text).ok_or_else(wrong)
}

/// The timestamp in the parameter `name`, if there is one.
pub(crate) fn timestamp(params: &Params, name: &str) -> Result<Option<i64>, Failure> {
    params.get(name).map(|text| parse_timestamp(text).map_err(|e| parse_failure(name, e))).transpose()
}

fn parse_failure(name: &str, why: impl Display) -> Failure {
    Failure::bad_request(format!("could not parse '{name}' parameter: {why}"))
}

/// A timestamp in any of the forms that Loki's queries take (ns).
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, String> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        return Ok(from_seconds(seconds));
    }
    if let Ok(number) = text.parse::<i64>() {
        let unit = if text.len() <= MAX_SECOND_DIGITS { SECOND_NS } else { 1 };
        return Ok(number.saturating_mul(unit));
    }
    match DateTime::parse_from_rfc3339(text) {
        // A time that no 64-bit number of nanoseconds can say is before or after all that is stored.
        Ok(time) => Ok(time.timestamp_nanos_opt().unwrap_or(match time.timestamp() {
            ..0 => i64::MIN,
            _ => i64::MAX,
        })),
        Err(_) => Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
    }
}

/// Unix seconds, rounded to milliseconds.
fn from_seconds(seconds: f64) -> i64 {
    let (whole, fraction) = (seconds.trunc(), seconds.fract());
    // Casts saturate, and make 0 of what is no number.
    let whole = (whole as i64).saturating_mul(SECOND_NS);
    whole.saturating_add((fraction * 1000.0).round() as i64 * MILLISECOND_NS)
}

/// `step` (ns), checked as Loki does for log queries too, which have no use for it.
pub(crate) fn step(params: &Params, window: Window) -> Result<i64, Failure> {
    let length = window.end.saturating_sub(window.start);
    let step = match params.get("step") {
        None => (length / (250 * SECOND_NS)).max(1).saturating_mul(SECOND_NS),
        Some(text) => duration::seconds_or_duration(text).ok_or_else(|| not_a_duration(text))?,
    };
    if step <= 0 {
        return Err(Failure::bad_request(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if length / step > MAX_STEPS {
        return Err(Failure::bad_request(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step \
             parameter",
        ));
    }
    Ok(step)
}

/// The moments of a range query: multiples of the step, the start rounded down and the end rounded up.
pub(crate) fn aligned_steps(window: Window, step_ns: i64) -> Steps {
    let first = window.start.div_euclid(step_ns);
    let last = window.end.div_euclid(step_ns) + i64::from(window.end.rem_euclid(step_ns) > 0);
    let count = u32::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(u32::MAX);
    Steps::range(first.saturating_mul(step_ns), step_ns, count)
}

/// `interval`: the least distance of two entries (ns).
pub(crate) fn interval(params: &Params) -> Result<i64, Failure> {
    let Some(text) = params.get("interval") else { return Ok(0) };
    let interval = duration::seconds_or_duration(text).ok_or_else(|| not_a_duration(text))?;
    if interval < 0 { Err(Failure::bad_request("interval must be >= 0")) } else { Ok(interval) }
}

fn not_a_duration(text: &str) -> Failure {
    Failure::bad_request(format!("cannot parse {text:?} to a valid duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_219_723_000_000_000;

    fn at(query: &str) -> Result<Window, String> {
        window(&Params::from_query(query), NOW).map_err(|f| f.text().to_owned())
    }

    #[test]
    fn timestamps_in_every_spelling() {
        for (text, wanted) in [
            ("1795219723", NOW),
            ("1795219723000000000", NOW),
            ("17952197230", 17_952_197_230),
            ("4000000000", 4_000_000_000 * SECOND_NS),
            ("1795219723.5", NOW + 500_000_000),
            ("1795219723.0006", NOW + 1_000_000),
            ("1.7952197235e9", NOW + 500_000_000),
            ("-5", -5 * SECOND_NS),
            ("2026-11-21T00:08:43Z", NOW),
            ("2026-11-21T01:08:43.000000001+01:00", NOW + 1),
            ("0001-01-01T00:00:00Z", i64::MIN),
            ("9999-12-31T23:59:59Z", i64::MAX),
            ("9999999999", i64::MAX),
        ] {
            assert_eq!(parse_timestamp(text), Ok(wanted), "{text}");
        }
        for text in ["x", "1.x", "2026-11-21", "99999999999999999999", "", " 5"] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn windows_by_default_and_by_parameter() {
        assert_eq!(at(""), Ok(Window { start: NOW - HOUR_NS, end: NOW }));
        assert_eq!(at("since=5m"), Ok(Window { start: NOW - 300 * SECOND_NS, end: NOW }));
        assert_eq!(at("end=100"), Ok(Window { start: 100 * SECOND_NS - HOUR_NS, end: 100 * SECOND_NS }));
        // A future end does not move the default start.
        assert_eq!(at("end=4000000000").unwrap().start, NOW - HOUR_NS);
        assert_eq!(at("start=1&end=2&since=1w"), Ok(Window { start: SECOND_NS, end: 2 * SECOND_NS }));
        assert_eq!(
            at("start=yesterday").unwrap_err(),
            "could not parse 'start' parameter: strconv.ParseInt: parsing \"yesterday\": invalid syntax"
        );
        assert!(at("since=1.5h").unwrap_err().starts_with("could not parse 'since' parameter:"));
    }

    #[test]
    fn a_window_that_is_too_long_names_the_limit() {
        let hours = |n: i64| Window { start: 0, end: n * HOUR_NS };
        assert_eq!(check_length(hours(721), 721 * HOUR_NS), Ok(hours(721)));
        assert_eq!(check_length(hours(9), 0), Ok(hours(9)));
        assert_eq!(
            check_length(hours(722), 721 * HOUR_NS).unwrap_err().text(),
            "the query time range exceeds the limit (query length: 30d2h, limit: 30d1h) (limits.max_query_length)"
        );
    }

    #[test]
    fn steps_and_intervals() {
        let check = |query: &str| {
            let day = Window { start: 0, end: 86_400 * SECOND_NS };
            step(&Params::from_query(query), day).map_err(|f| f.text().to_owned())
        };
        assert_eq!(check(""), Ok(345 * SECOND_NS));
        assert_eq!(check("step=8000ms"), Ok(8 * SECOND_NS));
        assert!(check("step=1").unwrap_err().starts_with("exceeded maximum resolution of 11,000 points"));
        assert!(check("step=0").unwrap_err().starts_with("zero or negative query resolution"));
        assert!(check("step=-5").unwrap_err().starts_with("zero or negative query resolution"));
        assert_eq!(check("step=1.5m").unwrap_err(), "cannot parse \"1.5m\" to a valid duration");
        let of = |query: &str| interval(&Params::from_query(query)).map_err(|f| f.text().to_owned());
        assert_eq!((of(""), of("interval=1m")), (Ok(0), Ok(60 * SECOND_NS)));
        assert_eq!(of("interval=-1"), Err("interval must be >= 0".to_owned()));
    }
}
