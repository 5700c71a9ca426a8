//! Every limit on what a client may send or ask, with its default and the reason for the number.

/// Limits on one tenant's input and queries. The names are those of the settings (`limits.*`).
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest line in bytes (Loki's default); longer ones are refused with 400.
    pub max_line_bytes: usize,
    /// Most labels of one stream. Loki's 15 is too tight for real Kubernetes label sets; 64 stops a label bomb.
    pub max_label_names: usize,
    /// Longest label name in bytes (Loki's default).
    pub max_label_name_bytes: usize,
    /// Longest label value in bytes (Loki's default).
    pub max_label_value_bytes: usize,
    /// Most structured metadata of one entry, names and values, in bytes (Loki's default).
    pub max_metadata_bytes: usize,
    /// Most structured metadata pairs of one entry (Loki's default).
    pub max_metadata_pairs: usize,
    /// Oldest acceptable age of a line in nanoseconds; 0 accepts any age.
    pub reject_older_than_ns: i64,
    /// How far in the future a line may lie in nanoseconds; 0 accepts any time.
    pub reject_newer_than_ns: i64,
    /// Most streams in one push; a push above it is refused whole, before it costs memory.
    pub max_streams_per_push: usize,
    /// Most lines in one push.
    pub max_lines_per_push: usize,
    /// Most entries that one log query may return.
    pub max_entries_per_query: usize,
    /// Most series that one metric query may return (Loki's default); 0 is no limit.
    pub max_series_per_query: usize,
    /// Most tails that are open at once. Loki's 10 is too tight for a team that watches; a tail here costs little.
    pub max_concurrent_tail_requests: usize,
    /// How long a tail may stay open, in nanoseconds (Loki's default); 0 is for ever.
    pub tail_max_duration_ns: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_bytes: 256 * 1024,
            max_label_names: 64,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 2048,
            max_metadata_bytes: 64 * 1024,
            max_metadata_pairs: 128,
            reject_older_than_ns: 0,
            reject_newer_than_ns: 0,
            max_streams_per_push: 200_000,
            max_lines_per_push: 2_000_000,
            max_entries_per_query: 5000,
            max_series_per_query: 500,
            max_concurrent_tail_requests: 2000,
            tail_max_duration_ns: crate::time::HOUR_NS,
        }
    }
}
