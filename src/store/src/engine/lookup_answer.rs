//! What did a lookup find, and what could it not look at?

use super::SegmentHandle;
use crate::error::StoreError;
use std::sync::Arc;

/// A segment whose streams could not be looked at.
#[derive(Debug)]
pub struct UnreadSegment {
    /// Which.
    pub segment: Arc<SegmentHandle>,
    /// Why.
    pub error: StoreError,
}

/// The answer of a lookup.
#[derive(Debug, Default)]
pub struct LookupAnswer<T> {
    /// What was found.
    pub found: T,
    /// What could not be looked at: streams that only these segments hold may be missing.
    pub unread: Vec<UnreadSegment>,
}
