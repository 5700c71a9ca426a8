//! Every limit on what a client may send or ask, with its default and the reason for the number.

use crate::otlp::OtlpRules;
use crate::tenant::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Whether lines can be deleted by request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionMode {
    /// What is deleted is hidden at once and removed from the disk soon.
    #[default]
    FilterAndDelete,
    /// Requests are refused.
    Disabled,
}

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
    /// Whether volumes are answered; Logs Drilldown lists services by them.
    pub volume_enabled: bool,
    /// Most label sets that a question for volumes may come to (Loki's default); a dashboard cannot show more.
    pub volume_max_series: usize,
    /// Bytes of lines and metadata that may come in per second; 0 is no limit. One person's store has no neighbors to
    /// protect: this and all that follow are for those who do.
    pub ingestion_rate: u64,
    /// Bytes that may come in at once after a quiet time; at least one second's worth.
    pub ingestion_burst: u64,
    /// Bytes that one stream may take in per second; 0 is no limit.
    pub stream_rate: u64,
    /// Bytes that one stream may take in at once after a quiet time; at least one second's worth.
    pub stream_burst: u64,
    /// Most streams with entries in the last hour; 0 is no limit.
    pub max_active_streams: usize,
    /// Longest time between the start and the end of a query in nanoseconds; 0 is no limit.
    pub max_query_length_ns: i64,
    /// How far back from now a query may look in nanoseconds; 0 is no limit.
    pub max_query_lookback_ns: i64,
    /// Longest range of a range aggregation, `[5m]`, in nanoseconds; 0 is no limit.
    pub max_query_range_ns: i64,
    /// Time after which a query is given up in nanoseconds; 0 is `query.timeout`.
    pub query_timeout_ns: i64,
    /// Labels for which every selector of a query must have a matcher.
    pub required_labels: Vec<String>,
    /// Fewest matchers of a selector.
    pub minimum_labels_number: usize,
    /// Most tails that are open at once. Loki's 10 is too tight for a team that watches; a tail here costs little.
    pub max_concurrent_tail_requests: usize,
    /// How long a tail may stay open, in nanoseconds (Loki's default); 0 is for ever.
    pub tail_max_duration_ns: i64,
    /// Where attributes of OpenTelemetry go.
    pub otlp: Arc<OtlpRules>,
    /// Whether lines can be deleted by request (Loki's key and words).
    pub deletion_mode: DeletionMode,
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
            volume_enabled: true,
            volume_max_series: 1000,
            ingestion_rate: 0,
            ingestion_burst: 0,
            stream_rate: 0,
            stream_burst: 0,
            max_active_streams: 0,
            max_query_length_ns: 0,
            max_query_lookback_ns: 0,
            max_query_range_ns: 0,
            query_timeout_ns: 0,
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            max_concurrent_tail_requests: 2000,
            tail_max_duration_ns: crate::time::HOUR_NS,
            otlp: Arc::default(),
            deletion_mode: DeletionMode::default(),
        }
    }
}

impl Limits {
    /// The tighter of two tenants' limits on queries, for a question about both. Limits on input stay `self`'s: no push
    /// is for two tenants.
    #[must_use]
    pub fn tightest_for_reads(&self, other: &Self) -> Self {
        fn least<T: PartialOrd + Default + Copy>(a: T, b: T) -> T {
            // Zero is no limit.
            if a == T::default() || (b != T::default() && b < a) { b } else { a }
        }
        let mut required_labels = self.required_labels.clone();
        required_labels.extend(other.required_labels.iter().cloned());
        required_labels.sort_unstable();
        required_labels.dedup();
        Self {
            max_entries_per_query: self.max_entries_per_query.min(other.max_entries_per_query),
            max_series_per_query: least(self.max_series_per_query, other.max_series_per_query),
            volume_enabled: self.volume_enabled && other.volume_enabled,
            volume_max_series: self.volume_max_series.min(other.volume_max_series),
            max_query_length_ns: least(self.max_query_length_ns, other.max_query_length_ns),
            max_query_lookback_ns: least(self.max_query_lookback_ns, other.max_query_lookback_ns),
            max_query_range_ns: least(self.max_query_range_ns, other.max_query_range_ns),
            query_timeout_ns: least(self.query_timeout_ns, other.query_timeout_ns),
            max_concurrent_tail_requests: self
                .max_concurrent_tail_requests
                .min(other.max_concurrent_tail_requests),
            tail_max_duration_ns: least(self.tail_max_duration_ns, other.tail_max_duration_ns),
            minimum_labels_number: self.minimum_labels_number.max(other.minimum_labels_number),
            required_labels,
            ..self.clone()
        }
    }
}

/// The limits of every tenant: those that hold for all, and what differs. Changed while the server runs; whoever holds a
/// tenant's limits goes on with them.
#[derive(Debug)]
pub struct TenantLimits {
    defaults: Arc<Limits>,
    own: RwLock<HashMap<TenantId, Arc<Limits>>>,
}

impl TenantLimits {
    /// The same limits for everybody.
    pub fn new(defaults: Limits) -> Self {
        Self { defaults: Arc::new(defaults), own: RwLock::default() }
    }

    /// The limits of `tenant`.
    pub fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(own.get(tenant).unwrap_or(&self.defaults))
    }

    /// The limits of those who have none of their own.
    pub fn defaults(&self) -> &Arc<Limits> {
        &self.defaults
    }

    /// Gives these tenants limits of their own, and all others those that hold for everybody.
    pub fn replace(&self, own: HashMap<TenantId, Limits>) {
        let own = own.into_iter().map(|(tenant, limits)| (tenant, Arc::new(limits))).collect();
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_tenants_the_tighter_limit_holds_and_zero_is_none() {
        let a = Limits {
            max_query_length_ns: 0,
            max_query_range_ns: 5,
            required_labels: vec!["b".into()],
            minimum_labels_number: 1,
            ..Limits::default()
        };
        let b = Limits {
            max_query_length_ns: 9,
            max_query_range_ns: 7,
            required_labels: vec!["a".into(), "b".into()],
            max_entries_per_query: 10,
            ..Limits::default()
        };
        for both in [a.tightest_for_reads(&b), b.tightest_for_reads(&a)] {
            assert_eq!((both.max_query_length_ns, both.max_query_range_ns), (9, 5));
            assert_eq!(both.required_labels, ["a", "b"]);
            assert_eq!((both.minimum_labels_number, both.max_entries_per_query), (1, 10));
        }
    }

    #[test]
    fn tenants_without_limits_of_their_own_have_everybodys() {
        let limits = TenantLimits::new(Limits::default());
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        limits.replace(HashMap::from([(a.clone(), Limits { max_line_bytes: 1, ..Limits::default() })]));
        assert_eq!((limits.of(&a).max_line_bytes, limits.of(&b).max_line_bytes), (1, 256 * 1024));
        limits.replace(HashMap::new());
        assert_eq!(limits.of(&a), limits.of(&b));
    }
}
