//! What does a query ask for, in the words that the executor understands?

use crate::error::QueryError;
use crate::metric::{self, Leaf, NeededLabels};
use memchr::memmem::Finder;
use regex::bytes::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_logql::ast::{Expr, LogExpr, MetricExpr};
use strandline_logql::{
    LineFilter, LineFilters, Needed, ParseError, Pipeline, Unwrapped, compile_matchers,
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

impl Query {
    /// Reads LogQL.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        match strandline_logql::parse_query(text)? {
            Expr::Log(expr) => LogQuery::new(&expr).map(Self::Log),
            Expr::Metric(expr) => MetricQuery::new(expr).map(Self::Metric),
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
    fn new(expr: MetricExpr) -> Result<Self, QueryError> {
        let leaves = metric::leaves(&expr).iter().map(LogQuery::of_leaf).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Metric { expr, leaves })))
    }

    /// The expression.
    pub fn expr(&self) -> &MetricExpr {
        &self.0.expr
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
    /// Whether a line with an error of its stages fails the query.
    pub(crate) minds_errors: bool,
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
    search: Search,
}

/// How the rows that may pass are found in a whole column of lines.
#[derive(Debug)]
pub(crate) enum Search {
    /// Every row may pass.
    All,
    /// Rows without this text cannot pass.
    Literal(Box<Finder<'static>>),
    /// Rows without a match cannot pass; a match does not depend on what stands beside it.
    Pattern(Regex),
    /// Nothing can be told without a look at each row.
    EachLine,
}

/// A shorter text is in so many lines that searching for the pattern around it is faster.
const MIN_TELLING_BYTES: usize = 3;

impl LogQuery {
    /// Reads a log query.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        match Query::parse(text)? {
            Query::Log(query) => Ok(query),
            Query::Metric(_) => {
                Err(QueryError::Unsupported("only log queries are supported here".to_owned()))
            }
        }
    }

    fn new(expr: &LogExpr) -> Result<Self, QueryError> {
        Self::compile(expr, &Needed::All, None)
    }

    /// What the range aggregation of a metric query reads.
    fn of_leaf(leaf: &Leaf<'_>) -> Result<Self, QueryError> {
        let unwrapped = leaf.aggregation.unwrap.as_ref().map(Unwrapped::compile).transpose()?;
        let needed = match metric::needed_labels(leaf) {
            NeededLabels::All => Needed::All,
            NeededLabels::Only(names) => {
                let mut names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
                if minds_errors(leaf) {
                    names.insert(row::ERROR.to_owned());
                }
                names.extend(unwrapped.iter().flat_map(|unwrapped| unwrapped.reads().iter().cloned()));
                Needed::Only(names)
            }
        };
        let minds_errors = minds_errors(leaf);
        Self::compile(&leaf.aggregation.log, &needed, unwrapped).map(|query| Self { minds_errors, ..query })
    }

    fn compile(expr: &LogExpr, needed: &Needed, unwrapped: Option<Unwrapped>) -> Result<Self, QueryError> {
        let selector = compile_matchers(&expr.matchers)?;
        require_non_empty_matcher(&selector)?;
        let pipeline = Pipeline::compile(&expr.stages, needed)?;
        let needle = pipeline.needle();
        let search = search(pipeline.line_filters(), &needle);
        let inner = Inner { text: expr.to_string(), selector, pipeline, unwrapped, needle, search };
        Ok(Self { inner: Arc::new(inner), minds_errors: false })
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

    /// Whether lines that pass the filters are shown or counted as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.inner.pipeline.is_empty() && self.inner.unwrapped.is_none()
    }

    /// Whether all lines that pass the filters are shown, so that the stages may as well be run over the answer alone.
    pub(crate) fn keeps_all(&self) -> bool {
        self.inner.pipeline.keeps_all()
    }

    /// Whether a line passes the line filters.
    pub(crate) fn takes(&self, line: &[u8]) -> bool {
        self.inner.pipeline.line_filters().is_match(line)
    }

    /// What every wanted line contains, for the text index.
    pub(crate) fn needle(&self) -> &Needle {
        &self.inner.needle
    }

    /// How to find the rows that may be wanted.
    pub(crate) fn search(&self) -> &Search {
        &self.inner.search
    }
}

/// Whether lines with an error of their stages fail the query. Where nothing but their number matters, Loki does not look
/// at their labels, and dashboards rely on it.
fn minds_errors(leaf: &Leaf<'_>) -> bool {
    leaf.aggregation.unwrap.is_some() || leaf.grouping.without || !leaf.grouping.labels.is_empty()
}

/// Reads a bare stream selector, as parameters hold it.
pub fn parse_selector(text: &str) -> Result<Selector, QueryError> {
    let query = LogQuery::parse(text)?;
    if query.is_plain() && query.inner.pipeline.line_filters().is_empty() {
        Ok(query.inner.selector.clone())
    } else {
        Err(QueryError::Unsupported("only label matchers are supported".to_owned()))
    }
}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> Self {
        Self::Parse(error.to_string())
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
            Search::Pattern(pattern.clone())
        }
        (Some(literal), _) => Search::Literal(Box::new(Finder::new(literal).into_owned())),
        (None, Some(pattern)) => Search::Pattern(pattern.clone()),
        (None, None) => Search::EachLine,
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
        let shape = |filters: &str| match LogQuery::parse(&format!("{{a=\"b\"}} {filters}")).unwrap().search()
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
            ("|~ `^[0-9]`", "each line"),
        ] {
            assert_eq!(shape(filters), wanted, "{filters}");
        }
        assert!(shape("|~ `[0-9]{3}-[a-f]`").starts_with("pattern "));
    }

    #[test]
    fn selectors_stand_alone_and_select_something() {
        assert!(parse_selector(r#"{a="b"}"#).is_ok());
        let error = |text: &str| parse_selector(text).unwrap_err().to_string();
        assert_eq!(error(r#"{a="b"} |= "x""#), "only label matchers are supported");
        assert!(error(r#"{a=~".*"}"#).starts_with("parse error : queries require at least one"));
        assert!(error("{").starts_with("parse error at line 1, col"));
    }
}
