//! Do windows and buckets hold exactly the times that they should?

use super::*;
use proptest::prelude::*;

fn windows(start: i64, step: i64, count: u32, range: i64, offset: i64) -> Windows {
    Windows::new(Steps::range(start, step, count), range, offset)
}

#[test]
fn a_window_is_open_at_its_beginning_and_closed_at_its_end() {
    // Steps at 100, 110, 120; each window 20 long.
    let w = windows(100, 10, 3, 20, 0);
    for (ts, steps) in [
        (80, None),
        (81, Some(0..=0)),
        (90, Some(0..=0)),
        (91, Some(0..=1)),
        (100, Some(0..=1)),
        (101, Some(1..=2)),
        (110, Some(1..=2)),
        (111, Some(2..=2)),
        (120, Some(2..=2)),
        (121, None),
    ] {
        assert_eq!(w.steps_of(ts), steps, "{ts}");
    }
    assert_eq!(w.span(), Some(81..=120));
}

#[test]
fn an_offset_moves_windows_either_way() {
    assert_eq!(windows(100, 10, 3, 20, 50).span(), Some(31..=70));
    assert_eq!(windows(100, 10, 3, 20, 50).steps_of(50), Some(0..=1));
    assert_eq!(windows(100, 10, 3, 20, -50).span(), Some(131..=170));
    assert_eq!(windows(100, 10, 3, 20, -50).steps_of(150), Some(0..=1));
}

#[test]
fn an_instant_query_has_one_window() {
    let w = Windows::new(Steps::instant(100), 7, 0);
    assert_eq!(
        (w.steps_of(93), w.steps_of(94), w.steps_of(100), w.steps_of(101)),
        (None, Some(0..=0), Some(0..=0), None)
    );
    let buckets = Buckets::new(w);
    assert_eq!((buckets.width_ns(), buckets.count(), buckets.per_window()), (7, 1, 1));
    assert_eq!(
        (buckets.of(93), buckets.of(94), buckets.of(100), buckets.of(101)),
        (None, Some(0), Some(0), None)
    );
}

#[test]
fn buckets_are_as_long_as_step_and_range_have_in_common() {
    for (step, range, width, per_window, count) in [
        (60, 300, 60, 5, 14),
        (60, 90, 30, 3, 21),
        (300, 60, 60, 1, 46),
        (7, 10, 1, 10, 73),
        (60, 60, 60, 1, 10),
    ] {
        let buckets = Buckets::new(windows(0, step, 10, range, 0));
        let got = (buckets.width_ns(), buckets.per_window(), buckets.count());
        assert_eq!(got, (width, per_window, count), "step {step}, range {range}");
    }
    assert_eq!(Buckets::new(windows(0, 60, 0, 60, 0)).count(), 0);
}

#[test]
fn times_between_windows_have_no_bucket() {
    // Windows (90, 100] and (190, 200].
    let buckets = Buckets::new(windows(100, 100, 2, 10, 0));
    for (ts, bucket) in
        [(90, None), (91, Some(0)), (100, Some(0)), (101, None), (190, None), (191, Some(10)), (201, None)]
    {
        assert_eq!(buckets.of(ts), bucket, "{ts}");
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for start in ends {
        for step in [1, i64::MAX] {
            for range in [i64::MIN, 1, i64::MAX] {
                for offset in ends {
                    let w = windows(start, step, 11_000, range, offset);
                    let buckets = Buckets::new(w);
                    let _ = (w.span(), w.steps.at(u32::MAX), buckets.count());
                    for ts in ends {
                        let (bucket, steps) = (buckets.of(ts), w.steps_of(ts));
                        // Where there are more buckets than numbers, steps are beyond the end of time.
                        let equal = bucket.is_some() == steps.is_some() || buckets.count() == u64::MAX;
                        assert!(equal, "{w:?} {ts}: {bucket:?}, {steps:?}");
                    }
                }
            }
        }
    }
    assert_eq!(windows(i64::MIN, 1, 1, 10, 0).steps_of(i64::MIN), Some(0..=0));
    assert_eq!(windows(i64::MIN, 1, 1, 10, 0).span(), Some(i64::MIN..=i64::MIN));
    assert_eq!(windows(i64::MIN, 1, 1, 10, 1).span(), None);
}

proptest! {
    #[test]
    fn steps_and_buckets_are_those_of_the_definition(
        start in -50i64..50, step in 1i64..30, count in 0u32..12, range in 1i64..60, offset in -40i64..40,
        ts in -200i64..500,
    ) {
        let w = windows(start, step, count, range, offset);
        let holds = |k: u32| {
            let t = start + i64::from(k) * step;
            t - range - offset < ts && ts <= t - offset
        };
        let wanted: Vec<u32> = (0..count).filter(|k| holds(*k)).collect();
        let got: Vec<u32> = w.steps_of(ts).into_iter().flatten().collect();
        prop_assert_eq!(&got, &wanted);
        if !wanted.is_empty() {
            prop_assert!(w.span().is_some_and(|span| span.contains(&ts)));
        }
        let buckets = Buckets::new(w);
        let bucket = buckets.of(ts);
        prop_assert_eq!(bucket.is_some(), !wanted.is_empty());
        if let Some(bucket) = bucket {
            prop_assert!(bucket < buckets.count());
            let in_window = |k: &u32| {
                let (after, until) = buckets.window(*k);
                after < i128::from(bucket) && i128::from(bucket) <= until
            };
            prop_assert_eq!((0..count).filter(in_window).collect::<Vec<_>>(), wanted);
        }
    }
}
