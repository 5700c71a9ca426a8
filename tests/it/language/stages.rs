//! What do the stages of a query make of a line? As Loki's documentation says, one after another.

use super::data::Entry;
use super::filters::{bytes, compares, nanoseconds, number, takes_line, takes_row};
use super::parsers;
use super::regex;
use super::row::{DETAILS, ERROR, Row};

use std::collections::BTreeSet;
use strandline_logql::ast::*;

/// Whether the stream of `entry` is selected.
pub fn selects(matchers: &[MatcherExpr], entry: &Entry) -> bool {
    matchers.iter().all(|m| compares(entry.labels.get(&m.name).map_or("", String::as_str), m.op, &m.value))
}

/// The selected rows that pass all stages.
pub fn rows(log: &LogExpr, entries: &[Entry]) -> Vec<Row> {
    rows_with(log, entries, None)
}

/// The same for a metric query that reads only the labels that it names.
pub fn rows_with(log: &LogExpr, entries: &[Entry], named: Option<&BTreeSet<String>>) -> Vec<Row> {
    let selected = entries.iter().filter(|entry| selects(&log.matchers, entry));
    selected
        .filter_map(|entry| {
            let mut row = Row::of(entry);
            row.named = named.cloned();
            log.stages.iter().all(|stage| run(stage, &mut row)).then_some(row)
        })
        .collect()
}

/// False: the line is dropped.
fn run(stage: &Stage, row: &mut Row) -> bool {
    match stage {
        Stage::LineFilter(filter) => return takes_line(filter, &row.line),
        Stage::LabelFilter(filter) => return takes_row(filter, row),
        Stage::Json(wanted) if wanted.is_empty() => parsers::json_all(row),
        Stage::Json(wanted) => parsers::json_some(row, wanted),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            parsers::logfmt(row, *strict, *keep_empty, extractions);
        }
        Stage::Regexp(pattern) => parsers::regexp(row, pattern),
        Stage::Pattern(pattern) => parsers::pattern(row, pattern),
        Stage::Unpack => parsers::unpack(row),
        Stage::Decolorize => {
            row.line = regex("\u{1b}\\[[0-9;]*[A-Za-z]").replace_all(&row.line, "").into_owned();
        }
        Stage::LineFormat(template) => row.line = render(template, row),
        Stage::LabelFormat(formats) => label_format(formats, row),
        Stage::Drop(choices) => {
            let chosen = |name: &str, value: &str| chosen(choices, name, value);
            row.labels.retain(|label| !chosen(&label.0, &label.1));
        }
        Stage::Keep(choices) => row
            .labels
            .retain(|label| label.0 == ERROR || label.0 == DETAILS || chosen(choices, &label.0, &label.1)),
    }
    true
}

fn chosen(choices: &[LabelChoice], name: &str, value: &str) -> bool {
    let mut named = choices.iter().filter(|choice| choice.name == name);
    named.any(|choice| choice.condition.as_ref().is_none_or(|(op, wanted)| compares(value, *op, wanted)))
}

/// Templates here hold nothing but fields and the line: `{{.name}}`, `{{.name | upper}}`, `{{__line__}}`.
fn render(template: &str, row: &Row) -> String {
    let action = regex(r"\{\{\s*(?:\.(\w+)(?:\s*\|\s*(upper|lower))?|__line__)\s*\}\}");
    let text = |found: &regex::Captures<'_>| {
        let Some(name) = found.get(1) else { return row.line.clone() };
        let value = row.get(name.as_str()).unwrap_or("");
        match found.get(2).map(|function| function.as_str()) {
            Some("upper") => value.to_uppercase(),
            Some(_) => value.to_lowercase(),
            None => value.to_owned(),
        }
    };
    action.replace_all(template, text).into()
}

fn label_format(formats: &[LabelFormatExpr], row: &mut Row) {
    // What templates read: the labels as the first of them finds them.
    let mut seen = None;
    for LabelFormatExpr { name, value } in formats {
        match value {
            LabelFormatValue::Template(template) => {
                let seen = seen.get_or_insert_with(|| row.clone());
                row.set(name, &render(template, seen));
            }
            LabelFormatValue::Label(from) => {
                if let Some(value) =
                    row.get(from).filter(|_| *from != ERROR && *from != DETAILS).map(str::to_owned)
                {
                    row.set(name, &value);
                    row.remove(from);
                }
            }
        }
    }
}

/// The number that a row stands for; `None` if it stands for none. The label goes, unless `keeps_label`.
pub fn unwrapped(unwrap: &Unwrap, keeps_label: bool, row: &mut Row) -> Option<f64> {
    let text = row.get(&unwrap.label).filter(|text| !text.is_empty())?;
    let value = match unwrap.conversion {
        None => number(text),
        Some(Conversion::Bytes) => bytes(text),
        Some(Conversion::Duration | Conversion::DurationSeconds) => nanoseconds(text).map(|ns| ns / 1e9),
    };
    if value.is_none() {
        row.fail("SampleExtractionErr");
    }
    if !unwrap.filters.iter().all(|filter| takes_row(filter, row)) {
        return None;
    }
    if !keeps_label {
        row.remove(&unwrap.label);
    }
    Some(value.unwrap_or(0.0))
}
