//! Which streams are meant: label matchers, compiled by the crate that knows the language.

use crate::labels::Labels;
use std::fmt;
use std::sync::Arc;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`
    NotRegex,
}

/// A compiled pattern over label values; the crate `logql` brings its own regex engine.
pub trait ValuePattern: Send + Sync + fmt::Debug {
    /// Whether the whole of `value` matches.
    fn matches(&self, value: &str) -> bool;
}

/// One condition on one label. A label that a stream lacks counts as the empty string.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Value or pattern text as written.
    pub value: String,
    /// The compiled pattern; present exactly for `Regex` and `NotRegex`.
    pub pattern: Option<Arc<dyn ValuePattern>>,
}

impl Matcher {
    /// An equality matcher.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Whether a label value (empty when absent) satisfies the condition.
    pub fn matches(&self, value: &str) -> bool {
        let pattern = |v: &str| self.pattern.as_ref().is_some_and(|p| p.matches(v));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => pattern(value),
            MatchOp::NotRegex => !pattern(value),
        }
    }
}

/// All conditions of a stream selector; none selects every stream.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// The conditions, all of which must hold.
    pub matchers: Vec<Matcher>,
}

impl Selector {
    /// Every stream.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether a stream with these labels, by name, is selected.
    pub fn matches_pairs(&self, pairs: &[(&str, &str)]) -> bool {
        let value = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        self.matchers.iter().all(|m| m.matches(value(&m.name)))
    }

    /// Whether a stream with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")))
    }
}
