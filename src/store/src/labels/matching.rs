//! Which streams does a selector mean, and which names and values do they have?
//!
//! Conditions are tried on the distinct values of a name, not on streams; a label that a stream lacks counts as the
//! empty string, so a condition that the empty string meets can only exclude.

use super::catalogue::Catalogue;
use super::symbols::Name;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use strandline_model::{Day, Labels, MatchOp, Matcher, Selector, TimeRange};

/// Days, first and last; `None` for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(Option<(i32, i32)>);

impl Span {
    /// The days that `range` touches.
    pub(super) fn of(range: Option<TimeRange>) -> Self {
        Self(range.map(|range| match range.start < range.end {
            true => (Day::of(range.start).0, Day::of(range.end - 1).0),
            // A span that no day lies in.
            false => (i32::MAX, i32::MIN),
        }))
    }
}

/// Streams, possibly all of them; days not looked at yet.
enum Slots {
    All,
    Some(RoaringBitmap),
}

impl Slots {
    fn contains(&self, stream: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(set) => set.contains(stream),
        }
    }

    /// Whether going through the streams is less work than going through `n_values`.
    fn fewer_than(&self, n_values: usize) -> Option<&RoaringBitmap> {
        match self {
            Self::Some(set) if set.len() < n_values as u64 => Some(set),
            _ => None,
        }
    }
}

impl Catalogue {
    fn is_seen(&self, stream: u32, span: Span) -> bool {
        self.days.get(stream as usize).is_some_and(|days| match span.0 {
            Some((first, last)) => days.overlap(first, last),
            None => !days.is_empty(),
        })
    }

    /// Up to `limit` of the selected streams.
    pub(super) fn streams(&self, span: Span, selector: &Selector, limit: usize) -> Vec<u32> {
        let seen = |stream: &u32| self.is_seen(*stream, span);
        match self.slots(selector) {
            Slots::All => (0..self.n_streams() as u32).filter(seen).take(limit).collect(),
            Slots::Some(set) => set.into_iter().filter(seen).take(limit).collect(),
        }
    }

    /// A stream's labels. The texts came out of a label set, so they make one.
    pub(super) fn labels(&self, stream: u32) -> Option<Labels> {
        let pairs: Vec<(&str, &str)> = self.label_texts(stream).collect();
        Labels::from_pairs(&pairs).ok()
    }

    /// Names that the selected streams have.
    pub(super) fn names_of(&self, span: Span, selector: &Selector) -> BTreeSet<String> {
        let slots = self.slots(selector);
        if let Some(few) = slots.fewer_than(self.symbols.n_pairs()) {
            let seen = few.iter().filter(|stream| self.is_seen(*stream, span));
            let names: BTreeSet<&str> =
                seen.flat_map(|stream| self.label_texts(stream)).map(|(n, _)| n).collect();
            return names.into_iter().map(str::to_owned).collect();
        }
        let used = |name: &&Name| name.pairs.iter().any(|pair| self.pair_is_used(*pair, span, &slots));
        self.symbols.names().iter().filter(used).map(|name| name.text.to_string()).collect()
    }

    /// Values of `name` that the selected streams have.
    pub(super) fn values_of(&self, name: &str, span: Span, selector: &Selector) -> BTreeSet<String> {
        let Some(known) = self.symbols.name(name) else { return BTreeSet::new() };
        let slots = self.slots(selector);
        if let Some(few) = slots.fewer_than(known.pairs.len()) {
            let seen = few.iter().filter(|stream| self.is_seen(*stream, span));
            let values: BTreeSet<&str> = seen.filter_map(|stream| self.value_in(stream, name)).collect();
            return values.into_iter().map(str::to_owned).collect();
        }
        let used = known.pairs.iter().filter(|pair| self.pair_is_used(**pair, span, &slots));
        used.map(|pair| self.symbols.value(*pair).to_owned()).collect()
    }

    fn pair_is_used(&self, pair: u32, span: Span, slots: &Slots) -> bool {
        let test = |stream| slots.contains(stream) && self.is_seen(stream, span);
        self.symbols.postings(pair).is_some_and(|postings| postings.any(test))
    }

