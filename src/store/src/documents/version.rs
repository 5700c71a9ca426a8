//! Which put is a document of?

/// Which put a document is of: a later put of the same name has a higher number, also when the document was deleted in
/// between and when the process was restarted (by the clock, as long as it is not set back across the restart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);
