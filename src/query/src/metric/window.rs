//! What does a range function make of one series' samples, at each step?
//!
//! Either of the samples themselves ([`exact`]), or of what is remembered of each bucket ([`bucketed`]). Both take time
//! in proportion to samples and steps, quantiles a little more.

use super::counter::Counter;
use super::matrix::Point;
use super::partial::{Partial, Reduction};
use super::quantile::{Ranked, quantile};
use super::sliding::Sliding;
use super::steps::{Buckets, Grid, Windows};
use std::ops::Range;
use strandline_logql::ast::RangeOp;

/// A time and what counts at it: 1, a line's bytes or an unwrapped value.
pub type Sample = (i64, f64);

/// The points of `op` over samples in order of time. `parameter` is the quantile. Ends early, with some of the points,
/// when `over` says so.
pub fn exact(
    op: RangeOp,
    parameter: Option<f64>,
    windows: &Windows,
    samples: &[Sample],
    over: &dyn Fn() -> bool,
) -> Vec<Point> {
    let sample = |i: usize| samples.get(i).copied();
    let mut points = Vec::new();
    let mut push = |step, value: Option<f64>| points.extend(value.map(|value| (step, value)));
    let each = |each: &mut dyn FnMut(u32, Range<usize>)| {
        each_window(windows, samples, |(ts, _)| i128::from(*ts), each);
    };
    match op {
        RangeOp::Count => each(&mut |step, window| push(step, Some(window.len() as f64))),
        RangeOp::Quantile => {
            let (phi, mut ended) = (parameter.unwrap_or(f64::NAN), false);
            if windows.overlap() {
                let mut ranked = Ranked::new(samples.iter().map(|(_, value)| *value));
                each(&mut |step, window| {
                    ended = ended || over();
                    if !ended {
                        push(step, Some(ranked.quantile(phi, window)));
                    }
                });
                return points;
            }
            let mut values = Vec::new();
            each(&mut |step, window| {
                ended = ended || over();
                if ended {
                    return;
                }
                values.clear();
                values.extend(samples.get(window).unwrap_or_default().iter().map(|(_, value)| *value));
                push(step, Some(quantile(phi, &mut values)));
            });
        }
        RangeOp::RateCounter => {
            let mut sliding = Sliding::new();
            each(&mut |step, window| {
                let counter = sliding.fold(window, |i| sample(i).map(|(ts, value)| Counter::of(ts, value)));
                push(step, counter.map(|counter| counter.rate(windows.window(step))));
            });
        }
        _ => {
            let Some(reduction) = Reduction::of_range(op) else { return points };
            let mut sliding = Sliding::new();
            each(&mut |step, window| {
                let partial =
                    sliding.fold(window, |i| sample(i).map(|(ts, value)| Partial::of(reduction, ts, value)));
                push(step, partial.map(|partial| finish(op, reduction, windows, &partial)));
            });
        }
    }
    points
}

/// The points of `op` over what is remembered of each bucket, in order of bucket; a bucket may come in several pieces.
/// Nothing for the operations that cannot be taken apart ([`Reduction::of_range`]).
pub fn bucketed(op: RangeOp, buckets: &Buckets, partials: &[(u64, Partial)]) -> Vec<Point> {
    let mut points = Vec::new();
    let Some(reduction) = Reduction::of_range(op) else { return points };
    let mut sliding = Sliding::new();
    each_window(buckets, partials, |(bucket, _)| i128::from(*bucket), &mut |step, window| {
        let partial = sliding.fold(window, |i| partials.get(i).map(|(_, partial)| *partial));
        points.extend(partial.map(|partial| (step, finish(op, reduction, buckets.windows(), &partial))));
    });
    points
}

/// The value at one step, from what is remembered of its whole window.
pub fn finish(op: RangeOp, reduction: Reduction, windows: &Windows, partial: &Partial) -> f64 {
    let value = partial.finish(reduction);
    match op {
        RangeOp::Rate | RangeOp::BytesRate => value / (windows.range_ns() as f64 / 1e9),
        _ => value,
    }
}

/// Calls `each` with every step whose window is not empty, and with the items in it.
fn each_window<T>(
    grid: &impl Grid,
    items: &[T],
    position: impl Fn(&T) -> i128,
    each: &mut dyn FnMut(u32, Range<usize>),
) {
    let at = |i: usize| items.get(i).map(&position);
    let (mut low, mut high) = (0, 0);
    let mut next = 0;
    while let Some(step) = u32::try_from(next).ok().filter(|step| *step < grid.steps()) {
        let (after, until) = grid.window(step);
        while at(high).is_some_and(|position| position <= until) {
            high += 1;
        }
        while low < high && at(low).is_some_and(|position| position <= after) {
            low += 1;
        }
        next += 1;
        if low < high {
            each(step, low..high);
        } else if let Some(position) = at(high) {
            // Thousands of steps may lie in one gap of a series.
            next = next.max(grid.first_reaching(position));
        } else {
            return;
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
