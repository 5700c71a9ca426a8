//! Which streams does a selector mean? Its matchers compiled to what the store can ask.

use crate::ast::MatcherExpr;
use crate::error::ParseError;
use crate::pattern::{Groups, Pattern};
use crate::patterns::{Extent, Patterns};
use regex::bytes::Regex;
use std::sync::Arc;
use strandline_model::{MatchOp, Matcher, Selector, ValuePattern};

/// A label's pattern. The usual ones (`a|b`, `.+`) need no regex.
#[derive(Debug)]
enum LabelPattern {
    Anything,
    NotEmpty,
    OneOf(Vec<Vec<u8>>),
    Regex(Arc<Regex>),
}

impl ValuePattern for LabelPattern {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::NotEmpty => !value.is_empty(),
            Self::OneOf(texts) => texts.iter().any(|text| text == value.as_bytes()),
            Self::Regex(regex) => regex.is_match(value.as_bytes()),
        }
    }
}

/// Compiles `matchers`. Patterns match whole values, and `.` matches newlines, as in Prometheus.
pub fn compile(matchers: &[MatcherExpr], patterns: &mut Patterns) -> Result<Selector, ParseError> {
    let matchers = matchers.iter().map(|m| {
        let pattern: Option<Arc<dyn ValuePattern>> = match m.op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Arc::new(label_pattern(&m.value, patterns).map_err(ParseError::Whole)?))
            }
        };
        Ok(Matcher { name: m.name.clone(), op: m.op, value: m.value.clone(), pattern })
    });
    Ok(Selector { matchers: matchers.collect::<Result<_, ParseError>>()? })
}

fn label_pattern(text: &str, patterns: &mut Patterns) -> Result<LabelPattern, String> {
    match text {
        ".*" => return Ok(LabelPattern::Anything),
        ".+" => return Ok(LabelPattern::NotEmpty),
        _ => {}
    }
    let pattern = Pattern::parse(text, Groups::None)?;
    Ok(match pattern.as_alternatives() {
        Some(texts) => LabelPattern::OneOf(texts),
        None => LabelPattern::Regex(patterns.compile(&pattern, Extent::Whole)?),
    })
}

/// Loki's rule that a selector must have a matcher which does not match the empty string. It guards against queries over
/// everything; whether it holds is for the caller to decide (strandline answers such queries).
pub fn require_non_empty_matcher(selector: &Selector) -> Result<(), ParseError> {
    if selector.matchers.iter().any(|m| !m.matches("")) {
        return Ok(());
    }
    Err(ParseError::whole(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. \
         For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use strandline_model::Labels;

    fn selects(selector: &str, labels: &str) -> bool {
        let expr = parse(selector).unwrap();
        compile(&expr.matchers, &mut Patterns::default()).unwrap().matches(&Labels::parse(labels).unwrap())
    }

    #[test]
    fn matchers_as_loki_has_them() {
        let labels = r#"{app="shop", nl="two\nlines", dot="a.b|c(d)", env="prod"}"#;
        for (selector, wanted) in [
            ("{}", true),
            (r#"{app="shop", env="prod"}"#, true),
            (r#"{app="shop", env!="prod"}"#, false),
            (r#"{app=~"pay"}"#, false),
            (r#"{app=~"sh"}"#, false),
            (r#"{app=~"sh.*"}"#, true),
            (r#"{app=~"(?i)SHOP"}"#, true),
            (r#"{app=~"^shop$"}"#, true),
            (r#"{app=~"cart|shop"}"#, true),
            (r#"{app=~"cart|sh"}"#, false),
            (r#"{app!~"cart|sh.p"}"#, false),
            (r#"{nl=~"two.lines"}"#, true),
            (r#"{nl=~"two"}"#, false),
            (r#"{nl=~"(?m)two$"}"#, false),
            (r#"{dot=~`a\.b.*`}"#, true),
            (r#"{dot="a.b|c(d)"}"#, true),
            (r#"{missing=""}"#, true),
            (r#"{missing=~".*"}"#, true),
            (r#"{missing=~".+"}"#, false),
            (r#"{missing!~".+"}"#, true),
            (r#"{missing=~"x|"}"#, true),
        ] {
            assert_eq!(selects(selector, labels), wanted, "{selector}");
        }
        for (selector, wanted) in [
            (r#"{app=~"("}"#, "parse error : error parsing regexp: missing closing ): `(`"),
            (r#"{app=~"a{2000}"}"#, "parse error : error parsing regexp: invalid repeat count: `{2000}`"),
            (r#"{app=~"a)|(b"}"#, "parse error : error parsing regexp: unexpected ): `a)|(b`"),
        ] {
            assert_eq!(parse(selector).unwrap_err().to_string(), wanted, "{selector}");
        }
    }

    #[test]
    fn the_rule_against_queries_over_everything() {
        for (selector, wanted) in [
            ("{}", false),
            (r#"{a=""}"#, false),
            (r#"{a!="x"}"#, false),
            (r#"{a!~"x"}"#, false),
            (r#"{a=~".*"}"#, false),
            (r#"{a=~"x|"}"#, false),
            (r#"{a=~"x?", b=""}"#, false),
            (r#"{a="x"}"#, true),
            (r#"{a=~".+"}"#, true),
            (r#"{a!=""}"#, true),
            (r#"{a!~".*"}"#, true),
            (r#"{a=~".*", b="x"}"#, true),
        ] {
            let selector = compile(&parse(selector).unwrap().matchers, &mut Patterns::default()).unwrap();
            let outcome = require_non_empty_matcher(&selector);
            assert_eq!(outcome.is_ok(), wanted, "{selector:?}");
            if let Err(e) = outcome {
                assert!(
                    e.to_string().starts_with("parse error : queries require at least one regexp"),
                    "{e}"
                );
            }
        }
    }
}
