//! The logql room: the query language, pure. It knows neither storage nor time.
//!
//! So far stream selectors and line filters; the rest of the language joins them in the same files.

pub mod ast;
mod error;
mod go_regex;
mod lexer;
mod line_filter;
mod needle;
mod parser;
mod pattern;
mod pipeline;
mod print;
mod selector;
mod template_stub;

pub use error::ParseError;
pub use lexer::MAX_QUERY_BYTES;
pub use line_filter::{LineFilter, LineFilters, LinePattern, LineTest, Literal};
pub use parser::parse;
pub use pattern::MAX_PATTERN_BYTES;
pub use pipeline::{Category, Label, LabelNeedle, Needed, Pipeline, Row, Unwrapped, row, units};
pub use selector::require_non_empty_matcher;

use strandline_model::Selector;

/// A log query, ready to run. Printing it gives its canonical form.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// The query as written.
    pub expr: ast::LogExpr,
    /// The streams that it reads.
    pub selector: Selector,
    /// The lines that it keeps.
    pub filters: LineFilters,
}

/// Reads and compiles a log query.
pub fn compile(text: &str) -> Result<LogQuery, ParseError> {
    let expr = parse(text)?;
    let selector = selector::compile(&expr.matchers)?;
    let filters = LineFilters::compile(&expr.stages)?;
    Ok(LogQuery { expr, selector, filters })
}

/// Reads and compiles a stream selector alone, as `match[]` parameters hold it.
pub fn compile_selector(text: &str) -> Result<Selector, ParseError> {
    let expr = parse(text)?;
    if expr.stages.is_empty() {
        selector::compile(&expr.matchers)
    } else {
        Err(ParseError::whole("only a stream selector is expected here"))
    }
}

impl std::fmt::Display for LogQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expr.fmt(f)
    }
}
