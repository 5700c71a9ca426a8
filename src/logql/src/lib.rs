//! The logql crate: the query language, pure. It knows neither storage nor time.
//!
//! A query is read to a tree ([`ast`]); selectors and stages are compiled from it ([`compile_matchers`], [`Pipeline`]). The
//! arithmetic of metric queries is the query crate's.

pub mod ast;
mod check;
mod error;
mod go_regex;
mod lexer;
mod line_filter;
mod needle;
mod parser;
mod pattern;
mod pattern_size;
mod patterns;
mod pipeline;
mod pretty;
mod print;
mod selector;
mod template;
mod words;

pub use error::ParseError;
pub use lexer::MAX_QUERY_BYTES;
pub use line_filter::{LineFilter, LineFilters, LinePattern, LineTest, Literal};
pub use parser::{parse, parse_printed, parse_query, parse_query_within};
pub use pattern::{GroupRegex, whole_value_regex};
pub use patterns::{Budget as PatternBudget, MAX_COMPILED_BYTES, Patterns};
pub use pipeline::{Category, Label, LabelNeedle, Needed, Pipeline, Row, Unwrapped, json_keys, row, units};
pub use pretty::pretty;
pub use selector::{compile as compile_matchers, require_non_empty_matcher};