    fn value_in(&self, stream: u32, name: &str) -> Option<&str> {
        self.label_texts(stream).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The streams that meet all conditions, whatever their days.
    fn slots(&self, selector: &Selector) -> Slots {
        let mut slots = Slots::All;
        // What only excludes comes last: then it has the least to look at.
        let (excluding, including): (Vec<&Matcher>, Vec<&Matcher>) =
            selector.matchers.iter().partition(|matcher| matcher.matches(""));
        let (equal, patterns): (Vec<&Matcher>, Vec<&Matcher>) =
            including.into_iter().partition(|matcher| matcher.op == MatchOp::Equal);
        let Some(mut postings) = equal.iter().map(|m| self.equal_pair(m)).collect::<Option<Vec<u32>>>()
        else {
            return Slots::Some(RoaringBitmap::new());
        };
        postings.sort_by_key(|pair| self.symbols.postings(*pair).map_or(0, |p| p.len()));
        for pair in postings {
            let mut set = RoaringBitmap::new();
            if let Some(postings) = self.symbols.postings(pair) {
                postings.add_to(&mut set);
            }
            slots = intersect(slots, set);
        }
        for matcher in patterns {
            slots = self.include(slots, matcher);
        }
        for matcher in excluding {
            slots = self.exclude(slots, matcher);
        }
        slots
    }

    fn equal_pair(&self, matcher: &Matcher) -> Option<u32> {
        self.symbols.pair_id(&matcher.name, &matcher.value)
    }

    /// Narrows to the streams that have a value which meets the condition.
    fn include(&self, slots: Slots, matcher: &Matcher) -> Slots {
        let Some(name) = self.symbols.name(&matcher.name) else { return Slots::Some(RoaringBitmap::new()) };
        if slots.fewer_than(name.pairs.len()).is_some() {
            return self.keep(slots, |stream| {
                self.value_in(stream, &matcher.name).is_some_and(|v| matcher.matches(v))
            });
        }
        intersect(slots, self.union(name, |value| matcher.matches(value)))
    }

    /// Takes away the streams that have a value which fails the condition; those without the label stay.
    fn exclude(&self, slots: Slots, matcher: &Matcher) -> Slots {
        let Some(name) = self.symbols.name(&matcher.name) else { return slots };
        if slots.fewer_than(name.pairs.len()).is_some() {
            return self.keep(slots, |stream| {
                self.value_in(stream, &matcher.name).is_none_or(|v| matcher.matches(v))
            });
        }
        let mut failing = RoaringBitmap::new();
        if matcher.op == MatchOp::NotEqual {
            // One value fails; the others need no look.
            if let Some(postings) = self.equal_pair(matcher).and_then(|pair| self.symbols.postings(pair)) {
                postings.add_to(&mut failing);
            }
        } else {
            failing = self.union(name, |value| !matcher.matches(value));
        }
        if failing.is_empty() {
            return slots;
        }
        let mut set = match slots {
            Slots::Some(set) => set,
            Slots::All => (0..self.n_streams() as u32).collect(),
        };
        set -= failing;
        Slots::Some(set)
    }

    fn union(&self, name: &Name, wanted: impl Fn(&str) -> bool) -> RoaringBitmap {
        let mut set = RoaringBitmap::new();
        for pair in name.pairs.iter().filter(|pair| wanted(self.symbols.value(**pair))) {
            if let Some(postings) = self.symbols.postings(*pair) {
                postings.add_to(&mut set);
            }
        }
        set
    }

    fn keep(&self, slots: Slots, wanted: impl Fn(u32) -> bool) -> Slots {
        match slots {
            Slots::Some(set) => Slots::Some(set.into_iter().filter(|stream| wanted(*stream)).collect()),
            Slots::All => {
                Slots::Some((0..self.n_streams() as u32).filter(|stream| wanted(*stream)).collect())
            }
        }
    }
}

fn intersect(slots: Slots, with: RoaringBitmap) -> Slots {
    match slots {
        Slots::All => Slots::Some(with),
        Slots::Some(set) => Slots::Some(set & with),
    }
}
