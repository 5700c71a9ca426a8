//! How severe is an entry? The order of the sources: metadata, stream labels, the line itself.
//!
//! The rules are those of Loki, so that `detected_level` means the same in both.

mod fields;
mod json;
mod logfmt;
mod severity;
mod words;

pub use fields::{FIELDS, field_rank};
pub use severity::Level;

use strandline_model::Labels;
use strandline_model::metadata::DETECTED_LEVEL;

/// A value of a level field as it is stored: a known level's name, or the text verbatim.
pub fn normalised(value: &str) -> &str {
    Level::from_name(value.as_bytes()).map_or(value, |level| level.as_str())
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
