//! Structured metadata of one entry, packed: `(varint length, name, varint length, value)*`, sorted by name.
//!
//! The packed form is what a batch, the WAL and the head hold; equal metadata has equal bytes.

/// The metadata that holds an entry's level, as ingest found it, under Loki's name for it.
pub const DETECTED_LEVEL: &str = "detected_level";

/// Appends `n` as LEB128.
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Takes a LEB128 number off the front of `bytes`; `None` when it is cut off or longer than 64 bits.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for (i, &b) in bytes.iter().enumerate().take(10) {
        if i == 9 && b > 1 {
            return None;
        }
        n |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            *bytes = bytes.get(i + 1..)?;
            return Some(n);
        }
    }
    None
}

/// Takes a length-prefixed slice off the front of `bytes`.
pub fn take_slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_varint(bytes)?).ok()?;
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}

/// Packed metadata, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Metadata<'a>(pub &'a [u8]);

impl<'a> Metadata<'a> {
    /// Packs `pairs` (which get sorted by name; the last of equal names wins) behind `out`.
    pub fn pack(out: &mut Vec<u8>, pairs: &mut Vec<(&str, &str)>) {
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        for (i, (name, value)) in pairs.iter().enumerate() {
            if pairs.get(i + 1).is_some_and(|next| next.0 == *name) {
                continue;
            }
            put_varint(out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
            put_varint(out, value.len() as u64);
            out.extend_from_slice(value.as_bytes());
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The pairs, by name. Stops at the first byte that is not packed metadata.
    pub fn iter(&self) -> Pairs<'a> {
        Pairs { rest: self.0 }
    }

    /// Whether all bytes are well-formed packed metadata.
    pub fn is_valid(&self) -> bool {
        let mut rest = self.0;
        while !rest.is_empty() {
            for _ in 0..2 {
                match take_slice(&mut rest) {
                    Some(text) if std::str::from_utf8(text).is_ok() => {}
                    _ => return false,
                }
            }
        }
        true
    }
}

impl<'a> IntoIterator for Metadata<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

/// The names and values of packed metadata.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let name = std::str::from_utf8(take_slice(&mut self.rest)?).ok()?;
        let value = std::str::from_utf8(take_slice(&mut self.rest)?).ok()?;
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip(n in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            let mut rest = out.as_slice();
            prop_assert_eq!(take_varint(&mut rest), Some(n));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn pairs_come_back_sorted_with_the_last_of_equal_names(
            pairs in proptest::collection::vec(("[a-c]{0,2}", ".{0,8}"), 0..8)
        ) {
            let mut out = Vec::new();
            Metadata::pack(&mut out, &mut pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect());
            let model: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
            let found: Vec<_> = Metadata(&out).iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
            prop_assert!(Metadata(&out).is_valid());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Metadata(&bytes).iter().count();
            let _ = Metadata(&bytes).is_valid();
        }
    }
}
