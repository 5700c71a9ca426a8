//! How does the index of a segment come to be?

use super::TextError;
use super::block_terms::{BlockTerms, TermHash};
use super::interner::{Interner, Sorted, TermBytes};
use super::metadata::Pairs;
use super::postings;
use super::terms::TermsWriter;
use crate::invariant::{debug_invariant, invariant};

/// The two parts of an index, as they lie in a segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedTextIndex {
    /// All terms, and the blocks of those in one block only.
    pub terms: Vec<u8>,
    /// The blocks of the terms in several blocks.
    pub tantivy: Vec<u8>,
}

/// Builds the index of a segment, block by block.
#[derive(Debug)]
pub struct TextIndexBuilder {
    blocks: u32,
    block_terms: BlockTerms,
    terms: Interner,
    pairs: Pairs,
    truncated: Vec<u32>,
    overflow: bool,
}

impl Default for TextIndexBuilder {
    fn default() -> TextIndexBuilder {
        TextIndexBuilder::new()
    }
}

impl TextIndexBuilder {
    /// A builder for an empty segment.
    #[must_use]
    pub fn new() -> TextIndexBuilder {
        TextIndexBuilder {
            blocks: 0,
            block_terms: BlockTerms::new(TermHash::new()),
            terms: Interner::default(),
            pairs: Pairs::default(),
            truncated: Vec::new(),
            overflow: false,
        }
    }

    /// Adds the next block: `lines` are all its lines, each followed by `\n`, `metadata` all pairs of all its entries,
    /// in any order and as often as they occur.
    pub fn add_block<'a>(&mut self, lines: &[u8], metadata: impl Iterator<Item = (&'a str, &'a str)>) {
        self.overflow |= u32::try_from(lines.len()).is_err() || self.terms.is_full() || self.pairs.is_full();
        if self.overflow {
            // `finish` refuses: an index with a token left out would be worse than none.
            return;
        }
        let block = self.blocks;
        self.blocks += 1;
        self.block_terms.collect(lines);
        self.terms.add_block(block, lines, self.block_terms.terms());
        if self.block_terms.truncated() {
            self.truncated.push(block);
        }
        self.pairs.add_block(block, metadata);
    }

    /// How many blocks were added.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Memory held, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.block_terms.memory_bytes() + self.terms.memory_bytes() + self.pairs.memory_bytes()
    }

    /// Encodes the index. The bytes depend on the added blocks only.
    pub fn finish(self) -> Result<EncodedTextIndex, TextError> {
        if self.overflow {
            return Err(TextError::TooLarge("a block has 4 GiB or the segment two billion terms"));
        }
        let (bytes, terms) = self.terms.finish();
        let (keys, pairs) = self.pairs.finish();
        let common = sorted_terms(&bytes, terms.common());
        let mut common_pairs: Vec<u32> = pairs.common().collect();
        common_pairs.sort_unstable_by_key(|&pair| keys[pair as usize]);

        let mut writer = TermsWriter::default();
        let common_keys: Vec<u32> = common_pairs.iter().map(|&pair| keys[pair as usize]).collect();
        writer.section(common.iter().map(|&term| bytes.get(term)), &common_keys);
        write_rare(&mut writer, self.blocks, (&bytes, &terms), (&keys, &pairs));
        let terms_part = writer.finish(&self.truncated)?;
        if common.is_empty() && common_pairs.is_empty() {
            // One block has no common terms, and most segments of a quiet tenant have one block.
            return Ok(EncodedTextIndex { terms: terms_part, tantivy: Vec::new() });
        }
        Ok(EncodedTextIndex {
            terms: terms_part,
            tantivy: postings::build(
                self.blocks,
                common.iter().map(|&term| terms.blocks(term)),
                common_pairs.iter().map(|&pair| pairs.blocks(pair)),
            )?,
        })
    }
}

/// Writes the section of every block.
fn write_rare(writer: &mut TermsWriter, blocks: u32, terms: (&TermBytes, &Sorted), pairs: (&[u32], &Sorted)) {
    let (mut rare, mut rare_pairs) = (terms.1.rare().peekable(), pairs.1.rare().peekable());
    for block in 0..blocks {
        let of_block =
            std::iter::from_fn(|| rare.next_if(|&(_, place)| place == block)).map(|(term, _)| term);
        let section = sorted_terms(terms.0, of_block);
        let mut keys: Vec<u32> = std::iter::from_fn(|| rare_pairs.next_if(|&(_, place)| place == block))
            .map(|(pair, _)| pairs.0[pair as usize])
            .collect();
        keys.sort_unstable();
        debug_invariant!(
            section.is_sorted_by(|&a, &b| terms.0.get(a) < terms.0.get(b)),
            "the terms of block {block} are out of order"
        );
        writer.section(section.iter().map(|&term| terms.0.get(term)), &keys);
    }
    // An index that lacks one would hide lines.
    invariant!(rare.next().is_none(), "terms are left that stand in none of {blocks} blocks");
    invariant!(rare_pairs.next().is_none(), "pairs are left that stand in none of {blocks} blocks");
}

/// The terms in the order of their bytes.
fn sorted_terms(bytes: &TermBytes, terms: impl Iterator<Item = u32>) -> Vec<u32> {
    // Most comparisons end within eight bytes, and those need not leave the sorted array.
    let mut keyed: Vec<(u64, u32)> = terms.map(|term| (head(bytes.get(term)), term)).collect();
    keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| bytes.get(a.1).cmp(bytes.get(b.1))));
    keyed.into_iter().map(|(_, term)| term).collect()
}

/// The first eight bytes as a number that sorts as they do.
fn head(term: &[u8]) -> u64 {
    let mut head = [0; 8];
    let len = term.len().min(8);
    head[..len].copy_from_slice(&term[..len]);
    u64::from_be_bytes(head)
}
