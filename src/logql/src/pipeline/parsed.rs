//! Which labels did stages make of a row? Found by name, also where one line makes tens of thousands.

use super::text::{Text, resolve};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Up to so many labels are looked through one by one, which is faster than any index.
const MAX_UNINDEXED: usize = 32;

#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) name: Text<'a>,
    pub(super) value: Text<'a>,
    /// Whether a stage took it away again. It keeps its place, so that the places of others hold.
    removed: bool,
}

impl Parsed<'_> {
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// Labels by name and in the order in which they were made. Texts in the arena are the row's, which is handed in.
#[derive(Debug, Default)]
pub(super) struct ParsedLabels<'a> {
    labels: Vec<Parsed<'a>>,
    /// Places by the hash of the name. What it says is checked, for labels may be gone since.
    index: HashMap<u64, u32>,
    /// So many labels are in the index.
    indexed: usize,
    /// Bytes of the names and values of labels.
    bytes: usize,
    /// Whether two names had one hash: then the index is of no use.
    collided: bool,
    hasher: RandomState,
}

impl<'a> ParsedLabels<'a> {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.bytes = 0;
        if self.indexed > 0 {
            self.index.clear();
            self.indexed = 0;
        }
        self.collided = false;
    }

    /// How many labels were made so far, those included that are gone.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Takes back the labels behind the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        let gone = self.labels.get(len..).unwrap_or_default().iter().filter(|label| !label.removed);
        self.bytes -= gone.map(Parsed::bytes).sum::<usize>();
        self.labels.truncate(len);
        self.indexed = self.indexed.min(len);
    }

    /// The labels.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Parsed<'a>> {
        self.labels.iter().filter(|label| !label.removed)
    }

    /// The place of a label.
    pub(super) fn find(&self, arena: &str, name: &str) -> Option<usize> {
        if self.labels.len() <= MAX_UNINDEXED || self.indexed < self.labels.len() || self.collided {
            return self.labels.iter().position(|label| !label.removed && resolve(arena, label.name) == name);
        }
        let at = *self.index.get(&self.hasher.hash_one(name))? as usize;
        let label = self.labels.get(at)?;
        (!label.removed && resolve(arena, label.name) == name).then_some(at)
    }

    /// The value of a label.
    pub(super) fn get(&self, arena: &str, name: &str) -> Option<Text<'a>> {
        self.labels.get(self.find(arena, name)?).map(|label| label.value)
    }

    /// Changes the value of the label at a place.
    pub(super) fn set_value(&mut self, at: usize, value: Text<'a>) {
        if let Some(label) = self.labels.get_mut(at) {
            self.bytes = self.bytes + value.len() - label.value.len();
            label.value = value;
        }
    }

    /// Bytes of the names and values of all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a label; the caller knows that there is none of this name.
    pub(super) fn push(&mut self, arena: &str, name: Text<'a>, value: Text<'a>) {
        self.labels.push(Parsed { name, value, removed: false });
        self.bytes += name.len() + value.len();
        if self.labels.len() > MAX_UNINDEXED {
            self.extend_index(arena);
        }
    }

    fn extend_index(&mut self, arena: &str) {
        for at in self.indexed..self.labels.len() {
            let Some(label) = self.labels.get(at).filter(|label| !label.removed) else { continue };
            let name = resolve(arena, label.name);
            let hash = self.hasher.hash_one(name);
            let before = self.index.insert(hash, at as u32);
            let other = before.and_then(|before| self.labels.get(before as usize));
            let other = other.filter(|other| !other.removed).map(|other| resolve(arena, other.name));
            // Where a label was taken back, its place may be another one's by now.
            self.collided |= other.is_some_and(|other| other != name && self.hasher.hash_one(other) == hash);
        }
        self.indexed = self.labels.len();
    }

    /// Removes a label.
    pub(super) fn remove(&mut self, arena: &str, name: &str) {
        if let Some(label) = self.find(arena, name).and_then(|at| self.labels.get_mut(at)) {
            label.removed = true;
            self.bytes -= label.bytes();
        }
    }

    /// Removes the labels that `keeps` does not want.
    pub(super) fn retain(&mut self, keeps: impl Fn(&Parsed<'a>) -> bool) {
        for label in self.labels.iter_mut().filter(|label| !label.removed) {
            if !keeps(label) {
                label.removed = true;
                self.bytes -= label.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_are_found_as_in_a_plain_list(
            steps in proptest::collection::vec((0u8..10, 0u32..120), 0..400),
        ) {
            let (mut labels, mut model): (ParsedLabels<'_>, Vec<(String, usize)>) = Default::default();
            let mut arena = String::new();
            for (i, (step, n)) in steps.into_iter().enumerate() {
                let name = format!("n{n}");
                match step {
                    0 => {
                        labels.remove(&arena, &name);
                        model.retain(|(known, _)| *known != name);
                    }
                    1 if n < 10 => {
                        labels.retain(|label| !resolve(&arena, label.name).ends_with('3'));
                        model.retain(|(known, _)| !known.ends_with('3'));
                    }
                    2 if n == 0 => {
                        labels.clear();
                        model.clear();
                    }
                    _ => match labels.find(&arena, &name) {
                        Some(at) => {
                            labels.set_value(at, Text::Arena(i, i));
                            model.iter_mut().filter(|(known, _)| *known == name).for_each(|label| label.1 = i);
                        }
                        None => {
                            let start = arena.len();
                            arena.push_str(&name);
                            // What is taken back at once leaves no trace.
                            let mark = labels.len();
                            labels.push(&arena, Text::Arena(start, arena.len()), Text::Arena(0, 0));
                            labels.truncate(mark);
                            labels.push(&arena, Text::Arena(start, arena.len()), Text::Arena(i, i));
                            model.push((name, i));
                        }
                    },
                }
                let found: Vec<(String, usize)> = labels
                    .iter()
                    .map(|label| match label.value {
                        Text::Arena(at, _) => (resolve(&arena, label.name).to_owned(), at),
                        Text::Borrowed(_) => unreachable!(),
                    })
                    .collect();
                prop_assert_eq!(&found, &model);
                prop_assert_eq!(labels.bytes(), model.iter().map(|(name, _)| name.len()).sum::<usize>());
                for n in 0..120 {
                    let name = format!("n{n}");
                    let known = model.iter().any(|(known, _)| *known == name);
                    prop_assert_eq!(labels.find(&arena, &name).is_some(), known);
                }
            }
        }
    }
}
