//! How fast does a counter grow within a window?
//!
//! As Prometheus' `rate`: a value below the one before it is a counter that began anew at zero; and as the first and
//! last samples rarely lie on the window's edges, the growth between them is extended to the edges: all the way if the
//! next sample could have been just outside, else half an average interval; at the start then no further than to where the
//! counter was zero.

use super::sliding::Merge;

/// How much longer than the average an interval may be without being taken for an end of the series.
const TOLERANCE: f64 = 1.1;

/// What has to be known of a run of a counter's samples, in order of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counter {
    first: (i64, f64),
    last: (i64, f64),
    count: u64,
    /// What resets hid: the sum of the values before each.
    hidden: f64,
}

impl Counter {
    /// One sample.
    pub fn of(ts: i64, value: f64) -> Self {
        Self { first: (ts, value), last: (ts, value), count: 1, hidden: 0.0 }
    }

    /// Growth per second in the window `(after, until]`; 0 where samples are too few to tell.
    pub fn rate(&self, (after, until): (i128, i128)) -> f64 {
        let ns = |from: i128, to: i128| (to - from) as f64;
        let (first, last) = (i128::from(self.first.0), i128::from(self.last.0));
        let sampled = ns(first, last);
        if self.count < 2 || sampled <= 0.0 {
            return 0.0;
        }
        let growth = self.last.1 - self.first.1 + self.hidden;
        let average = sampled / (self.count - 1) as f64;
        let reach = |gap: f64| if gap < average * TOLERANCE { gap } else { average / 2.0 };
        let mut before = reach(ns(after, first));
        if growth > 0.0 && self.first.1 >= 0.0 {
            before = before.min(sampled * (self.first.1 / growth));
        }
        let extended = sampled + before + reach(ns(last, until));
        growth * (extended / sampled) / (ns(after, until) / 1e9)
    }
}

impl Merge for Counter {
    fn merge(&mut self, later: &Self) {
        if later.first.1 < self.last.1 {
            self.hidden += self.last.1;
        }
        self.hidden += later.hidden;
        self.last = later.last;
        self.count += later.count;
    }
}
