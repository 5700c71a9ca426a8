//! How are the series of a metric query shown to a person? A table: labels, a sparkline over the time asked for, and numbers.

use crate::labels::labels_text;
use crate::table::{self, Align};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Characters of a sparkline, low to high.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Most characters of a sparkline; more samples share them, the highest is shown.
const MAX_WIDTH: usize = 48;

/// One series, or the one number of an expression without labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    labels: BTreeMap<String, String>,
    /// Seconds since the epoch and value, in order of time.
    samples: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Matrix { metric: BTreeMap<String, String>, values: Vec<(f64, String)> },
    Vector { metric: BTreeMap<String, String>, value: (f64, String) },
    Scalar((f64, String)),
}

impl Series {
    /// Reads a series as the server wrote it; `None` for another shape.
    pub fn parse(value: &serde_json::Value) -> Option<Self> {
        let (labels, values) = match Wire::deserialize(value).ok()? {
            Wire::Matrix { metric, values } => (metric, values),
            Wire::Vector { metric, value } => (metric, vec![value]),
            Wire::Scalar(value) => (BTreeMap::new(), vec![value]),
        };
        let samples =
            values.into_iter().map(|(at, value)| Some((at, number(&value)?))).collect::<Option<Vec<_>>>()?;
        Some(Self { labels, samples })
    }

    fn last(&self) -> f64 {
        self.samples.last().map_or(f64::NAN, |(_, value)| *value)
    }

    /// The least and the greatest value.
    fn extremes(&self) -> (f64, f64) {
        let values = || self.samples.iter().map(|(_, value)| *value);
        (values().fold(f64::NAN, f64::min), values().fold(f64::NAN, f64::max))
    }
}

/// `NaN`, `+Inf` and `-Inf` are written as Prometheus does.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// The times that all series of an answer share.
struct TimeAxis {
    first: f64,
    last: f64,
    /// Seconds of one character.
    width: f64,
    characters: usize,
}

impl TimeAxis {
    fn of(series: &[Series]) -> Self {
        let times = || series.iter().flat_map(|series| series.samples.iter().map(|(at, _)| *at));
        let (first, last) =
            (times().fold(f64::INFINITY, f64::min), times().fold(f64::NEG_INFINITY, f64::max));
        let gaps =
            series.iter().flat_map(|series| series.samples.windows(2).map(|pair| pair[1].0 - pair[0].0));
        let step = gaps.filter(|gap| *gap > 0.0).fold(f64::INFINITY, f64::min);
        if !step.is_finite() {
            return Self { first, last, width: 1.0, characters: usize::from(first.is_finite()) };
        }
        // Rounded: times of milliseconds are not exact in binary.
        let steps = ((last - first) / step).round() as usize + 1;
        let per_character = steps.div_ceil(MAX_WIDTH);
        Self { first, last, width: step * per_character as f64, characters: steps.div_ceil(per_character) }
    }

    /// The character of a time.
    fn at(&self, time: f64) -> usize {
        // A hundredth of a step of slack, for the same reason.
        ((((time - self.first) / self.width) + 0.01) as usize).min(self.characters.saturating_sub(1))
    }
}

