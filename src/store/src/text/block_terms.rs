//! Which distinct tokens does one block have?
//!
//! Most tokens of a block repeat within it. This set is small enough for the processor's cache, so the segment's big
//! map ([`super::interner`]) sees every token once per block only.

use super::token::{CUT_BYTES, MAX_TERM_BYTES, for_each_token};
use std::hash::BuildHasher as _;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const FIRST_SLOTS: usize = 1 << 12;
/// The part of a block's bytes that long tokens may add to the index. Blocks of encoded binary data reach it; without
/// a limit, their index would be as large as they are.
const LONG_SHARE: usize = 16;
/// What long tokens may add to the index even in a small block.
const LONG_ROOM: usize = 4 * MAX_TERM_BYTES;

/// A hash that an attacker cannot steer: the seed is drawn per builder and never reaches the encoded index.
#[derive(Debug, Clone, Copy)]
pub(super) struct TermHash {
    seed: u64,
}

impl TermHash {
    pub(super) fn new() -> TermHash {
        TermHash { seed: std::hash::RandomState::new().hash_one(0u8) }
    }

    /// `first` and `last` are the first and last eight bytes of a term of at most sixteen.
    #[inline]
    fn short(self, first: u64, last: u64, len: usize) -> u64 {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let a = first ^ self.seed;
        let b = (last ^ MIX).wrapping_add(len as u64) ^ self.seed.rotate_left(32);
        fold(fold(a, b | 1) ^ a, MIX)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}

/// A distinct term of the block: where it stands, and what the segment's map wants to know of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockTerm {
    /// The first eight bytes, little-endian, zeros behind a shorter term.
    pub(super) first: u64,
    pub(super) hash: u64,
    pub(super) start: u32,
    pub(super) len: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    first: u64,
    start: u32,
    /// Zero: the slot is free.
    len: u32,
}

/// The set, reused from block to block.
#[derive(Debug)]
pub(super) struct BlockTerms {
    hash: TermHash,
    slots: Vec<Slot>,
    terms: Vec<BlockTerm>,
    truncated: bool,
}

impl BlockTerms {
    pub(super) fn new(hash: TermHash) -> BlockTerms {
        BlockTerms { hash, slots: vec![Slot::default(); FIRST_SLOTS], terms: Vec::new(), truncated: false }
    }

    /// Replaces the set by the distinct tokens of `lines`, which must be shorter than 4 GiB.
    pub(super) fn collect(&mut self, lines: &[u8]) {
        // Back to the first size: what stays in the processor's nearest cache matters more than growing again.
        self.slots.clear();
        self.slots.resize(FIRST_SLOTS, Slot::default());
        self.terms.clear();
        self.truncated = false;
        let mut long_bytes = (lines.len() / LONG_SHARE).max(LONG_ROOM);
        for_each_token(lines, |start, end| {
            let len = end - start;
            if len <= CUT_BYTES {
                self.insert(lines, start, len, true);
            } else {
                self.insert_long(lines, start, len, &mut long_bytes);
            }
        });
    }

    /// A cut token makes its block a candidate for most needles, so long tokens stay whole while `room` lasts.
    #[cold]
    fn insert_long(&mut self, lines: &[u8], start: usize, len: usize, room: &mut usize) {
        let before = self.terms.len();
        let rest = len - CUT_BYTES;
        if len <= MAX_TERM_BYTES && self.insert(lines, start, len, rest <= *room) {
            if self.terms.len() > before {
                *room -= rest;
            }
        } else {
            self.truncated = true;
            self.insert(lines, start, CUT_BYTES, true);
        }
    }

    /// The distinct terms, in the order of their first places.
    pub(super) fn terms(&self) -> &[BlockTerm] {
        &self.terms
    }

    /// Whether a token was cut to [`CUT_BYTES`].
    pub(super) fn truncated(&self) -> bool {
        self.truncated
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.terms.capacity() * size_of::<BlockTerm>()
    }

    /// Whether the term is in the set now; `add` says whether one that was not may be added.
    #[inline(always)]
    fn insert(&mut self, lines: &[u8], start: usize, len: usize, add: bool) -> bool {
        let first = head_word(lines, start, len);
        let last = if len > 8 { word(lines, start + len - 8) } else { first };
        let hash = if len <= 16 {
            self.hash.short(first, last, len)
        } else {
            xxh3_64_with_seed(&lines[start..start + len], self.hash.seed)
        };
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.len == 0 {
                break;
            }
            if slot.first == first && slot.len as usize == len {
                let there = slot.start as usize;
                let same = len <= 8
                    || (len <= 16 && word(lines, there + len - 8) == last)
                    || lines[there..there + len] == lines[start..start + len];
                if same {
                    return true;
                }
            }
            at = (at + 1) & mask;
        }
        if !add {
            return false;
        }
        self.slots[at] = Slot { first, start: start as u32, len: len as u32 };
        self.terms.push(BlockTerm { first, hash, start: start as u32, len: len as u32 });
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
        true
    }

    #[cold]
    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        self.slots.clear();
        self.slots.resize(mask + 1, Slot::default());
        for term in &self.terms {
            let mut at = term.hash as usize & mask;
            while self.slots[at].len != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = Slot { first: term.first, start: term.start, len: term.len };
        }
    }
}

/// The eight bytes at `at`, zeros behind the end of `bytes`.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(bytes.get(at..).unwrap_or_default()),
    }
}

#[cold]
fn short_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The first eight bytes of the term at `start`, zeros behind a shorter one.
#[inline]
fn head_word(bytes: &[u8], start: usize, len: usize) -> u64 {
    let keep = if len >= 8 { u64::MAX } else { (1 << (8 * len)) - 1 };
    word(bytes, start) & keep
}
