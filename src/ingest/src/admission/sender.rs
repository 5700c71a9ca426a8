//! Whose lines come in, and what may they send? Made by whoever knows: a check of credentials, the settings of a source.

use std::sync::Arc;
use strandline_model::{Limits, Selector, TenantId};

/// Who sends lines: for which tenant, within which limits, into which streams.
#[derive(Debug, Clone)]
pub struct Sender {
    tenant: TenantId,
    limits: Arc<Limits>,
    /// Which streams alone it may write, and that selector as written.
    confined: Option<(Selector, String)>,
}

impl Sender {
    /// A sender of lines of `tenant`, within its limits.
    pub fn new(tenant: TenantId, limits: Arc<Limits>) -> Self {
        Self { tenant, limits, confined: None }
    }

    /// The same, for streams alone that `selector` selects, whose text is shown when others are refused.
    #[must_use]
    pub fn confined_to(self, selector: Selector, text: &str) -> Self {
        Self { confined: Some((selector, text.to_owned())), ..self }
    }

    /// Whose the lines are.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What the tenant may send.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Which streams alone it may write, if that is confined.
    pub(crate) fn confined(&self) -> Option<&(Selector, String)> {
        self.confined.as_ref()
    }
}
