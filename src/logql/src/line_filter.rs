//! Which lines does a chain of line filters keep? Compiled so that an executor can test a line or search a whole block.

#[cfg(test)]
use crate::ast::Stage;
use crate::ast::{LineFilterExpr, LineFilterOp, LineOperand};
use crate::error::ParseError;
use crate::needle;
use crate::pattern::{Groups, Pattern};
use crate::patterns::{Extent, Patterns, search_weight};
use crate::pipeline::{IpRange, LineShape, Watch};
use memchr::memmem::Finder;
use regex::bytes::Regex;
use std::collections::HashSet;
use std::sync::Arc;
use strandline_model::Needle;

/// A text to find.
#[derive(Debug, Clone)]
pub struct Literal {
    finder: Finder<'static>,
}

impl Literal {
    fn new(text: &[u8]) -> Self {
        Self { finder: Finder::new(text).into_owned() }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        self.finder.needle()
    }

    /// The search for it, over any bytes.
    pub fn finder(&self) -> &Finder<'static> {
        &self.finder
    }
}

/// A pattern to find.
#[derive(Debug, Clone)]
pub struct LinePattern {
    regex: Arc<Regex>,
    /// Bytes that it takes compiled, about.
    bytes: u64,
    needle: Needle,
    looks_around: bool,
}

impl LinePattern {
    /// The search for it, over any bytes.
    pub fn regex(&self) -> &Arc<Regex> {
        &self.regex
    }

    /// What every line that matches must contain.
    pub fn needle(&self) -> &Needle {
        &self.needle
    }

    /// Whether a match depends on what stands beside it (`^ $ \b`): such a pattern can only be tested line by line.
    pub fn looks_around(&self) -> bool {
        self.looks_around
    }
}

/// One condition on a line.
#[derive(Debug, Clone)]
pub enum LineFilter {
    /// At least one of the texts is there.
    Contains(Vec<Literal>),
    /// None of the texts is there.
    NotContains(Vec<Literal>),
    /// At least one of the patterns matches somewhere.
    Regex(Vec<LinePattern>),
    /// None of the patterns matches anywhere.
    NotRegex(Vec<LinePattern>),
    /// Something that can only be tested line by line.
    Other(LineTest),
}

/// A condition that needs the whole line: `|>`, `!>` and `ip()`.
#[derive(Debug, Clone, Default)]
pub struct LineTest {
    negative: bool,
    texts: Vec<Literal>,
    ranges: Vec<IpRange>,
    shapes: Vec<LineShape>,
}

impl LineTest {
    fn is_match(&self, line: &[u8]) -> bool {
        let found = self.texts.iter().any(|text| text.finder.find(line).is_some())
            || self.ranges.iter().any(|range| range.is_in(line))
            || self.shapes.iter().any(|shape| shape.is_match(line));
        found != self.negative
    }

    /// What every line that passes must contain.
    pub(crate) fn needle(&self) -> Needle {
        // Nothing is known of a line in which some address of a range stands.
        if self.negative || !self.ranges.is_empty() {
            return Needle::Any;
        }
        needle::one_of(self.shapes.iter().map(LineShape::needle))
    }
}

impl LineFilter {
    /// Whether the condition holds for `line`.
    pub fn is_match(&self, line: &[u8]) -> bool {
        let any_text = |texts: &[Literal]| texts.iter().any(|t| t.finder.find(line).is_some());
        let any_pattern = |patterns: &[LinePattern]| patterns.iter().any(|p| p.regex.is_match(line));
        match self {
            Self::Contains(texts) => any_text(texts),
            Self::NotContains(texts) => !any_text(texts),
            Self::Regex(patterns) => any_pattern(patterns),
            Self::NotRegex(patterns) => !any_pattern(patterns),
            Self::Other(test) => test.is_match(line),
        }
    }
}

impl LineFilter {
    /// How many times as long as a search for a text it may take.
    fn weight(&self) -> usize {
        match self {
            Self::Contains(texts) | Self::NotContains(texts) => texts.len(),
            Self::Regex(patterns) | Self::NotRegex(patterns) => {
                patterns.iter().map(|pattern| search_weight(pattern.bytes)).fold(0, usize::saturating_add)
            }
            Self::Other(test) => test.texts.len() + test.ranges.len() + test.shapes.len(),
        }
    }
}

/// The line filters of a query, all of which must hold.
#[derive(Debug, Clone, Default)]
pub struct LineFilters {
    filters: Vec<LineFilter>,
}

impl LineFilters {
    /// Compiles the line filters among `stages`.
    #[cfg(test)]
    pub(crate) fn compile(stages: &[Stage]) -> Result<Self, ParseError> {
        let exprs = stages.iter().filter_map(|stage| match stage {
            Stage::LineFilter(expr) => Some(expr),
            _ => None,
        });
        Self::of(exprs, &mut Patterns::default())
    }

