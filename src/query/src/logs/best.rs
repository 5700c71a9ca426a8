//! Which of the entries found so far can be in the answer?
//!
//! Entries come from heads and segments in any order, some of them more than once. [`Best`] keeps those that can still
//! be among the first `limit`, and tells from which time on others need not be looked for.

use crate::request::Direction;
use std::cmp::Ordering;
use std::sync::Arc;
use strandline_model::Labels;

/// Most entries of one stream and one timestamp that are kept beyond the limit.
const MAX_TIED: usize = 1 << 16;
/// Room for new entries before the list is sorted again.
const SLACK: usize = 256;

/// An entry that passed the filters.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// The timestamp's [`Direction::key`].
    pub(crate) key: i64,
    /// Its stream.
    pub(crate) labels: Arc<Labels>,
    /// Grows with the order of arrival within a stream.
    pub(crate) arrival: u64,
    /// The line as it is shown.
    pub(crate) line: Box<[u8]>,
    /// The stored metadata, packed.
    pub(crate) metadata: Box<[u8]>,
    /// Tells lines apart that are shown alike: a hash of the stored line, or 0 where the line is shown as stored.
    pub(crate) identity: u64,
    /// The labels after the query's stages, if these changed any.
    pub(crate) shown: Option<Box<Shown>>,
}

/// What stages made of an entry's labels.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// What is left of the stream's labels, by name.
    pub(crate) stream: Box<[u8]>,
    /// What is left of the metadata, packed.
    pub(crate) metadata: Box<[u8]>,
    /// What the stages made, packed.
    pub(crate) parsed: Box<[u8]>,
}

impl Shown {
    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.stream.len() + self.metadata.len() + self.parsed.len()
    }
}

impl Hit {
    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.line.len()
            + self.metadata.len()
            + self.shown.as_deref().map_or(0, Shown::bytes)
    }

    fn cmp_stream(&self, other: &Self) -> Ordering {
        // Mostly the same allocation, or a different time.
        let labels = || {
            if Arc::ptr_eq(&self.labels, &other.labels) {
                Ordering::Equal
            } else {
                self.labels.cmp(&other.labels)
            }
        };
        other.key.cmp(&self.key).then_with(labels)
    }

    fn cmp_content(&self, other: &Self) -> Ordering {
        self.cmp_stream(other)
            .then_with(|| self.identity.cmp(&other.identity))
            .then_with(|| self.line.cmp(&other.line))
            .then_with(|| self.metadata.cmp(&other.metadata))
    }
}

/// The best entries of a query.
#[derive(Debug)]
pub(crate) struct Best {
    limit: usize,
    direction: Direction,
    found: Vec<Hit>,
    bytes: usize,
    bound: i64,
    duplicates: u64,
}

impl Best {
    pub(crate) fn new(limit: usize, direction: Direction) -> Self {
        Self { limit, direction, found: Vec::new(), bytes: 0, bound: i64::MIN, duplicates: 0 }
    }

    /// Takes more entries.
    pub(crate) fn add(&mut self, more: impl IntoIterator<Item = Hit>) {
        for found in more {
            if found.key >= self.bound {
                self.bytes += found.bytes();
                self.found.push(found);
            }
        }
        let n = self.found.len();
        if n >= self.limit && (self.bound == i64::MIN || n > self.limit + self.limit / 4 + SLACK) {
            self.sort_and_cut();
        }
    }

    /// Entries with a lower key cannot be in the answer; those with this one may.
    pub(crate) fn bound(&self) -> i64 {
        self.bound
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The answer in order, and how many entries were there more than once.
    pub(crate) fn finish(mut self) -> (Vec<Hit>, u64) {
        self.sort_and_cut();
        self.found.truncate(self.limit);
        (self.found, self.duplicates)
    }

    /// Sorts, drops repeats and what is beyond the limit.
    fn sort_and_cut(&mut self) {
        // Of equal entries the one that came first stands for all.
        self.found.sort_unstable_by(|a, b| a.cmp_content(b).then(a.arrival.cmp(&b.arrival)));
        let before = self.found.len();
        self.found.dedup_by(|next, kept| next.cmp_content(kept).is_eq());
        self.duplicates += (before - self.found.len()) as u64;
        let direction = self.direction;
        self.found.sort_unstable_by(|a, b| {
            let arrival = a.arrival.cmp(&b.arrival);
            a.cmp_stream(b).then(match direction {
                Direction::Forward => arrival,
                Direction::Backward => arrival.reverse(),
            })
        });
        if let Some(last) = self.limit.checked_sub(1).and_then(|i| self.found.get(i)) {
            self.bound = last.key;
            let kept = self.limit + self.tied_beyond_limit(last);
            self.found.truncate(kept);
        }
        self.bytes = self.found.iter().map(Hit::bytes).sum();
    }

    /// Backward, an entry beyond the limit can still move up: an earlier copy of one before it, found later, moves
    /// that one behind it. This is only so within one stream and timestamp.
    fn tied_beyond_limit(&self, last: &Hit) -> usize {
        if self.direction == Direction::Forward {
            return 0;
        }
        let beyond = self.found.iter().skip(self.limit).take(MAX_TIED);
        beyond.take_while(|found| found.cmp_stream(last).is_eq()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn found(direction: Direction, (ts, stream, line, arrival): (i64, u8, u8, u64)) -> Hit {
        let labels = Arc::new(Labels::from_pairs(&[("s", stream.to_string())]).unwrap());
        let key = direction.key(ts);
        Hit { key, labels, arrival, line: Box::new([line]), metadata: Box::new([]), identity: 0, shown: None }
    }

    /// Forward order of everything, each content once, then cut.
    fn model(limit: usize, direction: Direction, all: &[Hit]) -> Vec<(i64, u64)> {
        let mut all: Vec<&Hit> = all.iter().collect();
        all.sort_by_key(|f| f.arrival);
        let mut seen = HashSet::new();
        all.retain(|f| seen.insert((f.key, f.labels.to_string(), f.line.clone())));
        let arrival = |f: &Hit| match direction {
            Direction::Forward => f.arrival as i64,
            Direction::Backward => -(f.arrival as i64),
        };
        all.sort_by_key(|f| (std::cmp::Reverse(f.key), f.labels.clone(), arrival(f)));
        all.into_iter().take(limit).map(|f| (f.key, f.arrival)).collect()
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_a_plain_sort(
            rows in proptest::collection::vec((0i64..4, 0u8..3, 0u8..4), 0..120),
            groups in 1usize..8,
            limit in 1usize..40,
            backward in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let all: Vec<Hit> = rows.iter().enumerate()
                .map(|(i, (ts, stream, line))| {
                    // Arrival numbers in no order: heads are looked at before the segments that came before them.
                    let arrival = (i as u64).wrapping_mul(seed | 1) >> 8 << 8 | i as u64;
                    found(direction, (*ts, *stream, *line, arrival >> 1))
                })
                .collect();
            let mut best = Best::new(limit, direction);
            for part in all.chunks(all.len() / groups + 1) {
                best.add(part.to_vec());
                best.sort_and_cut();
            }
            let answer: Vec<_> = best.finish().0.iter().map(|f| (f.key, f.arrival)).collect();
            prop_assert_eq!(answer, model(limit, direction, &all));
        }
    }
}
