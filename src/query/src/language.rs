//! What does a query ask for, in the words that the executor understands?

use crate::error::QueryError;
use crate::leaf_query::{Errors, without_idle_formats};
use crate::memory::RegexMemory;
use crate::metric::{self, Leaf, NeededLabels};
use crate::search::{self, Search};
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_logql::ast::{Expr, LogExpr, MatcherExpr, MetricExpr};
use strandline_logql::{
    LabelNeedle, Needed, ParseError, PatternBudget, Patterns, Pipeline, Unwrapped, compile_matchers,
    require_non_empty_matcher, row,
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
pub(crate) struct Compiling {
    patterns: Patterns,
    regexes: Arc<RegexMemory>,
}

impl Compiling {
    /// Takes memory for all that `counted` has counted.
    pub(crate) fn new(counted: &PatternBudget, regexes: &Arc<RegexMemory>) -> Result<Self, QueryError> {
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

    pub(crate) fn new(expr: &LogExpr, compiling: &mut Compiling) -> Result<Self, QueryError> {
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
        let search = search::for_filters(pipeline.line_filters(), &needle);
        let labels = pipeline.label_needles().iter();
        let entry_needle = labels.clone().map(LabelNeedle::entry).fold(needle.clone(), Needle::and);
        let line_needle = labels.filter_map(|label| label.line.clone()).fold(needle.clone(), Needle::and);
        let search_of_lines = search::for_needle(&line_needle).unwrap_or_else(|| search.clone());
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

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error.to_string())
    }
}
