//! On which days was a stream seen? Runs of days, because most streams are there every day of their life.

/// A set of days, held as runs of consecutive ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Days {
    /// No day.
    #[default]
    None,
    /// The usual case costs no allocation.
    One(DayRange),
    /// Two runs or more, ascending, with a gap between each two.
    #[expect(clippy::box_collection, reason = "a stream's days take 16 bytes instead of 24")]
    Many(Box<Vec<DayRange>>),
}

/// First and last day of a run.
pub(super) type DayRange = (i32, i32);

impl Days {
    /// The runs, ascending.
    pub(super) fn runs(&self) -> &[DayRange] {
        match self {
            Self::None => &[],
            Self::One(run) => std::slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }

    /// The set of these runs; `None` when they are not ascending with gaps between them.
    pub(super) fn from_runs(runs: Vec<DayRange>) -> Option<Self> {
        let each_holds = runs.iter().all(|(first, last)| first <= last);
        let apart = runs.windows(2).all(|two| matches!(two, [a, b] if a.1.saturating_add(1) < b.0));
        (each_holds && apart).then(|| Self::of(runs))
    }

    fn of(runs: Vec<DayRange>) -> Self {
        match runs.as_slice() {
            [] => Self::None,
            [one] => Self::One(*one),
            _ => Self::Many(Box::new(runs)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether any day of `first..=last` is in the set.
    pub(super) fn overlap(&self, first: i32, last: i32) -> bool {
        self.runs().iter().any(|run| run.0 <= last && first <= run.1)
    }

    /// Adds a day; whether it was new.
    pub(super) fn insert(&mut self, day: i32) -> bool {
        if self.overlap(day, day) {
            return false;
        }
        let (mut first, mut last) = (day, day);
        let mut runs: Vec<DayRange> = Vec::with_capacity(self.runs().len() + 1);
        for run in self.runs() {
            match *run {
                (a, b) if b.saturating_add(1) == day => first = a.min(b),
                (a, b) if a.saturating_sub(1) == day => last = b.max(a),
                other => runs.push(other),
            }
        }
        runs.insert(runs.partition_point(|run| run.0 < first), (first, last));
        *self = Self::of(runs);
        true
    }

    /// Takes a day out; whether it was there.
    pub(super) fn remove(&mut self, day: i32) -> bool {
        if !self.overlap(day, day) {
            return false;
        }
        let mut runs: Vec<DayRange> = Vec::with_capacity(self.runs().len() + 1);
        for &(first, last) in self.runs() {
            if day < first || last < day {
                runs.push((first, last));
                continue;
            }
            if first < day {
                runs.push((first, day - 1));
            }
            if day < last {
                runs.push((day + 1, last));
            }
        }
        *self = Self::of(runs);
        true
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Many(runs) => size_of::<Vec<DayRange>>() + runs.capacity() * size_of::<DayRange>(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_stream_of_every_day_stays_one_run() {
        let mut days = Days::default();
        for day in [20_000, 20_002, 20_001, 19_999] {
            assert!(days.insert(day));
        }
        assert_eq!(days, Days::One((19_999, 20_002)));
        assert!(!days.insert(20_000));
        assert!(days.remove(20_000) && !days.remove(20_000));
        assert_eq!(days.runs(), [(19_999, 19_999), (20_001, 20_002)]);
        assert_eq!(size_of::<Days>(), 16);
    }

    proptest! {
        #[test]
        fn runs_behave_like_a_set(steps in proptest::collection::vec((any::<bool>(), prop_oneof![-6i32..6, Just(i32::MIN), Just(i32::MAX)]), 0..40)) {
            let mut days = Days::default();
            let mut model = BTreeSet::new();
            for (insert, day) in steps {
                let changed = if insert { model.insert(day) } else { model.remove(&day) };
                prop_assert_eq!(if insert { days.insert(day) } else { days.remove(day) }, changed);
                prop_assert_eq!(Days::from_runs(days.runs().to_vec()), Some(days.clone()));
                prop_assert_eq!(days.is_empty(), model.is_empty());
                for first in -7..7 {
                    let last = first + 2;
                    prop_assert_eq!(days.overlap(first, last), model.range(first..=last).next().is_some());
                }
            }
        }
    }
}
