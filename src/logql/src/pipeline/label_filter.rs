//! Does a row pass a condition on its labels?

use super::ip::IpRange;
use super::row::{FILTER_ERROR, Row};
use super::units::{parse_bytes, parse_duration, parse_float};
use crate::ast::{CompareOp, LabelFilterExpr, MatcherExpr, Quantity};
use crate::error::ParseError;
use crate::patterns::Patterns;
use crate::selector;
use strandline_model::{MatchOp, Matcher};

/// A condition on labels.
#[derive(Debug, Clone)]
pub(super) enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    Text(TextFilter),
    Quantity { name: String, op: CompareOp, value: Quantity },
    Ip { name: String, negative: bool, range: IpRange },
}

/// A comparison with text.
#[derive(Debug, Clone)]
pub(super) struct TextFilter {
    matcher: Matcher,
    /// `=~""` matches every value in Loki, as a search for nothing would.
    matches_all: bool,
}

impl TextFilter {
    /// Compiles a comparison; patterns match whole values.
    pub(super) fn compile(
        name: &str,
        op: MatchOp,
        value: &str,
        patterns: &mut Patterns,
    ) -> Result<Self, String> {
        let expr = MatcherExpr { name: name.to_owned(), op, value: value.to_owned() };
        let selector = selector::compile(std::slice::from_ref(&expr), patterns).map_err(|e| match e {
            ParseError::Whole(text) | ParseError::At { text, .. } => text,
        })?;
        let matcher = selector.matchers.into_iter().next().unwrap_or_else(|| Matcher::equal(name, value));
        let matches_all = value.is_empty() && matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        Ok(Self { matcher, matches_all })
    }

    /// Whether `value` fulfills it.
    pub(super) fn takes(&self, value: &str) -> bool {
        if self.matches_all { self.matcher.op == MatchOp::Regex } else { self.matcher.matches(value) }
    }
}

impl LabelFilter {
    pub(super) fn compile(expr: &LabelFilterExpr, patterns: &mut Patterns) -> Result<Self, String> {
        Ok(match expr {
            LabelFilterExpr::And(left, right) => {
                Self::And(Box::new(Self::compile(left, patterns)?), Box::new(Self::compile(right, patterns)?))
            }
            LabelFilterExpr::Or(left, right) => {
                Self::Or(Box::new(Self::compile(left, patterns)?), Box::new(Self::compile(right, patterns)?))
            }
            LabelFilterExpr::Text(m) => Self::Text(TextFilter::compile(&m.name, m.op, &m.value, patterns)?),
            LabelFilterExpr::Quantity { name, op, value } => {
                Self::Quantity { name: name.clone(), op: *op, value: *value }
            }
            LabelFilterExpr::Ip { name, negative, range } => {
                Self::Ip { name: name.clone(), negative: *negative, range: IpRange::parse(range)? }
            }
        })
    }

    /// Whether the row passes. A value that cannot be compared passes and marks the row.
    pub(super) fn takes(&self, row: &mut Row<'_>) -> bool {
        match self {
            // Both sides are always looked at, for either may mark the row.
            Self::And(left, right) => left.takes(row) & right.takes(row),
            Self::Or(left, right) => left.takes(row) || right.takes(row),
            Self::Text(filter) => filter.takes(row.get(&filter.matcher.name).unwrap_or("")),
            Self::Quantity { name, op, value } => {
                // An error is no label to these: it is as if it were missing.
                let outcome = match row.get_label(name) {
                    None => return false,
                    Some(text) => compare(text, *op, *value),
                };
                outcome.unwrap_or_else(|details| {
                    if !row.has_error() {
                        row.set_error(FILTER_ERROR);
                        row.set_details(&details);
                    }
                    true
                })
            }
            Self::Ip { name, negative, range } => {
                row.has_error()
                    || row.get_label(name).is_some_and(|text| range.is_in(text.as_bytes()) != *negative)
            }
        }
    }
}

/// Compares a label's text with a constant of the query.
fn compare(text: &str, op: CompareOp, constant: Quantity) -> Result<bool, String> {
    Ok(match constant {
        Quantity::Number(wanted) => holds(op, &parse_float(text)?, &wanted),
        Quantity::Duration(wanted) => holds(op, &parse_duration(text)?, &wanted),
        Quantity::Bytes(wanted) => holds(op, &parse_bytes(text)?, &wanted),
    })
}

fn holds<T: PartialOrd>(op: CompareOp, left: &T, right: &T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessEqual => left <= right,
    }
}
