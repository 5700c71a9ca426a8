//! May this much come in now? Rates of tenants and streams, and how many streams a tenant has.
//!
//! Rates are held by the generic cell rate algorithm (GCRA, ITU-T recommendation I.371; the virtual scheduling
//! form): of each tenant and stream only the theoretical arrival time (TAT) is kept, the moment at which everything taken so
//! far would have arrived if it had come at exactly the allowed rate. Bytes conform while the TAT is no further ahead of now
//! than the burst takes at that rate. A TAT in the past says no more than none does, so only those who send faster than
//! their rate at the moment are remembered, and at most [`MAX_RATES`] of them.

use crate::refused_lines::Refusal;
use crate::rejections::shortened;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use strandline_model::time::{HOUR_NS, SECOND_NS};
use strandline_model::{Batch, BatchBuilder, BatchStream, Limits, StreamId, TenantId};

/// Most tenants and streams whose rates are kept; beyond that, those that come new are not held to one.
const MAX_RATES: usize = 200_000;
/// Most tenants whose streams are counted; beyond that, those that come new are not held to a number.
const MAX_COUNTED_TENANTS: usize = 10_000;
/// A stream is active for at least this long after its last entry, and for twice as long at most.
const ACTIVE_NS: i64 = HOUR_NS;
/// Most streams that one answer names.
const MAX_NAMED: usize = 10;

/// Rates and streams of all tenants.
#[derive(Debug, Default)]
pub struct Quotas {
    state: parking_lot::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The theoretical arrival time (ns) of each tenant...
    tenants: HashMap<TenantId, i64>,
    /// ...and of each stream.
    streams: HashMap<(TenantId, StreamId), i64>,
    active: HashMap<TenantId, Active>,
}

/// Streams of this hour and of the one before.
#[derive(Debug, Default)]
struct Active {
    since_ns: i64,
    now: HashSet<StreamId>,
    before: HashSet<StreamId>,
}

/// A push that is more than its tenant may send at the moment: nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ingestion rate limit exceeded for user {tenant} (limit: {rate} bytes/sec, burst: {burst} bytes) while attempting to \
     ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume or raise limits.ingestion_rate and \
     limits.ingestion_burst"
)]
pub struct OverRate {
    tenant: TenantId,
    rate: u64,
    burst: u64,
    lines: usize,
    bytes: u64,
    /// Seconds after which the same push would be taken, if it is no more than the burst.
    pub retry_after_s: u64,
    /// It is more than the burst: only in parts will it ever be taken.
    pub never_fits: bool,
}

/// What is taken of a push.
#[derive(Debug)]
pub struct Admitted {
    /// The streams that are within their limits.
    pub batch: Batch,
    /// Why others are not, a line each; empty if all are.
    pub refused: Vec<String>,
    /// These others, and how their lines are named.
    pub refused_streams: HashMap<StreamId, Refusal>,
    /// How many lines these have.
    pub refused_lines: u64,
}

impl Quotas {
    /// Counts `batch` against the limits of its tenant, at a time of the monotonic clock. A stream that is refused counts against the rate
    /// of its tenant, not against its own.
    pub fn admit(&self, batch: Batch, limits: &Limits, now_ns: i64) -> Result<Admitted, OverRate> {
        let whole = |batch| Admitted {
            batch,
            refused: Vec::new(),
            refused_streams: HashMap::new(),
            refused_lines: 0,
        };
        let by_stream = limits.stream_rate > 0 || limits.max_active_streams > 0;
        if limits.ingestion_rate == 0 && !by_stream {
            return Ok(whole(batch));
        }
        let mut state = self.state.lock();
        state.take_of_tenant(&batch, limits, now_ns)?;
        if !by_stream {
            return Ok(whole(batch));
        }
        let mut refused = Vec::new();
        let (mut without, mut lines) = (HashMap::new(), 0);
        for stream in &batch.streams {
            if let Err((why, message)) = state.take_of_stream(&batch, stream, limits, now_ns) {
                without.insert(stream.id, why);
                lines += batch.stream_entries(stream).len() as u64;
                if refused.len() < MAX_NAMED {
                    refused.push(shortened(message));
                }
            }
        }
        drop(state);
        let batch = if without.is_empty() { batch } else { left_of(&batch, &without) };
        Ok(Admitted { batch, refused, refused_streams: without, refused_lines: lines })
    }
}

