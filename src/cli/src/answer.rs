//! What did the server answer, and how is it shown? A line each for people, a JSON object each for programs.

use crate::args::Direction;
use crate::labels::labels_text;
use crate::series::{self, Series};
use crate::terminal::escape;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON, or not of Loki's shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A timestamp that is no number.
    #[error("\"{0}\" is not a timestamp")]
    Timestamp(String),
}

/// A log query's answer, flattened.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// The entries, as yet by stream.
    pub entries: Vec<Entry>,
    /// Series of a metric query, as the server wrote them.
    pub series: Vec<serde_json::Value>,
    /// What the server could not read or do.
    pub warnings: Vec<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// Labels of its stream.
    pub labels: BTreeMap<String, String>,
    /// The line.
    pub line: String,
    /// Structured metadata, where the server sends it apart.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Wire {
    data: WireData,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum WireData {
    Streams(Vec<WireStream>),
    Matrix(Vec<serde_json::Value>),
    Vector(Vec<serde_json::Value>),
    Scalar(serde_json::Value),
}

#[derive(Deserialize)]
struct WireStream {
    stream: BTreeMap<String, String>,
    values: Vec<WireValue>,
}

/// `[timestamp, line]` or `[timestamp, line, {metadata}]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireValue {
    Plain(String, String),
    WithMetadata(String, String, WireMetadata),
}

/// Plain pairs, or Loki's split by origin.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireMetadata {
    Flat(BTreeMap<String, String>),
    ByOrigin(BTreeMap<String, BTreeMap<String, String>>),
}

impl Answer {
    /// Reads a response body.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let wire: Wire = serde_json::from_slice(body)?;
        let mut answer = Self { entries: Vec::new(), series: Vec::new(), warnings: wire.warnings };
        match wire.data {
            WireData::Streams(streams) => {
                for stream in streams {
                    for value in stream.values {
                        answer.entries.push(Entry::from_wire(&stream.stream, value)?);
                    }
                }
            }
            WireData::Matrix(series) | WireData::Vector(series) => answer.series = series,
            WireData::Scalar(value) => answer.series = vec![value],
        }
        Ok(answer)
    }

    /// Puts the entries of all streams into one order of time.
    pub fn sort(&mut self, direction: Direction) {
        match direction {
            Direction::Forward => self.entries.sort_by_key(|entry| entry.timestamp_ns),
            Direction::Backward => self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp_ns)),
        }
    }

    /// Writes the entries as JSON lines, every byte of the line kept.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        self.entries.iter().try_for_each(|entry| entry.write_json(out))?;
        self.series.iter().try_for_each(|series| writeln!(out, "{series}"))
    }

    /// Writes the answer for people, safe for a terminal: of each entry time, labels and line; series as a table.
    pub fn write_text(&self, out: &mut dyn Write, color: bool) -> io::Result<()> {
        self.entries.iter().try_for_each(|entry| entry.write_text(out, color))?;
        let series: Vec<Series> = self.series.iter().filter_map(Series::parse).collect();
        match series.len() == self.series.len() {
            true if series.is_empty() => Ok(()),
            true => series::write(out, &series),
            // Of a shape that is not known: as it came.
            false => {
                self.series.iter().try_for_each(|series| writeln!(out, "{}", escape(&series.to_string())))
            }
        }
    }
}

/// What the server sends in one frame of a tail.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// Entries that the server dropped before these.
    pub dropped: u64,
    /// What the server could not read.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
struct WireFrame {
    #[serde(default)]
    streams: Vec<WireStream>,
    #[serde(default)]
    dropped_entries: Option<Vec<serde::de::IgnoredAny>>,
    /// Loki does not count beyond those that it names.
    #[serde(default)]
    dropped_count: u64,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Frame {
    /// Reads a frame.
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let wire: WireFrame = serde_json::from_str(text)?;
        let mut entries = Vec::new();
        for stream in wire.streams {
            for value in stream.values {
                entries.push(Entry::from_wire(&stream.stream, value)?);
            }
        }
        let named = wire.dropped_entries.map_or(0, |named| named.len() as u64);
        Ok(Self { entries, dropped: wire.dropped_count.max(named), warnings: wire.warnings })
    }
}

