//! Where do samples go while they are read? Into series, found by their labels, and in each into buckets of time, or kept
//! as they are where an operation needs all of them.

use crate::error::QueryError;
use crate::metric::sliding::Merge;
use crate::metric::steps::Buckets;
use crate::metric::{Matrix, Partial, Reduction, Series, SeriesLabels, window};
use hashbrown::HashMap;
use strandline_logql::ast::RangeAggregation;

/// Memory of a series beyond its key and its samples: its place in the table and in the list, which grow by doubling, and
/// the odd bytes of its allocations.
const SERIES_BYTES: usize = 2 * (size_of::<Samples>() + size_of::<(Box<[u8]>, u32)>()) + 32;
/// Fewer pieces than this are not worth putting in order while more may come.
const MIN_COMPACT: usize = 4096;

/// How the samples of a leaf are kept.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    pub(crate) buckets: Buckets,
    /// `None`: as they are.
    pub(crate) reduction: Option<Reduction>,
}

impl Keeping {
    /// Keeps what `reduction` needs.
    pub(crate) fn new(buckets: Buckets, reduction: Option<Reduction>) -> Self {
        // A sample here stands for any number of lines.
        let reduction = reduction.map(|r| if r == Reduction::Count { Reduction::Sum } else { r });
        Self { buckets, reduction }
    }
}

/// The samples of one series.
#[derive(Debug)]
pub(crate) enum Samples {
    /// What is remembered of each bucket. One may come in several pieces.
    Buckets {
        pieces: Vec<(u64, Partial)>,
        /// The piece that was added to last, and the times of its bucket: after the first, up to and with the second.
        at: usize,
        times: (i64, i64),
        /// So many pieces are in order, one for each bucket.
        ordered: usize,
    },
    /// Times and values.
    Exact(Vec<(i64, f64)>),
}

impl Samples {
    fn new(keeping: &Keeping) -> Self {
        match keeping.reduction {
            Some(_) => Self::Buckets { pieces: Vec::new(), at: 0, times: (i64::MAX, i64::MIN), ordered: 0 },
            None => Self::Exact(Vec::new()),
        }
    }

    /// Adds a sample. Neighbors in time are best added one after the other.
    pub(crate) fn add(&mut self, keeping: &Keeping, ts: i64, value: f64) {
        match (self, keeping.reduction) {
            (Self::Buckets { pieces, at, times, ordered }, Some(reduction)) => {
                if times.0 < ts
                    && ts <= times.1
                    && let Some((_, partial)) = pieces.get_mut(*at)
                {
                    partial.add(reduction, ts, value);
                    return;
                }
                let Some(bucket) = keeping.buckets.of(ts) else { return };
                *times = keeping.buckets.times_of(bucket);
                let known = pieces.get(..*ordered).unwrap_or_default();
                match known.binary_search_by_key(&bucket, |(known, _)| *known) {
                    Ok(found) => {
                        *at = found;
                        if let Some((_, partial)) = pieces.get_mut(found) {
                            partial.add(reduction, ts, value);
                        }
                    }
                    Err(place) => {
                        *at = pieces.len();
                        *ordered += usize::from(place == pieces.len());
                        pieces.push((bucket, Partial::of(reduction, ts, value)));
                    }
                }
            }
            (Self::Exact(samples), _) => samples.push((ts, value)),
            (Self::Buckets { .. }, None) => {}
        }
    }

    /// Adds `n` samples at the ascending `times` that are `value_of(from, to)` together, for sums only.
    pub(crate) fn add_sums(
        &mut self,
        keeping: &Keeping,
        times: &[i64],
        value_of: impl Fn(usize, usize) -> f64,
    ) {
        let mut from = 0;
        while let Some(ts) = times.get(from) {
            let Some(bucket) = keeping.buckets.of(*ts) else {
                from += 1;
                continue;
            };
            let until = keeping.buckets.times_of(bucket).1;
            let rest = times.get(from..).unwrap_or_default();
            let to = from + rest.partition_point(|ts| *ts <= until).max(1);
            self.add(keeping, *ts, value_of(from, to));
            from = to;
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Buckets { pieces, .. } => pieces.capacity() * size_of::<(u64, Partial)>(),
            Self::Exact(samples) => samples.capacity() * size_of::<(i64, f64)>(),
        }
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Buckets { pieces, times, ordered, .. }, Self::Buckets { pieces: more, .. }) => {
                pieces.extend(more);
                *times = (i64::MAX, i64::MIN);
                if pieces.len() > 2 * *ordered + MIN_COMPACT {
                    compact(pieces);
                    *ordered = pieces.len();
                }
            }
            (Self::Exact(samples), Self::Exact(more)) => samples.extend(more),
            _ => {}
        }
    }

    fn points(
        mut self,
        keeping: &Keeping,
        aggregation: &RangeAggregation,
        over: &dyn Fn() -> bool,
    ) -> Vec<(u32, f64)> {
        let op = aggregation.op;
        match &mut self {
            Self::Buckets { pieces, .. } => {
                compact(pieces);
                window::bucketed(op, &keeping.buckets, pieces)
            }
            Self::Exact(samples) => {
                samples.sort_by_key(|(ts, _)| *ts);
                window::exact(op, aggregation.parameter, keeping.buckets.windows(), samples, over)
            }
        }
    }
}