impl State {
    fn take_of_tenant(&mut self, batch: &Batch, limits: &Limits, now_ns: i64) -> Result<(), OverRate> {
        if limits.ingestion_rate == 0 {
            return Ok(());
        }
        let rate = Rate::new(limits.ingestion_rate, limits.ingestion_burst);
        let bytes = batch.entries.iter().map(bytes_of).sum();
        rate.take(&mut self.tenants, &batch.tenant, bytes, now_ns).map_err(|wait_ns| OverRate {
            tenant: batch.tenant.clone(),
            rate: rate.per_second,
            burst: rate.burst,
            lines: batch.entries.len(),
            bytes,
            retry_after_s: (wait_ns / SECOND_NS).unsigned_abs() + 1,
            never_fits: bytes > rate.burst,
        })
    }

    fn take_of_stream(
        &mut self,
        batch: &Batch,
        stream: &BatchStream,
        limits: &Limits,
        now_ns: i64,
    ) -> Result<(), (Refusal, String)> {
        let tenant = &batch.tenant;
        if limits.max_active_streams > 0
            && let Some(active) = self.active_of(tenant, now_ns)
            && !active.take(stream.id, limits.max_active_streams)
        {
            let message = format!(
                "maximum active stream limit exceeded when trying to create stream {}, reduce the number of active \
                 streams (reduce labels or reduce label values) or raise limits.max_active_streams (it is {}), user: \
                 '{tenant}'",
                stream.labels, limits.max_active_streams
            );
            return Err((Refusal::OverLimit, message));
        }
        if limits.stream_rate == 0 {
            return Ok(());
        }
        let rate = Rate::new(limits.stream_rate, limits.stream_burst);
        let bytes = batch.stream_entries(stream).iter().map(bytes_of).sum();
        let key = (tenant.clone(), stream.id);
        rate.take(&mut self.streams, &key, bytes, now_ns).map_err(|_| {
            let why = if bytes > rate.burst { Refusal::TooMuchAtOnce } else { Refusal::OverLimit };
            let message = format!(
                "Per stream rate limit exceeded (limit: {} bytes/sec, burst: {} bytes) while attempting to ingest for \
                 stream '{}' totaling {bytes} bytes, consider splitting a stream via additional labels or raise \
                 limits.stream_rate and limits.stream_burst",
                rate.per_second, rate.burst, stream.labels
            );
            (why, message)
        })
    }

    fn active_of(&mut self, tenant: &TenantId, now_ns: i64) -> Option<&mut Active> {
        if !self.active.contains_key(tenant) {
            if self.active.len() >= MAX_COUNTED_TENANTS {
                self.active.retain(|_, active| now_ns.saturating_sub(active.since_ns) < 2 * ACTIVE_NS);
            }
            if self.active.len() >= MAX_COUNTED_TENANTS {
                return None;
            }
            self.active.insert(tenant.clone(), Active { since_ns: now_ns, ..Active::default() });
        }
        let active = self.active.get_mut(tenant)?;
        active.age(now_ns);
        Some(active)
    }
}

impl Active {
    fn age(&mut self, now_ns: i64) {
        let age = now_ns.saturating_sub(self.since_ns);
        if age >= ACTIVE_NS {
            self.before = std::mem::take(&mut self.now);
            if age >= 2 * ACTIVE_NS {
                self.before.clear();
            }
            self.since_ns = now_ns;
        }
    }

