//! Which structured metadata does a segment have, and in which blocks?
//!
//! Metadata is only asked for as a whole pair, so a pair's term is a hash of it. 32 bits are enough: a look-up in a
//! segment with a million pairs names a block too many once in four thousand times.

use super::TextError;
use super::interner::{Places, Sorted};
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a pair's term.
pub(super) const KEY_BYTES: usize = 4;

/// The term of a pair.
pub(super) fn pair_key(name: &str, value: &str, scratch: &mut Vec<u8>) -> u32 {
    scratch.clear();
    scratch.extend_from_slice(name.as_bytes());
    scratch.push(0);
    scratch.extend_from_slice(value.as_bytes());
    xxh3_64(scratch) as u32
}

/// Collects the pairs of a segment.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    scratch: Vec<u8>,
    block: HashSet<u32>,
    known: HashMap<u32, u32>,
    keys: Vec<u32>,
    places: Places,
}

impl Pairs {
    /// Adds the pairs of `block`, the newest block.
    pub(super) fn add_block<'a>(&mut self, block: u32, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        self.block.clear();
        for (name, value) in pairs {
            let key = pair_key(name, value, &mut self.scratch);
            if !self.block.insert(key) {
                continue;
            }
            match self.known.get(&key) {
                Some(&term) => self.places.add(term, block),
                None => {
                    self.known.insert(key, self.places.begin(block));
                    self.keys.push(key);
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.is_full()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.known.allocation_size()
            + self.block.allocation_size()
            + self.keys.capacity() * KEY_BYTES
            + self.places.memory_bytes()
    }

    /// The terms by number, and their places.
    pub(super) fn finish(self) -> (Vec<u32>, Sorted) {
        (self.keys, self.places.sort())
    }
}

/// Ascending terms of each section: the common ones, then those of each block.
#[derive(Debug)]
pub(super) struct PairTable {
    keys: Vec<u32>,
    /// Where each section ends.
    ends: Vec<u32>,
}

impl PairTable {
    /// Takes the table apart from `bytes`, with `counts` terms in each section.
    pub(super) fn decode(bytes: &[u8], counts: &[u32]) -> Result<PairTable, TextError> {
        let (words, rest) = bytes.as_chunks::<KEY_BYTES>();
        let mut end = 0u32;
        let mut ends = Vec::with_capacity(counts.len());
        for &count in counts {
            end = end.checked_add(count).ok_or(TextError::Damaged("count of pairs"))?;
            ends.push(end);
        }
        if !rest.is_empty() || words.len() != end as usize {
            return Err(TextError::Damaged("count of pairs"));
        }
        Ok(PairTable { keys: words.iter().map(|word| u32::from_be_bytes(*word)).collect(), ends })
    }

    /// How many terms stand in several blocks.
    pub(super) fn common(&self) -> usize {
        self.ends.first().map_or(0, |&end| end as usize)
    }

    /// The sections that have the term, with its rank in the section; section 0 is the common one.
    pub(super) fn find(&self, key: u32) -> impl Iterator<Item = (u32, u32)> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        (0u32..).zip(starts.zip(&self.ends)).filter_map(move |(section, (start, &end))| {
            let keys = self.keys.get(start as usize..end as usize)?;
            Some((section, keys.binary_search(&key).ok()? as u32))
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.keys.capacity() + self.ends.capacity()) * 4
    }
}
