//! Which entries of one block may be in the answer?

use super::best::Hit;
use super::collected::LogSink;
use super::staged::{self, Entry, Judge};
use crate::plan::SegmentPlan;
use crate::rows::{self, LINES, METADATA, TIMES_AND_STREAMS};
use crate::scope::Scope;
use crate::stats::count;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use strandline_model::Labels;
use strandline_store::StoreError;
use strandline_store::segment::{Block, MetadataColumn};

/// A row that passed.
struct Passed<'p> {
    key: i64,
    row: usize,
    labels: &'p Arc<Labels>,
}

/// The entries of a block that may be in the answer.
pub(super) fn scan(
    sink: &LogSink,
    scope: &Scope,
    plan: &SegmentPlan,
    index: u32,
) -> Result<Vec<Hit>, StoreError> {
    let streams = plan.streams_of(scope, index)?;
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let places = plan.segment.block(index as usize, TIMES_AND_STREAMS)?;
    let rows = rows::visible(scope, plan, index, &streams, &places, sink.range_within(scope.range))?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let lines = plan.segment.block(index as usize, LINES)?;
    count(&scope.counters.blocks, 1);
    let mut passed = Vec::new();
    rows::filtered(scope, scope.query.search(plan.of_lines), &lines, &rows, |labels, row| {
        let ts = places.times.get(row).copied().unwrap_or_default();
        passed.push(Passed { key: sink.direction().key(ts), row, labels });
    });
    if !scope.query.keeps_all() && scope.query.looks_at_labels_only() {
        let decisive = |name: &str| scope.query.decides_by_metadata(name);
        drop_by_labels(scope, &mut passed, &plan.segment.metadata(index as usize, decisive)?);
    }
    if scope.query.is_deferred() {
        keep_best(&mut passed, sink.limit());
    } else {
        passed.sort_by_key(|p| std::cmp::Reverse(p.key));
    }
    if passed.is_empty() {
        return Ok(Vec::new());
    }
    let metadata = plan.segment.block(index as usize, METADATA)?;
    let arrival = (plan.source as u64) << 40 | u64::from(index) << 16;
    let found = if scope.query.is_deferred() {
        plain(&passed, &lines, &metadata, arrival)
    } else {
        let entries = passed.iter().map(|p| Entry {
            key: p.key,
            ts: sink.direction().ts(p.key),
            labels: p.labels,
            arrival: arrival | p.row as u64,
            line: lines.line(p.row),
            metadata: metadata.metadata_of(p.row),
        });
        staged::run(scope, entries, sink)
    };
    count(&scope.counters.lines_passed, found.len() as u64);
    Ok(found)
}

/// Drops the rows whose labels do not pass the stages. Most rows have the labels of others.
fn drop_by_labels(scope: &Scope, passed: &mut Vec<Passed<'_>>, columns: &[MetadataColumn]) {
    let judge = Judge::new(scope);
    let mut known: HashMap<(*const Labels, SmallVec<[u32; 4]>), bool> = HashMap::new();
    passed.retain(|p| {
        let codes = columns.iter().map(|column| column.code(p.row)).collect();
        *known.entry((Arc::as_ptr(p.labels), codes)).or_insert_with(|| {
            let values = columns.iter().filter_map(|column| Some((&*column.name, column.get(p.row)?)));
            judge.takes(p.labels, values)
        })
    });
}

fn plain(passed: &[Passed<'_>], lines: &Block, metadata: &Block, arrival: u64) -> Vec<Hit> {
    let mut packed = Vec::new();
    let found = passed.iter().map(|p| Hit {
        key: p.key,
        labels: Arc::clone(p.labels),
        arrival: arrival | p.row as u64,
        line: lines.line(p.row).into(),
        metadata: metadata.packed_metadata(p.row, &mut packed).0.into(),
        identity: 0,
        shown: None,
    });
    found.collect()
}

/// Of the rows keeps those that can be among the best `limit` of this block alone, with all that are tied with the
/// last of them.
fn keep_best(passed: &mut Vec<Passed<'_>>, limit: usize) {
    if passed.len() <= limit || limit == 0 {
        return;
    }
    let mut keys: Vec<i64> = passed.iter().map(|p| p.key).collect();
    let (_, last, _) = keys.select_nth_unstable_by(limit - 1, |a, b| b.cmp(a));
    let last = *last;
    passed.retain(|p| p.key >= last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_of_a_block_keep_their_ties(keys in proptest::collection::vec(0i64..6, 0..40), limit in 1usize..10) {
            let labels = Arc::new(Labels::from_pairs::<&str, &str>(&[]).unwrap());
            let mut passed: Vec<Passed<'_>> =
                keys.iter().enumerate().map(|(row, key)| Passed { key: *key, row, labels: &labels }).collect();
            keep_best(&mut passed, limit);
            let mut sorted = keys.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let last = sorted.get(limit - 1).copied().unwrap_or(i64::MIN);
            prop_assert_eq!(passed.len(), keys.iter().filter(|k| **k >= last).count());
        }
    }
}
