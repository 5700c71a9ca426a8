//! Does the label index answer like a plain list of streams and days, whatever happens to its image?

mod damage;
mod model;
mod queries;

use super::{LabelIndex, LabelState};
use regex::Regex;
use std::path::Path;
use std::sync::Arc;
use strandline_model::{Labels, MatchOp, Matcher, Selector, TenantId, ValuePattern};

#[derive(Debug)]
struct Anchored(Regex);

impl ValuePattern for Anchored {
    fn matches(&self, value: &str) -> bool {
        self.0.is_match(value)
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    let mut matcher = Matcher { op, ..Matcher::equal(name, value) };
    if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
        matcher.pattern = Some(Arc::new(Anchored(Regex::new(&format!("^(?:{value})$")).unwrap())));
    }
    matcher
}

fn selector(matchers: &[(&str, MatchOp, &str)]) -> Selector {
    Selector { matchers: matchers.iter().map(|(name, op, value)| matcher(name, *op, value)).collect() }
}

fn labels(text: &str) -> Labels {
    Labels::parse(text).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn is_ready(state: &LabelState) -> bool {
    matches!(state, LabelState::Ready)
}

fn open(dir: &Path, generation: u64) -> (LabelIndex, LabelState) {
    LabelIndex::open(Some(dir.to_owned()), generation)
}
