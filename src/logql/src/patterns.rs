//! What may the regular expressions of one query take together, and which of them are compiled already?
//!
//! The parser adds up their sizes before anything is compiled. Equal ones are compiled, and counted, once.

use crate::error::ParseError;
pub(crate) use crate::pattern::Extent;
pub use crate::pattern::MAX_COMPILED_BYTES;
use crate::pattern::{self, Groups, Pattern};
use regex::bytes::Regex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What every regular expression takes, however short: this also bounds how many a query may have.
const BYTES_OF_EACH: u64 = 32 << 10;
/// Bytes of the caches of all searches of a query together, for each thread. A search with a smaller one is slower.
const CACHE_BYTES: usize = 32 << 20;
const MAX_CACHE_BYTES: usize = 4 << 20;
const MIN_CACHE_BYTES: usize = 64 << 10;

/// So many bytes of a compiled pattern make the search for it slower by as much as a text takes.
const BYTES_PER_WEIGHT: u64 = 4 << 10;

/// How many times as long as a search for a text one for a pattern of this size may take: it may look at all of the pattern
/// for each byte.
pub(crate) fn search_weight(bytes: u64) -> usize {
    usize::try_from(bytes / BYTES_PER_WEIGHT).unwrap_or(usize::MAX).saturating_add(1)
}

/// What is left for the regular expressions of a query, or of several that are compiled together, while they are read.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    counted: HashSet<(String, Extent, Groups)>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_COMPILED_BYTES, counted: HashSet::new() }
    }
}

impl Budget {
    /// Bytes that what is counted will take compiled, as far as can be told before.
    pub fn counted_bytes(&self) -> u64 {
        MAX_COMPILED_BYTES.saturating_sub(self.bytes)
    }

    /// Counts a pattern, unless an equal one is counted already. One that is no pattern is for others to refuse.
    pub(crate) fn count(&mut self, text: &str, extent: Extent, groups: Groups) -> Result<(), ParseError> {
        match self.counted.insert((text.to_owned(), extent, groups)) {
            true => self.count_again(text, groups),
            false => Ok(()),
        }
    }

    /// Counts a pattern that is compiled for itself.
    pub(crate) fn count_again(&mut self, text: &str, groups: Groups) -> Result<(), ParseError> {
        let Some(bytes) = pattern::estimated_bytes(text, groups) else { return Ok(()) };
        let left = self.bytes.checked_sub(bytes.saturating_add(BYTES_OF_EACH));
        self.bytes = left.ok_or_else(|| {
            ParseError::whole(format!(
                "the regular expressions of the query would take more than {} MiB compiled: make them shorter or fewer",
                MAX_COMPILED_BYTES >> 20
            ))
        })?;
        Ok(())
    }
}

/// The regular expressions of one query that are compiled already.
#[derive(Debug)]
pub struct Patterns {
    /// Shared, not copied: each copy of a search would have caches of its own in each thread.
    compiled: HashMap<(String, Extent), Arc<Regex>>,
    /// Bytes that are left for caches.
    cache_bytes: usize,
    /// Bytes that they take compiled, about.
    bytes: u64,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { compiled: HashMap::new(), cache_bytes: CACHE_BYTES, bytes: 0 }
    }
}

impl Patterns {
    /// Bytes that they take compiled, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The search for `pattern`.
    pub(crate) fn compile(&mut self, pattern: &Pattern, extent: Extent) -> Result<Arc<Regex>, String> {
        let key = (pattern.translated().to_owned(), extent);
        if let Some(known) = self.compiled.get(&key) {
            return Ok(Arc::clone(known));
        }
        // The first few get all that they may have.
        let cache_bytes = (self.cache_bytes / 8).clamp(MIN_CACHE_BYTES, MAX_CACHE_BYTES);
        self.cache_bytes = self.cache_bytes.saturating_sub(cache_bytes);
        let regex = Arc::new(pattern.compile(extent, cache_bytes)?);
        self.bytes = self.bytes.saturating_add(pattern.estimated_bytes());
        self.compiled.insert(key, Arc::clone(&regex));
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse_query, pretty};

    const TOO_MUCH: &str = "parse error : the regular expressions of the query would take more than 16 MiB compiled: \
                            make them shorter or fewer";