impl Entry {
    /// Writes the entry as a JSON line, every byte of its text kept.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut object = serde_json::json!({
            "timestamp": rfc3339(self.timestamp_ns),
            "timestamp_ns": self.timestamp_ns.to_string(),
            "labels": self.labels,
            "line": self.line,
        });
        if !self.metadata.is_empty() {
            object["metadata"] = serde_json::json!(self.metadata);
        }
        writeln!(out, "{object}")
    }

    /// Writes the entry for people: time, labels in the color of its level, line; safe for a terminal.
    pub fn write_text(&self, out: &mut dyn Write, color: bool) -> io::Result<()> {
        let (dim, plain) = if color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let hue = if color { self.color() } else { "" };
        let (time, labels) = (rfc3339(self.timestamp_ns), labels_text(&self.labels));
        write!(out, "{dim}{time}{plain} {hue}{}{plain} {}", escape(&labels), escape(&self.line))?;
        if !self.metadata.is_empty() {
            write!(out, " {dim}{}{plain}", escape(&labels_text(&self.metadata)))?;
        }
        writeln!(out)
    }

    /// Red for what is wrong, yellow for what may be, blue for all else.
    fn color(&self) -> &'static str {
        let known = |name: &str| self.labels.get(name).or_else(|| self.metadata.get(name));
        let level = known("detected_level").or_else(|| known("level"));
        match level.map(|level| level.to_ascii_lowercase()).as_deref() {
            Some("fatal" | "critical" | "error" | "err") => "\x1b[31m",
            Some("warn" | "warning") => "\x1b[33m",
            _ => "\x1b[34m",
        }
    }

    fn from_wire(labels: &BTreeMap<String, String>, value: WireValue) -> Result<Self, AnswerError> {
        let (time, line, metadata) = match value {
            WireValue::Plain(time, line) => (time, line, BTreeMap::new()),
            WireValue::WithMetadata(time, line, WireMetadata::Flat(pairs)) => (time, line, pairs),
            WireValue::WithMetadata(time, line, WireMetadata::ByOrigin(origins)) => {
                (time, line, origins.into_values().flatten().collect())
            }
        };
        let timestamp_ns = time.parse().map_err(|_| AnswerError::Timestamp(time))?;
        Ok(Self { timestamp_ns, labels: labels.clone(), line, metadata })
    }
}

fn rfc3339(timestamp_ns: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(timestamp_ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"status":"success","data":{"resultType":"streams","stats":{},"result":[
        {"stream":{"app":"a"},"values":[["3000000000","third"],["1000000000","fi\u001b[2Jrst",{"trace":"x"}]]},
        {"stream":{"app":"b"},"values":[["2000000000","second",{"structuredMetadata":{"k":"v"}}]]}]},
        "warnings":["one segment could not be read"]}"#;

    fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn entries_of_all_streams_come_in_one_order() {
        let mut answer = Answer::parse(BODY.as_bytes()).unwrap();
        assert_eq!(answer.warnings, ["one segment could not be read"]);
        answer.sort(Direction::Backward);
        let times: Vec<i64> = answer.entries.iter().map(|entry| entry.timestamp_ns / 1_000_000_000).collect();
        assert_eq!(times, [3, 2, 1]);
        answer.sort(Direction::Forward);
        assert_eq!(answer.entries[1].metadata["k"], "v");
        assert_eq!(answer.entries[0].metadata["trace"], "x");
    }

    #[test]
    fn people_get_escaped_text_and_programs_every_byte() {
        let mut answer = Answer::parse(BODY.as_bytes()).unwrap();
        answer.sort(Direction::Forward);
        let shown = text(|out| answer.write_text(out, false));
        let first = shown.lines().next().unwrap();
        assert_eq!(first, "1970-01-01T00:00:01.000000000Z {app=\"a\"} fi\\x1b[2Jrst {trace=\"x\"}");
        assert!(text(|out| answer.write_text(out, true)).contains("\x1b[34m{app=\"a\"}\x1b[0m"));
        let json = text(|out| answer.write_json(out));
        let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(first["line"], "fi\u{1b}[2Jrst");
        assert_eq!(first["timestamp_ns"], "1000000000");
        assert_eq!(json.lines().count(), 3);
    }

    #[test]
    fn frames_of_a_tail_and_the_colors_of_levels() {
        let frame = Frame::parse(
            r#"{"streams":[{"stream":{"app":"a","detected_level":"error"},"values":[["1","x"]]},
                {"stream":{"level":"WARN"},"values":[["2","y"]]}],
                "dropped_entries":[{"timestamp":"1","labels":{}}],"dropped_count":7}"#,
        );
        let frame = frame.unwrap();
        assert_eq!((frame.entries.len(), frame.dropped), (2, 7));
        assert!(text(|out| frame.entries[0].write_text(out, true)).contains("\x1b[31m{app"));
        assert!(text(|out| frame.entries[1].write_text(out, true)).contains("\x1b[33m{level"));
        let loki = r#"{"streams":[],"dropped_entries":[{"timestamp":"1","labels":{}}]}"#;
        assert_eq!(Frame::parse(loki).unwrap().dropped, 1);
        assert_eq!(Frame::parse(r#"{"streams":[],"dropped_entries":null}"#).unwrap().dropped, 0);
        assert!(Frame::parse("pong").is_err());
    }

    #[test]
    fn metric_answers_pass_through_and_wrong_ones_are_refused() {
        let matrix =
            br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[]}]}}"#;
        let answer = Answer::parse(matrix).unwrap();
        assert_eq!(text(|out| answer.write_json(out)), "{\"metric\":{},\"values\":[]}\n");
        for wrong in ["", "ready", "{}", r#"{"data":{"resultType":"other","result":[]}}"#] {
            assert!(Answer::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let time = r#"{"data":{"resultType":"streams","result":[{"stream":{},"values":[["x","y"]]}]}}"#;
        assert!(Answer::parse(time.as_bytes()).is_err());
    }
}
