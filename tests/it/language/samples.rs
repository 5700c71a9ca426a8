//! Which samples does a range aggregation read?

use super::data::{Entry, Labels};
use super::metric::Stop;
use super::stages::{rows, unwrapped};
use strandline_logql::ast::*;

pub struct Sample {
    pub ts: i64,
    pub labels: Labels,
    pub value: f64,
}

/// What the lines stand for.
pub fn samples(range: &RangeAggregation, entries: &[Entry]) -> Vec<Sample> {
    let rows = rows(&range.log, entries).into_iter();
    let sample = |mut row| {
        let value = match (&range.unwrap, range.op) {
            (Some(unwrap), _) => unwrapped(unwrap, keeps_label(range, unwrap), &mut row)?,
            (None, RangeOp::Bytes | RangeOp::BytesRate) => row.line.len() as f64,
            (None, _) => 1.0,
        };
        Some(Sample { ts: row.ts, labels: row.all(), value })
    };
    rows.filter_map(sample).collect()
}

/// Whether the query groups by the label that it unwraps.
fn keeps_label(range: &RangeAggregation, unwrap: &Unwrap) -> bool {
    range
        .grouping
        .as_ref()
        .is_some_and(|grouping| !grouping.without && grouping.labels.contains(&unwrap.label))
}

/// The window that is looked at at `t`: behind the first moment, up to the second.
pub fn window(range: &RangeAggregation, t: i64) -> (i64, i64) {
    (t - range.offset_ns - range.range_ns, t - range.offset_ns)
}

/// Brings samples into the order of their times. Which of different ones at the same time is first is not said.
pub fn ordered(samples: &mut [(i64, f64)]) -> Result<(), Stop> {
    samples.sort_by_key(|(ts, _)| *ts);
    if samples.windows(2).any(|pair| pair[0].0 == pair[1].0) { Err(Stop::Undecided) } else { Ok(()) }
}