    #[test]
    fn a_query_s_regular_expressions_share_one_budget() {
        let many = |part: &dyn Fn(usize) -> String| (0..50).map(part).collect::<Vec<_>>().join(" ");
        let large = |i: usize| format!(r"\\pL{{40}}x{i}");
        for query in [
            format!("{{a=\"b\"}} {}", many(&|i| format!("|~ \"{}\"", large(i)))),
            format!("{{a=\"b\"}} | x=\"y\" {}", many(&|i| format!("| x!~\"{}\"", large(i)))),
            format!("{{a=\"b\"}} | drop x {}", many(&|i| format!(", x=~\"{}\"", large(i)))),
            format!("{{a=\"b\"}} {}", many(&|i| format!("| regexp \"(?P<x>{})\"", large(i)))),
            format!("{{a=\"b\" {}}}", many(&|i| format!(", x=~\"{}\"", large(i)))),
            format!(
                "{{a=\"b\"}} {}",
                many(&|i| format!("| line_format `{{{{count \"{}\" .x}}}}`", large(i)))
            ),
            format!(
                "vector(1) {}",
                many(&|i| format!("+ label_replace(vector(1), \"a\", \"b\", \"c\", \"{}\")", large(i)))
            ),
            format!("{{a=\"b\"}} {}", (0..1000).map(|i| format!("|~ \"a.{i}\"")).collect::<String>()),
            // Found too large before its classes are looked up.
            format!("{{a=\"b\"}} |~ \"(?i){}\"", r"\\pL".repeat(20_000)),
        ] {
            let error = parse_query(&query).unwrap_err().to_string();
            assert_eq!(error, TOO_MUCH, "{}", query.get(..60).unwrap_or(&query));
        }
    }

    #[test]
    fn groups_that_are_read_count_for_each_state_and_others_are_dropped() {
        let unnamed = "()".repeat(4_000);
        let named: String = (0..4_000).map(|i| format!("(?P<g{i}>)")).collect();
        for query in [
            format!("{{a=\"b\"}} | regexp `{named}`"),
            format!("label_replace(vector(1), \"a\", \"$1\", \"c\", \"{unnamed}\")"),
            format!("{{a=\"b\"}} | line_format `{{{{regexReplaceAll \"{unnamed}\" .x \"$1\"}}}}`"),
        ] {
            let error = parse_query(&query).unwrap_err().to_string();
            assert_eq!(error, TOO_MUCH, "{}", query.get(..60).unwrap_or(&query));
        }
        for (groups, kept) in [(Groups::None, 1), (Groups::Named, 2)] {
            let pattern = Pattern::parse(&format!("(?P<x>.*){unnamed}"), groups).unwrap();
            let regex = Patterns::default().compile(&pattern, Extent::Part).unwrap();
            assert_eq!(regex.captures_len(), kept, "{groups:?}");
            assert!(regex.is_match(b"x"));
        }
    }

    #[test]
    fn equal_ones_count_and_compile_once_and_long_ones_pass() {
        let words: Vec<String> = (0..2_500).map(|i| format!("w{:08}", i * 7_919)).collect();
        let words = words.join("|");
        for query in [
            format!("{{a=\"b\"}} {}", r"|~ `\pL{40}` ".repeat(50)),
            format!("{{a=\"b\"}} |~ `{words}`"),
            format!("{{a=~`{words}`}} |~ `(?i){words}`"),
        ] {
            let expr = parse_query(&query).unwrap_or_else(|e| panic!("{e}"));
            assert!(!pretty(&expr).is_empty());
        }
        let mut patterns = Patterns::default();
        let pattern = Pattern::parse(r"\pL{40}", Groups::None).unwrap();
        let compiled: Vec<Arc<Regex>> =
            (0..50).map(|_| patterns.compile(&pattern, Extent::Part).unwrap()).collect();
        assert!(compiled.iter().all(|regex| regex.is_match(&[b'x'; 40])));
        assert!(
            compiled.iter().all(|regex| Arc::ptr_eq(regex, &compiled[0])),
            "each copy would have own caches"
        );
        assert_eq!(patterns.compiled.len(), 1);
        let before = patterns.cache_bytes;
        patterns.compile(&pattern, Extent::Whole).unwrap();
        assert_eq!(patterns.compiled.len(), 2);
        assert!(patterns.cache_bytes < before);
    }
}
