//! What are a query's numbers: which series, with which value at which step?

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use strandline_logql::ast::Grouping;
use strandline_model::Metadata;

/// Some labels of a series, borrowed: cheap to make, compare and look up.
pub type LabelKey<'a> = Vec<(&'a str, &'a str)>;
/// A value at a step, by the step's index.
pub type Point = (u32, f64);

/// The labels of a series, by name, packed as structured metadata is: one allocation for all. An empty value is a value:
/// some stages set one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesLabels(Arc<[u8]>);

impl SeriesLabels {
    /// Labels that are sorted and unique already.
    pub fn of_key(key: &[(&str, &str)]) -> Self {
        let mut packed =
            Vec::with_capacity(key.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        Metadata::pack(&mut packed, &mut key.to_vec());
        Self(packed.into())
    }

    /// Labels that are packed already, sorted by name.
    pub fn of_packed(packed: &[u8]) -> Self {
        Self(packed.into())
    }

    /// No labels.
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Name and value of each label.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        Metadata(&self.0).iter()
    }

    /// A label's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        Metadata(&self.0).get(name)
    }

    /// The labels that `grouping` keeps.
    pub fn key(&self, grouping: &Grouping) -> LabelKey<'_> {
        let named = |name: &str| grouping.labels.iter().any(|label| label == name);
        self.iter().filter(|(name, _)| named(name) != grouping.without).collect()
    }

    /// The same labels with one set to another value, or without it if that is empty.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut key: LabelKey = self.iter().filter(|(own, _)| *own != name).collect();
        if !value.is_empty() {
            let at = key.partition_point(|(own, _)| *own < name);
            key.insert(at, (name, value));
        }
        Self::of_key(&key)
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len() + 4 * size_of::<usize>()
    }
}

impl PartialOrd for SeriesLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SeriesLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for SeriesLabels {
    /// Labels in any order. Of several with one name the first stays.
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let mut key: LabelKey = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        key.sort_by_key(|(name, _)| *name);
        key.dedup_by_key(|(name, _)| *name);
        Self::of_key(&key)
    }
}

/// One series. A step without a point is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: SeriesLabels,
    /// Its points in ascending order of step, at most one a step.
    pub points: Vec<Point>,
}

impl Series {
    /// Whether no step has a point in both.
    fn is_apart_from(&self, other: &Self) -> bool {
        let mut own = self.points.iter().peekable();
        other.points.iter().all(|(step, _)| {
            while own.next_if(|(at, _)| at < step).is_some() {}
            own.peek().is_none_or(|(at, _)| at != step)
        })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.labels.bytes() + self.points.capacity() * size_of::<Point>()
    }
}

/// Series over the steps of a query. `label_replace` may give several of them the same labels at one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// The series, each with at least one point.
    pub series: Vec<Series>,
}

impl Matrix {
    /// One series without labels that has the same value at every step.
    pub fn constant(value: f64, steps: u32) -> Self {
        let points: Vec<Point> = (0..steps).map(|step| (step, value)).collect();
        let mut matrix = Self::default();
        matrix.push(SeriesLabels::none(), points);
        matrix
    }

    /// Adds a series, unless it has no points.
    pub fn push(&mut self, labels: SeriesLabels, points: Vec<Point>) {
        if !points.is_empty() {
            self.series.push(Series { labels, points });
        }
    }

    /// Replaces each value, or drops it.
    pub fn map(mut self, mut change: impl FnMut(f64) -> Option<f64>) -> Self {
        for series in &mut self.series {
            series.points.retain_mut(|(_, value)| match change(*value) {
                Some(changed) => {
                    *value = changed;
                    true
                }
                None => false,
            });
        }
        self.series.retain(|series| !series.points.is_empty());
        self
    }

    /// The series of both. Those with equal labels become one, unless they have points at the same step.
    pub fn join(mut self, other: Self) -> Self {
        let mut homes: HashMap<SeriesLabels, Vec<usize>> = HashMap::new();
        let mut joined: Vec<Series> = Vec::with_capacity(self.series.len() + other.series.len());
        for series in self.series.drain(..).chain(other.series) {
            let homes = homes.entry(series.labels.clone()).or_default();
            let fits = |home: &&usize| joined.get(**home).is_some_and(|known| known.is_apart_from(&series));
            match homes.iter().find(fits).copied().and_then(|home| joined.get_mut(home)) {
                Some(home) => {
                    home.points.extend(series.points);
                    home.points.sort_unstable_by_key(|(step, _)| *step);
                }
                None => {
                    homes.push(joined.len());
                    joined.push(series);
                }
            }
        }
        Self { series: joined }
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.series.iter().map(Series::bytes).sum()
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
