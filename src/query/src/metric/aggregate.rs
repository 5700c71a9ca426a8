//! What is the sum, the average, the number ... of the series of each group, at each step?

use super::matrix::{LabelKey, Matrix, Point, Series, SeriesLabels};
use super::partial::{Partial, Reduction};
use super::sliding::Merge;
use std::collections::HashMap;
use strandline_logql::ast::Grouping;

/// Series that `grouping` takes together, and the labels that they share.
#[derive(Debug)]
pub struct Group<'a> {
    /// What is left of the labels.
    pub labels: LabelKey<'a>,
    /// The series, with their places in the matrix.
    pub members: Vec<(usize, &'a Series)>,
}

/// The groups of a matrix, in the order in which they first occur.
pub fn groups<'a>(matrix: &'a Matrix, grouping: &Grouping) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut homes: HashMap<LabelKey<'a>, usize> = HashMap::new();
    for (at, series) in matrix.series.iter().enumerate() {
        let labels = series.labels.key(grouping);
        let home = *homes.entry(labels.clone()).or_insert(groups.len());
        match groups.get_mut(home) {
            Some(group) => group.members.push((at, series)),
            None => groups.push(Group { labels, members: vec![(at, series)] }),
        }
    }
    groups
}

/// One series for each group.
pub fn aggregate(reduction: Reduction, grouping: &Grouping, matrix: &Matrix, steps: u32) -> Matrix {
    let mut slots: Vec<Option<Partial>> = vec![None; steps as usize];
    let mut result = Matrix::default();
    for group in groups(matrix, grouping) {
        let points = match group.members.as_slice() {
            [(_, only)] => only.points.iter().map(|point| alone(reduction, *point)).collect(),
            members => together(reduction, members, &mut slots),
        };
        result.push(SeriesLabels::of_key(&group.labels), points);
    }
    result
}

fn alone(reduction: Reduction, (step, value): Point) -> Point {
    (step, Partial::of(reduction, 0, value).finish(reduction))
}

/// `slots` are empty before and after.
fn together(reduction: Reduction, members: &[(usize, &Series)], slots: &mut [Option<Partial>]) -> Vec<Point> {
    // Only the steps that have points are looked at again: there may be many groups of few points.
    let mut touched: Vec<u32> = Vec::new();
    for (step, value) in members.iter().flat_map(|(_, series)| &series.points) {
        let new = Partial::of(reduction, 0, *value);
        match slots.get_mut(*step as usize) {
            Some(Some(partial)) => partial.merge(&new),
            Some(empty) => {
                *empty = Some(new);
                touched.push(*step);
            }
            None => {}
        }
    }
    touched.sort_unstable();
    let mut take = |step: u32| slots.get_mut(step as usize)?.take();
    touched
        .into_iter()
        .filter_map(|step| take(step).map(|partial| (step, partial.finish(reduction))))
        .collect()
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
