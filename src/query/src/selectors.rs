//! Which streams does a bare selector name?

use crate::error::QueryError;
use crate::language::{Compiling, LogQuery};
use crate::memory::RegexMemory;
use std::sync::Arc;
use strandline_logql::PatternBudget;
use strandline_logql::ast::Expr;
use strandline_model::Selector;

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
        if query.is_bare() { Ok(query.selector().clone()) } else { Err(other()) }
    };
    read.into_iter().map(selector).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
