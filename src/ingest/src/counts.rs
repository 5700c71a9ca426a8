//! What came in and what was dropped, by tenant and reason: how is it counted without a series for every name that a
//! client makes up?

use crate::intake::Accepted;
use parking_lot::Mutex;
use std::collections::HashSet;
use strandline_model::TenantId;

/// Most tenants that have series of their own; the rest share one.
const MAX_TENANTS: usize = 1000;
/// The name of the rest. No tenant can have it: a colon is not allowed in theirs.
const OTHERS: &str = ":others";

/// Counts of pushes. One for the whole process.
#[derive(Debug, Default)]
pub struct PushCounts {
    tenants: Mutex<HashSet<TenantId>>,
}

impl PushCounts {
    /// Counts a decoded push: what it brought, what was refused in it and what was changed.
    pub fn received(&self, accepted: &Accepted) {
        let tenant = self.label(&accepted.batch.tenant);
        let lines = accepted.batch.entries.len() as u64 + accepted.rejected.total();
        metrics::counter!("loki_distributor_lines_received_total", "tenant" => tenant.clone())
            .increment(lines);
        metrics::counter!("loki_distributor_bytes_received_total", "tenant" => tenant.clone())
            .increment(accepted.batch.bytes.len() as u64);
        for (reason, lines) in accepted.rejected.counts() {
            let reason = reason.as_str();
            metrics::counter!("strandline_rejected_lines_total", "reason" => reason, "tenant" => tenant.clone())
                .increment(lines);
            metrics::counter!("loki_discarded_samples_total", "reason" => reason, "tenant" => tenant.clone())
                .increment(lines);
        }
        if accepted.replaced_lines > 0 {
            metrics::counter!("strandline_replaced_lines_total", "tenant" => tenant)
                .increment(accepted.replaced_lines);
        }
    }

    /// Counts a push of which nothing is stored.
    pub fn refused(&self, tenant: &TenantId, reason: &'static str) {
        let tenant = self.label(tenant);
        metrics::counter!("strandline_push_refused_total", "reason" => reason, "tenant" => tenant)
            .increment(1);
    }

    /// Counts lines that came faster than they may; `limit` says which one they ran into.
    pub fn over_limit(&self, tenant: &TenantId, limit: &'static str, lines: u64) {
        if lines > 0 {
            let tenant = self.label(tenant);
            let reason = match limit {
                "rate" => "rate_limited",
                "streams" => "stream_limit",
                _ => "per_stream_rate_limit",
            };
            metrics::counter!("loki_discarded_samples_total", "reason" => reason, "tenant" => tenant.clone())
                .increment(lines);
            metrics::counter!("strandline_over_limit_lines_total", "limit" => limit, "tenant" => tenant)
                .increment(lines);
        }
    }

    /// The tenant's name in series.
    fn label(&self, tenant: &TenantId) -> String {
        let mut known = self.tenants.lock();
        if known.contains(tenant) {
            return tenant.as_str().to_owned();
        }
        if known.len() >= MAX_TENANTS {
            return OTHERS.to_owned();
        }
        known.insert(tenant.clone());
        tenant.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_tenants_share_a_series() {
        let counts = PushCounts::default();
        let label = |n: usize| counts.label(&TenantId::new(&format!("t{n}")).unwrap());
        assert!((0..MAX_TENANTS).all(|n| label(n) == format!("t{n}")));
        assert_eq!(label(MAX_TENANTS), OTHERS);
        assert_eq!((label(7).as_str(), label(MAX_TENANTS + 1).as_str()), ("t7", OTHERS));
        assert!(TenantId::new(OTHERS).is_err());
    }
}
