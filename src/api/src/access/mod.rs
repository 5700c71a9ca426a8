//! Who asks, what may they do, and with whose data? Every handler asks here.
//!
//! A handler gets a [`QueryAccess`], a `PushAccess`, a [`DeleteAccess`], an [`OperatorAccess`], a [`MetricsAccess`] or an
//! [`Identity`] from its request and nothing else that names a tenant; the query crate takes questions from the first only,
//! and a push is taken in by the second only. So no handler can forget a tenant, a scope or a label filter.
//!
//! A request's head becomes a [`Caller`]; what that may do, [`Access`] says, which knows no requests.

mod accounts;
mod allowed;
mod caller;
mod check;
mod check_queue;
mod error;
mod extract;
mod grant;
mod password;
mod tenants;

pub use accounts::Accounts;
pub use error::{AccessError, MAX_CREDENTIALS};
pub use grant::{Grant, Scope, Scopes};

pub(crate) use allowed::{DeleteAccess, Identity, MetricsAccess, OperatorAccess, QueryAccess};
pub(crate) use caller::{Caller, Peer, peer};
pub(crate) use check::Access;
pub(crate) use tenants::TenantRules;