    /// Compiles line filters.
    pub(crate) fn of<'e>(
        exprs: impl Iterator<Item = &'e LineFilterExpr>,
        patterns: &mut Patterns,
    ) -> Result<Self, ParseError> {
        // All must hold, so that saying one twice says nothing new.
        let mut known = HashSet::new();
        let filters = exprs.filter(|expr| known.insert(*expr)).map(|expr| {
            line_filter(expr, patterns).map_err(|e| ParseError::whole(format!("stage '{expr}' : {e}")))
        });
        Ok(Self { filters: filters.collect::<Result<_, _>>()? })
    }

    /// How many times as long as a search for a text the patterns may take; at least 1.
    pub fn weight(&self) -> usize {
        let patterns =
            self.filters.iter().filter(|f| matches!(f, LineFilter::Regex(_) | LineFilter::NotRegex(_)));
        patterns.map(LineFilter::weight).fold(0, usize::saturating_add).max(1)
    }

    /// The conditions, in the query's order.
    pub fn filters(&self) -> &[LineFilter] {
        &self.filters
    }

    /// Whether every line passes.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Whether `line` passes.
    pub fn is_match(&self, line: &[u8]) -> bool {
        self.filters.iter().all(|filter| filter.is_match(line))
    }

    /// The same, but ends when `stop` says that nobody waits for it any more: then what is returned means nothing. It is
    /// asked only where a line is much work.
    pub fn is_match_until(&self, line: &[u8], stop: &dyn Fn() -> bool) -> bool {
        self.is_match_watched(line, &Watch::new(stop))
    }

    pub(crate) fn is_match_watched(&self, line: &[u8], watch: &Watch<'_>) -> bool {
        let work = |filter: &LineFilter| filter.weight().saturating_mul(Watch::work_of(line.len()));
        self.filters.iter().all(|filter| !watch.is_over(work(filter)) && filter.is_match(line))
    }

    /// What every line that passes must contain, as far as an index can use it. Negative filters ask for nothing.
    pub fn needle(&self) -> Needle {
        self.filters.iter().fold(Needle::Any, |all, filter| {
            all.and(match filter {
                LineFilter::Contains(texts) => {
                    needle::one_of(texts.iter().map(|text| needle::literal(text.bytes().to_vec())))
                }
                LineFilter::Regex(patterns) => needle::one_of(patterns.iter().map(|p| p.needle().clone())),
                LineFilter::Other(test) => test.needle(),
                LineFilter::NotContains(_) | LineFilter::NotRegex(_) => Needle::Any,
            })
        })
    }
}

fn line_filter(expr: &LineFilterExpr, patterns: &mut Patterns) -> Result<LineFilter, String> {
    match expr.op {
        LineFilterOp::Contains | LineFilterOp::NotContains => text_filter(expr),
        LineFilterOp::Matches | LineFilterOp::NotMatches => pattern_filter(expr, patterns),
        LineFilterOp::Pattern | LineFilterOp::NotPattern => shape_filter(expr),
    }
}

/// A filter by texts and addresses.
fn text_filter(expr: &LineFilterExpr) -> Result<LineFilter, String> {
    let (mut texts, mut ranges) = (Vec::new(), Vec::new());
    for operand in &expr.operands {
        match operand {
            LineOperand::Text(text) => texts.push(Literal::new(text)),
            // As in Loki, an empty range is an error alone, and beside others a range without addresses.
            LineOperand::Ip(range) if range.is_empty() && expr.operands.len() > 1 => {}
            LineOperand::Ip(range) => ranges.push(IpRange::parse(range)?),
        }
    }
    let negative = expr.op == LineFilterOp::NotContains;
    let has_text_only = expr.operands.iter().all(|operand| matches!(operand, LineOperand::Text(_)));
    Ok(match (has_text_only, negative) {
        (true, false) => LineFilter::Contains(texts),
        (true, true) => LineFilter::NotContains(texts),
        _ => LineFilter::Other(LineTest { negative, texts, ranges, shapes: Vec::new() }),
    })
}

/// A filter by what stands around the gaps of a line.
fn shape_filter(expr: &LineFilterExpr) -> Result<LineFilter, String> {
    let shapes = texts(expr)?.into_iter().map(|text| {
        LineShape::filter(std::str::from_utf8(text).map_err(|_| "invalid UTF-8 in pattern".to_owned())?)
    });
    let shapes = shapes.collect::<Result<_, _>>()?;
    let negative = expr.op == LineFilterOp::NotPattern;
    Ok(LineFilter::Other(LineTest { negative, shapes, ..LineTest::default() }))
}

/// The operands of a filter that knows no `ip()`.
fn texts(expr: &LineFilterExpr) -> Result<Vec<&[u8]>, String> {
    let text = expr.operands.iter().map(|operand| match operand {
        LineOperand::Text(text) => Ok(text.as_slice()),
        LineOperand::Ip(_) => Err("ip: invalid operation".to_owned()),
    });
    text.collect()
}

