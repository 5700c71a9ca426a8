//! Which distinct terms does a segment have, and in which blocks does each stand?

use super::block_terms::BlockTerm;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// In which blocks the terms of a segment stand, by term number.
///
/// Most terms stand in one block only: that one is kept with the term, the others in one list for all terms, in the
/// order of the blocks.
#[derive(Debug, Default)]
pub(super) struct Places {
    first: Vec<u32>,
    more: Vec<(u32, u32)>,
}

/// The places, taken apart: terms in one block (rare) and terms in several (common).
#[derive(Debug)]
pub(super) struct Sorted {
    first: Vec<u32>,
    /// Where the further blocks of a term begin in `blocks`; one more than there are terms.
    ends: Vec<u32>,
    blocks: Vec<u32>,
}

impl Places {
    /// A term not seen before; its number is the count of those before it.
    pub(super) fn begin(&mut self, block: u32) -> u32 {
        self.first.push(block);
        (self.first.len() - 1) as u32
    }

    /// A known term, in a block that is not yet among its places.
    pub(super) fn add(&mut self, term: u32, block: u32) {
        self.more.push((term, block));
    }

    /// Whether one more block could overflow the numbers of terms and places.
    pub(super) fn is_full(&self) -> bool {
        self.first.len() > u32::MAX as usize / 2 || self.more.len() > u32::MAX as usize / 2
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.first.capacity() * 4 + self.more.capacity() * 8
    }

    /// Groups the places by term, blocks ascending.
    pub(super) fn sort(self) -> Sorted {
        let mut ends = vec![0u32; self.first.len() + 1];
        for &(term, _) in &self.more {
            ends[term as usize + 1] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut next = ends.clone();
        let mut blocks = vec![0; self.more.len()];
        for (term, block) in self.more {
            let at = &mut next[term as usize];
            blocks[*at as usize] = block;
            *at += 1;
        }
        Sorted { first: self.first, ends, blocks }
    }
}

impl Sorted {
    /// Numbers of the terms in at least two blocks.
    pub(super) fn common(&self) -> impl Iterator<Item = u32> {
        (0..self.first.len() as u32).filter(|&term| !self.rest(term).is_empty())
    }

    /// Numbers and block of the terms in one block, blocks ascending.
    pub(super) fn rare(&self) -> impl Iterator<Item = (u32, u32)> {
        // Terms are numbered in the order of their first block, so these come out grouped by block.
        (0u32..)
            .zip(&self.first)
            .filter(|&(term, _)| self.rest(term).is_empty())
            .map(|(term, &block)| (term, block))
    }

    /// The blocks of a term, ascending.
    pub(super) fn blocks(&self, term: u32) -> impl Iterator<Item = u32> {
        [self.first[term as usize]].into_iter().chain(self.rest(term).iter().copied())
    }

    fn rest(&self, term: u32) -> &[u32] {
        &self.blocks[self.ends[term as usize] as usize..self.ends[term as usize + 1] as usize]
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    first: u64,
    hash: u32,
    term: u32,
}

impl Slot {
    /// The table takes its control byte from the top bits and the bucket from the low ones.
    fn table_hash(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// The distinct line terms of a segment, each stored once, and their places.
#[derive(Debug, Default)]
pub(super) struct Interner {
    table: HashTable<Slot>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    places: Places,
}

impl Interner {
    /// Records that the distinct `terms` of `lines` stand in `block`, the newest block.
    pub(super) fn add_block(&mut self, block: u32, lines: &[u8], terms: &[BlockTerm]) {
        for found in terms {
            let term = &lines[found.start as usize..][..found.len as usize];
            // The low half chose the slot in the block's set.
            let hash = (found.hash >> 32) as u32;
            let entry = self.table.entry(
                Slot::table_hash(hash),
                |slot| {
                    // Token bytes are never zero: a first word with room left is the whole term.
                    slot.first == found.first
                        && slot.hash == hash
                        && (found.len < 8 || bytes_of(&self.bytes, &self.ends, slot.term) == term)
                },
                |slot| Slot::table_hash(slot.hash),
            );
            match entry {
                Entry::Occupied(known) => self.places.add(known.get().term, block),
                Entry::Vacant(free) => {
                    free.insert(Slot { first: found.first, hash, term: self.places.begin(block) });
                    self.bytes.extend_from_slice(term);
                    self.ends.push(self.bytes.len());
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.is_full()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.allocation_size()
            + self.bytes.capacity()
            + self.ends.capacity() * 8
            + self.places.memory_bytes()
    }

    /// The terms and their places; the map to find them is dropped.
    pub(super) fn finish(self) -> (TermBytes, Sorted) {
        (TermBytes { bytes: self.bytes, ends: self.ends }, self.places.sort())
    }
}

/// The bytes of the terms, by term number.
#[derive(Debug)]
pub(super) struct TermBytes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl TermBytes {
    pub(super) fn get(&self, term: u32) -> &[u8] {
        bytes_of(&self.bytes, &self.ends, term)
    }
}

fn bytes_of<'a>(bytes: &'a [u8], ends: &[usize], term: u32) -> &'a [u8] {
    let start = if term == 0 { 0 } else { ends[term as usize - 1] };
    &bytes[start..ends[term as usize]]
}
