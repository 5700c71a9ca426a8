//! What does a query ask for, in the words that the executor understands?

use crate::error::QueryError;
use crate::memory::RegexMemory;
use crate::metric::{self, Leaf, NeededLabels};
use memchr::memmem::Finder;
use regex::bytes::Regex;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_logql::ast::{
    Expr, LabelFilterExpr, LogExpr, MatcherExpr, MetricExpr, RangeAggregation, RangeOp, Stage,
};
use strandline_logql::{
    LabelNeedle, LineFilter, LineFilters, Needed, ParseError, PatternBudget, Patterns, Pipeline, Unwrapped,
    compile_matchers, require_non_empty_matcher, row,
};
use strandline_model::{Needle, Selector};

/// A parsed query.
#[derive(Debug, Clone)]
pub enum Query {
    /// For log lines.
    Log(LogQuery),
    /// For numbers.
    Metric(MetricQuery),
}

/// What the parts of one query, or of several, share while they are compiled.
struct Compiling {
    patterns: Patterns,
    regexes: Arc<RegexMemory>,
}

impl Compiling {
    /// Takes memory for all that `counted` has counted.
    fn new(counted: &PatternBudget, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
        regexes.take(counted.counted_bytes())?;
        Ok(Self { patterns: Patterns::default(), regexes: Arc::clone(regexes) })
    }
}

impl Query {
    /// Reads LogQL, with memory that is always there.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::parse_in(text, &RegexMemory::unlimited())
    }

    /// Reads LogQL. What it compiles takes memory of `regexes`, which it holds as long as it lives.
    pub fn parse_in(text: &str, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
        let mut counted = PatternBudget::default();
        let expr = strandline_logql::parse_query_within(text, &mut counted)?;
        Self::compile(expr, &counted, regexes)
    }

    /// Reads a query's canonical form again.
    pub(crate) fn again(text: &str, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
        let mut counted = PatternBudget::default();
        let expr = strandline_logql::parse_printed(text, &mut counted)?;
        Self::compile(expr, &counted, regexes)
    }

    fn compile(expr: Expr, counted: &PatternBudget, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
        let mut compiling = Compiling::new(counted, regexes)?;
        match expr {
            Expr::Log(expr) => LogQuery::new(&expr, &mut compiling).map(Self::Log),
            Expr::Metric(expr) => MetricQuery::new(expr, &mut compiling).map(Self::Metric),
        }
    }
}

/// A parsed query for numbers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MetricQuery(Arc<Metric>);

#[derive(Debug)]
struct Metric {
    expr: MetricExpr,
    /// What the expression's leaves read, in their order.
    leaves: Vec<LogQuery>,
}

impl MetricQuery {
    fn new(expr: MetricExpr, compiling: &mut Compiling) -> Result<Self, QueryError> {
        let leaves = metric::leaves(&expr);
        let leaves =
            leaves.iter().map(|leaf| LogQuery::of_leaf(leaf, compiling)).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Metric { expr, leaves })))
    }

    /// The expression.
    pub fn expr(&self) -> &MetricExpr {
        &self.0.expr
    }

    /// What each leaf reads.
    pub(crate) fn leaves(&self) -> &[LogQuery] {
        &self.0.leaves
    }

    /// What the `i`-th leaf reads.
    pub(crate) fn leaf(&self, i: usize) -> Option<&LogQuery> {
        self.0.leaves.get(i)
    }
}

/// A parsed query for log lines: which streams, which of their lines, and what becomes of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogQuery {
    inner: Arc<Inner>,
    /// Which errors of its stages fail the query.
    pub(crate) errors: Errors,
}

#[derive(Debug)]
struct Inner {
    /// In canonical form.
    text: String,
    selector: Selector,
    pipeline: Pipeline,
    /// For the leaf of a metric query: the label whose number is taken.
    unwrapped: Option<Unwrapped>,
    needle: Needle,
    /// The same for entries whose streams do not have the labels that are asked for.
    entry_needle: Needle,
    search: Search,
    /// The same for where these labels can only come from the lines.
    search_of_lines: Search,
    /// What its regular expressions hold.
    _regexes: Option<Arc<RegexMemory>>,
}

