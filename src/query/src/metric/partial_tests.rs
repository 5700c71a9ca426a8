//! Is what is remembered of samples enough, however they are split and whatever they are?

use super::*;
use Reduction as R;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// Aggregates `values` after merging pieces of every split.
#[track_caller]
fn check(reduction: Reduction, values: &[f64], wanted: f64) {
    let fold = |part: &[(i64, f64)]| {
        let mut part = part.iter().map(|(ts, value)| Partial::of(reduction, *ts, *value));
        let mut first = part.next()?;
        part.for_each(|next| first.merge(&next));
        Some(first)
    };
    let samples: Vec<(i64, f64)> = (0..).zip(values.iter().copied()).collect();
    for split in 0..values.len() {
        let (a, b) = samples.split_at(split);
        let mut all = fold(a).or_else(|| fold(b)).expect("a sample");
        if split > 0 {
            all.merge(&fold(b).expect("a sample"));
        }
        let got = all.finish(reduction);
        let same = got == wanted || got.is_nan() && wanted.is_nan() || (got - wanted).abs() < 1e-12;
        assert!(same, "{reduction:?} of {values:?} split at {split}: {got}, wanted {wanted}");
    }
}

#[test]
fn values_at_the_edges() {
    for (reduction, values, wanted) in [
        (R::Count, &[NAN, INF, 0.0][..], 3.0),
        (R::Present, &[NAN, 0.0], 1.0),
        (R::Sum, &[1e100, 1.0, -1e100], 1.0),
        (R::Sum, &[0.1; 10], 1.0),
        (R::Sum, &[INF, 1.0], INF),
        (R::Sum, &[-INF, 1.0, -INF], -INF),
        (R::Sum, &[INF, -INF], NAN),
        (R::Sum, &[1.0, NAN], NAN),
        (R::Sum, &[f64::MAX, f64::MAX], INF),
        (R::Avg, &[1.0, 2.0, 6.0], 3.0),
        (R::Avg, &[INF, 2.0], INF),
        (R::Min, &[NAN, 1.0, -INF], -INF),
        (R::Min, &[1.0, NAN, 2.0], 1.0),
        (R::Min, &[NAN, NAN], NAN),
        (R::Max, &[1.0, NAN], 1.0),
        (R::Max, &[NAN, 1.0, INF], INF),
        (R::Max, &[NAN], NAN),
        (R::Stdvar, &[5.0], 0.0),
        (R::Stdvar, &[1.0, 2.0, 3.0, 4.0], 1.25),
        (R::Stddev, &[1.0, 2.5, -3.0], 2.321_398_046_197_353),
        (R::Stddev, &[6.0, 6.0, 1.0], 2.357_022_603_955_158),
        (R::Stdvar, &[0.1; 7], 0.0),
        (R::Stdvar, &[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9 + 4.0], 1.25),
        (R::Stdvar, &[INF], NAN),
        (R::Stddev, &[1.0, NAN], NAN),
        (R::First, &[3.0, 1.0, 2.0], 3.0),
        (R::Last, &[3.0, 1.0, 2.0], 2.0),
    ] {
        check(reduction, values, wanted);
    }
}

#[test]
fn first_and_last_go_by_time_and_then_by_arrival() {
    for (reduction, wanted) in [(R::First, 20.0), (R::Last, 50.0)] {
        let mut partial = Partial::of(reduction, 5, 10.0);
        for (ts, value) in [(3, 20.0), (3, 30.0), (9, 40.0), (9, 50.0), (7, 60.0)] {
            partial.add(reduction, ts, value);
        }
        assert_eq!(partial.finish(reduction), wanted, "{reduction:?}");
    }
}

#[test]
fn quantiles_counters_and_choices_have_no_partials() {
    assert_eq!(R::of_range(RangeOp::Quantile).or(R::of_range(RangeOp::RateCounter)), None);
    assert_eq!(R::of_vector(VectorOp::Topk).or(R::of_vector(VectorOp::Sort)), None);
    assert!(size_of::<Partial>() <= 32, "{} bytes a bucket", size_of::<Partial>());
}
