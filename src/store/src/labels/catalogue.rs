//! Which streams does one tenant have, and on which days? The compact form in memory, and what of it is not saved yet.
//!
//! A stream is a number; numbers grow and are never used again, so that postings are only appended to and pages of
//! saved streams never change. Streams without days stay as empty places until there are so many of them that the
//! catalogue is written anew without them.

use super::days::Days;
use super::symbols::Symbols;
use crate::invariant::invariant;
use hashbrown::HashTable;
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Day, Labels};

/// A catalogue that queries read while commits change it.
pub(super) type Shared = Arc<RwLock<Catalogue>>;

/// How large the pieces of the image are. Tests use small ones to get past their ends often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Streams whose labels make one record of the image.
    pub(super) label_page: usize,
    /// Streams whose days make one record of the image. Days change daily where labels never do, and pack far better.
    pub(super) day_page: usize,
    /// Fewer empty places than this are not worth a rewrite.
    pub(super) compact_min: usize,
    /// Bytes of a record that are kept together. sled keeps up to 20 values in a node and puts a node above a quarter of
    /// the segment (128 KiB) into a file apart, outside what we sync. 20 pieces with their keys stay below it.
    pub(super) piece_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { label_page: 256, day_page: 4096, compact_min: 256, piece_bytes: 4096 }
    }
}

/// A tenant's streams number more than 4 billion, or their values more than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant has more labels than the label index can hold")]
pub(super) struct Full;

/// The streams of one tenant.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) sizes: Sizes,
    pub(super) symbols: Symbols,
    /// Pair numbers of all streams, back to back.
    pairs: Vec<u32>,
    /// Per stream, where its pairs end.
    ends: Vec<u32>,
    pub(super) days: Vec<Days>,
    by_pairs: HashTable<u32>,
    n_live: usize,
    /// Memory of days that do not fit into their places.
    day_bytes: usize,
    /// Streams whose labels the image has.
    saved_streams: usize,
    dirty_day_pages: BTreeSet<u32>,
}

/// Hash of a stream's pair numbers, which name it as well as its text does and are shorter.
fn pairs_hash(pairs: &[u32]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15u64;
    for pair in pairs {
        hash = (hash ^ u64::from(*pair)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    }
    hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53) ^ (hash >> 29)
}

fn pairs_of<'a>(pairs: &'a [u32], ends: &[u32], stream: u32) -> &'a [u32] {
    let at = stream as usize;
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(at).copied();
    let own = end.and_then(|end| pairs.get(start as usize..end as usize));
    invariant!(own.is_some(), "stream {stream} of {} has no pairs", ends.len());
    own.unwrap_or_default()
}

impl Catalogue {
    /// An empty catalogue.
    pub(super) fn new(sizes: Sizes) -> Self {
        Self { sizes, ..Self::default() }
    }

    /// An empty catalogue with room for this many streams.
    pub(super) fn with_room(streams: usize, sizes: Sizes) -> Self {
        Self {
            sizes,
            ends: Vec::with_capacity(streams),
            days: Vec::with_capacity(streams),
            by_pairs: HashTable::with_capacity(streams),
            ..Self::default()
        }
    }

    /// Streams with at least one day.
    #[cfg(test)]
    pub(super) fn n_live(&self) -> usize {
        self.n_live
    }

    /// Places, empty ones included.
    pub(super) fn n_streams(&self) -> usize {
        self.ends.len()
    }

    /// The pair numbers of a stream, by name.
    pub(super) fn pairs(&self, stream: u32) -> &[u32] {
        pairs_of(&self.pairs, &self.ends, stream)
    }

