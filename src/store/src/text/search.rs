//! Which blocks can hold a given piece of a line?
//!
//! A needle is cut into token runs. Where a line holds the needle, each run lies inside one token of the line: equal to
//! it when the needle has other bytes on both sides of the run, its end or its beginning when the run touches one end
//! of the needle, anywhere in it when the run is the whole needle. Every run narrows the blocks further.

use super::block_set::BlockSet;
use super::postings::{CommonTerms, Kind};
use super::terms::FlatTerms;
use super::token::{CUT_BYTES, for_each_token};
use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

/// With more common terms than this, reading their postings costs more than it can save.
const MAX_COMMON_HITS: usize = 2000;
/// Each run costs a search; those beyond, all shorter, would hardly narrow any further.
const MAX_RUNS: usize = 32;
/// No folded form of so many characters is longer than [`CUT_BYTES`].
const MAX_FOLDED_CHARS: usize = CUT_BYTES / 4;

/// A token run of a needle; `left` and `right` say whether a token must begin and end with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TokenRun<'a> {
    bytes: &'a [u8],
    left: bool,
    right: bool,
}

/// The runs of a needle, the longest first: it leaves the fewest blocks to look at.
fn runs(needle: &[u8]) -> Vec<TokenRun<'_>> {
    let mut runs = Vec::new();
    for_each_token(needle, |start, end| {
        runs.push(TokenRun { bytes: &needle[start..end], left: start > 0, right: end < needle.len() });
    });
    runs.sort_by_key(|run| std::cmp::Reverse(run.bytes.len()));
    runs.truncate(MAX_RUNS);
    runs
}

/// A search for the places of terms.
enum Finder {
    // Boxed because it is ten times the size of the other.
    Exact(Box<memmem::Finder<'static>>),
    Folded(Regex),
}

impl Finder {
    fn literal(run: TokenRun<'_>) -> Finder {
        let text = [delimiter(run.left).as_bytes(), run.bytes, delimiter(run.right).as_bytes()].concat();
        Finder::Exact(Box::new(memmem::Finder::new(&text).into_owned()))
    }

    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Finder::Exact(finder) => finder.find(text),
            Finder::Folded(regex) => regex.find(text).map(|hit| hit.start()),
        }
    }
}

/// The terms to search and the blocks of the common ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) terms: &'a FlatTerms,
    pub(super) common: &'a CommonTerms,
}

