//! Why does a query take its time? `/strandline/v1/explain` runs it and tells what was read, and what was ruled out by
//! what, instead of the answer.

use crate::access::QueryAccess;
use crate::http::answer::{Answer, takes_gzip};
use crate::http::blocking;
use crate::http::failure::Failure;
use crate::http::params::Params;
use crate::loki::logs::{self, Question};
use crate::state::AppState;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use strandline_query::explain::Read;
use strandline_query::{QueryStats, Queue};

/// `GET|POST /strandline/v1/explain`: the parameters of `query` if there is a `time`, else those of `query_range`.
pub(crate) async fn explain(
    State(state): State<AppState>,
    QueryAccess(reader): QueryAccess,
    request: Request,
) -> Result<Answer, Failure> {
    let (params, headers) = Params::of(&state, reader.payer(), request).await?;
    let (shared, own_reader) = (state.clone(), reader.clone());
    blocking::in_slot(&state, Queue::Query, &reader, move |slot| {
        let question = match params.get("time") {
            Some(_) => logs::at_time(&shared, own_reader, &params, &headers, &slot)?,
            None => logs::over_range(&shared, own_reader, &params, &headers, &slot)?,
        };
        let account = match question {
            Question::Log(request) => {
                let text = request.query.text().to_owned();
                let result = shared.query.logs_in(&slot, &request)?;
                account(&text, "log", &result.stats, &result.reads, &result.warnings)
            }
            Question::Metric(request) => {
                let text = request.query.expr().to_string();
                let result = shared.query.metrics_in(&slot, &request)?;
                account(&text, "metric", &result.stats, &result.reads, &result.warnings)
            }
        };
        Ok(Answer::json(account.to_string().into_bytes()).packed_if(takes_gzip(&headers)))
    })
    .await
}

fn account(text: &str, kind: &str, stats: &QueryStats, reads: &[Read], warnings: &[String]) -> Value {
    json!({
        "query": text,
        "kind": kind,
        // Lines, or points of all series.
        "results": stats.entries,
        "duplicates": stats.duplicates,
        "waited_ms": milliseconds(stats.queue_ns),
        "took_ms": milliseconds(stats.exec_ns),
        "warnings": warnings,
        "reads": reads.iter().map(read).collect::<Vec<_>>(),
    })
}

fn read(read: &Read) -> Value {
    let stats = &read.stats;
    json!({
        "query": read.query,
        "start": read.range.start.to_string(),
        "end": read.range.end.to_string(),
        "text_index_asked_for": read.needle,
        "lines_found_by": read.search,
        "stages_run": read.stages,
        "labels": read.labels,
        "segments": { "of_the_time": stats.segments_considered, "opened": stats.segments },
        "blocks": {
            "of_opened_segments": stats.blocks_considered,
            "ruled_out_by_time": stats.blocks_out_of_time,
            "ruled_out_by_labels": stats.blocks_of_other_streams,
            "ruled_out_by_text_index": stats.blocks_ruled_out,
            "counted_by_table": stats.blocks_counted,
            "read": stats.blocks,
        },
        "lines": {
            "in_memory": stats.head_lines,
            "in_segments": stats.segment_lines,
            "passed": stats.lines_passed,
        },
        "line_bytes": { "in_memory": stats.head_bytes, "in_segments": stats.segment_bytes },
        // All threads together.
        "cpu_ms": {
            "planning": milliseconds(stats.plan_ns as i64),
            "memory": milliseconds(stats.head_ns as i64),
            "blocks": milliseconds(stats.block_ns as i64),
        },
    })
}

fn milliseconds(ns: i64) -> f64 {
    // Microseconds are as much as anybody wants to know.
    (ns / 1000) as f64 / 1000.0
}