    /// A stream's labels as text.
    pub(super) fn label_texts(&self, stream: u32) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(stream).iter().map(|pair| self.symbols.text(*pair))
    }

    /// Adds a day to a stream, which is made when it is new.
    pub(super) fn add(&mut self, day: Day, labels: &Labels) -> Result<u32, Full> {
        let stream = self.intern(labels.iter())?;
        self.add_day(stream, day);
        Ok(stream)
    }

    fn intern<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Result<u32, Full> {
        let mut pairs = Vec::with_capacity(labels.size_hint().0);
        for (name, value) in labels {
            let name = self.symbols.intern_name(name);
            pairs.push(self.symbols.intern_pair(name, value).ok_or(Full)?);
        }
        let hash = pairs_hash(&pairs);
        let same = |stream: &u32| self.pairs(*stream) == pairs;
        match self.by_pairs.find(hash, same) {
            Some(stream) => Ok(*stream),
            None => self.push_stream(&pairs, Days::None),
        }
    }

    /// Appends a stream that is known to be new.
    pub(super) fn push_stream(&mut self, pairs: &[u32], days: Days) -> Result<u32, Full> {
        let stream = u32::try_from(self.ends.len()).map_err(|_| Full)?;
        let end = u32::try_from(self.pairs.len() + pairs.len()).map_err(|_| Full)?;
        for pair in pairs {
            self.symbols.post(*pair, stream);
        }
        self.pairs.extend_from_slice(pairs);
        self.ends.push(end);
        self.n_live += usize::from(!days.is_empty());
        self.day_bytes += days.heap_bytes();
        self.days.push(days);
        let (all, ends) = (&self.pairs, &self.ends);
        let hash = |stream: &u32| pairs_hash(pairs_of(all, ends, *stream));
        self.by_pairs.insert_unique(pairs_hash(pairs), stream, hash);
        self.dirty_day_pages.insert(stream / self.sizes.day_page as u32);
        invariant!(
            self.days.len() == self.ends.len(),
            "{} days of {} streams",
            self.days.len(),
            self.ends.len()
        );
        Ok(stream)
    }

    fn add_day(&mut self, stream: u32, day: Day) {
        let Some(days) = self.days.get_mut(stream as usize) else {
            invariant!(false, "a day of stream {stream}, which is not there");
            return;
        };
        self.n_live += usize::from(days.is_empty());
        let before = days.heap_bytes();
        if days.insert(day.0) {
            self.day_bytes = (self.day_bytes + days.heap_bytes()).saturating_sub(before);
            self.dirty_day_pages.insert(stream / self.sizes.day_page as u32);
        }
    }

    /// The day has exactly these streams afterwards.
    pub(super) fn replace_day<'a>(
        &mut self,
        day: Day,
        labels: impl Iterator<Item = &'a Labels>,
    ) -> Result<(), Full> {
        let mut stay = vec![false; self.n_streams()];
        for labels in labels {
            let stream = self.add(day, labels)?;
            if let Some(stays) = stay.get_mut(stream as usize) {
                *stays = true;
            }
        }
        // Streams beyond `stay` were made just now.
        for (stream, stays) in stay.into_iter().enumerate() {
            if !stays {
                self.remove_day(stream, day);
            }
        }
        if self.n_live == 0 {
            // Now and not when it is saved: whoever asked compares sizes before and after.
            *self = Self::new(self.sizes);
            return Ok(());
        }
        let n_empty = self.n_streams() - self.n_live;
        if n_empty >= self.sizes.compact_min && n_empty > self.n_live {
            *self = self.compacted()?;
        }
        Ok(())
    }

    fn remove_day(&mut self, stream: usize, day: Day) {
        let Some(days) = self.days.get_mut(stream) else { return };
        let before = days.heap_bytes();
        if days.remove(day.0) {
            self.day_bytes = (self.day_bytes + days.heap_bytes()).saturating_sub(before);
            invariant!(self.n_live > 0, "a day of a stream ends where none lives");
            self.n_live = self.n_live.saturating_sub(usize::from(days.is_empty()));
            self.dirty_day_pages.insert((stream / self.sizes.day_page) as u32);
        }
    }

    /// The same without empty places and without texts that only they used.
    fn compacted(&self) -> Result<Self, Full> {
        let mut new = Self::new(self.sizes);
        for (stream, days) in self.days.iter().enumerate().filter(|(_, days)| !days.is_empty()) {
            let stream = new.intern(self.label_texts(stream as u32))?;
            if let Some(to) = new.days.get_mut(stream as usize) {
                *to = days.clone();
                new.day_bytes += to.heap_bytes();
            }
        }
        invariant!(new.n_streams() == self.n_live, "{} streams of {} live", new.n_streams(), self.n_live);
        new.n_live = self.n_live;
        Ok(new)
    }

    /// Pages of labels and of days that the whole catalogue has; none when no stream has a day.
    pub(super) fn n_pages(&self) -> (usize, usize) {
        if self.n_live == 0 {
            return (0, 0);
        }
        (self.n_streams().div_ceil(self.sizes.label_page), self.n_streams().div_ceil(self.sizes.day_page))
    }

    /// Pages of labels and of days that differ from the image; the caller saves them all.
    pub(super) fn take_dirty(&mut self) -> (Vec<u32>, BTreeSet<u32>) {
        invariant!(self.saved_streams <= self.n_streams(), "more streams are saved than there are");
        invariant!(self.n_live <= self.n_streams(), "more streams live than there are");
        let (n_label_pages, _) = self.n_pages();
        if n_label_pages == 0 {
            // The image drops the tenant; whatever comes after starts from nothing.
            *self = Self::new(self.sizes);
            return (Vec::new(), BTreeSet::new());
        }
        let from = if self.saved_streams == self.n_streams() {
            n_label_pages
        } else {
            self.saved_streams / self.sizes.label_page
        };
        self.saved_streams = self.n_streams();
        ((from as u32..n_label_pages as u32).collect(), std::mem::take(&mut self.dirty_day_pages))
    }

    /// Sets the days of all streams, as the image has them; whether there is one set for each stream.
    pub(super) fn set_days(&mut self, days: Vec<Days>) -> bool {
        let fits = days.len() == self.n_streams();
        self.n_live = days.iter().filter(|days| !days.is_empty()).count();
        self.day_bytes = days.iter().map(Days::heap_bytes).sum();
        self.days = days;
        self.saved_streams = self.n_streams();
        self.dirty_day_pages.clear();
        fits
    }

    /// Bytes of memory, roughly and not too few, from counts alone: cheap enough to ask after every few streams.
    pub(super) fn estimated_bytes(&self) -> usize {
        // Each pair of a stream is also a number in the postings of the pair, which may have room to spare.
        (3 * self.pairs.capacity() + self.ends.capacity()) * size_of::<u32>()
            + self.days.capacity() * size_of::<Days>()
            + self.day_bytes
            + self.by_pairs.allocation_size()
            + self.symbols.estimated_bytes()
    }

    /// Bytes of memory, roughly.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        (self.pairs.capacity() + self.ends.capacity()) * size_of::<u32>()
            + self.days.capacity() * size_of::<Days>()
            + self.days.iter().map(Days::heap_bytes).sum::<usize>()
            + self.by_pairs.allocation_size()
            + self.symbols.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::tests::SMALL;

    fn labels(i: usize) -> Labels {
        Labels::from_pairs(&[("app", "x".to_owned()), ("pod", format!("pod-{i}"))]).unwrap()
    }

    #[test]
    fn a_stream_has_one_place() {
        let mut catalogue = Catalogue::new(SMALL);
        for i in (0..1000).chain(0..1000) {
            assert_eq!(catalogue.add(Day(i as i32 % 3), &labels(i)), Ok(i as u32));
        }
        assert_eq!((catalogue.n_streams(), catalogue.n_live()), (1000, 1000));
        assert_eq!(catalogue.label_texts(7).collect::<Vec<_>>(), [("app", "x"), ("pod", "pod-7")]);
    }

    #[test]
    fn only_what_changed_is_dirty() {
        let mut catalogue = Catalogue::new(SMALL);
        let day = Day(1);
        for i in 0..2 * SMALL.label_page + 1 {
            catalogue.add(day, &labels(i)).unwrap();
        }
        assert_eq!(catalogue.take_dirty(), (vec![0, 1, 2], BTreeSet::from([0])));
        catalogue.add(day, &labels(5)).unwrap();
        assert_eq!(catalogue.take_dirty(), (vec![], BTreeSet::new()));
        catalogue.add(Day(2), &labels(5)).unwrap();
        assert_eq!(catalogue.take_dirty(), (vec![], BTreeSet::from([0])));
        for i in 0..SMALL.day_page + SMALL.label_page {
            catalogue.add(day, &labels(i)).unwrap();
        }
        let last = (SMALL.day_page / SMALL.label_page) as u32;
        assert_eq!(catalogue.take_dirty(), ((2..=last).collect(), BTreeSet::from([0, 1])));
        assert_eq!(catalogue.n_pages(), (last as usize + 1, 2));
    }

    #[test]
    fn many_empty_places_are_compacted_away() {
        let mut catalogue = Catalogue::new(SMALL);
        for i in 0..1000 {
            catalogue.add(Day(1), &labels(i)).unwrap();
        }
        for i in 0..20 {
            catalogue.add(Day(2), &labels(i)).unwrap();
        }
        catalogue.take_dirty();
        let bytes = catalogue.memory_bytes();
        catalogue.replace_day(Day(1), std::iter::empty()).unwrap();
        assert_eq!((catalogue.n_streams(), catalogue.n_live()), (20, 20));
        assert!(catalogue.memory_bytes() < bytes / 2);
        assert_eq!(catalogue.take_dirty(), (vec![0, 1], BTreeSet::from([0])));
        catalogue.replace_day(Day(2), std::iter::empty()).unwrap();
        assert_eq!(catalogue.n_live(), 0);
        assert_eq!(catalogue.take_dirty(), (vec![], BTreeSet::new()));
        assert_eq!(catalogue.n_streams(), 0);
    }
}
