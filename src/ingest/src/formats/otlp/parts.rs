//! How much may one record of an export hold? So much that decoding it stays bounded.

/// Deepest nesting of an attribute or body.
pub(super) const MAX_DEPTH: usize = 30;
/// Most values in one record, scope or resource, nested ones included. No line of the largest size has more.
pub(super) const MAX_PARTS: usize = 1 << 17;

/// A value is nested too deeply, or has too many parts.
#[derive(Debug, thiserror::Error)]
#[error("an attribute or body is nested deeper than {MAX_DEPTH} levels or has more than {MAX_PARTS} parts")]
pub struct TooComplex;

/// Counts the values of one record, scope or resource.
#[derive(Debug, Default)]
pub(super) struct Parts(usize);

impl Parts {
    /// One more value, `depth` levels deep.
    pub(super) fn count(&mut self, depth: usize) -> Result<(), TooComplex> {
        self.0 += 1;
        if self.0 > MAX_PARTS || depth > MAX_DEPTH { Err(TooComplex) } else { Ok(()) }
    }
}
