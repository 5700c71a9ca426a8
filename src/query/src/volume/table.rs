//! Where do counts go while they are read? Into series, found by their labels, and in each into buckets of time.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;
use std::ops::AddAssign;
use strandline_model::TimeRange;

/// Memory of a series beyond its key and its further buckets: its places in the list and the map, which grow by doubling.
const SERIES_BYTES: usize = 2 * (size_of::<Counts>() + size_of::<(Key, u32)>()) + 16;

/// Entries, and the bytes of their lines and structured metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// Entries.
    pub entries: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A window, cut from its start on into buckets of one length; the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    pub(super) range: TimeRange,
    step: u64,
}

impl Buckets {
    /// Buckets of `step_ns`, or one.
    pub(super) fn new(range: TimeRange, step_ns: Option<i64>) -> Self {
        let step = step_ns.and_then(|step| u64::try_from(step).ok()).filter(|step| *step > 0);
        Self { range, step: step.unwrap_or(u64::MAX) }
    }

    /// The bucket of a time inside the window.
    pub(super) fn of(&self, ts: i64) -> u32 {
        let from_start = ts.wrapping_sub(self.range.start).cast_unsigned();
        u32::try_from(from_start / self.step).unwrap_or(u32::MAX)
    }

    /// Where a bucket ends; the end is not inside.
    pub(super) fn end_of(&self, bucket: u32) -> i64 {
        let after = self.step.saturating_mul(u64::from(bucket) + 1);
        self.range.start.saturating_add_unsigned(after).min(self.range.end)
    }

    /// The bucket that holds all times between these two, both included, if one does.
    pub(super) fn whole(&self, (first, last): (i64, i64)) -> Option<u32> {
        let inside = self.range.covers(first, last) && self.of(first) == self.of(last);
        inside.then(|| self.of(first))
    }
}

/// The buckets of one series that hold anything, in order.
pub(super) type Counts = SmallVec<[(u32, Count); 1]>;

/// What tells series apart; short ones, as those of streams, lie in the map itself.
pub(super) type Key = SmallVec<[u8; 16]>;

/// Series by their keys.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_key: HashMap<Key, u32>,
    series: Vec<Counts>,
    /// Series that hold anything.
    filled: usize,
    bytes: usize,
}

impl Table {
    /// The series of a key.
    pub(super) fn index(&mut self, key: &[u8]) -> usize {
        if let Some(at) = self.by_key.get(key) {
            return *at as usize;
        }
        self.by_key.insert(Key::from_slice(key), self.series.len() as u32);
        self.series.push(Counts::new());
        self.bytes += key.len() + SERIES_BYTES;
        self.series.len() - 1
    }

    /// Adds to a bucket of a series.
    pub(super) fn add(&mut self, series: usize, bucket: u32, count: Count) {
        let Some(counts) = self.series.get_mut(series) else { return };
        let before = counts.capacity();
        self.filled += usize::from(counts.is_empty());
        let at = match counts.last() {
            // Most come in order of time.
            Some((last, _)) if *last == bucket => Ok(counts.len() - 1),
            Some((last, _)) if *last < bucket => Err(counts.len()),
            _ => counts.binary_search_by_key(&bucket, |(known, _)| *known),
        };
        match at {
            Ok(at) => {
                if let Some((_, known)) = counts.get_mut(at) {
                    *known += count;
                }
            }
            Err(at) => counts.insert(at, (bucket, count)),
        }
        self.bytes += (counts.capacity() - before) * size_of::<(u32, Count)>();
    }

    /// Takes in the series of `other`.
    pub(super) fn append(&mut self, other: Self) {
        let Self { by_key, series: mut theirs, .. } = other;
        for (key, at) in by_key {
            let counts = theirs.get_mut(at as usize).map(std::mem::take).unwrap_or_default();
            // Keys move: there may be as many as streams.
            let own = match self.by_key.entry(key) {
                Entry::Occupied(known) => *known.get() as usize,
                Entry::Vacant(place) => {
                    self.bytes += place.key().len() + SERIES_BYTES;
                    place.insert(self.series.len() as u32);
                    self.series.push(Counts::new());
                    self.series.len() - 1
                }
            };
            counts.into_iter().for_each(|(bucket, count)| self.add(own, bucket, count));
        }
    }

    /// Series that hold anything.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many series hold anything, and what all hold together.
    pub(super) fn totals(&self) -> (u64, Count) {
        let mut total = Count::default();
        self.series.iter().flatten().for_each(|(_, count)| total += *count);
        (self.filled as u64, total)
    }

    /// The series with their keys.
    pub(super) fn into_series(mut self) -> impl Iterator<Item = (Key, Counts)> {
        let mut series = std::mem::take(&mut self.series);
        self.by_key
            .into_iter()
            .filter_map(move |(key, at)| Some((key, std::mem::take(series.get_mut(at as usize)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_the_start_and_end_at_the_end() {
        let buckets = Buckets::new(TimeRange::new(-5, 16), Some(10));
        assert_eq!([-5, 4, 5, 14, 15].map(|ts| buckets.of(ts)), [0, 0, 1, 1, 2]);
        assert_eq!([0, 1, 2].map(|bucket| buckets.end_of(bucket)), [5, 15, 16]);
        assert_eq!(
            [(-5, 4), (4, 5), (15, 15), (15, 16)].map(|t| buckets.whole(t)),
            [Some(0), None, Some(2), None]
        );
        let one = Buckets::new(TimeRange::new(i64::MIN, i64::MAX), None);
        assert_eq!((one.of(i64::MIN), one.of(i64::MAX - 1), one.end_of(0)), (0, 0, i64::MAX));
    }

    #[test]
    fn tables_add_up_in_any_order() {
        let count = |n| Count { entries: n, bytes: 10 * n };
        let (mut a, mut b) = (Table::default(), Table::default());
        for (bucket, n) in [(3, 1), (1, 2), (3, 4), (2, 8)] {
            let series = a.index(b"x");
            a.add(series, bucket, count(n));
        }
        for (key, bucket, n) in [(b"y", 1, 1), (b"x", 2, 16)] {
            let series = b.index(key);
            b.add(series, bucket, count(n));
        }
        a.append(b);
        a.index(b"empty");
        assert_eq!((a.filled(), a.totals()), (2, (2, count(32))));
        let mut found: Vec<_> = a.into_series().filter(|(_, counts)| !counts.is_empty()).collect();
        found.sort();
        let shown: Vec<(u32, u64)> =
            found[0].1.iter().map(|(bucket, count)| (*bucket, count.entries)).collect();
        assert_eq!(shown, [(1, 2), (2, 24), (3, 5)]);
        assert_eq!(found[1].1.as_slice(), [(1, count(1))]);
    }
}
