//! What do this module's tests build their data with, and how do they compare floats?

use super::matrix::{Matrix, Point, Series, SeriesLabels};
use strandline_logql::ast::{Grouping, LogExpr, MatcherExpr, MetricExpr, RangeAggregation, RangeOp};
use strandline_logql::ast::{Unwrap, VectorAggregation, VectorOp};
use strandline_model::MatchOp;

/// `a=1,b=2`
pub fn labels(text: &str) -> SeriesLabels {
    text.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

/// Series of points; the values of consecutive steps, `_` for a gap: `("a=1", "5 _ NaN")`.
pub fn matrix(series: &[(&str, &str)]) -> Matrix {
    let mut matrix = Matrix::default();
    for (text, values) in series {
        matrix.push(labels(text), points(values));
    }
    matrix
}

pub fn points(values: &str) -> Vec<Point> {
    let values = values.split_whitespace().enumerate().filter(|(_, value)| *value != "_");
    values.map(|(step, value)| (step as u32, value.parse().expect("a number"))).collect()
}

pub fn by(labels: &[&str]) -> Grouping {
    Grouping { without: false, labels: labels.iter().map(|l| (*l).to_owned()).collect() }
}

pub fn without(labels: &[&str]) -> Grouping {
    Grouping { without: true, ..by(labels) }
}

pub fn range(op: RangeOp, app: &str) -> RangeAggregation {
    let matcher = MatcherExpr { name: "app".into(), op: MatchOp::Equal, value: app.into() };
    RangeAggregation {
        op,
        parameter: None,
        log: LogExpr { matchers: vec![matcher], stages: Vec::new() },
        range_ns: 60,
        offset_ns: 0,
        unwrap: None,
        grouping: None,
    }
}

pub fn unwrap(label: &str) -> Option<Unwrap> {
    Some(Unwrap { label: label.into(), conversion: None, filters: Vec::new() })
}

pub fn vector(op: VectorOp, grouping: Option<Grouping>, inner: MetricExpr) -> VectorAggregation {
    VectorAggregation { op, parameter: None, grouping, inner: Box::new(inner) }
}

/// Series by labels and in order, values with the precision that clients compare with.
#[track_caller]
pub fn assert_same(got: &Matrix, wanted: &Matrix, what: &str) {
    let shape = |matrix: &Matrix| {
        let mut all: Vec<_> = matrix.series.iter().map(|s| (s.labels.clone(), steps(&s.points))).collect();
        all.sort();
        all
    };
    assert_eq!(shape(got), shape(wanted), "{what}");
    let sorted = |matrix: &Matrix| {
        let mut all: Vec<Series> = matrix.series.clone();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    };
    for (g, w) in sorted(got).iter().zip(sorted(wanted)) {
        assert_close(&g.points, &w.points, &format!("{what}: {:?}", g.labels));
    }
}

fn steps(points: &[Point]) -> Vec<u32> {
    points.iter().map(|(step, _)| *step).collect()
}

#[track_caller]
pub fn assert_close(got: &[Point], wanted: &[Point], what: &str) {
    assert_eq!(steps(got), steps(wanted), "{what}");
    for ((step, g), (_, w)) in got.iter().zip(wanted) {
        assert!(close(*g, *w), "{what}: step {step} is {g}, wanted {w}");
    }
}

pub fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}
