//! What text does a template make of a line and its labels? Go's `text/template` with Loki's functions, read once and then interpreted.
//!
//! A template comes from a query, which may mean harm: how deep it nests, how long it runs and how much it writes is
//! bounded.

mod constant_pattern;
mod eval;
mod float;
mod functions;
mod layout;
mod layout_parse;
mod lexer;
mod literal;
mod moment;
mod parser;
mod pipes;
mod printf;
mod quote;
mod reads;
mod source;
mod tree;
mod value;

pub use source::Source;

use crate::patterns::Patterns;
use std::fmt;
use std::sync::Arc;

/// A template, ready to run. Copies share what they hold.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    tree: tree::Tree,
    fields: Option<Vec<String>>,
}

impl Template {
    /// Reads a template; the error is in Go's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tree = parser::parse(text)?;
        let fields = reads::labels(&tree);
        Ok(Self(Arc::new(Compiled { tree, fields })))
    }

    /// Reads a template and compiles its constant patterns with the others of a query.
    pub(crate) fn compile(text: &str, patterns: &mut Patterns) -> Result<Self, String> {
        let template = Self::parse(text)?;
        template.0.tree.patterns.iter().for_each(|pattern| pattern.prepare(patterns));
        Ok(template)
    }

    /// The labels that it reads; none: any.
    pub fn fields(&self) -> Option<&[String]> {
        self.0.fields.as_deref()
    }

    /// The constant patterns in it, each as often as it stands there. What is no UTF-8 is no pattern.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.tree.patterns.iter().filter_map(|pattern| pattern.text())
    }

    /// Appends the text that it makes. What stands in `out` after an error is of no use.
    pub fn render(&self, source: &dyn Source, out: &mut Vec<u8>) -> Result<(), String> {
        eval::render(&self.0.tree, source, out)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.tree.text).finish()
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