/// A filter by patterns. Patterns that are plain text become texts: finding these is several times faster.
fn pattern_filter(expr: &LineFilterExpr, patterns: &mut Patterns) -> Result<LineFilter, String> {
    let parsed = texts(expr)?.into_iter().map(|operand| {
        let text =
            std::str::from_utf8(operand).map_err(|_| "error parsing regexp: invalid UTF-8".to_owned())?;
        Pattern::parse(text, Groups::None)
    });
    let parsed: Vec<Pattern> = parsed.collect::<Result<_, _>>()?;
    let literals: Option<Vec<Vec<u8>>> = parsed.iter().map(Pattern::as_literal).collect();
    let negative = expr.op == LineFilterOp::NotMatches;
    if let Some(texts) = literals {
        let texts = texts.iter().map(|text| Literal::new(text)).collect();
        return Ok(if negative { LineFilter::NotContains(texts) } else { LineFilter::Contains(texts) });
    }
    let compiled = parsed.iter().map(|pattern| {
        Ok(LinePattern {
            regex: patterns.compile(pattern, Extent::Part)?,
            bytes: pattern.estimated_bytes(),
            needle: needle::of_pattern(&pattern.hir),
            looks_around: !pattern.hir.properties().look_set().is_empty(),
        })
    });
    let compiled = compiled.collect::<Result<_, String>>()?;
    Ok(if negative { LineFilter::NotRegex(compiled) } else { LineFilter::Regex(compiled) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn filters(query: &str) -> LineFilters {
        LineFilters::compile(&parse(&format!("{{}} {query}")).unwrap().stages).unwrap()
    }

    #[test]
    fn lines_are_kept_as_loki_keeps_them() {
        #[rustfmt::skip]
        let table: &[(&str, &[u8], bool)] = &[
            ("", b"x", true),
            (r#"|= "b""#, b"abc", true), (r#"|= "B""#, b"abc", false), (r#"|= """#, b"", true), (r#"!= """#, b"x", false),
            (r#"|= "x" or "c""#, b"abc", true), (r#"!= "x" or "c""#, b"abc", false), (r#"!= "x" or "y""#, b"abc", true),
            (r#"|~ "x" or "^a.c$""#, b"abc", true), (r#"!~ "x" or "^a.c$""#, b"abc", false),
            (r#"|= "a" != "z" |~ "c$""#, b"abc", true), (r#"|= "a" |= "z""#, b"abc", false),
            (r#"|= "\xff""#, b"a\xffb", true), (r#"|~ "b""#, b"a\xffb", true), ("|~ `^$`", b"", true),
            ("|~ `.*`", b"\xff", true),
        ];
        for (query, line, wanted) in table {
            assert_eq!(filters(query).is_match(line), *wanted, "{query}");
        }
    }

    #[test]
    fn plain_patterns_become_texts() {
        let shape = |query: &str| match filters(query).filters() {
            [LineFilter::Contains(texts)] => format!("contains {}", texts.len()),
            [LineFilter::NotContains(texts)] => format!("lacks {}", texts.len()),
            [LineFilter::Regex(patterns)] => {
                format!("matches {} {}", patterns.len(), patterns[0].looks_around())
            }
            [LineFilter::NotRegex(patterns)] => format!("fails {}", patterns.len()),
            other => format!("{other:?}"),
        };
        assert_eq!(shape(r#"|~ "abc" or "(d)""#), "contains 2");
        assert_eq!(shape(r#"!~ ".*abc.*""#), "lacks 1");
        assert_eq!(shape(r#"|~ "abc" or "d.e""#), "matches 2 false");
        assert_eq!(shape(r#"|~ `\babc`"#), "matches 1 true");
        assert_eq!(shape(r#"!~ "(?i)abc""#), "fails 1");
    }

    #[test]
    fn large_patterns_weigh_more() {
        let weight = |query: &str| filters(query).weight();
        assert_eq!(weight(r#"|= "a" != "b" |~ "plain""#), 1);
        assert_eq!(weight(r#"|~ "a[0-9]+" !~ "b.c""#), 2);
        assert!((500..1000).contains(&weight(r"|~ `\pL{40}`")));
    }

    #[test]
    fn a_filter_that_stands_twice_is_asked_once() {
        let query = r#"|~ "a.c" |~ "a.c" |= "x" |~ "a.d" |= "x" !~ "a.c""#;
        assert_eq!(filters(query).filters().len(), 4);
    }

    #[test]
    fn mistakes_name_their_stage() {
        let error = |query: &str| {
            LineFilters::compile(&parse(&format!("{{}} {query}")).unwrap().stages).unwrap_err().to_string()
        };
        assert_eq!(
            error(r#"|~ "(?<!a)b""#),
            "parse error : stage '|~ \"(?<!a)b\"' : error parsing regexp: invalid named capture: `(?<!a)b`"
        );
        assert_eq!(
            error(r#"|~ "\xff""#),
            "parse error : stage '|~ \"\\xff\"' : error parsing regexp: invalid UTF-8"
        );
    }
}