/// One piece for each bucket, in order.
fn compact(pieces: &mut Vec<(u64, Partial)>) {
    pieces.sort_by_key(|(bucket, _)| *bucket);
    pieces.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1.merge(&next.1);
        }
        same
    });
}

/// Series by their labels.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_key: HashMap<Box<[u8]>, u32>,
    series: Vec<Samples>,
    /// Memory of all.
    bytes: usize,
}

impl Table {
    /// The series with these labels, packed by name.
    pub(crate) fn index(&mut self, keeping: &Keeping, key: &[u8]) -> usize {
        if let Some(at) = self.by_key.get(key) {
            return *at as usize;
        }
        self.by_key.insert(key.into(), self.series.len() as u32);
        self.bytes += key.len() + SERIES_BYTES;
        self.series.push(Samples::new(keeping));
        self.series.len() - 1
    }

    /// A series by its index.
    pub(crate) fn get(&mut self, index: usize) -> Option<&mut Samples> {
        self.series.get_mut(index)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Takes in the series of `other`.
    pub(crate) fn append(&mut self, keeping: &Keeping, mut other: Self) {
        for (key, at) in std::mem::take(&mut other.by_key) {
            let samples = other.get(at as usize).map(|s| std::mem::replace(s, Samples::Exact(Vec::new())));
            let own = self.index(keeping, &key);
            if let (Some(own), Some(samples)) = (self.series.get_mut(own), samples) {
                let before = own.bytes();
                own.append(samples);
                // Putting pieces in order may leave fewer of them, but not less memory.
                self.bytes += own.bytes().saturating_sub(before);
            }
        }
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The points of all series; only some of them once nobody waits any more. `hold` is asked for what they need together
    /// with what they are made from, as that grows.
    pub(crate) fn into_matrix(
        mut self,
        keeping: &Keeping,
        aggregation: &RangeAggregation,
        hold: &dyn Fn(usize) -> Result<(), QueryError>,
        over: &dyn Fn() -> bool,
    ) -> Result<Matrix, QueryError> {
        let mut matrix = Matrix::default();
        let mut bytes = self.bytes;
        for (key, at) in std::mem::take(&mut self.by_key) {
            if over() {
                break;
            }
            let Some(samples) = self.get(at as usize) else { continue };
            let samples = std::mem::replace(samples, Samples::Exact(Vec::new()));
            bytes = bytes.saturating_sub(samples.bytes() + key.len());
            let labels = SeriesLabels::of_packed(&key);
            let points = samples.points(keeping, aggregation, over);
            if points.is_empty() {
                continue;
            }
            matrix.push(labels, points);
            bytes += matrix.series.last().map_or(0, Series::bytes);
            hold(bytes)?;
        }
        Ok(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Steps, Windows};

    #[test]
    fn lines_counted_together_are_as_many_as_one_by_one() {
        let steps = Steps::range(10, 10, 3);
        for reduction in [Reduction::Count, Reduction::Sum] {
            let keeping = Keeping::new(Buckets::new(Windows::new(steps, 10, 0)), Some(reduction));
            let times = [1, 2, 10, 11, 12, 13, 30];
            let (mut whole, mut single) = (Samples::new(&keeping), Samples::new(&keeping));
            whole.add_sums(&keeping, &times, |from, to| (to - from) as f64);
            times.iter().for_each(|ts| single.add(&keeping, *ts, 1.0));
            let pieces = |samples: Samples| match samples {
                Samples::Buckets { pieces, .. } => pieces,
                Samples::Exact(_) => Vec::new(),
            };
            let whole: Vec<f64> = pieces(whole).iter().map(|(_, p)| p.finish(reduction)).collect();
            assert_eq!(whole, [3.0, 3.0, 1.0]);
            assert_eq!(whole, pieces(single).iter().map(|(_, p)| p.finish(reduction)).collect::<Vec<_>>());
        }
    }
}
