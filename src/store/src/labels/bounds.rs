//! What reading or building an index may take.

use super::catalogue::Sizes;

/// What reading or building an index may take.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// Most bytes of memory; an index that needs more is given up.
    pub(crate) max_bytes: usize,
    /// Whether to stop.
    pub(crate) stop: &'a dyn Fn() -> bool,
    /// Of the image's pieces.
    pub(crate) sizes: Sizes,
}
