//! What do a series' labels become under `label_replace`?

use super::error::EvalError;
use super::matrix::{Matrix, SeriesLabels};
use regex::bytes::Captures;
use strandline_logql::GroupRegex;
use strandline_logql::ast::LabelReplace;

/// A piece of the replacement, read as Go reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
    Named(String),
}

/// A `label_replace`, ready to run.
#[derive(Debug)]
pub struct Replacement<'a> {
    expr: &'a LabelReplace,
    regex: GroupRegex,
    pieces: Vec<Piece>,
}

impl<'a> Replacement<'a> {
    /// Compiles the pattern, which must match whole values.
    pub fn new(expr: &'a LabelReplace) -> Result<Self, EvalError> {
        let regex = strandline_logql::whole_value_regex(&expr.regex)
            .map_err(|error| EvalError::Pattern(error.to_string()))?;
        Ok(Self { expr, regex, pieces: pieces(&expr.replacement) })
    }

    /// Changes the labels of every series. Several may end up with the same ones at one step: that is how it is.
    pub fn apply(&self, mut matrix: Matrix) -> Matrix {
        for series in &mut matrix.series {
            if let Some(labels) = self.replaced(&series.labels) {
                series.labels = labels;
            }
        }
        matrix.join(Matrix::default())
    }

    fn replaced(&self, labels: &SeriesLabels) -> Option<SeriesLabels> {
        let source = labels.get(&self.expr.source).unwrap_or_default();
        let captures = self.regex.regex().captures(source.as_bytes())?;
        Some(labels.with(&self.expr.destination, &self.expand(&captures)))
    }

    fn expand(&self, captures: &Captures) -> String {
        let mut value = Vec::new();
        for piece in &self.pieces {
            let group = match piece {
                Piece::Text(text) => {
                    value.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Group(number) => captures.get(*number),
                Piece::Named(name) => self.regex.named(captures, name),
            };
            value.extend_from_slice(group.map_or(&[], |group| group.as_bytes()));
        }
        String::from_utf8_lossy(&value).into_owned()
    }
}

/// Reads `$1`, `${1}`, `$name`, `${name}` and `$$`. A name is as long as it can be (`$1x` is the group `1x`), and a
/// dollar that begins nothing is a dollar.
fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('$') {
        push_text(&mut pieces, before);
        if let Some(behind) = behind.strip_prefix('$') {
            push_text(&mut pieces, "$");
            rest = behind;
        } else if let Some((name, behind)) = reference(behind) {
            pieces.push(group(name));
            rest = behind;
        } else {
            push_text(&mut pieces, "$");
            rest = behind;
        }
    }
    push_text(&mut pieces, rest);
    pieces
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// The name behind a dollar, and what stands behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => {
            let (name, rest) = inner.split_at_checked(word(inner))?;
            (name, rest.strip_prefix('}')?)
        }
        None => text.split_at_checked(word(text))?,
    };
    (!name.is_empty()).then_some((name, rest))
}

/// A number without leading zeros is a number, all else a name.
fn group(name: &str) -> Piece {
    let digits = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    match name.parse() {
        Ok(number) if digits => Piece::Group(number),
        _ => Piece::Named(name.to_owned()),
    }
}

#[cfg(test)]
#[path = "label_replace_tests.rs"]
mod tests;