/// How the rows that may pass are found in a whole column of lines.
#[derive(Debug, Clone)]
pub(crate) enum Search {
    /// Every row may pass.
    All,
    /// Rows without this text cannot pass.
    Literal(Box<Finder<'static>>),
    /// Rows without a match cannot pass; a match does not depend on what stands beside it.
    Pattern(Arc<Regex>),
    /// Nothing can be told without a look at each row.
    EachLine,
}

/// A shorter text is in so many lines that searching for the pattern around it is faster.
const MIN_TELLING_BYTES: usize = 3;
/// How JSON may write any character. Short, but rare.
const ESCAPE: &[u8] = b"\\u";

impl LogQuery {
    /// Reads a log query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::parse_in(text, &RegexMemory::unlimited())
    }

    /// Reads a log query; see [`Query::parse_in`].
    pub fn parse_in(text: &str, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
        match Query::parse_in(text, regexes)? {
            Query::Log(query) => Ok(query),
            Query::Metric(_) => Err(QueryError::Unsupported("only log selector is supported".to_owned())),
        }
    }

    fn new(expr: &LogExpr, compiling: &mut Compiling) -> Result<Self, QueryError> {
        Self::compile(expr, &Needed::All, None, compiling)
    }

    /// What the range aggregation of a metric query reads.
    fn of_leaf(leaf: &Leaf<'_>, compiling: &mut Compiling) -> Result<Self, QueryError> {
        let unwrap = leaf.aggregation.unwrap.as_ref();
        let unwrapped =
            unwrap.map(|unwrap| Unwrapped::compile(unwrap, &mut compiling.patterns)).transpose()?;
        let errors = Errors::of_leaf(leaf);
        let needed = match metric::needed_labels(leaf) {
            NeededLabels::All => Needed::All,
            NeededLabels::Only(names) => {
                let mut names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
                if errors == Errors::All && !leaf.is_named_only {
                    names.insert(row::ERROR.to_owned());
                }
                names.extend(unwrapped.iter().flat_map(|unwrapped| unwrapped.reads().iter().cloned()));
                match errors == Errors::All && leaf.is_named_only {
                    true => Needed::Grouped(names),
                    false => Needed::Only(names),
                }
            }
        };
        let log = without_idle_formats(leaf.aggregation);
        Self::compile(&log, &needed, unwrapped, compiling).map(|query| Self { errors, ..query })
    }

    fn compile(
        expr: &LogExpr,
        needed: &Needed,
        unwrapped: Option<Unwrapped>,
        compiling: &mut Compiling,
    ) -> Result<Self, QueryError> {
        let Compiling { patterns, regexes } = compiling;
        let selector = compile_matchers(&expr.matchers, patterns)?;
        let pipeline = Pipeline::compile(&expr.stages, needed, patterns)?;
        let needle = pipeline.needle();
        let search = search(pipeline.line_filters(), &needle);
        let labels = pipeline.label_needles().iter();
        let entry_needle = labels.clone().map(LabelNeedle::entry).fold(needle.clone(), Needle::and);
        let line_needle = labels.filter_map(|label| label.line.clone()).fold(needle.clone(), Needle::and);
        let search_of_lines = search_for(&line_needle).unwrap_or_else(|| search.clone());
        let inner = Inner {
            text: expr.to_string(),
            selector,
            pipeline,
            unwrapped,
            needle,
            entry_needle,
            search,
            search_of_lines,
            _regexes: Some(Arc::clone(regexes)),
        };
        Ok(Self { inner: Arc::new(inner), errors: Errors::None })
    }

    /// All lines of the selected streams; unlike a query that is read, it may select every stream. Who compiled the
    /// selector holds its memory.
    pub(crate) fn of_streams(selector: Selector) -> Result<Self, QueryError> {
        let pipeline = Pipeline::compile(&[], &Needed::All, &mut Patterns::default())?;
        let (text, unwrapped) = (String::new(), None);
        let (needle, entry_needle) = (Needle::Any, Needle::Any);
        let (search, search_of_lines) = (Search::All, Search::All);
        let inner = Inner {
            text,
            selector,
            pipeline,
            unwrapped,
            needle,
            entry_needle,
            search,
            search_of_lines,
            _regexes: None,
        };
        Ok(Self { inner: Arc::new(inner), errors: Errors::None })
    }

