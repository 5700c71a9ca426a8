//! Which lines and labels do conditions take? As Loki's documentation describes line and label filters.

use super::parsers::pattern_parts;
use super::row::{DETAILS, ERROR, Row};
use super::{go_regex, regex};

use std::net::IpAddr;
use strandline_logql::ast::*;
use strandline_model::MatchOp;

pub const FILTER_ERROR: &str = "LabelFilterErr";

pub fn takes_line(filter: &LineFilterExpr, line: &str) -> bool {
    let holds = |operand: &LineOperand| match operand {
        LineOperand::Ip(range) => has_ip(line, range),
        LineOperand::Text(text) => {
            let text = std::str::from_utf8(text).unwrap();
            match filter.op {
                LineFilterOp::Contains | LineFilterOp::NotContains => line.contains(text),
                LineFilterOp::Matches | LineFilterOp::NotMatches => go_regex(text).is_match(line),
                LineFilterOp::Pattern | LineFilterOp::NotPattern => has_shape(line, text),
            }
        }
    };
    let positive =
        matches!(filter.op, LineFilterOp::Contains | LineFilterOp::Matches | LineFilterOp::Pattern);
    filter.operands.iter().any(holds) == positive
}

/// `|>`: the literals in order, something between them, and behind the last only if a capture ends the pattern.
fn has_shape(line: &str, pattern: &str) -> bool {
    if line.is_empty() || pattern.is_empty() {
        return line == pattern;
    }
    let (parts, last) = pattern_parts(pattern);
    let literals = parts.iter().map(|part| part.0).chain([last]);
    let mut rest = line;
    for (i, literal) in literals.enumerate().filter(|(_, literal)| !literal.is_empty()) {
        match rest.split_once(literal) {
            Some(("", _)) if i > 0 => return false,
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty() != last.is_empty()
}

/// An address as a number, and whether it is one of version 6.
fn ip(text: &str) -> Option<(bool, u128)> {
    text.parse::<IpAddr>().ok().map(|ip| match ip {
        IpAddr::V4(ip) => (false, u32::from(ip).into()),
        IpAddr::V6(ip) => (true, ip.into()),
    })
}

fn has_ip(text: &str, range: &str) -> bool {
    let (first, last) = match (range.split_once('-'), range.split_once('/')) {
        (Some((first, last)), _) => (ip(first).unwrap(), ip(last).unwrap()),
        (_, Some((base, bits))) => {
            let (v6, base) = ip(base).unwrap();
            let free = if v6 { 128 } else { 32 } - bits.parse::<u32>().unwrap();
            let mask = (1 << free) - 1;
            ((v6, base & !mask), (v6, base | mask))
        }
        _ => (ip(range).unwrap(), ip(range).unwrap()),
    };
    let inside = |c: char| c.is_ascii_digit() || c == '.' || (first.0 && (c.is_ascii_hexdigit() || c == ':'));
    let words = text.split(|c| !inside(c)).map(|word| word.trim_matches('.'));
    words
        .filter_map(|word| ip(word).or_else(|| ip(word.trim_matches(':'))))
        .any(|ip| first <= ip && ip <= last)
}

/// Whether a value fulfills `op wanted`; patterns match all of it.
pub fn compares(value: &str, op: MatchOp, wanted: &str) -> bool {
    let matches = || go_regex(&format!("^(?s:{wanted})$")).is_match(value);
    match op {
        MatchOp::Equal => value == wanted,
        MatchOp::NotEqual => value != wanted,
        MatchOp::Regex => matches(),
        MatchOp::NotRegex => !matches(),
    }
}

pub fn takes_row(filter: &LabelFilterExpr, row: &mut Row) -> bool {
    match filter {
        LabelFilterExpr::And(left, right) => {
            let (left, right) = (takes_row(left, row), takes_row(right, row));
            left && right
        }
        LabelFilterExpr::Or(left, right) => takes_row(left, row) || takes_row(right, row),
        LabelFilterExpr::Text(m) => compares(row.get(&m.name).unwrap_or(""), m.op, &m.value),
        LabelFilterExpr::Ip { name, negative, range } => {
            row.get(ERROR).is_some() || row.get(name).is_some_and(|text| has_ip(text, range) != *negative)
        }
        LabelFilterExpr::Quantity { name, op, value } => {
            let Some(text) = row.get(name).filter(|_| name != ERROR && name != DETAILS) else { return false };
            let sides = match value {
                Quantity::Number(wanted) => number(text).map(|found| (found, *wanted)),
                Quantity::Duration(wanted) => nanoseconds(text).map(|found| (found, *wanted as f64)),
                Quantity::Bytes(wanted) => bytes(text).map(|found| (found, *wanted as f64)),
            };
            let Some((found, wanted)) = sides else {
                if row.get(ERROR).is_none() {
                    row.fail(FILTER_ERROR);
                }
                return true;
            };
            match op {
                CompareOp::Equal => found == wanted,
                CompareOp::NotEqual => found != wanted,
                CompareOp::Greater => found > wanted,
                CompareOp::GreaterEqual => found >= wanted,
                CompareOp::Less => found < wanted,
                CompareOp::LessEqual => found <= wanted,
            }
        }
    }
}

pub fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A duration as Go writes it.
pub fn nanoseconds(text: &str) -> Option<f64> {
    let part = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)";
    let whole = regex(&format!("^[-+]?({part})+$"));
    if !whole.is_match(text) {
        return (text == "0").then_some(0.0);
    }
    let parts = regex(part);
    let sum: f64 = parts
        .captures_iter(text)
        .map(|part| {
            let unit = match &part[2] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                _ => 3600e9,
            };
            (part[1].parse::<f64>().unwrap() * unit).round()
        })
        .sum();
    Some(if text.starts_with('-') { -sum } else { sum })
}

pub fn bytes(text: &str) -> Option<f64> {
    let found = regex(r"^([\d.]+)\s*([a-zA-Z]*)$").captures(text)?;
    let unit = match found[2].to_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "ki" | "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mi" | "mib" => 1024.0 * 1024.0,
        _ => return None,
    };
    Some((found[1].parse::<f64>().ok()? * unit).trunc())
}
