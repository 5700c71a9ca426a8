//! Which streams of a head have a label with this value? Found without a walk over all of them.
//!
//! Most heads are flushed before anyone asks them for a single stream, so entries pay nothing for this: a label is indexed
//! when it is asked for a second time, and each later look adds the streams that came since the last one. A label that never
//! helped gives way to the next one that is asked for.

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use strandline_model::{Labels, MatchOp, Selector};

/// With fewer streams than this a walk over them is as good.
pub(super) const MIN_STREAMS: usize = 1024;
/// Most labels of a tenant that are indexed.
const MAX_INDEXED: usize = 4;
/// What a stream takes in the index of a label, on average.
const STREAM_BYTES: usize = 33;
/// Most labels that are remembered to have been asked for once.
const MAX_ASKED: usize = 16;
/// A value that more than one in so many streams has selects too little: looked up one by one, these streams would cost as
/// much as a walk.
const MIN_RATIO: usize = 16;

/// Streams, by their number in the order of arrival.
pub(super) type Arrivals = SmallVec<[u32; 2]>;

/// The streams of one tenant by the values of some labels.
#[derive(Debug, Default)]
pub(super) struct LabelValues {
    indexed: Vec<Values>,
    /// Asked for once, oldest first.
    asked: VecDeque<Box<str>>,
    hasher: DefaultHashBuilder,
}

/// The streams by the values of one label.
#[derive(Debug)]
struct Values {
    name: Box<str>,
    /// By the hash of the value, so that no text is stored again: streams of different values may meet in one list.
    streams: HashMap<u64, Arrivals>,
    /// Streams that were looked at.
    seen: usize,
    /// Memory of the lists that do not lie in the map itself.
    spilled_bytes: usize,
    /// Whether it has ever spared a walk.
    helped: bool,
}

impl LabelValues {
    /// The streams among which all selected ones are; `None` where a walk over all `n` is as good. `labels_of` tells the
    /// labels of a stream by its number. The index may take `left_bytes` more, and twice that while its maps grow.
    pub(super) fn candidates<'l>(
        &mut self,
        selector: &Selector,
        n: usize,
        left_bytes: usize,
        labels_of: impl Fn(usize) -> Option<&'l Labels>,
    ) -> Option<Arrivals> {
        if n < MIN_STREAMS {
            return None;
        }
        // What is compared with an empty value selects streams that lack the label, and these are in no list.
        let equal = selector.matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty());
        // Of one look, which holds up commits, at most one is begun.
        let mut may_begin = true;
        for matcher in equal {
            let hasher = self.hasher.clone();
            let hash = hasher.hash_one(matcher.value.as_str());
            let fits = |streams: usize| streams.saturating_mul(STREAM_BYTES) <= left_bytes;
            let Some(values) = self.values_of(&matcher.name, &mut may_begin, fits(n)) else { continue };
            if !fits(n - values.seen) {
                continue;
            }
            values.add_streams(n, &labels_of, |value| hasher.hash_one(value));
            let found = match values.streams.get(&hash) {
                None => Arrivals::new(),
                Some(streams) if streams.len() <= n / MIN_RATIO => streams.clone(),
                Some(_) => continue,
            };
            values.helped = true;
            return Some(found);
        }
        None
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.indexed.iter().map(|values| values.streams.allocation_size() + values.spilled_bytes).sum()
    }

    /// The streams by the values of this label, if it was asked for before; `fits` says whether there is memory to begin.
    fn values_of(&mut self, name: &str, may_begin: &mut bool, fits: bool) -> Option<&mut Values> {
        if let Some(at) = self.indexed.iter().position(|values| *values.name == *name) {
            return self.indexed.get_mut(at);
        }
        let Some(at) = self.asked.iter().position(|asked| **asked == *name) else {
            if self.asked.len() >= MAX_ASKED {
                self.asked.pop_front();
            }
            self.asked.push_back(name.into());
            return None;
        };
        if !fits || !std::mem::take(may_begin) {
            return None;
        }
        if self.indexed.len() >= MAX_INDEXED {
            let useless = self.indexed.iter().position(|values| !values.helped)?;
            self.indexed.remove(useless);
        }
        let name = self.asked.remove(at)?;
        self.indexed.push(Values { name, streams: HashMap::new(), seen: 0, spilled_bytes: 0, helped: false });
        self.indexed.last_mut()
    }
}

impl Values {
    /// Adds the streams that came since the last look.
    fn add_streams<'l>(
        &mut self,
        n: usize,
        labels_of: &impl Fn(usize) -> Option<&'l Labels>,
        hash: impl Fn(&str) -> u64,
    ) {
        for stream in self.seen..n {
            let Some(value) = labels_of(stream).and_then(|labels| labels.get(&self.name)) else { continue };
            let streams = self.streams.entry(hash(value)).or_default();
            let before = spilled_bytes(streams);
            streams.push(stream as u32);
            self.spilled_bytes += spilled_bytes(streams) - before;
        }
        self.seen = n;
    }
}

fn spilled_bytes(streams: &Arrivals) -> usize {
    if streams.spilled() { streams.capacity() * size_of::<u32>() } else { 0 }
}
