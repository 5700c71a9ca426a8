//! What must a line contain, so that the parsers make the labels that the label filters ask for?
//!
//! `| json | user="ana"` passes only lines that hold `ana`, unless the stream or the metadata has the label `user`.
//! Only what is certain: JSON may write any character as `\u0061`, labels may be renamed, lines changed.

use super::json_member::JsonMember;
use super::label_filter::LabelFilter;
use super::row::EXTRACTED;
use super::step::{Step, changes_line};
use crate::ast::{LabelFilterExpr, LabelFormatValue, Stage};
use crate::needle;
use crate::pattern::{Groups, Pattern};
use strandline_model::{MatchOp, Needle};

/// A condition on an entry that holds unless its stream has the label.
#[derive(Debug, Clone)]
pub struct LabelNeedle {
    /// The label. Where the stream has one of this name, nothing is known.
    pub label: String,
    /// What the line must contain if no metadata has this name; `None` if no stage makes this label.
    pub line: Option<Needle>,
    /// What the metadata must be if the label comes from there; [`Needle::Any`] if values are not known.
    metadata: Needle,
    /// If the line's JSON is all that the label can come from.
    pub(super) member: Option<JsonMember>,
}

impl LabelNeedle {
    /// What the line or the metadata must contain.
    pub fn entry(&self) -> Needle {
        needle::one_of(std::iter::once(self.metadata.clone()).chain(self.line.clone()))
    }
}

/// A stage that may have made a label.
#[derive(Debug, Clone, Copy)]
enum Origin<'s> {
    /// A parser that takes values as they stand.
    Verbatim(&'s Step),
    /// `json`, which makes labels of all fields.
    Json,
    /// Another parser that resolves JSON's escapes.
    Escaped,
    /// Nothing is known of where its values come from.
    Unknown,
}

/// The conditions of the label filters among `stages`, which `steps` are compiled from.
pub(super) fn of_stages(stages: &[&Stage], steps: &[Step]) -> Vec<LabelNeedle> {
    let mut found = Vec::new();
    let mut origins: Vec<Origin<'_>> = Vec::new();
    let mut set: Vec<&str> = Vec::new();
    let mut line_is_stored = true;
    for (stage, step) in stages.iter().zip(steps) {
        let unknown_line = if line_is_stored { None } else { Some(Origin::Unknown) };
        match stage {
            Stage::Json(fields) if fields.is_empty() => origins.push(unknown_line.unwrap_or(Origin::Json)),
            Stage::Json(_) | Stage::Logfmt { .. } | Stage::Unpack => {
                origins.push(unknown_line.unwrap_or(Origin::Escaped));
            }
            Stage::Regexp(_) | Stage::Pattern(_) => {
                origins.push(unknown_line.unwrap_or(Origin::Verbatim(step)));
            }
            Stage::LabelFormat(formats) => {
                for format in formats {
                    set.push(&format.name);
                    if let LabelFormatValue::Label(from) = &format.value {
                        set.push(from);
                    }
                }
            }
            Stage::LabelFilter(expr) => {
                if let Step::LabelFilter(filter) = step {
                    conjunction(expr, filter, &origins, &set, &mut found);
                }
            }
            _ => {}
        }
        line_is_stored &= !changes_line(stage);
    }
    found
}

