//! What is wrong with a query, and where? In the words that Loki's clients show.

/// Why a query is refused. Always the client's mistake: HTTP 400.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// A mistake at one position of the text.
    #[error("parse error at line {line}, col {col}: {text}")]
    At {
        /// Line from 1.
        line: usize,
        /// Character in the line from 1.
        col: usize,
        /// What is wrong.
        text: String,
    },
    /// A mistake that has no single position.
    #[error("parse error : {0}")]
    Whole(String),
}

impl ParseError {
    /// A mistake without a position.
    pub fn whole(text: impl Into<String>) -> Self {
        Self::Whole(text.into())
    }
}

/// A position in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) col: usize,
}

impl Position {
    pub(crate) fn error(self, text: impl Into<String>) -> ParseError {
        ParseError::At { line: self.line, col: self.col, text: text.into() }
    }
}