    /// The query in canonical form.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Which streams.
    pub fn selector(&self) -> &Selector {
        &self.inner.selector
    }

    /// What becomes of their lines.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.inner.pipeline
    }

    /// Whose number is taken.
    pub(crate) fn unwrapped(&self) -> Option<&Unwrapped> {
        self.inner.unwrapped.as_ref()
    }

    /// Whether it is a selector and nothing else.
    pub fn is_bare(&self) -> bool {
        self.is_plain() && self.inner.pipeline.line_filters().is_empty()
    }

    /// Whether lines that pass the filters are shown or counted as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.inner.pipeline.is_empty() && self.inner.unwrapped.is_none()
    }

    /// Whether what becomes of a line that passes the filters depends on its labels alone.
    pub(crate) fn looks_at_labels_only(&self) -> bool {
        !self.inner.pipeline.needs_line() && self.inner.unwrapped.is_none()
    }

    /// Whether this metadata matters to the stages or to the answer.
    pub(crate) fn reads_metadata(&self, name: &str) -> bool {
        reads(self.inner.pipeline.reads(), name)
    }

    /// Whether this metadata may decide whether a line is dropped.
    pub(crate) fn decides_by_metadata(&self, name: &str) -> bool {
        reads(self.inner.pipeline.decisive().reads(), name)
    }

    /// Whether stages are best run over the answer alone: they keep all lines, or can be judged without a look at lines.
    pub(crate) fn is_deferred(&self) -> bool {
        self.inner.pipeline.keeps_all() || self.looks_at_labels_only()
    }

    /// Whether no stage drops anything.
    pub(crate) fn keeps_all(&self) -> bool {
        self.inner.pipeline.keeps_all()
    }

    /// Whether a line passes the line filters. Means nothing once `stop` has said that nobody waits for it any more.
    pub(crate) fn takes_until(&self, line: &[u8], stop: &dyn Fn() -> bool) -> bool {
        self.inner.pipeline.line_filters().is_match_until(line, stop)
    }

    /// What every wanted line contains, for the text index.
    pub(crate) fn needle(&self) -> &Needle {
        &self.inner.needle
    }

    /// The labels that wanted entries must have; and whether stages may make each of lines.
    pub(crate) fn labels_asked_for(&self) -> impl Iterator<Item = (&str, bool)> {
        let labels = self.inner.pipeline.label_needles().iter();
        labels.map(|label| (label.label.as_str(), label.line.is_some()))
    }

    /// What every wanted entry has, in its line or its metadata, if no stream has any of [`Self::labels_asked_for`].
    pub(crate) fn entry_needle(&self) -> &Needle {
        &self.inner.entry_needle
    }

    /// How to find the rows that may be wanted; `of_lines` says that the labels that stages may make of lines can have
    /// no other origin.
    pub(crate) fn search(&self, of_lines: bool) -> &Search {
        if of_lines { &self.inner.search_of_lines } else { &self.inner.search }
    }
}

fn reads(needed: &Needed, name: &str) -> bool {
    match needed {
        Needed::All => true,
        // It may be asked for by the name that a clash with a stream label gives it.
        Needed::Only(names) | Needed::Grouped(names) => {
            names.iter().any(|n| n == name || n.strip_suffix(row::EXTRACTED) == Some(name))
        }
    }
}

/// Which errors of stages a metric query does not forgive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Any that show. Where the query names no labels, parsers do nothing, and dashboards rely on it.
    All,
    /// None: the query asks for errors, to count them.
    None,
}

impl Errors {
    fn of_leaf(leaf: &Leaf<'_>) -> Self {
        let labels = &leaf.grouping.labels;
        let filters_errors = |stage: &Stage| match stage {
            Stage::LabelFilter(filter) => asks_for_error(filter),
            _ => false,
        };
        let by_errors = !leaf.grouping.without && labels.iter().any(|label| label == row::ERROR);
        if leaf.is_inside && (by_errors || leaf.aggregation.log.stages.iter().any(filters_errors)) {
            Self::None
        } else {
            Self::All
        }
    }

