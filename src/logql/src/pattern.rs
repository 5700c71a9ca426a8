//! How is a pattern compiled, so that it matches what Go's would, in bounded time and memory?

use crate::error::ParseError;
pub(crate) use crate::go_regex::Groups;
use crate::go_regex::{MAX_REPEAT, Translated, translate};
use crate::pattern_size;
use regex::bytes::{Captures, Match, Regex, RegexBuilder};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{Ast, RepetitionKind, RepetitionRange};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, HirKind};
use std::sync::Arc;
use strandline_model::polling;

/// Most bytes that the regular expressions of one query may take compiled, as far as can be told before.
pub const MAX_COMPILED_BYTES: u64 = 16 << 20;
const MAX_NESTING: u32 = 100;
/// What a program may take beyond its estimate.
const SPARE_PROGRAM_BYTES: usize = 256 << 10;
/// Bytes of the cache of a search that stands alone, for each thread. A query can have hundreds of them.
const CACHE_BYTES: usize = 64 << 10;

/// Where a pattern must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// Anywhere in the text.
    Part,
    /// The whole text.
    Whole,
}

/// A checked pattern: its structure, and its text in Rust's syntax.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) hir: Hir,
    translated: Translated,
    /// Bytes that it will take compiled.
    bytes: u64,
}

/// A pattern in Rust's syntax and what it consists of.
fn read(text: &str, groups: Groups) -> Result<(Translated, Ast), String> {
    let translated = translate(text, groups)?;
    let mut parser = ParserBuilder::new().nest_limit(MAX_NESTING).build();
    let ast = parser.parse(&translated.text).map_err(|e| in_go_words(&e.into(), text))?;
    repeats(&ast, &translated.text)?;
    Ok((translated, ast))
}

/// How often the innermost part of `ast` is written out, which Go bounds. Patterns bound their nesting.
fn repeats(ast: &Ast, text: &str) -> Result<u32, String> {
    let most =
        |all: &[Ast]| all.iter().try_fold(1, |most, part| Ok::<_, String>(repeats(part, text)?.max(most)));
    match ast {
        Ast::Group(group) => repeats(&group.ast, text),
        Ast::Concat(all) => most(&all.asts),
        Ast::Alternation(all) => most(&all.asts),
        Ast::Repetition(repetition) => {
            let inside = repeats(&repetition.ast, text)?;
            let RepetitionKind::Range(range) = &repetition.op.kind else { return Ok(inside) };
            let count = match *range {
                RepetitionRange::Exactly(n)
                | RepetitionRange::AtLeast(n)
                | RepetitionRange::Bounded(_, n) => n,
            };
            // What is never there is not looked into.
            let product = if count == 0 { 1 } else { inside.saturating_mul(count) };
            if product > MAX_REPEAT && count >= 2 {
                let span = &repetition.op.span;
                let shown = text.get(span.start.offset..span.end.offset).unwrap_or("");
                return Err(format!("invalid repeat count: `{shown}`"));
            }
            Ok(product)
        }
        _ => Ok(1),
    }
}

/// Bytes that a pattern will take compiled; `None` if it is none.
pub(crate) fn estimated_bytes(text: &str, groups: Groups) -> Option<u64> {
    read(text, groups).ok().map(|(_, ast)| pattern_size::of_search(&ast))
}

impl Pattern {
    /// Reads a pattern of Go's syntax of which these groups are asked for. The error is in Go's words.
    pub(crate) fn parse(text: &str, groups: Groups) -> Result<Self, String> {
        let checked = || {
            let (translated, ast) = read(text, groups)?;
            let bytes = pattern_size::of_search(&ast);
            if bytes > MAX_COMPILED_BYTES {
                return Err("expression is too large".to_owned());
            }
            let mut translator = TranslatorBuilder::new().utf8(false).build();
            let hir =
                translator.translate(&translated.text, &ast).map_err(|e| in_go_words(&e.into(), text))?;
            Ok(Self { hir, translated, bytes })
        };
        checked().map_err(|e: String| format!("error parsing regexp: {e}"))
    }

    /// The pattern in Rust's syntax.
    pub(crate) fn translated(&self) -> &str {
        &self.translated.text
    }

    /// A name that more than one of its groups has.
    pub(crate) fn duplicate_name(&self) -> Option<&str> {
        self.translated.repeated.first().map(|(name, _)| name.as_str())
    }

    /// The search with the groups that Go would name.
    pub(crate) fn grouped(&self, regex: Arc<Regex>) -> GroupRegex {
        GroupRegex { regex, bytes: self.bytes, repeated: self.translated.repeated.clone() }
    }

    /// Bytes that it will take compiled.
    pub(crate) fn estimated_bytes(&self) -> u64 {
        self.bytes
    }

    /// The pattern as a search; its cache takes so many bytes in each thread. As a condition on a whole label value `.`
    /// matches newlines too, as in Prometheus.
    pub(crate) fn compile(&self, extent: Extent, cache_bytes: usize) -> Result<Regex, String> {
        polling::assert_none("compiling a pattern");
        let whole = || format!("^(?s:{})$", self.translated.text);
        let program_bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let mut builder = match extent {
            Extent::Part => RegexBuilder::new(&self.translated.text),
            Extent::Whole => RegexBuilder::new(&whole()),
        };
        builder
            .size_limit(program_bytes.saturating_add(SPARE_PROGRAM_BYTES))
            .dfa_size_limit(cache_bytes)
            // What encloses a label's pattern comes on top.
            .nest_limit(MAX_NESTING + 4)
            .build()
            .map_err(|_| "error parsing regexp: expression is too large".to_owned())
    }

    /// The pattern as a search anywhere, for who has no other.
    pub(crate) fn unanchored(&self) -> Result<GroupRegex, String> {
        self.compile(Extent::Part, CACHE_BYTES).map(|regex| self.grouped(Arc::new(regex)))
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

/// A search whose groups are asked for, by number or by name.
#[derive(Debug)]
pub struct GroupRegex {
    regex: Arc<Regex>,
    /// Bytes that it takes compiled, about.
    bytes: u64,
    repeated: Vec<(String, Vec<usize>)>,
}

impl GroupRegex {
    /// The search.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Bytes that it takes compiled, about: a search may look at all of them for each byte of a text.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the group of this name matched. Where several have the name, it is the first of them that took part, as in Go.
    pub fn named<'t>(&self, captures: &Captures<'t>, name: &str) -> Option<Match<'t>> {
        match self.repeated.iter().find(|(repeated, _)| repeated == name) {
            Some((_, numbers)) => numbers.iter().find_map(|number| captures.get(*number)),
            None => captures.name(name),
        }
    }
}

/// A pattern of Go's syntax as a condition on a whole label value, for whoever needs its groups.
pub fn whole_value_regex(text: &str) -> Result<GroupRegex, ParseError> {
    let compiled = || {
        let pattern = Pattern::parse(text, Groups::All)?;
        let regex = pattern.compile(Extent::Whole, CACHE_BYTES)?;
        Ok(pattern.grouped(Arc::new(regex)))
    };
    compiled().map_err(ParseError::Whole)
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
