//! Does every range function give what its definition says, for each window looked at by itself?

use super::super::steps::Steps;
use super::super::testing::{assert_close, close};
use super::*;
use proptest::prelude::*;

const OPS: [RangeOp; 15] = [
    RangeOp::Rate,
    RangeOp::RateCounter,
    RangeOp::Count,
    RangeOp::BytesRate,
    RangeOp::Bytes,
    RangeOp::Avg,
    RangeOp::Sum,
    RangeOp::Min,
    RangeOp::Max,
    RangeOp::Stddev,
    RangeOp::Stdvar,
    RangeOp::Quantile,
    RangeOp::First,
    RangeOp::Last,
    RangeOp::Absent,
];

/// The definition: of one window's samples.
fn naive(op: RangeOp, phi: f64, range: i64, after: i64, w: &[Sample]) -> f64 {
    let values: Vec<f64> = w.iter().map(|s| s.1).collect();
    let n = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let variance = values.iter().map(|v| (v - sum / n).powi(2)).sum::<f64>() / n;
    match op {
        RangeOp::Count => n,
        RangeOp::Rate | RangeOp::BytesRate => sum / (range as f64 / 1e9),
        RangeOp::Bytes | RangeOp::Sum => sum,
        RangeOp::Avg => sum / n,
        RangeOp::Min => values.iter().copied().fold(f64::NAN, f64::min),
        RangeOp::Max => values.iter().copied().fold(f64::NAN, f64::max),
        RangeOp::Stdvar => variance,
        RangeOp::Stddev => variance.sqrt(),
        RangeOp::First => values[0],
        RangeOp::Last => values[values.len() - 1],
        RangeOp::Absent => 1.0,
        RangeOp::Quantile => naive_quantile(phi, values),
        RangeOp::RateCounter => naive_rate(range, after, w),
    }
}

