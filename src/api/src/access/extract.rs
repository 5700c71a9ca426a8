//! How does a handler get what its caller may do? By naming it among its arguments.

use super::allowed::{DeleteAccess, Identity, MetricsAccess, OperatorAccess, QueryAccess};
use super::caller::Caller;
use super::check::Access;
use crate::http::failure::Failure;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

/// An extractor of `$access`, which the method `$check` of [`Access`] gives.
macro_rules! extracted {
    ($access:ty, $check:ident) => {
        impl<S: Send + Sync> FromRequestParts<S> for $access
        where
            Access: FromRef<S>,
        {
            type Rejection = Failure;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
                Access::from_ref(state).$check(&Caller::of(parts)).await
            }
        }
    };
}

extracted!(QueryAccess, query);
extracted!(DeleteAccess, delete);
extracted!(OperatorAccess, operate);
extracted!(MetricsAccess, metrics);
extracted!(Identity, identity);
