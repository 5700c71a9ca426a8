//! What a line must contain, as far as an index can use it.

/// A condition that is necessary (not sufficient) for a line to pass a filter, over byte strings.
///
/// An index may answer with a block too many, never with one too few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needle {
    /// Nothing is known: every line may pass.
    Any,
    /// The line contains these bytes.
    Literal(Vec<u8>),
    /// The line contains this text in any mix of cases (Unicode simple case folding).
    LiteralFolded(String),
    /// The entry has exactly this structured metadata.
    Metadata {
        /// Name of the pair.
        name: String,
        /// Value of the pair.
        value: String,
    },
    /// All of them.
    All(Vec<Needle>),
    /// At least one of them.
    OneOf(Vec<Needle>),
}

impl Needle {
    /// Both conditions.
    #[must_use]
    pub fn and(self, other: Needle) -> Needle {
        match (self, other) {
            (Needle::Any, n) | (n, Needle::Any) => n,
            (Needle::All(mut a), Needle::All(b)) => {
                a.extend(b);
                Needle::All(a)
            }
            (Needle::All(mut a), n) | (n, Needle::All(mut a)) => {
                a.push(n);
                Needle::All(a)
            }
            (a, b) => Needle::All(vec![a, b]),
        }
    }
}
