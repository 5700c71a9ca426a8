//! How is a pattern compiled, so that it matches what Go's would, in bounded time and memory?

use crate::error::ParseError;
use crate::go_regex::translate;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// Longest pattern in bytes.
pub const MAX_PATTERN_BYTES: usize = 16 * 1024;
const PROGRAM_BYTES: usize = 2 << 20;
const DFA_CACHE_BYTES: usize = 4 << 20;
const MAX_NESTING: u32 = 100;

/// A checked pattern: its structure, and its text in Rust's syntax.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) hir: Hir,
    translated: String,
}

impl Pattern {
    /// Reads a pattern of Go's syntax. The error is in Go's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let checked = || {
            if text.len() > MAX_PATTERN_BYTES {
                return Err(format!("expression of {} bytes is longer than {MAX_PATTERN_BYTES}", text.len()));
            }
            let translated = translate(text)?;
            let mut parser = ParserBuilder::new().utf8(false).nest_limit(MAX_NESTING).build();
            let hir = parser.parse(&translated).map_err(|e| in_go_words(&e, text))?;
            Ok(Self { hir, translated })
        };
        checked().map_err(|e| format!("error parsing regexp: {e}"))
    }

    /// The pattern as a search anywhere in a line.
    pub(crate) fn unanchored(&self) -> Result<Regex, String> {
        build(&self.translated)
    }

    /// The pattern as a condition on a whole label value; `.` matches newlines too, as in Prometheus.
    pub(crate) fn anchored(&self) -> Result<Regex, String> {
        build(&format!("^(?s:{})$", self.translated))
    }

    /// The text that the pattern matches, when an unanchored search for it is a search for that text alone.
    pub(crate) fn as_literal(&self) -> Option<Vec<u8>> {
        literal(strip_open_ends(&self.hir))
    }

    /// The texts that the pattern matches, when these are all that it matches.
    pub(crate) fn as_alternatives(&self) -> Option<Vec<Vec<u8>>> {
        match uncaptured(&self.hir).kind() {
            HirKind::Alternation(parts) => parts.iter().map(literal).collect(),
            _ => literal(&self.hir).map(|text| vec![text]),
        }
    }
}

/// A pattern of Go's syntax as a condition on a whole label value, for whoever needs its groups.
pub fn whole_value_regex(text: &str) -> Result<Regex, ParseError> {
    Pattern::parse(text).and_then(|pattern| pattern.anchored()).map_err(ParseError::Whole)
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PROGRAM_BYTES)
        .dfa_size_limit(DFA_CACHE_BYTES)
        // What encloses a label's pattern comes on top.
        .nest_limit(MAX_NESTING + 4)
        .build()
        .map_err(|_| "error parsing regexp: expression is too large".to_owned())
}

fn in_go_words(error: &regex_syntax::Error, text: &str) -> String {
    use regex_syntax::ast::ErrorKind as E;
    match error {
        regex_syntax::Error::Parse(e) => match e.kind() {
            E::GroupUnclosed => format!("missing closing ): `{text}`"),
            E::GroupUnopened => format!("unexpected ): `{text}`"),
            E::ClassUnclosed => format!("missing closing ]: `{text}`"),
            E::RepetitionMissing => format!("missing argument to repetition operator: `{text}`"),
            other => format!("{other}: `{text}`"),
        },
        regex_syntax::Error::Translate(e) => format!("{}: `{text}`", e.kind()),
        _ => format!("invalid expression: `{text}`"),
    }
}

/// `hir` without the groups around it.
pub(crate) fn uncaptured(hir: &Hir) -> &Hir {
    match hir.kind() {
        HirKind::Capture(group) => uncaptured(&group.sub),
        _ => hir,
    }
}

fn literal(hir: &Hir) -> Option<Vec<u8>> {
    match uncaptured(hir).kind() {
        HirKind::Empty => Some(Vec::new()),
        HirKind::Literal(text) => Some(text.0.to_vec()),
        _ => None,
    }
}

/// `hir`, or its only part that an unanchored search must find: what may be empty at either end (`.*needle.*`) adds no
/// condition, wherever it stands.
fn strip_open_ends(hir: &Hir) -> &Hir {
    let open = |hir: &&Hir| matches!(uncaptured(hir).kind(), HirKind::Repetition(r) if r.min == 0);
    match uncaptured(hir).kind() {
        HirKind::Concat(parts) => {
            let mut inner = parts.iter().skip_while(|part| open(part)).collect::<Vec<_>>();
            while inner.last().is_some_and(open) {
                inner.pop();
            }
            match inner.as_slice() {
                [only] => strip_open_ends(only),
                _ => hir,
            }
        }
        _ => hir,
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
