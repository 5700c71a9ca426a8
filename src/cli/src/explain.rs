//! `strandline query --explain`: how is it shown what a query read?

use crate::answer::AnswerError;
use crate::table::human_bytes;
use crate::terminal::escape;
use serde::Deserialize;
use std::io::{self, Write};

/// What the server tells of a query that it ran.
#[derive(Debug)]
pub struct Account {
    body: String,
    wire: Wire,
}

#[derive(Debug, Deserialize)]
struct Wire {
    query: String,
    results: u64,
    waited_ms: f64,
    took_ms: f64,
    warnings: Vec<String>,
    reads: Vec<Read>,
}

#[derive(Debug, Deserialize)]
struct Read {
    query: String,
    text_index_asked_for: String,
    lines_found_by: String,
    stages_run: String,
    labels: Option<Vec<String>>,
    segments: Segments,
    blocks: Blocks,
    lines: Lines,
    line_bytes: LineBytes,
    cpu_ms: Cpu,
}

#[derive(Debug, Deserialize)]
struct Segments {
    of_the_time: u64,
    opened: u64,
}

#[derive(Debug, Deserialize)]
struct Blocks {
    of_opened_segments: u64,
    ruled_out_by_time: u64,
    ruled_out_by_labels: u64,
    ruled_out_by_text_index: u64,
    /// Older servers do not say it.
    #[serde(default)]
    counted_by_table: u64,
    read: u64,
}

#[derive(Debug, Deserialize)]
struct Lines {
    in_memory: u64,
    in_segments: u64,
    passed: u64,
}

#[derive(Debug, Deserialize)]
struct LineBytes {
    in_memory: u64,
    in_segments: u64,
}

#[derive(Debug, Deserialize)]
struct Cpu {
    planning: f64,
    memory: f64,
    blocks: f64,
}

impl Account {
    /// Reads the server's JSON.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        let wire = serde_json::from_slice(body)?;
        Ok(Self { body: String::from_utf8_lossy(body).into_owned(), wire })
    }

    /// Writes it: for people line by line, for programs as it came.
    pub fn write(&self, out: &mut dyn Write, for_people: bool) -> io::Result<()> {
        if !for_people {
            return writeln!(out, "{}", self.body.trim_end());
        }
        let wire = &self.wire;
        writeln!(out, "{}", escape(&wire.query))?;
        writeln!(
            out,
            "{} results in {} ms, after {} ms of waiting for other queries",
            wire.results, wire.took_ms, wire.waited_ms
        )?;
        wire.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {}", escape(warning)))?;
        wire.reads.iter().try_for_each(|read| read.write(out))
    }
}

impl Read {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let labels = self.labels.as_ref().map_or("all".to_owned(), |names| names.join(", "));
        let blocks = &self.blocks;
        let rows = [
            ("text index", format!("asked for {}", self.text_index_asked_for)),
            ("segments", format!("{} of {} opened", self.segments.opened, self.segments.of_the_time)),
            (
                "blocks",
                format!(
                    "{} of {} read, {} counted by the block table; ruled out: {} by time, {} by labels, {} by the text index",
                    blocks.read,
                    blocks.of_opened_segments,
                    blocks.counted_by_table,
                    blocks.ruled_out_by_time,
                    blocks.ruled_out_by_labels,
                    blocks.ruled_out_by_text_index
                ),
            ),
            (
                "lines",
                format!(
                    "{} ({}) in segments, {} ({}) in memory, found by {}; {} passed",
                    self.lines.in_segments,
                    human_bytes(self.line_bytes.in_segments),
                    self.lines.in_memory,
                    human_bytes(self.line_bytes.in_memory),
                    self.lines_found_by,
                    self.lines.passed
                ),
            ),
            (
                "stages",
                format!(
                    "run {}; labels: {}",
                    self.stages_run,
                    if labels.is_empty() { "none" } else { &labels }
                ),
            ),
            (
                "cpu",
                format!(
                    "{} ms on planning, {} ms on lines in memory, {} ms on blocks",
                    self.cpu_ms.planning, self.cpu_ms.memory, self.cpu_ms.blocks
                ),
            ),
        ];
        writeln!(out, "\nreads {}", escape(&self.query))?;
        rows.iter().try_for_each(|(name, text)| writeln!(out, "  {name:<10}  {}", escape(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"query":"{a=\"b\"}","kind":"log","results":3,"duplicates":0,"waited_ms":0.0,"took_ms":1.5,
        "warnings":["w\u001b[2J"],"reads":[{"query":"{a=\"b\"}","start":"0","end":"9","text_index_asked_for":"anything",
        "lines_found_by":"all lines","stages_run":"none","labels":null,"segments":{"of_the_time":4,"opened":2},
        "blocks":{"of_opened_segments":9,"ruled_out_by_time":1,"ruled_out_by_labels":2,"ruled_out_by_text_index":3,"read":3},
        "lines":{"in_memory":5,"in_segments":6,"passed":3},"line_bytes":{"in_memory":50,"in_segments":2048},
        "cpu_ms":{"planning":0.1,"memory":0.2,"blocks":0.3}}]}"#;

    #[test]
    fn people_read_lines_and_programs_what_came() {
        let account = Account::parse(BODY.as_bytes()).unwrap();
        let text = |for_people: bool| {
            let mut out = Vec::new();
            account.write(&mut out, for_people).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown = text(true);
        assert!(shown.contains("3 results in 1.5 ms"), "{shown}");
        assert!(
            shown.contains("3 of 9 read, 0 counted by the block table; ruled out: 1 by time, 2 by labels, 3 by the text index"),
            "{shown}"
        );
        assert!(shown.contains("6 (2.0 KiB) in segments, 5 (50 B) in memory"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert_eq!(text(false).trim_end(), BODY);
        assert!(Account::parse(b"{}").is_err());
    }

    #[test]
    fn the_readme_shows_what_is_shown() {
        let readme = include_str!("../../../README.md");
        let query = "{app=\"demo\"} |= \"beach\" | json | level=\"error\"";
        let body = serde_json::json!({"query": query, "kind": "log", "results": 3, "duplicates": 0, "waited_ms": 0,
            "took_ms": 1.52, "warnings": [], "reads": [{"query": query, "start": "0", "end": "9",
            "text_index_asked_for": "\"beach\" and (level=\"error\" or (\"error\" or \"\\\\u\"))",
            "lines_found_by": "one literal", "stages_run": "on each line", "labels": null,
            "segments": {"of_the_time": 2, "opened": 2},
            "blocks": {"of_opened_segments": 120, "ruled_out_by_time": 80, "ruled_out_by_labels": 30,
                "ruled_out_by_text_index": 9, "read": 1},
            "lines": {"in_memory": 12, "in_segments": 1400, "passed": 3},
            "line_bytes": {"in_memory": 1434, "in_segments": 512 << 10},
            "cpu_ms": {"planning": 0.21, "memory": 0.01, "blocks": 1.1}}]});
        let mut out = Vec::new();
        Account::parse(body.to_string().as_bytes()).unwrap().write(&mut out, true).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let example = readme.split("```text\n").find(|text| text.starts_with(query)).unwrap();
        assert_eq!(shown, example.split("```").next().unwrap());
    }
}