impl Search<'_> {
    /// Blocks that can hold a line with these bytes.
    pub(super) fn literal(&self, needle: &[u8]) -> BlockSet {
        let mut found = BlockSet::all(self.terms.blocks());
        for run in runs(needle) {
            self.narrow_literal(run, &mut found);
            if found.is_empty() {
                break;
            }
        }
        found
    }

    /// Blocks that can hold a line with this text in any mix of cases.
    pub(super) fn folded(&self, needle: &str) -> BlockSet {
        let mut found = BlockSet::all(self.terms.blocks());
        // Folding never turns a token byte into another byte or back, so every form of the needle is cut alike.
        for run in runs(needle.as_bytes()) {
            self.narrow_folded(run, &mut found);
            if found.is_empty() {
                break;
            }
        }
        found
    }

    fn narrow_literal(&self, run: TokenRun<'_>, found: &mut BlockSet) {
        let mut hits = BlockSet::none(self.terms.blocks());
        let cut = run.bytes.get(..CUT_BYTES).filter(|cut| cut.len() < run.bytes.len());
        if let (true, Some(cut)) = (run.left, cut) {
            // A token that begins with the run may be there in its cut form only.
            hits.or(found);
            hits.and(self.terms.truncated());
            self.narrow(
                &Finder::literal(TokenRun { bytes: cut, left: true, right: true }),
                true,
                BlockSet::none(self.terms.blocks()),
                &mut hits,
            );
        } else if !run.left {
            // The run may stand behind the cut.
            hits.or(self.terms.truncated());
        }
        self.narrow(&Finder::literal(run), run.left, hits, found);
    }

    fn narrow_folded(&self, run: TokenRun<'_>, found: &mut BlockSet) {
        // A run of a text starts and ends at ASCII bytes or the text's ends, so it is text as well.
        let Ok(text) = std::str::from_utf8(run.bytes) else { return };
        let cut = text.char_indices().nth(MAX_FOLDED_CHARS).map(|(at, _)| at);
        let escaped = regex::escape(cut.and_then(|at| text.get(..at)).unwrap_or(text));
        let (left, right) = (delimiter(run.left), delimiter(run.right && cut.is_none()));
        // A pattern that does not compile says nothing about any block.
        let Ok(regex) = RegexBuilder::new(&format!("{left}{escaped}{right}")).case_insensitive(true).build()
        else {
            return;
        };
        let mut hits = BlockSet::none(self.terms.blocks());
        if !run.left {
            hits.or(self.terms.truncated());
        }
        self.narrow(&Finder::Folded(regex), run.left, hits, found);
    }

    /// Keeps those of the blocks that are in `hits` or have a term that `finder` finds; `left` says whether what it
    /// looks for starts with the delimiter in front of a term.
    fn narrow(&self, finder: &Finder, left: bool, mut hits: BlockSet, found: &mut BlockSet) {
        let Some(ranks) = self.common_hits(finder, left) else { return };
        if self.common.add_blocks(Kind::Line, &ranks, &mut hits).is_err() {
            // Unreadable postings say nothing; the blocks stay.
            return;
        }
        self.rare_hits(finder, left, found, &mut hits);
        found.and(&hits);
    }

    /// Ranks of the common terms that `finder` finds; `None` when they are too many to be of use.
    fn common_hits(&self, finder: &Finder, left: bool) -> Option<Vec<u32>> {
        let range = self.terms.sections(0, 1);
        let text = self.terms.text().get(..range.end)?;
        let mut ranks = Vec::new();
        let mut from = range.start;
        while let Some(hit) = text.get(from..).and_then(|rest| finder.find(rest)) {
            let at = from + hit + usize::from(left);
            ranks.push(self.terms.rank_at(at));
            if ranks.len() > MAX_COMMON_HITS {
                return None;
            }
            from = self.terms.term_end(at);
        }
        Some(ranks)
    }

    /// Adds the blocks of `within` with a rare term that `finder` finds.
    fn rare_hits(&self, finder: &Finder, left: bool, within: &BlockSet, hits: &mut BlockSet) {
        let mut blocks = within.iter().peekable();
        while let Some(first) = blocks.next() {
            // Neighbouring sections are one text.
            let mut end = first + 1;
            while blocks.next_if_eq(&end).is_some() {
                end += 1;
            }
            let range = self.terms.sections(first + 1, end + 1);
            let Some(text) = self.terms.text().get(..range.end) else { return };
            let mut from = range.start;
            while let Some(hit) = text.get(from..).and_then(|rest| finder.find(rest)) {
                let section = self.terms.section_at(from + hit + usize::from(left));
                hits.insert(section.saturating_sub(1));
                from = self.terms.sections(section + 1, section + 1).start.max(from + 1);
            }
        }
    }
}

fn delimiter(bounded: bool) -> &'static str {
    if bounded { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_cut_at_its_punctuation() {
        let run = |bytes: &'static str, left, right| TokenRun { bytes: bytes.as_bytes(), left, right };
        assert_eq!(runs(b"user"), [run("user", false, false)]);
        assert_eq!(runs(b" user"), [run("user", true, false)]);
        assert_eq!(
            runs(b"d=42, state=x"),
            [run("state", true, true), run("42", true, true), run("d", false, true), run("x", true, false)]
        );
        assert!(runs(b": \"").is_empty() && runs(b"").is_empty());
    }

    #[test]
    fn folded_forms_are_token_bytes_and_fit_their_limit() {
        let mut longest = 0;
        for c in ('a'..='z').chain('A'..='Z').chain(['µ', 'ß', 'ω', 'Å', 'ſ', 'K', 'ᲀ', '𐐨']) {
            let mut pattern = String::from("(?i)^");
            pattern.push(c);
            pattern.push('$');
            let regex = Regex::new(&pattern).unwrap();
            for form in char::MIN..=char::MAX {
                let mut buffer = [0; 4];
                let form = form.encode_utf8(&mut buffer).as_bytes();
                if regex.is_match(form) {
                    longest = longest.max(form.len());
                    assert!(form.iter().all(|&b| super::super::token::is_token_byte(b)), "{c:?} {form:?}");
                }
            }
        }
        assert!(longest * MAX_FOLDED_CHARS <= CUT_BYTES);
    }
}