/// The conditions of each filter that must hold for itself.
fn conjunction(
    expr: &LabelFilterExpr,
    filter: &LabelFilter,
    origins: &[Origin<'_>],
    set: &[&str],
    found: &mut Vec<LabelNeedle>,
) {
    if let (LabelFilterExpr::And(left, right), LabelFilter::And(left_filter, right_filter)) = (expr, filter) {
        conjunction(left, left_filter, origins, set, found);
        conjunction(right, right_filter, origins, set, found);
        return;
    }
    let label = match expr {
        LabelFilterExpr::Text(matcher) => &matcher.name,
        LabelFilterExpr::Quantity { name, .. } => name,
        // A row with an error passes unchecked, and an alternative asks nothing of either side.
        LabelFilterExpr::Ip { .. } | LabelFilterExpr::And(..) | LabelFilterExpr::Or(..) => return,
    };
    // A renamed label depends on what else the row has, an error on what the stages do.
    if label.ends_with(EXTRACTED) || label.starts_with("__error") || set.contains(&label.as_str()) {
        return;
    }
    let Some(values) = values(expr, filter) else { return };
    let mut alternatives = Vec::new();
    for origin in origins {
        alternatives.push(match origin {
            Origin::Unknown => return,
            Origin::Json | Origin::Escaped => needle::one_of(values.iter().flat_map(|value| escaped(value))),
            Origin::Verbatim(step) => match capture(step, label) {
                Some(frame) => needle::one_of(values.iter().map(|value| verbatim(value))).and(frame),
                // This parser does not make the label.
                None => continue,
            },
        });
    }
    let metadata = needle::one_of(values.iter().map(|value| in_metadata(label, value)));
    let line = (!origins.is_empty()).then(|| needle::one_of(alternatives.into_iter()));
    let only_json = matches!(origins, [Origin::Json]);
    let member = if only_json { JsonMember::new(label, &values) } else { None };
    let needle = LabelNeedle { label: label.clone(), line, metadata, member };
    if needle.line.as_ref().is_some_and(|line| *line != Needle::Any) || needle.entry() != Needle::Any {
        found.push(needle);
    }
}

fn in_metadata(label: &str, value: &str) -> Needle {
    match value {
        "" => Needle::Any,
        _ => Needle::Metadata { name: label.to_owned(), value: value.to_owned() },
    }
}

/// The values of a label that passes; an empty one stands for any. `None`: the label may be missing.
fn values(expr: &LabelFilterExpr, filter: &LabelFilter) -> Option<Vec<String>> {
    if let LabelFilter::Text(text) = filter
        && text.takes("")
    {
        return None;
    }
    Some(match expr {
        LabelFilterExpr::Text(matcher) if matcher.op == MatchOp::Equal => vec![matcher.value.clone()],
        LabelFilterExpr::Text(matcher) if matcher.op == MatchOp::Regex => alternatives(&matcher.value),
        // Any value: not empty for a text, at least there for a number.
        _ => vec![String::new()],
    })
}

/// The values that a pattern matches, if they can be listed.
fn alternatives(pattern: &str) -> Vec<String> {
    let texts = Pattern::parse(pattern, Groups::None).ok().and_then(|pattern| pattern.as_alternatives());
    let texts =
        texts.and_then(|all| all.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>().ok());
    texts.filter(|all| all.iter().all(|text| !text.is_empty())).unwrap_or_else(|| vec![String::new()])
}

/// A value that stands in the line as it is, but for blanks: they may stand for bytes that are no text.
fn verbatim(value: &str) -> Needle {
    let longest = value.split(' ').max_by_key(|piece| piece.len()).unwrap_or("");
    if longest.is_empty() || longest.contains(char::REPLACEMENT_CHARACTER) {
        return Needle::Any;
    }
    Needle::Literal(longest.as_bytes().to_vec())
}

/// A value that stands in the line as it is or with escapes.
fn escaped(value: &str) -> Vec<Needle> {
    let always_escaped = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if value.contains(always_escaped) {
        return vec![Needle::Any];
    }
    let mut all = vec![verbatim(value), Needle::Literal(b"\\u".to_vec())];
    // These need no escape but may have one.
    for (letter, escape) in [('/', "\\/"), ('\'', "\\'")] {
        if value.contains(letter) {
            all.push(Needle::Literal(escape.as_bytes().to_vec()));
        }
    }
    all
}

/// What stands in a line from which the parser makes `label`; `None`: it never does.
fn capture(step: &Step, label: &str) -> Option<Needle> {
    match step {
        Step::Regexp(regexp, _) => regexp.makes(label).then(|| regexp.needle().clone()),
        Step::Pattern(shape, _) => shape.makes(label).then(|| shape.needle_of(label)),
        _ => Some(Needle::Any),
    }
}