    /// Whether this one fails the query.
    pub(crate) fn includes(self, error: &str) -> bool {
        match self {
            Self::All => !error.is_empty(),
            Self::None => false,
        }
    }
}

/// The lines of a range aggregation without the formats of lines that nobody looks at: as in Loki, these cannot fail.
fn without_idle_formats(aggregation: &RangeAggregation) -> Cow<'_, LogExpr> {
    let reads_line = |stage: &Stage| {
        !matches!(
            stage,
            Stage::LabelFilter(_)
                | Stage::Drop(_)
                | Stage::Keep(_)
                | Stage::LineFormat(_)
                | Stage::Decolorize
        )
    };
    let stages = &aggregation.log.stages;
    let last_reader = stages.iter().rposition(reads_line).map_or(0, |at| at + 1);
    let is_idle = |stage: &Stage| matches!(stage, Stage::LineFormat(_));
    let counts_bytes = matches!(aggregation.op, RangeOp::Bytes | RangeOp::BytesRate);
    if counts_bytes || !stages.iter().skip(last_reader).any(is_idle) {
        return Cow::Borrowed(&aggregation.log);
    }
    let (before, behind) = stages.split_at_checked(last_reader).unwrap_or((stages, &[]));
    let kept = before.iter().chain(behind.iter().filter(|stage| !is_idle(stage))).cloned().collect();
    Cow::Owned(LogExpr { matchers: aggregation.log.matchers.clone(), stages: kept })
}

fn asks_for_error(filter: &LabelFilterExpr) -> bool {
    match filter {
        LabelFilterExpr::And(left, right) | LabelFilterExpr::Or(left, right) => {
            asks_for_error(left) || asks_for_error(right)
        }
        LabelFilterExpr::Text(matcher) => matcher.name == row::ERROR,
        LabelFilterExpr::Quantity { .. } | LabelFilterExpr::Ip { .. } => false,
    }
}

/// A query laid out for reading. `strict` refuses selectors that Loki refuses, as [`crate::ReadRules::strict`] does.
pub fn pretty(text: &str, strict: bool) -> Result<String, QueryError> {
    let expr = strandline_logql::parse_query(text)?;
    if strict {
        let mut patterns = Patterns::default();
        let mut check =
            |matchers: &[MatcherExpr]| require_non_empty_matcher(&compile_matchers(matchers, &mut patterns)?);
        match &expr {
            Expr::Log(log) => check(&log.matchers)?,
            Expr::Metric(metric) => {
                metric::leaves(metric).iter().try_for_each(|leaf| check(&leaf.aggregation.log.matchers))?;
            }
        }
    }
    Ok(strandline_logql::pretty(&expr))
}

/// Reads a bare stream selector that the operator wrote.
pub fn parse_selector(text: &str) -> Result<Selector, QueryError> {
    let mut all = parse_selectors(&[text], &RegexMemory::unlimited())?;
    all.pop().ok_or(QueryError::Internal)
}

/// Reads the bare stream selectors of one request. They share one budget and what is compiled for them, in memory of
/// `regexes`: whoever holds the selectors has to hold that, too.
pub(crate) fn parse_selectors(
    texts: &[&str],
    regexes: &Arc<RegexMemory>,
) -> Result<Vec<Selector>, QueryError> {
    let mut counted = PatternBudget::default();
    let read = texts.iter().map(|text| strandline_logql::parse_query_within(text, &mut counted));
    let read: Vec<Expr> = read.collect::<Result<_, _>>()?;
    let mut compiling = Compiling::new(&counted, regexes)?;
    let selector = |expr: Expr| {
        let other = || QueryError::Unsupported("only label matchers are supported".to_owned());
        let Expr::Log(expr) = expr else { return Err(other()) };
        let query = LogQuery::new(&expr, &mut compiling)?;
        if query.is_bare() { Ok(query.inner.selector.clone()) } else { Err(other()) }
    };
    read.into_iter().map(selector).collect()
}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error.to_string())
    }
}

/// The search for the longest text that must be there, or for the texts of which one must be.
fn search_for(needle: &Needle) -> Option<Search> {
    match longest_literal(needle) {
        Some(literal) if literal.len() >= MIN_TELLING_BYTES => {
            Some(Search::Literal(Box::new(Finder::new(literal).into_owned())))
        }
        _ => any_literal(needle).map(|regex| Search::Pattern(Arc::new(regex))),
    }
}

