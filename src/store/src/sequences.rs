//! Sets of log sequences, as runs of neighbors.

use crate::invariant::debug_invariant;
use crate::wire::{Reader, put_varint};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Most runs of one set; beyond, the two oldest become one with what lies between them.
const MAX_RUNS: usize = 4096;

/// A set of sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// First and last of each run; they neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
}

impl Sequences {
    /// Adds all from `from` to `to`, both included.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) {
        if from > to {
            return;
        }
        while let Some((first, last)) = self.runs.range(..=to.saturating_add(1)).next_back() {
            let (first, last) = (*first, *last);
            if last.saturating_add(1) < from {
                break;
            }
            self.runs.remove(&first);
            (from, to) = (from.min(first), to.max(last));
        }
        debug_invariant!(
            from <= to && !self.contains(from) && !self.contains(to),
            "runs overlap at {from} to {to}"
        );
        self.runs.insert(from, to);
        if self.runs.len() > MAX_RUNS
            && let Some((first, _)) = self.runs.pop_first()
            && let Some((_, last)) = self.runs.pop_first()
        {
            self.runs.insert(first, last);
        }
    }

    /// Whether `n` is among them.
    pub(crate) fn contains(&self, n: u64) -> bool {
        self.runs.range(..=n).next_back().is_some_and(|(_, last)| n <= *last)
    }

    /// The runs, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.runs.iter().map(|(from, to)| (*from, *to))
    }

    /// The highest sequence.
    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, to)| *to)
    }

    /// How many sequences there are.
    pub fn len(&self) -> u64 {
        self.iter().map(|(from, to)| (to - from).saturating_add(1)).fold(0, u64::saturating_add)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Those that are not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (first, to) in self.iter() {
            // The run of the other set that holds `first`, if one does, and those behind it.
            let before = other.runs.range(..=first).next_back();
            let behind = other.runs.range((Bound::Excluded(first), Bound::Unbounded));
            let mut from = Some(first);
            for (hole, last) in before.into_iter().chain(behind).take_while(|(hole, _)| **hole <= to) {
                if let Some(from) = from.filter(|from| from < hole) {
                    left.add(from, hole - 1);
                }
                from = last.checked_add(1).and_then(|next| from.map(|from| from.max(next)));
            }
            from.into_iter().for_each(|from| left.add(from, to));
        }
        left
    }

    /// Those above `floor`.
    pub(crate) fn above(&self, floor: u64) -> Self {
        let mut left = Self::default();
        self.iter().for_each(|(from, to)| left.add(from.max(floor.saturating_add(1)), to));
        left
    }

    /// At most the `most` latest runs.
    pub(crate) fn latest(&self, most: usize) -> Self {
        let mut left = Self::default();
        self.iter().rev().take(most).for_each(|(from, to)| left.add(from, to));
        left
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.runs.len() as u64);
        for (from, to) in self.iter() {
            put_varint(out, from);
            put_varint(out, to - from);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut runs = Self::default();
        for _ in 0..reader.count(2)? {
            let (from, more) = (reader.varint()?, reader.varint()?);
            runs.add(from, from.checked_add(more)?);
        }
        Some(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Pairs = Vec<(u64, u64)>;

    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::vec((0u64..60, 0u64..9), 0..12)
    }

    fn both(pairs: &Pairs) -> (Sequences, BTreeSet<u64>) {
        let (mut runs, mut set) = (Sequences::default(), BTreeSet::new());
        for (from, more) in pairs {
            runs.add(*from, from + more);
            set.extend(*from..=from + more);
        }
        (runs, set)
    }

    fn set(runs: &Sequences) -> BTreeSet<u64> {
        runs.iter().flat_map(|(from, to)| from..=to).collect()
    }

    proptest! {
        #[test]
        fn they_are_sets(a in pairs(), b in pairs(), floor in 0u64..70) {
            let ((one, one_set), (two, two_set)) = (both(&a), both(&b));
            prop_assert_eq!(set(&one), one_set.clone());
            prop_assert_eq!(one.len(), one_set.len() as u64);
            prop_assert!((0..80).all(|n| one.contains(n) == one_set.contains(&n)));
            prop_assert_eq!(set(&one.without(&two)), &one_set - &two_set);
            prop_assert_eq!(set(&one.above(floor)), one_set.iter().copied().filter(|n| *n > floor).collect());
            let mut out = Vec::new();
            one.encode(&mut out);
            prop_assert_eq!(Sequences::decode(&mut Reader::new(&out)), Some(one));
        }
    }

    #[test]
    fn they_stay_few_and_reach_to_the_end() {
        let mut runs = Sequences::default();
        (0..10_000).for_each(|n| runs.add(n * 2, n * 2));
        assert_eq!((runs.runs.len(), runs.last()), (MAX_RUNS, Some(19_998)));
        runs.add(5, u64::MAX);
        assert_eq!((runs.runs.len(), runs.len()), (1, u64::MAX));
        assert!(runs.without(&runs).is_empty());
    }
}
