//! Which streams have this label value? A set of stream numbers that costs little for one stream and for all of them.

use crate::invariant::debug_invariant;
use roaring::RoaringBitmap;

/// Longer lists become bitmaps: there the bitmap's fixed cost is paid for.
const LIST_MAX: usize = 32;
/// Numbers go to a bitmap in groups, because it looks for its highest member whenever something is appended.
const TAIL_MAX: usize = 64;

/// Ascending stream numbers, never none. Half of all label values belong to one stream (pod names, instance ids).
#[derive(Debug)]
pub(super) enum Postings {
    One(u32),
    List(Vec<u32>),
    Many(Box<Many>),
}

/// A set with many members.
#[derive(Debug, Default)]
pub(super) struct Many {
    bitmap: RoaringBitmap,
    /// Higher than all in the bitmap.
    tail: Vec<u32>,
}

impl Many {
    fn push(&mut self, stream: u32) {
        self.tail.push(stream);
        if self.tail.len() >= TAIL_MAX {
            // Should they not be higher, they are no less members.
            debug_invariant!(
                self.tail.is_sorted() && self.bitmap.max() < self.tail.first().copied(),
                "postings go back"
            );
            if self.bitmap.append(self.tail.iter().copied()).is_err() {
                self.bitmap.extend(&self.tail);
            }
            self.tail.clear();
        }
    }
}

impl Postings {
    /// Adds a stream whose number is higher than all before.
    pub(super) fn push(&mut self, stream: u32) {
        match self {
            Self::One(first) => *self = Self::List(vec![*first, stream]),
            Self::List(list) if list.len() < LIST_MAX => list.push(stream),
            Self::List(list) => {
                let mut many = Box::<Many>::default();
                list.iter().for_each(|earlier| many.push(*earlier));
                many.push(stream);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.push(stream),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::List(list) => list.len() as u64,
            Self::Many(many) => many.bitmap.len() + many.tail.len() as u64,
        }
    }

    /// Adds all streams to `set`.
    pub(super) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Self::One(stream) => set.extend([*stream]),
            Self::List(list) => set.extend(list),
            Self::Many(many) => {
                *set |= &many.bitmap;
                set.extend(&many.tail);
            }
        }
    }

    /// Whether any stream passes.
    pub(super) fn any(&self, mut test: impl FnMut(u32) -> bool) -> bool {
        match self {
            Self::One(stream) => test(*stream),
            Self::List(list) => list.iter().any(|stream| test(*stream)),
            // The newest first: they are more likely to be of the days that are asked for.
            Self::Many(many) => many.tail.iter().any(|s| test(*s)) || many.bitmap.iter().rev().any(test),
        }
    }

    /// Bytes on the heap, roughly.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::List(list) => list.capacity() * size_of::<u32>(),
            Self::Many(many) => {
                size_of::<Many>() + many.bitmap.serialized_size() + many.tail.capacity() * size_of::<u32>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_holds_the_same_set() {
        let mut postings = Postings::One(3);
        for n in 1..300u32 {
            let mut set = RoaringBitmap::new();
            postings.add_to(&mut set);
            let wanted: Vec<u32> = (0..n).map(|i| 3 + 2 * i).collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(postings.len(), u64::from(n));
            assert!(wanted.iter().all(|wanted| postings.any(|stream| stream == *wanted)));
            assert!(!postings.any(|stream| stream % 2 == 0));
            postings.push(3 + 2 * n);
        }
        assert!(matches!(postings, Postings::Many(_)));
        assert_eq!(size_of::<Postings>(), 24);
    }
}
