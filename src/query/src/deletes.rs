//! Which lines does a request for deletion mean, and what has become of it?
//!
//! A delete is a log query: its streams, and of their lines those that pass all stages. What stages make of a line does
//! not matter, only whether they drop it.

use crate::engine::QueryEngine;
use std::collections::BTreeSet;
use strandline_logql::ast::{Expr, Stage};
use strandline_logql::{Needed, Patterns, Pipeline, Row, compile_matchers};
use strandline_model::{Labels, Metadata, Selector, TenantId};
pub use strandline_store::engine::DeleteError;
use strandline_store::{DeleteFilter, DeleteLanguage};

/// Most stages of a delete. It is asked about every line of its streams by the threads that flush and merge, which no
/// deadline ends.
const MAX_STAGES: usize = 100;
/// Most bytes that its patterns may take compiled: a search may look at all of them for each byte of a line.
const MAX_PATTERN_BYTES: u64 = 1 << 20;

/// LogQL, as the language of the store's deletes.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogQlDeletes;

impl DeleteLanguage for LogQlDeletes {
    fn compile(&self, query: &str, now_ns: i64) -> Result<Box<dyn DeleteFilter>, String> {
        let parsed = strandline_logql::parse_query(query).map_err(|e| e.to_string())?;
        let Expr::Log(expr) = parsed else { return Err("only log queries say what to delete".to_owned()) };
        if expr.stages.iter().map(cost).sum::<usize>() > MAX_STAGES {
            return Err(format!("a delete can have at most {MAX_STAGES} stages, filters and formats"));
        }
        let mut patterns = Patterns::default();
        let selector = compile_matchers(&expr.matchers, &mut patterns).map_err(|e| e.to_string())?;
        let needed = Needed::Only(BTreeSet::new());
        let pipeline = Pipeline::compile(&expr.stages, &needed, &mut patterns).map_err(|e| e.to_string())?;
        if patterns.bytes() > MAX_PATTERN_BYTES {
            return Err(format!(
                "the regular expressions of a delete may take at most {} MiB compiled: make them shorter or fewer",
                MAX_PATTERN_BYTES >> 20
            ));
        }
        Ok(Box::new(Meant { selector, pipeline, now_ns }))
    }
}

/// How many stages a stage counts for: what makes several labels is as many.
fn cost(stage: &Stage) -> usize {
    match stage {
        Stage::LabelFormat(formats) => formats.len(),
        Stage::Json(fields) | Stage::Logfmt { extractions: fields, .. } => fields.len().max(1),
        Stage::Drop(choices) | Stage::Keep(choices) => choices.len(),
        Stage::LineFilter(filter) => filter.operands.len(),
        _ => 1,
    }
}

/// The lines that a query means.
#[derive(Debug)]
struct Meant {
    selector: Selector,
    pipeline: Pipeline,
    now_ns: i64,
}

impl DeleteFilter for Meant {
    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn takes_all(&self) -> bool {
        self.pipeline.line_filters().is_empty() && self.pipeline.is_empty()
    }

    fn takes(&self, labels: &Labels, ts: i64, line: &[u8], metadata: Metadata<'_>) -> bool {
        let passes = || self.pipeline.process(&mut Row::new(ts, self.now_ns, line, labels, metadata));
        self.pipeline.line_filters().is_match(line) && (self.pipeline.is_empty() || passes())
    }
}

/// A delete as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteStatus {
    /// Names it.
    pub number: u64,
    /// Which lines, as asked for.
    pub query: String,
    /// Earliest and latest timestamp (ns), both included.
    pub range: (i64, i64),
    /// When it was asked for (ns).
    pub created_ns: i64,
    /// Whether its lines are gone from the disk; nobody sees them in any case.
    pub processed: bool,
}

impl QueryEngine {
    /// Deletes the lines of `tenant` that `query` means, with timestamps in `range` (ns, both ends included) and
    /// acknowledged before this call. On return nobody sees them any more. Returns the number of the delete.
    pub fn add_delete(&self, tenant: &TenantId, query: &str, range: (i64, i64)) -> Result<u64, DeleteError> {
        self.storage().add_delete(tenant, query, range)
    }

    /// Takes a delete back that is not processed: what of its lines is still there is seen again.
    pub fn cancel_delete(&self, tenant: &TenantId, number: u64) -> Result<(), DeleteError> {
        self.storage().cancel_delete(tenant, number)
    }

    /// The deletes of a tenant, oldest first: all pending ones and the latest processed ones.
    pub fn deletes(&self, tenant: &TenantId) -> Vec<DeleteStatus> {
        let all = self.storage().deletes(tenant).into_iter();
        all.map(|record| DeleteStatus {
            number: record.number,
            query: record.query,
            range: record.range,
            created_ns: record.created_ns,
            processed: record.processed,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_query_says_what_to_delete() {
        let labels = Labels::from_pairs(&[("app", "d")]).unwrap();
        let mut packed = Vec::new();
        Metadata::pack(&mut packed, &mut vec![("user", "u1")]);
        let meant = |query: &str, line: &str| {
            let filter = LogQlDeletes.compile(query, 0).unwrap();
            let takes = filter.takes(&labels, 5, line.as_bytes(), Metadata(&packed));
            assert!(takes || !filter.takes_all(), "{query}");
            filter.selector().matches(&labels) && takes
        };
        assert!(meant("{}", "x") && meant(r#"{app="d"}"#, "x") && !meant(r#"{app="e"}"#, "x"));
        assert!(meant(r#"{app="d"} |= "b""#, "abc") && !meant(r#"{app="d"} |= "b""#, "ac"));
        assert!(meant(r#"{app="d"} | user="u1""#, "x") && !meant(r#"{app="d"} | user="u2""#, "x"));
        let pattern = "{app=\"d\"} | pattern `line <n> <_>` | n>=6";
        assert!(meant(pattern, "line 7 x") && !meant(pattern, "line 5 x") && !meant(pattern, "other"));
        assert!(meant(r#"{app="d"} | json | a="b""#, r#"{"a":"b"}"#));
        assert!(LogQlDeletes.compile("{}", 0).unwrap().takes_all());
        for wrong in ["{app=\"d\"", "rate({app=\"d\"}[1m])", "", "1"] {
            assert!(LogQlDeletes.compile(wrong, 0).is_err(), "{wrong}");
        }
        let large = LogQlDeletes.compile(r"{} |~ `\pL{40}x`", 0).unwrap_err();
        assert!(large.starts_with("the regular expressions of a delete may take at most 1 MiB"), "{large}");
        let formats = |n: usize| (0..n).map(|i| format!("l{i}=`x`")).collect::<Vec<_>>().join(", ");
        for (stages, n) in [("| json ".repeat(97), 3), ("|= `x` ".repeat(60), 40)] {
            let query = |n: usize| format!("{{}} {stages}| label_format {}", formats(n));
            assert!(LogQlDeletes.compile(&query(n), 0).is_ok());
            let error = LogQlDeletes.compile(&query(n + 1), 0).unwrap_err();
            assert_eq!(error, "a delete can have at most 100 stages, filters and formats");
        }
    }
}
