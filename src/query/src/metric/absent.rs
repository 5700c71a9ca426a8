//! At which steps did a selector find nothing at all?

use super::matrix::{LabelKey, Matrix, Point, SeriesLabels};
use super::sets::StepSet;
use std::collections::BTreeMap;
use strandline_logql::ast::MatcherExpr;
use strandline_model::MatchOp;

/// A series of ones at the steps where `present` has no point, labelled with what the query was about.
pub fn absent(present: &Matrix, matchers: &[MatcherExpr], steps: u32) -> Matrix {
    let mut seen = StepSet::new(steps);
    present.series.iter().for_each(|series| seen.extend(&series.points));
    let points: Vec<Point> = (0..steps).filter(|step| !seen.holds(*step)).map(|step| (step, 1.0)).collect();
    let mut matrix = Matrix::default();
    matrix.push(labels(matchers), points);
    matrix
}

/// The labels that the selector sets to one value. One that it names twice has no certain value.
fn labels(matchers: &[MatcherExpr]) -> SeriesLabels {
    let mut values: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for matcher in matchers {
        let value = (matcher.op == MatchOp::Equal).then_some(matcher.value.as_str());
        values.entry(&matcher.name).and_modify(|value| *value = None).or_insert(value);
    }
    let certain = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    SeriesLabels::of_key(&certain.filter(|(_, value)| !value.is_empty()).collect::<LabelKey>())
}
