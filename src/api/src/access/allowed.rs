//! What has been allowed? Each value proves that its check has been made: it can be had from [`super::Access`] alone, which
//! the extractors ask.

use strandline_ingest::Sender;
use strandline_model::TenantId;
use strandline_query::Reader;

/// May read: hands out the [`Reader`] that the query crate wants.
#[derive(Debug, Clone)]
pub(crate) struct QueryAccess(pub(crate) Reader);

/// May push, for one tenant.
#[derive(Debug, Clone)]
pub(crate) struct PushAccess(pub(super) Sender);

/// May delete lines of one tenant, and see what was deleted.
#[derive(Debug, Clone)]
pub(crate) struct DeleteAccess(pub(super) TenantId);

/// May operate the server: see its settings, flush it, change its log level, stop it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorAccess;

/// May read the server's metrics, which name all tenants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricsAccess;

/// Has valid credentials, of whatever scope, or the server asks for none: enough to learn that the server runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity;

impl PushAccess {
    /// The sender whose lines they are, for the admission.
    pub(crate) fn sender(&self) -> &Sender {
        &self.0
    }
}

impl DeleteAccess {
    /// Whose lines.
    pub(crate) fn tenant(self) -> TenantId {
        self.0
    }
}
