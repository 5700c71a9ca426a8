//! Which number stands for this label pair, and which streams have it? Each name and each (name, value) is kept once.

use super::postings::Postings;
use crate::invariant::invariant;
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The label names of one tenant, their values, and the streams that have them.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    names: Vec<Name>,
    by_name: HashTable<u32>,
    pairs: Vec<Pair>,
    /// Numbers of the pairs, each with its hash: growing the table must not read all the texts again.
    by_pair: HashTable<(u32, u32)>,
    /// The values of all pairs, back to back.
    values: String,
}

/// A label name.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: Box<str>,
    /// Its pairs, one for each distinct value.
    pub(super) pairs: Vec<u32>,
}

#[derive(Debug)]
struct Pair {
    name: u32,
    /// Where the value ends in `values`; it starts where that of the pair before ends.
    value_end: u32,
    /// `None` only between the making of the pair and its first stream.
    postings: Option<Postings>,
}

fn pair_hash(name: u32, value: &str) -> u32 {
    xxh3_64_with_seed(value.as_bytes(), u64::from(name)) as u32
}

/// The table looks at the first bits and at the last ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Symbols {
    fn name_id(&self, name: &str) -> Option<u32> {
        let names = &self.names;
        let same = |id: &u32| names.get(*id as usize).is_some_and(|n| &*n.text == name);
        self.by_name.find(xxh3_64(name.as_bytes()), same).copied()
    }

    /// The name, if any stream has it.
    pub(super) fn name(&self, name: &str) -> Option<&Name> {
        self.names.get(self.name_id(name)? as usize)
    }

    /// All names.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Number of distinct pairs.
    pub(super) fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// The number of a pair, if any stream has it.
    pub(super) fn pair_id(&self, name: &str, value: &str) -> Option<u32> {
        self.pair_id_of(self.name_id(name)?, value)
    }

    fn pair_id_of(&self, name: u32, value: &str) -> Option<u32> {
        let hash = pair_hash(name, value);
        let is_of_name = |id: u32| self.pairs.get(id as usize).is_some_and(|pair| pair.name == name);
        let same = |(other, id): &(u32, u32)| *other == hash && is_of_name(*id) && self.value(*id) == value;
        self.by_pair.find(spread(hash), same).map(|(_, id)| *id)
    }

    /// The value of a pair.
    pub(super) fn value(&self, pair: u32) -> &str {
        let at = pair as usize;
        let start = at.checked_sub(1).and_then(|before| self.pairs.get(before)).map_or(0, |p| p.value_end);
        let end = self.pairs.get(at).map_or(start, |p| p.value_end);
        let value = self.values.get(start as usize..end as usize);
        invariant!(
            value.is_some() && at < self.pairs.len(),
            "pair {pair} of {} has no value",
            self.pairs.len()
        );
        value.unwrap_or("")
    }

    /// Name and value of a pair.
    pub(super) fn text(&self, pair: u32) -> (&str, &str) {
        let name = self.pairs.get(pair as usize).and_then(|p| self.names.get(p.name as usize));
        invariant!(name.is_some(), "pair {pair} has no name");
        (name.map_or("", |n| &n.text), self.value(pair))
    }

    /// The streams that have a pair.
    pub(super) fn postings(&self, pair: u32) -> Option<&Postings> {
        self.pairs.get(pair as usize)?.postings.as_ref()
    }

    /// Notes that a stream, whose number is higher than all before, has a pair.
    pub(super) fn post(&mut self, pair: u32, stream: u32) {
        invariant!((pair as usize) < self.pairs.len(), "stream {stream} has pair {pair}, which is not there");
        if let Some(pair) = self.pairs.get_mut(pair as usize) {
            match &mut pair.postings {
                Some(postings) => postings.push(stream),
                none => *none = Some(Postings::One(stream)),
            }
        }
    }

    /// The number of a name, made when it is new.
    pub(super) fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.name_id(name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.names.push(Name { text: name.into(), pairs: Vec::new() });
        let names = &self.names;
        let hash = |id: &u32| names.get(*id as usize).map_or(0, |n| xxh3_64(n.text.as_bytes()));
        self.by_name.insert_unique(xxh3_64(name.as_bytes()), id, hash);
        id
    }

    /// The number of a pair, made when it is new; `None` when the tenant's values pass 4 GiB.
    pub(super) fn intern_pair(&mut self, name: u32, value: &str) -> Option<u32> {
        if let Some(id) = self.pair_id_of(name, value) {
            return Some(id);
        }
        let value_end = u32::try_from(self.values.len() + value.len()).ok()?;
        let id = u32::try_from(self.pairs.len()).ok()?;
        invariant!((name as usize) < self.names.len(), "a value of name {name}, which is not there");
        self.values.push_str(value);
        self.pairs.push(Pair { name, value_end, postings: None });
        if let Some(name) = self.names.get_mut(name as usize) {
            name.pairs.push(id);
        }
        let hash = pair_hash(name, value);
        self.by_pair.insert_unique(spread(hash), (hash, id), |(hash, _)| spread(*hash));
        Some(id)
    }

    /// Bytes of memory without the postings, from counts alone.
    pub(super) fn estimated_bytes(&self) -> usize {
        /// A name's text with its allocation.
        const NAME_TEXT: usize = 32;
        // Each pair is also a number in its name's list.
        self.names.capacity() * (size_of::<Name>() + NAME_TEXT)
            + self.pairs.capacity() * (size_of::<Pair>() + size_of::<u32>())
            + self.values.capacity()
            + self.by_name.allocation_size()
            + self.by_pair.allocation_size()
    }

    /// Bytes of memory, roughly.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        let name_bytes = |n: &Name| size_of::<Name>() + n.text.len() + n.pairs.capacity() * size_of::<u32>();
        let posting_bytes = |p: &Pair| p.postings.as_ref().map_or(0, Postings::heap_bytes);
        self.names.iter().map(name_bytes).sum::<usize>()
            + self.pairs.capacity() * size_of::<Pair>()
            + self.pairs.iter().map(posting_bytes).sum::<usize>()
            + self.values.capacity()
            + self.by_name.allocation_size()
            + self.by_pair.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_number_and_equal_values_of_two_names_have_two() {
        let mut symbols = Symbols::default();
        let (a, b) = (symbols.intern_name("a"), symbols.intern_name("b"));
        let first = symbols.intern_pair(a, "x").unwrap();
        let other = symbols.intern_pair(b, "x").unwrap();
        for i in 0..1000 {
            symbols.intern_pair(b, &i.to_string()).unwrap();
        }
        assert_ne!(first, other);
        assert_eq!(symbols.intern_name("a"), a);
        assert_eq!(symbols.intern_pair(a, "x"), Some(first));
        assert_eq!(symbols.pair_id("b", "x"), Some(other));
        assert_eq!(symbols.text(other), ("b", "x"));
        assert_eq!(symbols.pair_id("c", "x"), None);
        assert_eq!(symbols.pair_id("a", "999"), None);
        assert_eq!(symbols.name("b").unwrap().pairs.len(), 1001);
        assert_eq!(symbols.value(symbols.pair_id("b", "500").unwrap()), "500");
    }
}
