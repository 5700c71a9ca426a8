//! The logql room: the query language, pure. It knows neither storage nor time.
//!
//! The whole language is read and printed; of what it asks for, stream selectors and line filters are compiled so far.

pub mod ast;
mod check;
mod error;
mod go_regex;
mod lexer;
mod line_filter;
mod needle;
mod parser;
mod pattern;
mod pipeline;
mod pretty;
mod print;
mod selector;
mod template;
mod words;

pub use error::ParseError;
pub use lexer::MAX_QUERY_BYTES;
pub use line_filter::{LineFilter, LineFilters, LinePattern, LineTest, Literal};
pub use parser::{parse, parse_query};
pub use pattern::{MAX_PATTERN_BYTES, whole_value_regex};
pub use pipeline::{Category, Label, LabelNeedle, Needed, Pipeline, Row, Unwrapped, row, units};
pub use pretty::pretty;
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
    compile_log(&parse(text)?)
}

/// Compiles a log query.
pub fn compile_log(expr: &ast::LogExpr) -> Result<LogQuery, ParseError> {
    let expr = expr.clone();
    if let Some(stage) = expr.stages.iter().find(|stage| !matches!(stage, ast::Stage::LineFilter(_))) {
        return Err(ParseError::whole(format!("stage '{stage}' : not supported yet")));
    }
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
