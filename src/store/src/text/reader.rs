//! Which blocks of an indexed segment can pass a filter?

use super::TextError;
use super::block_set::BlockSet;
use super::metadata::pair_key;
use super::postings::{CommonTerms, Kind};
use super::search::Search;
use super::terms::FlatTerms;
use strandline_model::Needle;

/// The full-text index of a segment, decoded. Opening costs milliseconds, a look-up less: keep it.
#[derive(Debug)]
pub struct TextIndex {
    terms: FlatTerms,
    common: CommonTerms,
}

impl TextIndex {
    /// Opens the two parts that [`super::TextIndexBuilder::finish`] made.
    pub fn open(terms: &[u8], tantivy: &[u8]) -> Result<TextIndex, TextError> {
        let terms = FlatTerms::decode(terms)?;
        let common = CommonTerms::open(tantivy, terms.blocks())?;
        let same =
            common.len(Kind::Line) == terms.common() && common.len(Kind::Pair) == terms.pairs().common();
        if same { Ok(TextIndex { terms, common }) } else { Err(TextError::Damaged("parts of two indexes")) }
    }

    /// How many blocks the segment has.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.terms.blocks()
    }

    /// Memory held, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.terms.memory_bytes() + self.common.memory_bytes()
    }

    /// The blocks that can hold an entry with `needle`: every block that does, seldom one that does not.
    #[must_use]
    pub fn candidates(&self, needle: &Needle) -> BlockSet {
        let search = Search { terms: &self.terms, common: &self.common };
        match needle {
            Needle::Any => BlockSet::all(self.blocks()),
            Needle::Literal(bytes) => search.literal(bytes),
            Needle::LiteralFolded(text) => search.folded(text),
            Needle::Metadata { name, value } => self.pair(name, value),
            Needle::All(needles) => self.all_of(needles),
            Needle::OneOf(needles) => self.one_of(needles),
        }
    }

    fn all_of(&self, needles: &[Needle]) -> BlockSet {
        let mut found = BlockSet::all(self.blocks());
        for needle in needles {
            if found.is_empty() {
                break;
            }
            found.and(&self.candidates(needle));
        }
        found
    }

    fn one_of(&self, needles: &[Needle]) -> BlockSet {
        let mut found = BlockSet::none(self.blocks());
        for needle in needles {
            if found.is_all() {
                break;
            }
            found.or(&self.candidates(needle));
        }
        found
    }

    fn pair(&self, name: &str, value: &str) -> BlockSet {
        let mut found = BlockSet::none(self.blocks());
        for (section, rank) in self.terms.pairs().find(pair_key(name, value, &mut Vec::new())) {
            if section > 0 {
                found.insert(section - 1);
            } else if self.common.add_blocks(Kind::Pair, &[rank], &mut found).is_err() {
                // Unreadable postings say nothing.
                return BlockSet::all(self.blocks());
            }
        }
        found
    }
}
