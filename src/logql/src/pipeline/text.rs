//! The texts of a row: pieces of the entry, or of the arena in which what stages make is kept.

/// A text of the row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// Lies in the entry.
    Borrowed(&'a str),
    /// Lies in the arena.
    Arena(usize, usize),
}

impl Text<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Borrowed(text) => text.len(),
            Self::Arena(start, end) => end - start,
        }
    }
}

/// The text itself.
pub(super) fn resolve<'r>(arena: &'r str, text: Text<'r>) -> &'r str {
    match text {
        Text::Borrowed(text) => text,
        Text::Arena(start, end) => arena.get(start..end).unwrap_or(""),
    }
}
