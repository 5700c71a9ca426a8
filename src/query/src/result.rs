//! What comes back?

use crate::explain::Read;
use crate::memory::Held;
use crate::metric::Value;
use crate::stats::QueryStats;
use strandline_model::Metadata;

/// The answer to a question for log lines.
#[derive(Debug, Clone, Default)]
pub struct LogResult {
    /// By labels.
    pub streams: Vec<ResultStream>,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read.
    pub warnings: Vec<String>,
    /// What was read for it.
    pub reads: Vec<Read>,
    /// The memory that it takes.
    pub held: Held,
}

impl LogResult {
    /// Entries of all streams.
    pub fn entries(&self) -> usize {
        self.streams.iter().map(|s| s.entries.len()).sum()
    }
}

/// The answer to a question for numbers.
#[derive(Debug, Clone)]
pub struct MetricResult {
    /// A number, or series with points at the request's steps.
    pub value: Value,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks because it could not be read or was cut off.
    pub warnings: Vec<String>,
    /// What was read for it.
    pub reads: Vec<Read>,
    /// The memory that it takes.
    pub held: Held,
}

/// The answer to a question for patterns.
#[derive(Debug, Clone, Default)]
pub struct PatternResult {
    /// Most frequent first.
    pub patterns: Vec<Pattern>,
    /// What it took.
    pub stats: QueryStats,
    /// What the answer lacks, or that it was counted from a part of the lines.
    pub warnings: Vec<String>,
}

/// Lines that differ in their variable parts alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What they have in common, `<_>` in place of a variable part; a pattern filter (`|>`) takes it.
    pub text: String,
    /// Their `detected_level`, if they have one.
    pub level: Option<String>,
    /// Lines in all.
    pub total: u64,
    /// Lines by time: the start of each bucket in Unix seconds, ascending, and the number of lines.
    pub samples: Vec<(i64, u64)>,
}

/// What all answers have.
pub(crate) trait Answer {
    fn warnings(&self) -> &[String];
    #[must_use]
    fn with_stats(self, stats: QueryStats) -> Self;
}

impl Answer for LogResult {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

impl Answer for MetricResult {
    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn with_stats(self, stats: QueryStats) -> Self {
        Self { stats, ..self }
    }
}

/// The entries that share a label set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultStream {
    /// By name. Structured metadata is among them unless the request keeps it apart.
    pub labels: Vec<(String, String)>,
    /// In the query's direction.
    pub entries: Vec<ResultEntry>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultEntry {
    /// Nanoseconds since the epoch.
    pub ts: i64,
    /// The line, not always UTF-8.
    pub line: Box<[u8]>,
    /// Packed structured metadata, if the request keeps it apart; otherwise empty.
    pub packed_metadata: Box<[u8]>,
    /// Packed labels that the query's stages made, if the request keeps them apart; otherwise empty.
    pub packed_parsed: Box<[u8]>,
}

impl ResultEntry {
    /// The structured metadata, if the request keeps it apart.
    pub fn metadata(&self) -> Metadata<'_> {
        Metadata(&self.packed_metadata)
    }

    /// The labels that the query's stages made, if the request keeps them apart.
    pub fn parsed(&self) -> Metadata<'_> {
        Metadata(&self.packed_parsed)
    }
}
