//! How are the rows that may pass found in a whole column of lines? By the part of the filters that is cheapest to find.

use memchr::memmem::Finder;
use regex::bytes::Regex;
use std::sync::Arc;
use strandline_logql::{LineFilter, LineFilters};
use strandline_model::Needle;

/// How the rows that may pass are found in a whole column of lines.
#[derive(Debug, Clone)]
pub(crate) enum Search {
    /// Every row may pass.
    All,
    /// Rows without this text cannot pass.
    Literal(Box<Finder<'static>>),
    /// Rows without a match cannot pass; a match does not depend on what stands beside it.
    Pattern(Arc<Regex>),
    /// Nothing can be told without a look at each row.
    EachLine,
}

/// A shorter text is in so many lines that searching for the pattern around it is faster.
const MIN_TELLING_BYTES: usize = 3;
/// How JSON may write any character. Short, but rare.
const ESCAPE: &[u8] = b"\\u";

/// The search for the longest text that must be there, or for the texts of which one must be.
pub(crate) fn for_needle(needle: &Needle) -> Option<Search> {
    match longest_literal(needle) {
        Some(literal) if literal.len() >= MIN_TELLING_BYTES => {
            Some(Search::Literal(Box::new(Finder::new(literal).into_owned())))
        }
        _ => any_literal(needle).map(|regex| Search::Pattern(Arc::new(regex))),
    }
}

/// A pattern for the first choice between texts that tells anything.
fn any_literal(needle: &Needle) -> Option<Regex> {
    let telling = |text: &[u8]| text.len() >= MIN_TELLING_BYTES || text == ESCAPE;
    match needle {
        Needle::All(needles) => needles.iter().find_map(any_literal),
        Needle::OneOf(needles) => {
            let texts = needles.iter().map(|needle| match needle {
                Needle::Literal(text) if telling(text) => std::str::from_utf8(text).ok().map(regex::escape),
                _ => None,
            });
            // The texts stand as they are, so this is a search for several at once and never slow.
            Regex::new(&texts.collect::<Option<Vec<_>>>()?.join("|")).ok()
        }
        _ => None,
    }
}

/// The search for lines that may pass `filters`, which `needle` is the condition of.
pub(crate) fn for_filters(filters: &LineFilters, needle: &Needle) -> Search {
    if filters.is_empty() {
        return Search::All;
    }
    let literal = longest_literal(needle);
    let pattern = filters.filters().iter().find_map(|filter| match filter {
        LineFilter::Regex(patterns) => match patterns.as_slice() {
            [pattern] if !pattern.looks_around() => Some(pattern.regex()),
            _ => None,
        },
        _ => None,
    });
    match (literal, pattern) {
        (Some(literal), Some(pattern)) if literal.len() < MIN_TELLING_BYTES => {
            Search::Pattern(Arc::clone(pattern))
        }
        (Some(literal), _) => Search::Literal(Box::new(Finder::new(literal).into_owned())),
        (None, Some(pattern)) => Search::Pattern(Arc::clone(pattern)),
        (None, None) => {
            any_literal(needle).map_or(Search::EachLine, |regex| Search::Pattern(Arc::new(regex)))
        }
    }
}

/// The longest text that must be there whatever else is.
fn longest_literal(needle: &Needle) -> Option<&[u8]> {
    match needle {
        Needle::Literal(bytes) if !bytes.is_empty() => Some(bytes),
        Needle::All(needles) => needles.iter().filter_map(longest_literal).max_by_key(|bytes| bytes.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogQuery;

    #[test]
    fn the_search_uses_what_is_cheapest_to_find() {
        let shape = |filters: &str| match LogQuery::parse(&format!("{{a=\"b\"}} {filters}"))
            .unwrap()
            .search(true)
            .clone()
        {
            Search::All => "all".to_owned(),
            Search::Literal(finder) => format!("literal {}", String::from_utf8_lossy(finder.needle())),
            Search::Pattern(regex) => format!("pattern {regex}"),
            Search::EachLine => "each line".to_owned(),
        };
        for (filters, wanted) in [
            ("", "all"),
            (r#"|= "ab" |= "abcd" != "zzzzzz""#, "literal abcd"),
            (r#"|~ "time[d ]?out after [0-9]+""#, "literal out after "),
            (r#"!= "x""#, "each line"),
            (r#"|= "x" or "y""#, "each line"),
            (r#"|= "xyz" or "a.c""#, "pattern xyz|a\\.c"),
            (r#"| json | level="error""#, "pattern error|\\\\u"),
            (r#"| json | level="no""#, "all"),
            ("| regexp `took (?P<ms>[0-9]+)` | ms > 5", "literal took "),
            ("|~ `^[0-9]`", "each line"),
        ] {
            assert_eq!(shape(filters), wanted, "{filters}");
        }
        assert!(shape("|~ `[0-9]{3}-[a-f]`").starts_with("pattern "));
    }
}