/// A pattern for the first choice between texts that tells anything.
fn any_literal(needle: &Needle) -> Option<Regex> {
    let telling = |text: &[u8]| text.len() >= MIN_TELLING_BYTES || text == ESCAPE;
    match needle {
        Needle::All(needles) => needles.iter().find_map(any_literal),
        Needle::OneOf(needles) => {
            let texts = needles.iter().map(|needle| match needle {
                Needle::Literal(text) if telling(text) => std::str::from_utf8(text).ok().map(regex::escape),
                _ => None,
            });
            // The texts stand as they are, so this is a search for several at once and never slow.
            Regex::new(&texts.collect::<Option<Vec<_>>>()?.join("|")).ok()
        }
        _ => None,
    }
}

fn search(filters: &LineFilters, needle: &Needle) -> Search {
    if filters.is_empty() {
        return Search::All;
    }
    let literal = longest_literal(needle);
    let pattern = filters.filters().iter().find_map(|filter| match filter {
        LineFilter::Regex(patterns) => match patterns.as_slice() {
            [pattern] if !pattern.looks_around() => Some(pattern.regex()),
            _ => None,
        },
        _ => None,
    });
    match (literal, pattern) {
        (Some(literal), Some(pattern)) if literal.len() < MIN_TELLING_BYTES => {
            Search::Pattern(Arc::clone(pattern))
        }
        (Some(literal), _) => Search::Literal(Box::new(Finder::new(literal).into_owned())),
        (None, Some(pattern)) => Search::Pattern(Arc::clone(pattern)),
        (None, None) => {
            any_literal(needle).map_or(Search::EachLine, |regex| Search::Pattern(Arc::new(regex)))
        }
    }
}

/// The longest text that must be there whatever else is.
fn longest_literal(needle: &Needle) -> Option<&[u8]> {
    match needle {
        Needle::Literal(bytes) if !bytes.is_empty() => Some(bytes),
        Needle::All(needles) => needles.iter().filter_map(longest_literal).max_by_key(|bytes| bytes.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_uses_what_is_cheapest_to_find() {
        let shape = |filters: &str| match LogQuery::parse(&format!("{{a=\"b\"}} {filters}"))
            .unwrap()
            .search(true)
            .clone()
        {
            Search::All => "all".to_owned(),
            Search::Literal(finder) => format!("literal {}", String::from_utf8_lossy(finder.needle())),
            Search::Pattern(regex) => format!("pattern {regex}"),
            Search::EachLine => "each line".to_owned(),
        };
        for (filters, wanted) in [
            ("", "all"),
            (r#"|= "ab" |= "abcd" != "zzzzzz""#, "literal abcd"),
            (r#"|~ "time[d ]?out after [0-9]+""#, "literal out after "),
            (r#"!= "x""#, "each line"),
            (r#"|= "x" or "y""#, "each line"),
            (r#"|= "xyz" or "a.c""#, "pattern xyz|a\\.c"),
            (r#"| json | level="error""#, "pattern error|\\\\u"),
            (r#"| json | level="no""#, "all"),
            ("| regexp `took (?P<ms>[0-9]+)` | ms > 5", "literal took "),
            ("|~ `^[0-9]`", "each line"),
        ] {
            assert_eq!(shape(filters), wanted, "{filters}");
        }
        assert!(shape("|~ `[0-9]{3}-[a-f]`").starts_with("pattern "));
    }

    #[test]
    fn selectors_stand_alone() {
        assert!(parse_selector(r#"{a="b"}"#).is_ok());
        let error = |text: &str| parse_selector(text).unwrap_err().to_string();
        assert_eq!(error(r#"{a="b"} |= "x""#), "only label matchers are supported");
        // Everything may be asked for, unless the reader's rules say otherwise.
        assert!(parse_selector(r#"{a=~".*"}"#).is_ok());
        assert_eq!(error(r#"rate({a="b"}[1m])"#), "only label matchers are supported");
        assert!(error("{").starts_with("parse error at line 1, col"));
    }
}
