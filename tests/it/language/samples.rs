//! Which samples does a range aggregation read?

use super::data::{Entry, Labels};
use super::metric::Stop;
use super::regex;
use super::stages::{rows_with, unwrapped};
use std::collections::BTreeSet;
use strandline_logql::ast::*;

pub struct Sample {
    pub ts: i64,
    pub labels: Labels,
    pub value: f64,
}

/// What the lines stand for.
pub fn samples(range: &RangeAggregation, by: Option<&Grouping>, entries: &[Entry]) -> Vec<Sample> {
    let named = by.filter(|by| !by.without).map(|by| named(range, by));
    let rows = rows_with(&range.log, entries, named.as_ref()).into_iter();
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

/// The labels that the query names, if it groups by some or none: parsers look for no others.
fn named(range: &RangeAggregation, by: &Grouping) -> BTreeSet<String> {
    fn of_filter(filter: &LabelFilterExpr, names: &mut BTreeSet<String>) {
        let name = match filter {
            LabelFilterExpr::And(a, b) | LabelFilterExpr::Or(a, b) => {
                of_filter(a, names);
                return of_filter(b, names);
            }
            LabelFilterExpr::Text(matcher) => &matcher.name,
            LabelFilterExpr::Quantity { name, .. } | LabelFilterExpr::Ip { name, .. } => name,
        };
        names.insert(name.clone());
    }
    let field = regex(r"\{\{\s*\.(\w+)");
    let fields = |text: &str| field.captures_iter(text).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let mut names: BTreeSet<String> = by.labels.iter().cloned().collect();
    for stage in &range.log.stages {
        match stage {
            Stage::LabelFilter(filter) => of_filter(filter, &mut names),
            Stage::LineFormat(text) if is_read(&range.log, stage) || is_bytes(range) => {
                names.extend(fields(text))
            }
            Stage::LabelFormat(formats) => formats.iter().for_each(|format| match &format.value {
                LabelFormatValue::Label(from) => names.extend([from.clone()]),
                LabelFormatValue::Template(text) => names.extend(fields(text)),
            }),
            _ => {}
        }
    }
    if let Some(unwrap) = &range.unwrap {
        names.insert(unwrap.label.clone());
        unwrap.filters.iter().for_each(|filter| of_filter(filter, &mut names));
    }
    let unclashed: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix("_extracted")).map(str::to_owned).collect();
    names.extend(unclashed);
    names
}

fn is_bytes(range: &RangeAggregation) -> bool {
    matches!(range.op, RangeOp::Bytes | RangeOp::BytesRate)
}

/// Whether a stage behind this one reads the line.
fn is_read(log: &LogExpr, format: &Stage) -> bool {
    let behind = log.stages.iter().skip_while(|stage| !std::ptr::eq(*stage, format)).skip(1);
    behind.into_iter().any(|stage| {
        !matches!(
            stage,
            Stage::LabelFilter(_)
                | Stage::Drop(_)
                | Stage::Keep(_)
                | Stage::LineFormat(_)
                | Stage::Decolorize
        )
    })
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
