//! Which blocks of a segment are meant?

/// A set of block ordinals of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    blocks: u32,
    /// One bit per block, the lowest first; bits from `blocks` on are zero.
    bits: Vec<u64>,
}

impl BlockSet {
    /// No block of a segment with `blocks` blocks.
    #[must_use]
    pub fn none(blocks: u32) -> BlockSet {
        BlockSet { blocks, bits: vec![0; (blocks as usize).div_ceil(64)] }
    }

    /// All blocks of a segment with `blocks` blocks.
    #[must_use]
    pub fn all(blocks: u32) -> BlockSet {
        let mut bits = vec![u64::MAX; (blocks as usize).div_ceil(64)];
        if let (Some(last), used @ 1..) = (bits.last_mut(), blocks % 64) {
            *last = (1 << used) - 1;
        }
        BlockSet { blocks, bits }
    }

    /// Adds a block; one that the segment does not have is left out.
    pub fn insert(&mut self, block: u32) {
        if block < self.blocks {
            self.bits[block as usize / 64] |= 1 << (block % 64);
        }
    }

    /// Whether `block` is in the set.
    #[must_use]
    pub fn contains(&self, block: u32) -> bool {
        self.bits.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Keeps the blocks that are in `other` too.
    pub fn and(&mut self, other: &BlockSet) {
        for (i, word) in self.bits.iter_mut().enumerate() {
            *word &= other.bits.get(i).copied().unwrap_or_default();
        }
    }

    /// Adds the blocks of `other`, a set of the same segment.
    pub fn or(&mut self, other: &BlockSet) {
        for (word, more) in self.bits.iter_mut().zip(&other.bits) {
            *word |= more;
        }
    }

    /// How many blocks are in the set.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.bits.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether no block is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|&word| word == 0)
    }

    /// Whether every block of the segment is in the set.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.len() == self.blocks
    }

    /// How many blocks the segment has.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The blocks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.bits).flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(i * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(blocks: u32, members: &BTreeSet<u32>) -> BlockSet {
        let mut set = BlockSet::none(blocks);
        members.iter().for_each(|&block| set.insert(block));
        set
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            blocks in 0u32..200,
            a in prop::collection::btree_set(0u32..200, 0..40),
            b in prop::collection::btree_set(0u32..200, 0..40),
        ) {
            let inside = |s: &BTreeSet<u32>| s.iter().copied().filter(|&x| x < blocks).collect::<BTreeSet<_>>();
            let (left, right) = (inside(&a), inside(&b));
            let (mut and, mut or) = (set(blocks, &a), set(blocks, &a));
            and.and(&set(blocks, &b));
            or.or(&set(blocks, &b));
            prop_assert!(and.iter().eq(left.intersection(&right).copied()));
            prop_assert!(or.iter().eq(left.union(&right).copied()));
            prop_assert_eq!(or.len() as usize, left.union(&right).count());
            prop_assert_eq!(or.is_empty(), left.is_empty() && right.is_empty());
            prop_assert!((0..300).all(|x| and.contains(x) == (left.contains(&x) && right.contains(&x))));
        }

        #[test]
        fn all_is_every_block(blocks in 0u32..200) {
            prop_assert!(BlockSet::all(blocks).iter().eq(0..blocks));
            prop_assert!(BlockSet::all(blocks).is_all());
            prop_assert_eq!(BlockSet::none(blocks).is_all(), blocks == 0);
        }
    }
}
