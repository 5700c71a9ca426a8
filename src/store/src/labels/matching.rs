//! Which streams does a selector mean, and which names and values do they have?
//!
//! Conditions are tried on the distinct values of a name, not on streams; a label that a stream lacks counts as the
//! empty string, so a condition that the empty string meets can only exclude.

use super::catalogue::Catalogue;
use super::symbols::Name;
use crate::lookup::{LookupError, Meter};
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
    pub(super) fn streams(
        &self,
        span: Span,
        selector: &Selector,
        limit: usize,
        meter: &Meter<'_>,
    ) -> Result<Vec<u32>, LookupError> {
        let mut found = Vec::new();
        let mut take = |stream: u32| {
            meter.step()?;
            if self.is_seen(stream, span) {
                found.push(stream);
            }
            Ok(found.len() < limit)
        };
        if limit == 0 {
            return Ok(found);
        }
        match self.slots(selector, meter)? {
            Slots::All => each_while(0..self.n_streams() as u32, &mut take)?,
            Slots::Some(set) => each_while(set, &mut take)?,
        }
        Ok(found)
    }

    /// A stream's labels. The texts came out of a label set, so they make one.
    pub(super) fn labels(&self, stream: u32) -> Option<Labels> {
        let pairs: Vec<(&str, &str)> = self.label_texts(stream).collect();
        Labels::from_pairs(&pairs).ok()
    }

    /// Names that the selected streams have.
    pub(super) fn names_of(
        &self,
        span: Span,
        selector: &Selector,
        meter: &Meter<'_>,
    ) -> Result<BTreeSet<String>, LookupError> {
        let slots = self.slots(selector, meter)?;
        let mut names: BTreeSet<&str> = BTreeSet::new();
        if let Some(few) = slots.fewer_than(self.symbols.n_pairs()) {
            for stream in few {
                meter.step()?;
                if self.is_seen(stream, span) {
                    names.extend(self.label_texts(stream).map(|(name, _)| name));
                }
            }
        } else {
            for name in self.symbols.names() {
                if self.any_pair_is_used(name, span, &slots, meter)? {
                    names.insert(&name.text);
                }
            }
        }
        owned(names, meter)
    }

    /// Values of `name` that the selected streams have.
    pub(super) fn values_of(
        &self,
        name: &str,
        span: Span,
        selector: &Selector,
        meter: &Meter<'_>,
    ) -> Result<BTreeSet<String>, LookupError> {
        let Some(known) = self.symbols.name(name) else { return Ok(BTreeSet::new()) };
        let slots = self.slots(selector, meter)?;
        let mut values: BTreeSet<&str> = BTreeSet::new();
        if let Some(few) = slots.fewer_than(known.pairs.len()) {
            for stream in few {
                meter.step()?;
                if self.is_seen(stream, span) {
                    values.extend(self.value_in(stream, name));
                }
            }
        } else {
            for pair in &known.pairs {
                if self.pair_is_used(*pair, span, &slots, meter)? {
                    values.insert(self.symbols.value(*pair));
                }
            }
        }
        owned(values, meter)
    }

    fn any_pair_is_used(
        &self,
        name: &Name,
        span: Span,
        slots: &Slots,
        meter: &Meter<'_>,
    ) -> Result<bool, LookupError> {
        for pair in &name.pairs {
            if self.pair_is_used(*pair, span, slots, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pair_is_used(
        &self,
        pair: u32,
        span: Span,
        slots: &Slots,
        meter: &Meter<'_>,
    ) -> Result<bool, LookupError> {
        let Some(postings) = self.symbols.postings(pair) else { return Ok(false) };
        let mut stopped = Ok(());
        let used = postings.any(|stream| {
            stopped = meter.step();
            stopped.is_err() || (slots.contains(stream) && self.is_seen(stream, span))
        });
        stopped.map(|()| used)
    }

    fn value_in(&self, stream: u32, name: &str) -> Option<&str> {
        self.label_texts(stream).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The streams that meet all conditions, whatever their days.
    fn slots(&self, selector: &Selector, meter: &Meter<'_>) -> Result<Slots, LookupError> {
        let mut slots = Slots::All;
        // What only excludes comes last: then it has the least to look at.
        let (excluding, including): (Vec<&Matcher>, Vec<&Matcher>) =
            selector.matchers.iter().partition(|matcher| matcher.matches(""));
        let (equal, patterns): (Vec<&Matcher>, Vec<&Matcher>) =
            including.into_iter().partition(|matcher| matcher.op == MatchOp::Equal);
        let Some(mut postings) = equal.iter().map(|m| self.equal_pair(m)).collect::<Option<Vec<u32>>>()
        else {
            return Ok(Slots::Some(RoaringBitmap::new()));
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
            slots = self.include(slots, matcher, meter)?;
        }
        for matcher in excluding {
            slots = self.exclude(slots, matcher, meter)?;
        }
        Ok(slots)
    }

    fn equal_pair(&self, matcher: &Matcher) -> Option<u32> {
        self.symbols.pair_id(&matcher.name, &matcher.value)
    }

    /// Narrows to the streams that have a value which meets the condition.
    fn include(&self, slots: Slots, matcher: &Matcher, meter: &Meter<'_>) -> Result<Slots, LookupError> {
        let Some(name) = self.symbols.name(&matcher.name) else {
            return Ok(Slots::Some(RoaringBitmap::new()));
        };
        if slots.fewer_than(name.pairs.len()).is_some() {
            return self.keep(slots, meter, |stream| {
                self.value_in(stream, &matcher.name).is_some_and(|v| matcher.matches(v))
            });
        }
        Ok(intersect(slots, self.union(name, meter, |value| matcher.matches(value))?))
    }

    /// Takes away the streams that have a value which fails the condition; those without the label stay.
    fn exclude(&self, slots: Slots, matcher: &Matcher, meter: &Meter<'_>) -> Result<Slots, LookupError> {
        let Some(name) = self.symbols.name(&matcher.name) else { return Ok(slots) };
        if slots.fewer_than(name.pairs.len()).is_some() {
            return self.keep(slots, meter, |stream| {
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
            failing = self.union(name, meter, |value| !matcher.matches(value))?;
        }
        if failing.is_empty() {
            return Ok(slots);
        }
        let mut set = match slots {
            Slots::Some(set) => set,
            Slots::All => (0..self.n_streams() as u32).collect(),
        };
        set -= failing;
        Ok(Slots::Some(set))
    }

    fn union(
        &self,
        name: &Name,
        meter: &Meter<'_>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, LookupError> {
        let mut set = RoaringBitmap::new();
        for pair in &name.pairs {
            meter.step()?;
            if wanted(self.symbols.value(*pair))
                && let Some(postings) = self.symbols.postings(*pair)
            {
                postings.add_to(&mut set);
            }
        }
        Ok(set)
    }

    fn keep(
        &self,
        slots: Slots,
        meter: &Meter<'_>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Slots, LookupError> {
        let mut kept = RoaringBitmap::new();
        let mut take = |stream: u32| {
            meter.step()?;
            if wanted(stream) {
                kept.insert(stream);
            }
            Ok(true)
        };
        match slots {
            Slots::Some(set) => each_while(set, &mut take)?,
            Slots::All => each_while(0..self.n_streams() as u32, &mut take)?,
        }
        Ok(Slots::Some(kept))
    }
}

/// Calls `take` with each stream until it says that it has enough.
fn each_while(
    streams: impl IntoIterator<Item = u32>,
    take: &mut impl FnMut(u32) -> Result<bool, LookupError>,
) -> Result<(), LookupError> {
    for stream in streams {
        if !take(stream)? {
            break;
        }
    }
    Ok(())
}

/// Copies of texts for an answer.
fn owned(texts: BTreeSet<&str>, meter: &Meter<'_>) -> Result<BTreeSet<String>, LookupError> {
    texts
        .into_iter()
        .map(|text| {
            meter.hold(text.len())?;
            Ok(text.to_owned())
        })
        .collect()
}

fn intersect(slots: Slots, with: RoaringBitmap) -> Slots {
    match slots {
        Slots::All => Slots::Some(with),
        Slots::Some(set) => Slots::Some(set & with),
    }
}
