//! How severe is an entry? The order of the sources: metadata, stream labels, the line itself.
//!
//! The rules are those of Loki, so that `detected_level` means the same in both.

mod json;
mod logfmt;
mod words;

use strandline_model::Labels;
use strandline_model::metadata::DETECTED_LEVEL;

/// A severity that strandline knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Nothing tells the level.
    Unknown,
    /// `trace`, `trc`
    Trace,
    /// `debug`, `dbg`
    Debug,
    /// `info`, `inf`, `information`
    Info,
    /// `warn`, `wrn`, `warning`
    Warn,
    /// `error`, `err`
    Error,
    /// `critical`
    Critical,
    /// `fatal`
    Fatal,
}

impl Level {
    /// The text that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
        }
    }

    /// The level that `value` names in any mix of cases; `None` for other text.
    pub fn from_name(value: &[u8]) -> Option<Self> {
        let mut lower = [0u8; 11];
        let lower = lower.get_mut(..value.len())?;
        lower.copy_from_slice(value);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trc" | b"trace" => Self::Trace,
            b"dbg" | b"debug" => Self::Debug,
            b"inf" | b"info" | b"information" => Self::Info,
            b"wrn" | b"warn" | b"warning" => Self::Warn,
            b"err" | b"error" => Self::Error,
            b"critical" => Self::Critical,
            b"fatal" => Self::Fatal,
            _ => return None,
        })
    }

    /// The level of an OpenTelemetry `severity_number` given as text.
    pub fn from_severity_number(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(1..=4) => Self::Trace,
            Ok(5..=8) => Self::Debug,
            Ok(9..=12) => Self::Info,
            Ok(13..=16) => Self::Warn,
            Ok(17..=20) => Self::Error,
            Ok(21..=24) => Self::Fatal,
            Ok(_) => Self::Unknown,
            Err(_) => Self::Info,
        }
    }
}

/// A value of a level field as it is stored: a known level's name, or the text verbatim.
pub fn normalised(value: &str) -> &str {
    Level::from_name(value.as_bytes()).map_or(value, |level| level.as_str())
}

/// The names under which labels, metadata and lines hold a level, best first.
pub const FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

/// Place of `name` in [`FIELDS`]; `None` when it is not there. A match, for it is asked of every field of every line.
pub fn field_rank(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"level" => 0,
        b"LEVEL" => 1,
        b"Level" => 2,
        b"log.level" => 3,
        b"severity" => 4,
        b"SEVERITY" => 5,
        b"Severity" => 6,
        b"SeverityText" => 7,
        b"lvl" => 8,
        b"LVL" => 9,
        b"Lvl" => 10,
        b"severity_text" => 11,
        b"Severity_Text" => 12,
        b"SEVERITY_TEXT" => 13,
        _ => return None,
    })
}

/// The level that a stream's labels give to all its entries.
pub fn of_labels(labels: &Labels) -> Option<&str> {
    labels
        .iter()
        .filter_map(|(name, value)| field_rank(name.as_bytes()).map(|rank| (rank, value)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, value)| normalised(value))
}

/// The level of an entry from its stream's level (if the labels gave one), its metadata and its line.
pub fn of_entry<'a>(
    stream_level: Option<&'a str>,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
    line: &[u8],
) -> &'a str {
    let mut best: Option<(u8, &'a str)> = None;
    let mut severity_number = None;
    for (name, value) in metadata {
        match name {
            // The last of equal names wins, as everywhere in metadata; this one beats all else.
            DETECTED_LEVEL => best = Some((0, value)),
            "severity_number" => severity_number = Some(value),
            _ => {
                // 1 and up: below `detected_level`; `<=` so that the last of equal names wins.
                let rank = field_rank(name.as_bytes()).map(|rank| rank + 1);
                if let Some(rank) = rank.filter(|r| best.is_none_or(|(b, _)| *r <= b)) {
                    best = Some((rank, value));
                }
            }
        }
    }
    match (best, stream_level, severity_number) {
        (Some((0, own)), ..) => normalised(own),
        (_, Some(level), _) => level,
        (Some((_, field)), ..) => normalised(field),
        (_, _, Some(number)) => Level::from_severity_number(number).as_str(),
        _ => of_line(line).as_str(),
    }
}

/// The level that the text of a line tells.
pub fn of_line(line: &[u8]) -> Level {
    let trimmed = line.trim_ascii();
    let field = if trimmed.first() == Some(&b'{') && trimmed.last() == Some(&b'}') {
        json::level_field(trimmed)
    } else {
        logfmt::level_field(line)
    };
    field.and_then(Level::from_name).unwrap_or_else(|| words::first_level(line))
}

#[cfg(test)]
#[path = "level/tests.rs"]
mod tests;