/// One character for each stretch of time; a blank where there is no number.
fn sparkline(series: &Series, axis: &TimeAxis) -> String {
    let mut highest: Vec<Option<f64>> = vec![None; axis.characters];
    for (time, value) in series.samples.iter().filter(|(_, value)| value.is_finite()) {
        if let Some(slot) = highest.get_mut(axis.at(*time)) {
            *slot = Some(slot.map_or(*value, |known| known.max(*value)));
        }
    }
    let values = || highest.iter().flatten().copied();
    // From 0, so that a steady series is no drama; lower where values are negative.
    let (low, high) = (values().fold(0.0, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let level = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        LEVELS[((share * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)]
    };
    highest.iter().map(|value| value.map_or(' ', level)).collect()
}

/// At most six digits that count; what is infinite as Prometheus writes it.
fn shown(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() || value == value.trunc() && value.abs() < 1e15 {
        return value.to_string();
    }
    let digits = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&digits) {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.*}", (5.0 - digits).max(0.0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Writes a table of series, the greatest last value first; safe for a terminal.
pub fn write(out: &mut dyn Write, series: &[Series]) -> io::Result<()> {
    let mut sorted: Vec<&Series> = series.iter().collect();
    // What is no number comes last.
    let rank =
        |series: &Series| Some(series.last()).filter(|last| !last.is_nan()).unwrap_or(f64::NEG_INFINITY);
    sorted.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let axis = TimeAxis::of(series);
    let is_range = axis.characters > 1;
    let row = |series: &&Series| {
        let (least, greatest) = series.extremes();
        let labels = labels_text(&series.labels);
        match is_range {
            true => {
                vec![sparkline(series, &axis), shown(series.last()), shown(least), shown(greatest), labels]
            }
            false => vec![shown(series.last()), labels],
        }
    };
    let rows: Vec<Vec<String>> = sorted.iter().map(row).collect();
    if !is_range {
        return table::write(out, &[("value", Align::Right), ("series", Align::Left)], &rows);
    }
    writeln!(out, "{} to {}", time(axis.first), time(axis.last))?;
    let columns = [
        ("over time", Align::Left),
        ("last", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
        ("series", Align::Left),
    ];
    table::write(out, &columns, &rows)
}

fn time(seconds: f64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis((seconds * 1000.0) as i64).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(answer: &[serde_json::Value]) -> String {
        let series: Vec<Series> = answer.iter().map(|series| Series::parse(series).unwrap()).collect();
        let mut out = Vec::new();
        write(&mut out, &series).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_range_is_a_sparkline_and_numbers_and_gaps_are_blank() {
        let shown = text(&[
            json!({"metric": {"app": "a"}, "values": [[0, "0"], [60, "1"], [120, "4"], [240, "8"]]}),
            json!({"metric": {"app": "b\u{1b}[2J"}, "values": [[60, "0.016666666666666666"], [120, "10"], [180, "NaN"], [240, "10.5"]]}),
        ]);
        assert_eq!(
            shown,
            "1970-01-01T00:00:00Z to 1970-01-01T00:04:00Z\n\
             over time  last        min   max  series\n \
             ▁█ █      10.5  0.0166667  10.5  {app=\"b\\u{1b}[2J\"}\n\
             ▁▂▅ █         8          0     8  {app=\"a\"}\n"
        );
    }

    #[test]
    fn many_samples_share_the_characters_and_peaks_stay() {
        let values: Vec<_> = (0..1000).map(|n| json!([n * 15, if n == 500 { "99" } else { "1" }])).collect();
        let series = Series::parse(&json!({"metric": {}, "values": values})).unwrap();
        let line = sparkline(&series, &TimeAxis::of(std::slice::from_ref(&series)));
        assert!(line.chars().count() <= MAX_WIDTH, "{line}");
        assert_eq!(line.chars().filter(|c| *c == '█').count(), 1, "{line}");
        assert!(!line.contains(' '), "{line}");
    }

    #[test]
    fn the_greatest_comes_first_and_what_is_no_number_last() {
        let one = |app: &str, value: &str| json!({"metric": {"app": app}, "value": [1, value]});
        let shown = text(&[one("a", "NaN"), one("b", "-1"), one("c", "7")]);
        let order: Vec<&str> = shown.lines().skip(1).filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[test]
    fn one_moment_is_a_number_without_a_line() {
        let vector = json!({"metric": {"app": "a"}, "value": [1.5, "3"]});
        assert_eq!(text(&[vector]), "value  series\n    3  {app=\"a\"}\n");
        assert_eq!(text(&[json!([1.5, "+Inf"])]), "value  series\n +Inf  {}\n");
        assert_eq!(text(&[]), "value  series\n");
        assert_eq!(Series::parse(&json!({"metric": {}, "values": [[0, "x"]]})), None);
    }

    #[test]
    fn numbers_for_people() {
        for (value, text) in [
            (0.0, "0"),
            (12.0, "12"),
            (-1.5, "-1.5"),
            (0.016_666_666, "0.0166667"),
            (1_234_567.891, "1234568"),
            (1e-9, "1.00000e-9"),
            (1e300, "1.00000e300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
