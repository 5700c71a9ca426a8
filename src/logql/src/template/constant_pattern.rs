//! The patterns of a template's functions: those that stand in it, and those that a line makes.

use crate::pattern::{GroupRegex, Groups, Pattern};
use crate::patterns::{Extent, Patterns};
use std::sync::OnceLock;

/// Largest pattern, in bytes compiled, that is made anew for each line.
const MAX_PATTERN_OF_LINE: u64 = 1 << 20;

/// A pattern that stands in the template, compiled when it is needed first.
#[derive(Debug)]
pub(super) struct ConstantPattern {
    text: Vec<u8>,
    compiled: OnceLock<Result<GroupRegex, String>>,
}

impl ConstantPattern {
    /// A pattern that is not compiled yet.
    pub(super) fn new(text: Vec<u8>) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// Its text, if it can be a pattern: what is no UTF-8 is none.
    pub(super) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.text).ok()
    }

    /// Compiles it with the others of a query.
    pub(super) fn prepare(&self, patterns: &mut Patterns) {
        self.compiled.get_or_init(|| {
            let pattern = parse(&self.text)?;
            Ok(pattern.grouped(patterns.compile(&pattern, Extent::Part)?))
        });
    }

    /// The pattern. A bad one is an error only when it is used.
    pub(super) fn regex(&self) -> &Result<GroupRegex, String> {
        self.compiled.get_or_init(|| parse(&self.text)?.unanchored())
    }
}

fn parse(pattern: &[u8]) -> Result<Pattern, String> {
    Pattern::parse(
        std::str::from_utf8(pattern).map_err(|_| "error parsing regexp: invalid UTF-8".to_owned())?,
        Groups::All,
    )
}

/// Compiles a pattern of Go's syntax that a line made.
pub(super) fn compile(pattern: &[u8]) -> Result<GroupRegex, String> {
    let pattern = parse(pattern)?;
    match pattern.estimated_bytes() <= MAX_PATTERN_OF_LINE {
        true => pattern.unanchored(),
        false => Err("error parsing regexp: expression is too large".to_owned()),
    }
}
