//! What is asked about volumes, and what comes back?

use super::table::Count;
use crate::reader::Reader;
use crate::result::Answer;
use crate::stats::QueryStats;
use strandline_model::{Selector, TimeRange};

/// By what volumes are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeBy {
    /// Each distinct set of the labels that count.
    Series,
    /// Each name among the labels that count.
    Labels,
    /// Each stream.
    Streams,
}

/// A question for volumes.
#[derive(Debug, Clone)]
pub struct VolumeRequest {
    /// Who asks: whose entries, and which of them may be seen.
    pub reader: Reader,
    /// Of which streams.
    pub selector: Selector,
    /// From when; the end is not inside.
    pub range: TimeRange,
    /// Length of the buckets into which the range is cut from its start on (ns); `None` for one that is the whole.
    pub step_ns: Option<i64>,
    /// By what they are summed up.
    pub by: VolumeBy,
    /// The labels that count; a stream that lacks one of them does not. Without any, `Series` means the labels that the
    /// selector names (all, if it names none), and `Labels` all.
    pub targets: Vec<String>,
    /// Most label sets that may come of it.
    pub max_series: usize,
}

/// The volume of one label set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// By name; the value is empty where volumes are summed up by label names.
    pub labels: Vec<(String, String)>,
    /// In the whole range.
    pub total: Count,
    /// The buckets that hold anything, by time: where each ends (ns), and what it holds.
    pub buckets: Vec<(i64, Count)>,
}

/// The answer to a question for volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeResult {
    /// Largest first, by bytes; equal ones by labels.
    pub volumes: Vec<Volume>,
    /// Blocks and heads that hold entries of the selected streams in the range.
    pub chunks: u64,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read.
    pub warnings: Vec<String>,
}

/// How much there is of the selected streams in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Streams with entries in the range.
    pub streams: u64,
    /// Blocks and heads that hold entries of the selected streams in the range.
    pub chunks: u64,
    /// All of them together.
    pub total: Count,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read.
    pub warnings: Vec<String>,
}

impl Answer for VolumeResult {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

impl Answer for StreamStats {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}