    /// Counts a stream, unless it is new and there are `max` already.
    fn take(&mut self, stream: StreamId, max: usize) -> bool {
        if self.now.contains(&stream) {
            return true;
        }
        // Those of before that have come again are in both.
        let is_known = self.before.remove(&stream);
        let fits = is_known || self.now.len() + self.before.len() < max;
        if fits {
            self.now.insert(stream);
        }
        fits
    }
}

/// So many bytes a second, and so many at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst: burst.max(per_second) }
    }

    /// Time that `bytes` take at this rate.
    fn ns(self, bytes: u64) -> i64 {
        let ns = u128::from(bytes) * SECOND_NS.unsigned_abs() as u128 / u128::from(self.per_second.max(1));
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// Takes `bytes` of `key`, or says how long (ns) it would have to wait for that. `arrivals` are the TATs.
    fn take<K: Clone + Eq + std::hash::Hash>(
        self,
        arrivals: &mut HashMap<K, i64>,
        key: &K,
        bytes: u64,
        now_ns: i64,
    ) -> Result<(), i64> {
        let arrival =
            arrivals.get(key).map_or(now_ns, |tat| *tat.max(&now_ns)).saturating_add(self.ns(bytes));
        let ahead = arrival.saturating_sub(now_ns).saturating_sub(self.ns(self.burst));
        if ahead > 0 {
            return Err(ahead);
        }
        if arrivals.len() >= MAX_RATES && !arrivals.contains_key(key) {
            arrivals.retain(|_, tat| *tat > now_ns);
            if arrivals.len() >= MAX_RATES {
                return Ok(());
            }
        }
        arrivals.insert(key.clone(), arrival);
        Ok(())
    }
}

/// What an entry counts for: its line and its metadata as stored.
fn bytes_of(entry: &strandline_model::BatchEntry) -> u64 {
    u64::from(entry.line_bytes) + u64::from(entry.metadata_bytes)
}