fn naive_quantile(phi: f64, mut values: Vec<f64>) -> f64 {
    if !(0.0..=1.0).contains(&phi) {
        return if phi < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(f64::total_cmp);
    let rank = phi * (values.len() - 1) as f64;
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

fn naive_rate(range: i64, after: i64, w: &[Sample]) -> f64 {
    let (first, last) = (w[0], w[w.len() - 1]);
    let sampled = (last.0 - first.0) as f64;
    if w.len() < 2 || sampled == 0.0 {
        return 0.0;
    }
    let mut growth = 0.0;
    for pair in w.windows(2) {
        growth += if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
    }
    let average = sampled / (w.len() - 1) as f64;
    let reach = |gap: f64| if gap < 1.1 * average { gap } else { average / 2.0 };
    let mut before = reach((first.0 - after) as f64);
    let behind = (after + range - last.0) as f64;
    if growth > 0.0 && first.1 >= 0.0 {
        // Rounded as there: at the very threshold, the last bit decides.
        before = before.min(sampled * (first.1 / growth));
    }
    growth * (sampled + before + reach(behind)) / sampled / (range as f64 / 1e9)
}

fn windows(start: i64, step: i64, count: u32, range: i64, offset: i64) -> Windows {
    Windows::new(Steps::range(start, step, count), range, offset)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn both_forms_are_the_definition(
        step in 1i64..40, count in 1u32..25, range in 1i64..80, offset in -30i64..30,
        phi in prop::sample::select(vec![-0.5, 0.0, 0.25, 0.5, 0.99, 1.0, 1.5]),
        mut samples in prop::collection::vec((-100i64..700, -20i64..20), 0..120),
        steep in prop::bool::ANY,
    ) {
        samples.sort_by_key(|(ts, _)| *ts);
        // Whole numbers: nanosecond windows would blow up the rounding of others.
        let scale = if steep { 1e7 } else { 1.0 };
        let samples: Vec<Sample> = samples.into_iter().map(|(ts, v)| (ts, v as f64 * scale)).collect();
        let w = windows(0, step, count, range, offset);
        for op in OPS {
            let mut wanted: Vec<Point> = Vec::new();
            for k in 0..count {
                let until = i64::from(k) * step - offset;
                let held: Vec<Sample> =
                    samples.iter().copied().filter(|(ts, _)| until - range < *ts && *ts <= until).collect();
                if !held.is_empty() {
                    wanted.push((k, naive(op, phi, range, until - range, &held)));
                }
            }
            assert_close(&exact(op, Some(phi), &w, &samples, &|| false), &wanted, &format!("{op:?}"));
            if let Some(reduction) = Reduction::of_range(op) {
                assert_close(&by_bucket(op, reduction, &w, &samples), &wanted, &format!("buckets, {op:?}"));
            }
        }
    }
}

/// As a reader fills buckets: sample by sample, in any order.
fn by_bucket(op: RangeOp, reduction: Reduction, w: &Windows, samples: &[Sample]) -> Vec<Point> {
    let buckets = Buckets::new(*w);
    let mut slots: std::collections::BTreeMap<u64, Partial> = Default::default();
    for sample in samples {
        if let Some(bucket) = buckets.of(sample.0) {
            let (ts, value) = *sample;
            let slot = slots.entry(bucket);
            slot.and_modify(|partial: &mut Partial| partial.add(reduction, ts, value))
                .or_insert_with(|| Partial::of(reduction, ts, value));
        }
    }
    let partials: Vec<(u64, Partial)> = slots.into_iter().collect();
    bucketed(op, &buckets, &partials)
}

#[test]
fn sums_do_not_drift_as_windows_pass_over_giants() {
    let giant = |ts| if ts == 50 { 1e17 } else { 0.25 };
    let samples: Vec<Sample> = (0..200).map(|ts| (ts, giant(ts))).collect();
    let points = exact(RangeOp::Sum, None, &windows(0, 1, 200, 10, 0), &samples, &|| false);
    assert_eq!(points[199], (199, 2.5));
    assert_eq!(points[40], (40, 2.5));
    let points = exact(RangeOp::Stdvar, None, &windows(0, 1, 200, 10, 0), &samples, &|| false);
    assert_eq!(points[199], (199, 0.0));
}

#[test]
fn quantiles_at_the_edges() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (phi, values, wanted) in [
        (0.5, &[2.5][..], 2.5),
        (0.5, &[1.0, 2.0, 10.0, 4.0], 3.0),
        (0.25, &[5.0, 1.0, 3.0], 2.0),
        (0.0, &[3.0, -5.0], -5.0),
        (1.0, &[3.0, -5.0], 3.0),
        (-0.1, &[1.0], -inf),
        (1.1, &[1.0], inf),
        (nan, &[1.0], nan),
        (0.0, &[1.0, inf], 1.0),
        (1.0, &[1.0, inf], inf),
        (0.5, &[-inf, 1.0, inf], 1.0),
        (1.0, &[nan, 2.0, 1.0], 2.0),
        (0.5, &[2.0, 1.0, -nan], 1.0),
        (0.0, &[2.0, nan], nan),
        (0.5, &[], nan),
    ] {
        let got = quantile(phi, &mut values.to_vec());
        assert!(close(got, wanted), "{phi} of {values:?}: {got}, wanted {wanted}");
    }
}

/// One window (0 s, 100 s].
fn counter(samples: &[(i64, f64)]) -> Option<f64> {
    let samples: Vec<Sample> = samples.iter().map(|(s, v)| (s * 1_000_000_000, *v)).collect();
    let w = Windows::new(Steps::instant(100_000_000_000), 100_000_000_000, 0);
    exact(RangeOp::RateCounter, None, &w, &samples, &|| false).first().map(|(_, rate)| *rate)
}

#[test]
fn counters() {
    for (samples, wanted, why) in [
        (&[][..], None, "nothing"),
        (&[(50, 7.0)], Some(0.0), "one sample tells no growth"),
        (&[(50, 7.0), (50, 9.0)], Some(0.0), "nor do two at once"),
        (&[(10, 100.0), (50, 140.0), (90, 180.0)], Some(1.0), "extended to both edges"),
        (&[(40, 100.0), (50, 110.0), (60, 120.0)], Some(0.3), "half an interval where the edges are far"),
        (&[(10, 5.0), (50, 45.0), (90, 85.0)], Some(0.95), "not to before zero"),
        (
            &[(60, 8.0), (70, 18.0), (80, 28.0)],
            Some(0.3),
            "half an interval, though zero is nearer than the edge",
        ),
        (&[(60, 2.0), (70, 12.0), (80, 22.0)], Some(0.27), "zero is nearer than half an interval"),
        (&[(10, 100.0), (50, 20.0), (90, 60.0)], Some(0.75), "a reset hides what was counted before"),
        (&[(10, 0.0), (50, 0.0), (90, 0.0)], Some(0.0), "no growth"),
        (&[(0, 1.0), (10, 100.0), (90, 180.0), (101, 500.0)], Some(1.0), "the window is half open"),
    ] {
        let got = counter(samples);
        let same = matches!((got, wanted), (Some(g), Some(w)) if close(g, w)) || got == wanted;
        assert!(same, "{why}: {got:?}, wanted {wanted:?}");
    }
}

#[test]
fn a_long_gap_costs_no_time() {
    let w = windows(0, 1, u32::MAX, 5, 0);
    let samples = [(10, 1.0), (4_000_000_000, 2.0)];
    assert_eq!(exact(RangeOp::Count, None, &w, &samples, &|| false).len(), 10);
    let buckets = Buckets::new(w);
    let partials =
        samples.map(|(ts, v)| (buckets.of(ts).expect("in a window"), Partial::of(Reduction::Sum, ts, v)));
    let points = bucketed(RangeOp::Sum, &buckets, &partials);
    assert_eq!((points.len(), points[0], points[9]), (10, (10, 1.0), (4_000_000_004, 2.0)));
}
