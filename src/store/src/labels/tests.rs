//! Does the label index answer like a plain list of streams and days, whatever happens to its image?

mod bounds;
mod damage;
mod model;
mod queries;

use super::{Bounds, LabelIndex, LabelState, Sizes};
use crate::lookup::{LookupLimits, Meter};
use regex::Regex;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use strandline_model::{Labels, MatchOp, Matcher, Selector, TenantId, TimeRange, ValuePattern};

type Span = Option<TimeRange>;

/// The queries without bounds.
impl LabelIndex {
    fn label_names(&self, tenant: &TenantId, range: Span, selector: &Selector) -> BTreeSet<String> {
        self.names(tenant, range, selector, &Meter::new(LookupLimits::NONE)).unwrap()
    }

    fn label_values(&self, tenant: &TenantId, name: &str, range: Span, of: &Selector) -> BTreeSet<String> {
        self.values(tenant, name, range, of, &Meter::new(LookupLimits::NONE)).unwrap()
    }

    fn series(&self, tenant: &TenantId, range: Span, selector: &Selector, limit: usize) -> Vec<Labels> {
        self.streams(tenant, range, selector, limit, &Meter::new(LookupLimits::NONE)).unwrap()
    }

    fn select(
        &self,
        tenant: &TenantId,
        range: Span,
        selector: &Selector,
        limit: usize,
    ) -> Option<Vec<Labels>> {
        self.few(tenant, range, selector, limit, &Meter::new(LookupLimits::NONE)).unwrap()
    }

    /// Tenants that have streams.
    fn tenants(&self) -> Vec<TenantId> {
        let live = self.catalogues().into_iter().filter(|(_, catalogue)| catalogue.read().n_live() > 0);
        live.map(|(tenant, _)| tenant).collect()
    }

    /// Streams of `tenant` on any day.
    fn stream_count(&self, tenant: &TenantId) -> usize {
        self.tenant(tenant).map_or(0, |catalogue| catalogue.read().n_live())
    }

    /// Forgets everything; the catalogues stay, as empty ones.
    fn clear(&self) {
        self.set_complete(false);
        for (_, catalogue) in self.catalogues() {
            *catalogue.write() = super::Catalogue::new(SMALL);
        }
    }
}

impl Bounds<'static> {
    /// None, and small pieces.
    pub(crate) const NONE: Self = Self { max_bytes: usize::MAX, stop: &|| false, sizes: SMALL };
}

/// Few streams get past the end of pages and pieces.
pub(super) const SMALL: Sizes = Sizes { label_page: 16, day_page: 64, compact_min: 8, piece_bytes: 64 };

#[derive(Debug)]
struct Anchored(Regex);

impl ValuePattern for Anchored {
    fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    let mut matcher = Matcher { op, ..Matcher::equal(name, value) };
    if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
        matcher.pattern = Some(Arc::new(Anchored(Regex::new(&format!("^(?:{value})$")).unwrap())));
    }
    matcher
}

fn selector(matchers: &[(&str, MatchOp, &str)]) -> Selector {
    Selector { matchers: matchers.iter().map(|(name, op, value)| matcher(name, *op, value)).collect() }
}

fn labels(text: &str) -> Labels {
    Labels::parse(text).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn is_ready(state: &LabelState) -> bool {
    matches!(state, LabelState::Ready)
}

fn open(dir: &Path, generation: u64) -> (LabelIndex, LabelState) {
    LabelIndex::open(Some(dir.to_owned()), generation, Bounds::NONE)
}
