//! Is each group's aggregate at each step that of the series that have a point there?

use super::super::order::Rank;
use super::super::testing::{assert_same, by, matrix, without};
use super::super::topk::choose;
use super::*;
use proptest::prelude::*;

fn steady() -> Matrix {
    matrix(&[("app=x,shard=a", "6 6 _"), ("app=x,shard=b", "6 _ _"), ("app=y,shard=a", "1 _ NaN")])
}

#[test]
fn every_reduction_over_one_group() {
    for (reduction, wanted) in [
        (Reduction::Sum, "13 6 NaN"),
        (Reduction::Avg, "4.333333333333333 6 NaN"),
        (Reduction::Min, "1 6 NaN"),
        (Reduction::Max, "6 6 NaN"),
        (Reduction::Count, "3 1 1"),
        (Reduction::Stddev, "2.357022603955158 0 NaN"),
        (Reduction::Stdvar, "5.555555555555555 0 NaN"),
    ] {
        let got = aggregate(reduction, &by(&[]), &steady(), 3);
        assert_same(&got, &matrix(&[("", wanted)]), &format!("{reduction:?}"));
    }
}

#[test]
fn groups_by_and_without() {
    for (grouping, wanted) in [
        (by(&["shard"]), &[("shard=a", "7 6 NaN"), ("shard=b", "6")][..]),
        (by(&["nosuch"]), &[("", "13 6 NaN")]),
        (
            by(&["shard", "app"]),
            &[("app=x,shard=a", "6 6"), ("app=x,shard=b", "6"), ("app=y,shard=a", "1 _ NaN")],
        ),
        (without(&["shard"]), &[("app=x", "12 6"), ("app=y", "1 _ NaN")]),
        (without(&[]), &[("app=x,shard=a", "6 6"), ("app=x,shard=b", "6"), ("app=y,shard=a", "1 _ NaN")]),
    ] {
        assert_same(
            &aggregate(Reduction::Sum, &grouping, &steady(), 3),
            &matrix(wanted),
            &format!("{grouping:?}"),
        );
    }
    assert_eq!(aggregate(Reduction::Count, &by(&[]), &Matrix::default(), 3), Matrix::default());
}

#[test]
fn the_best_are_chosen_at_every_step_anew() {
    let all = matrix(&[
        ("a=1", "1 9 NaN 5 _"),
        ("a=2", "2 8 1 5 _"),
        ("a=3", "3 7 NaN 5 NaN"),
        ("b=1", "0 0 0 0 0"),
    ]);
    for (rank, k, grouping, wanted) in [
        (
            Rank::Descending,
            1,
            by(&[]),
            &[("a=1", "_ 9 _ 5"), ("a=2", "_ _ 1"), ("a=3", "3"), ("b=1", "_ _ _ _ 0")][..],
        ),
        (Rank::Ascending, 1, by(&[]), &[("b=1", "0 0 0 0 0")]),
        (
            Rank::Ascending,
            1,
            by(&["b"]),
            &[("a=1", "1 _ _ 5"), ("a=2", "_ _ 1"), ("a=3", "_ 7 _ _ NaN"), ("b=1", "0 0 0 0 0")],
        ),
        (
            Rank::Descending,
            2,
            by(&["b"]),
            &[("a=1", "_ 9 NaN 5"), ("a=2", "2 8 1 5"), ("a=3", "3 _ _ _ NaN"), ("b=1", "0 0 0 0 0")],
        ),
    ] {
        assert_same(
            &choose(rank, k, &grouping, &all),
            &matrix(wanted),
            &format!("{rank:?} {k} {grouping:?}"),
        );
    }
    assert_same(&choose(Rank::Descending, u64::MAX, &by(&[]), &all), &all, "more than there are");
}

fn any_matrix() -> impl Strategy<Value = Matrix> {
    let series = (0u8..3, 0u8..3, prop::collection::btree_map(0u32..6, -4i8..4, 0..6));
    prop::collection::vec(series, 0..9).prop_map(|all| {
        let mut matrix = Matrix::default();
        for (i, (a, b, points)) in all.into_iter().enumerate() {
            let labels = [("a", a.to_string()), ("b", b.to_string()), ("i", i.to_string())];
            matrix.push(
                labels.into_iter().collect(),
                points.into_iter().map(|(s, v)| (s, f64::from(v))).collect(),
            );
        }
        matrix
    })
}

proptest! {
    #[test]
    fn aggregates_are_the_definition(all in any_matrix(), outer in 0usize..4, k in 1u64..4) {
        let grouping = [by(&[]), by(&["a"]), by(&["a", "b"]), without(&["i"])][outer].clone();
        for reduction in [Reduction::Sum, Reduction::Avg, Reduction::Min, Reduction::Max, Reduction::Count, Reduction::Stdvar] {
            let mut wanted: Vec<(SeriesLabels, Vec<Point>)> = Vec::new();
            for step in 0..6 {
                for (labels, values) in at_step(&all, &grouping, step) {
                    let values: Vec<f64> = values.into_iter().map(|(_, v)| v).collect();
                    let point = (step, naive(reduction, &values));
                    match wanted.iter_mut().find(|(l, _)| *l == labels) {
                        Some((_, points)) => points.push(point),
                        None => wanted.push((labels, vec![point])),
                    }
                }
            }
            let series = wanted.into_iter().map(|(labels, points)| Series { labels, points }).collect();
            assert_same(&aggregate(reduction, &grouping, &all, 6), &Matrix { series }, &format!("{reduction:?}"));
        }
        let chosen = choose(Rank::Descending, k, &grouping, &all);
        for step in 0..6 {
            for ((labels, mut values), (_, got)) in at_step(&all, &grouping, step).into_iter().zip(at_step(&chosen, &grouping, step)) {
                values.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                values.truncate(k as usize);
                values.sort_by(|a, b| a.0.cmp(&b.0));
                prop_assert_eq!(values, got, "{:?}", labels);
            }
        }
    }
}

type AtStep = Vec<(SeriesLabels, Vec<(SeriesLabels, f64)>)>;

/// The groups at one step, and their members' values.
fn at_step(all: &Matrix, grouping: &Grouping, step: u32) -> AtStep {
    let mut groups: AtStep = Vec::new();
    for series in &all.series {
        let Some((_, value)) = series.points.iter().find(|(s, _)| *s == step) else { continue };
        let labels = SeriesLabels::of_key(&series.labels.key(grouping));
        let member = (series.labels.clone(), *value);
        match groups.iter_mut().find(|(l, _)| *l == labels) {
            Some((_, members)) => members.push(member),
            None => groups.push((labels, vec![member])),
        }
    }
    groups.iter_mut().for_each(|(_, members)| members.sort_by(|a, b| a.0.cmp(&b.0)));
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups
}

fn naive(reduction: Reduction, values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let sum: f64 = values.iter().sum();
    match reduction {
        Reduction::Sum => sum,
        Reduction::Avg => sum / n,
        Reduction::Min => values.iter().copied().fold(f64::NAN, f64::min),
        Reduction::Max => values.iter().copied().fold(f64::NAN, f64::max),
        Reduction::Count => n,
        _ => values.iter().map(|v| (v - sum / n).powi(2)).sum::<f64>() / n,
    }
}
