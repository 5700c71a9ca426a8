//! What did a query say? Its parts as written, nothing compiled.

use strandline_model::MatchOp;

/// A query for log lines: which streams, and what is done with their lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogExpr {
    /// The conditions in the braces.
    pub matchers: Vec<MatcherExpr>,
    /// What follows the braces, in order.
    pub stages: Vec<Stage>,
}

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatcherExpr {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Value or pattern.
    pub value: String,
}

/// One step of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Keeps or drops lines by their text.
    LineFilter(LineFilterExpr),
}

/// A condition on the text of a line: any of the operands (for the negative operators, none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilterExpr {
    /// Comparison.
    pub op: LineFilterOp,
    /// Texts or patterns, at least one. Bytes, for `"\xff"` looks for a byte that is no UTF-8.
    pub operands: Vec<Vec<u8>>,
}

/// How a line filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFilterOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
}

impl LineFilterOp {
    /// The operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Matches => "|~",
            Self::NotMatches => "!~",
        }
    }
}
