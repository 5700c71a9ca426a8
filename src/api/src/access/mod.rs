//! Who asks, what may they do, and with whose data? Every handler asks here.
//!
//! A handler gets a [`QueryAccess`], a [`PushAccess`], a [`DeleteAccess`], an [`OperatorAccess`], a [`MetricsAccess`] or an
//! [`Identity`] from its request and nothing else that names a tenant; the query crate takes questions from the first only,
//! and a push is taken in by the second only. So no handler can forget a tenant, a scope or a label filter.

mod check_queue;
mod credentials;
mod grant;
mod password;
mod tenants;

pub use credentials::{AccessError, Credentials};
pub use grant::{Grant, Scope, Scopes};

use crate::http::failure::Failure;
use crate::state::AppState;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::net::IpAddr;
use std::sync::Arc;
use strandline_ingest::Sender;
use strandline_model::{DeletionMode, TenantId};
use strandline_query::{ReadRules, Reader};

/// May read: hands out the [`Reader`] that the query crate wants.
#[derive(Debug, Clone)]
pub(crate) struct QueryAccess(pub(crate) Reader);

/// May push, for one tenant.
#[derive(Debug, Clone)]
pub(crate) struct PushAccess {
    sender: Sender,
}

/// May delete lines of one tenant, and see what was deleted.
#[derive(Debug, Clone)]
pub(crate) struct DeleteAccess {
    tenant: TenantId,
}

/// May operate the server: see its settings, flush it, change its log level, stop it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorAccess;

/// May read the server's metrics, which name all tenants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricsAccess;

/// Has valid credentials, of whatever scope, or the server asks for none: enough to learn that the server runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity;

impl QueryAccess {
    /// Who reads by the head of this request.
    pub(crate) async fn of(state: &AppState, parts: &Parts) -> Result<Self, Failure> {
        let (grant, headers) = (granted(state, parts, Scope::Query).await?, &parts.headers);
        let tenants = tenants::for_read(&grant, headers, &state.config)?;
        let strict = state.config.strict;
        let limits = tenants.iter().map(|tenant| state.config.limits.of(tenant));
        let limits = limits.reduce(|a, b| Arc::new(a.tightest_for_reads(&b)));
        let limits = limits.unwrap_or_else(|| Arc::clone(state.config.limits.defaults()));
        Ok(Self(Reader::granted(tenants, grant.filter.clone(), ReadRules { strict, limits })))
    }
}

impl PushAccess {
    /// Who pushes by the head of this request.
    pub(crate) async fn of(state: &AppState, parts: &Parts) -> Result<Self, Failure> {
        let (grant, headers) = (granted(state, parts, Scope::Push).await?, &parts.headers);
        let tenant = tenants::for_write(&grant, headers, &state.config)?;
        let limits = state.config.limits.of(&tenant);
        let sender = Sender::new(tenant, limits);
        let sender = match &grant.filter {
            Some(filter) => sender.confined_to(filter.selector().clone(), filter.text()),
            None => sender,
        };
        Ok(Self { sender })
    }

    /// The sender whose lines they are, for the admission.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }
}

impl DeleteAccess {
    /// Who deletes by the head of this request.
    pub(crate) async fn of(state: &AppState, parts: &Parts) -> Result<Self, Failure> {
        let (grant, headers) = (granted(state, parts, Scope::Delete).await?, &parts.headers);
        let tenant = tenants::for_write(&grant, headers, &state.config)?;
        let forbidden = |why: String| Err(Failure::new(StatusCode::FORBIDDEN, why));
        if let Some(filter) = &grant.filter {
            return forbidden(format!(
                "\"{}\" may not delete: it is confined to {} (auth.tokens, auth.users: filter)",
                grant.name,
                filter.text()
            ));
        }
        match state.config.limits.of(&tenant).deletion_mode {
            DeletionMode::FilterAndDelete => Ok(Self { tenant }),
            DeletionMode::Disabled => forbidden("deletion is not available for this tenant".to_owned()),
        }
    }

    /// Whose lines.
    pub(crate) fn tenant(self) -> TenantId {
        self.tenant
    }
}

/// What a request is allowed by its head, if that includes `scope`.
async fn granted(state: &AppState, parts: &Parts, scope: Scope) -> Result<Arc<Grant>, Failure> {
    let grant = state.config.credentials.grant(&parts.headers, peer(parts)).await?;
    if grant.scopes.has(scope) {
        return Ok(grant);
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        format_args!(
            "\"{}\" may not do this: it needs the scope {} (auth.tokens, auth.users)",
            grant.name,
            scope.as_str()
        ),
    ))
}

/// Where the connection of a request comes from. What a proxy says of it is not believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address that a request comes from.
pub(crate) fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

impl FromRequestParts<AppState> for QueryAccess {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        Self::of(state, parts).await
    }
}

impl FromRequestParts<AppState> for DeleteAccess {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        Self::of(state, parts).await
    }
}

impl FromRequestParts<AppState> for OperatorAccess {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        granted(state, parts, Scope::Operate).await.map(|_| Self)
    }
}

impl FromRequestParts<AppState> for MetricsAccess {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        granted(state, parts, Scope::Metrics).await.map(|_| Self)
    }
}

impl FromRequestParts<AppState> for Identity {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        state.config.credentials.grant(&parts.headers, peer(parts)).await.map(|_| Self)
    }
}