fn left_of(batch: &Batch, without: &HashMap<StreamId, Refusal>) -> Batch {
    let mut builder = BatchBuilder::new(batch.tenant.clone(), batch.bytes.len());
    for stream in batch.streams.iter().filter(|stream| !without.contains_key(&stream.id)) {
        builder.begin_known_stream(stream.id, Arc::clone(&stream.labels));
        for entry in batch.stream_entries(stream) {
            // Never refused: the new batch is no larger than the old one.
            builder.push_packed(entry.ts, batch.line(entry), batch.metadata(entry));
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use strandline_model::Labels;

    fn batch(tenant: &str, streams: &[(&str, usize)]) -> Batch {
        let mut builder = BatchBuilder::new(TenantId::new(tenant).unwrap(), 0);
        for (name, bytes) in streams {
            builder.begin_stream(Arc::new(Labels::from_pairs(&[("s", *name)]).unwrap()));
            builder.push(1, "x".repeat(*bytes).as_bytes(), &mut Vec::new());
        }
        builder.finish()
    }

    fn lines(admitted: &Admitted) -> Vec<String> {
        admitted.batch.streams.iter().map(|s| s.labels.to_string()).collect()
    }

    #[test]
    fn a_tenants_rate_takes_all_or_nothing_and_says_when_to_come_back() {
        let (quotas, limits) =
            (Quotas::default(), Limits { ingestion_rate: 100, ingestion_burst: 300, ..Limits::default() });
        let mut now = 0;
        let mut push = |bytes: usize, after_s: i64| {
            now += after_s * SECOND_NS;
            quotas.admit(batch("t", &[("a", bytes)]), &limits, now).map(|a| a.batch.entries.len())
        };
        assert_eq!(push(300, 0), Ok(1));
        let error = push(150, 0).unwrap_err();
        assert_eq!(error.retry_after_s, 2);
        assert!(error.to_string().starts_with(
            "ingestion rate limit exceeded for user t (limit: 100 bytes/sec, burst: 300 bytes) while attempting to ingest \
             '1' lines totaling '150' bytes"
        ));
        // What was refused did not count.
        assert_eq!(push(100, 1), Ok(1));
        assert!(push(1, 0).is_err());
        assert_eq!(push(300, 3), Ok(1));
        assert!(push(301, 100).is_err(), "more than fits at once");
        // Others are not concerned.
        assert!(quotas.admit(batch("u", &[("a", 300)]), &limits, 0).is_ok());
    }

    #[test]
    fn a_stream_beyond_its_rate_leaves_the_others_alone() {
        let (quotas, limits) = (Quotas::default(), Limits { stream_rate: 10, ..Limits::default() });
        let both = batch("t", &[("a", 11), ("b", 10)]);
        let admitted = quotas.admit(both, &limits, 0).unwrap();
        assert_eq!((lines(&admitted), admitted.refused_lines), (vec!["{s=\"b\"}".to_owned()], 1));
        assert!(admitted.refused[0].starts_with(
            "Per stream rate limit exceeded (limit: 10 bytes/sec, burst: 10 bytes) while attempting to ingest for stream \
             '{s=\"a\"}' totaling 11 bytes"
        ));
        let again = quotas.admit(batch("t", &[("a", 10), ("b", 10)]), &limits, SECOND_NS / 2).unwrap();
        assert_eq!(lines(&again), ["{s=\"a\"}"]);
        assert_eq!(again.batch.line(&again.batch.entries[0]).len(), 10);
    }

    #[test]
    fn new_streams_wait_until_others_have_been_quiet() {
        let (quotas, limits) = (Quotas::default(), Limits { max_active_streams: 2, ..Limits::default() });
        let push = |streams: &[(&str, usize)], now: i64| {
            let admitted = quotas.admit(batch("t", streams), &limits, now).unwrap();
            (lines(&admitted).len(), admitted.refused.len())
        };
        assert_eq!(push(&[("a", 1), ("b", 1), ("c", 1)], 0), (2, 1));
        assert_eq!(push(&[("a", 1), ("b", 1)], ACTIVE_NS / 2), (2, 0));
        assert_eq!(push(&[("c", 1)], ACTIVE_NS), (0, 1));
        assert_eq!(push(&[("a", 1)], ACTIVE_NS), (1, 0));
        // Only `a` was there in the last hour.
        assert_eq!(push(&[("c", 1), ("d", 1)], 2 * ACTIVE_NS), (1, 1));
    }

    #[test]
    fn without_limits_nothing_is_remembered() {
        let quotas = Quotas::default();
        quotas.admit(batch("t", &[("a", 10)]), &Limits::default(), 0).unwrap();
        let state = quotas.state.lock();
        assert!(state.tenants.is_empty() && state.streams.is_empty() && state.active.is_empty());
    }

    #[test]
    fn the_memory_of_rates_is_bounded() {
        let rate = Rate::new(1, 1);
        let mut busy = HashMap::new();
        for key in 0..MAX_RATES as u64 + 10 {
            rate.take(&mut busy, &key, 1, 0).unwrap();
        }
        assert_eq!(busy.len(), MAX_RATES);
        rate.take(&mut busy, &u64::MAX, 1, 2 * SECOND_NS).unwrap();
        assert_eq!(busy.len(), 1);
    }

    proptest! {
        /// Over any time, no more comes in than the burst and what the rate allows.
        #[test]
        fn no_more_than_the_rate_comes_in(
            pushes in prop::collection::vec((0u64..500, 0i64..3_000_000_000), 1..50),
            rate in 1u64..300,
            burst in 0u64..600,
        ) {
            let (rate, mut busy, mut now, mut taken) = (Rate::new(rate, burst), HashMap::new(), 0, 0);
            for (bytes, pause) in pushes {
                now += pause;
                if rate.take(&mut busy, &(), bytes, now).is_ok() {
                    taken += bytes;
                }
                let most = rate.burst as f64 + rate.per_second as f64 * now as f64 / 1e9 + 1.0;
                prop_assert!(taken as f64 <= most, "{taken} of {most}");
            }
        }
    }
}
