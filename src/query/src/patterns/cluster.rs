//! Which shapes differ in one more variable word, that has no digits to tell it by: a name, a method, a state?
//!
//! Shapes are joined as Drain joins lines: same words' number and separators, same first word, and at least half of the
//! constant words equal. But where only a few different words stand in a place (`logged in`, `logged out`) they are kept
//! apart: they say more than `<_>` does.

use super::shape::{VARIABLE, words};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// Up to this many different words in one place stay as they are.
const FEW_WORDS: usize = 4;
/// Most clusters of shapes with the same separators and first word; what comes later is as rare as it is odd.
const MAX_CLUSTERS: usize = 64;

/// How often a shape was seen, by bucket of time.
pub(super) type Counts = BTreeMap<i64, u64>;

/// A shape with how often it was seen in all and by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) bytes: Vec<u8>,
    pub(super) total: u64,
    pub(super) counts: Counts,
}

/// Shapes that are taken for one until it is known in which places they differ.
struct Cluster {
    /// The words of the first one, the most frequent.
    words: Vec<Vec<u8>>,
    members: Vec<Shape>,
}

/// Joins shapes, most frequent first. `over` says that nobody waits for them any more.
pub(super) fn join(mut shapes: Vec<Shape>, over: &dyn Fn() -> bool) -> Vec<Shape> {
    shapes.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.bytes.cmp(&b.bytes)));
    let mut groups: HashMap<Vec<u8>, Vec<Cluster>> = HashMap::new();
    let mut joined = Vec::new();
    for shape in shapes {
        if over() {
            return Vec::new();
        }
        let (parts, end) = words(&shape.bytes);
        let mut key: Vec<u8> = Vec::new();
        for (between, _) in &parts {
            key.extend_from_slice(between);
            key.push(VARIABLE);
        }
        key.extend_from_slice(end);
        key.push(VARIABLE);
        key.extend_from_slice(parts.first().map_or(&[], |(_, word)| word));
        let clusters = groups.entry(key).or_default();
        let own: Vec<&[u8]> = parts.iter().map(|(_, word)| *word).collect();
        let near = clusters.iter().enumerate().filter_map(|(i, c)| Some((similarity(&c.words, &own)?, i)));
        // Of equally near ones the more frequent.
        let nearest = near.max_by_key(|(near, i)| (*near, usize::MAX - i)).map(|(_, i)| i);
        if let Some(cluster) = nearest.and_then(|i| clusters.get_mut(i)) {
            cluster.members.push(shape);
        } else if clusters.len() < MAX_CLUSTERS {
            let words = own.into_iter().map(<[u8]>::to_vec).collect();
            clusters.push(Cluster { words, members: vec![shape] });
        } else {
            joined.push(shape);
        }
    }
    joined.extend(groups.into_values().flatten().flat_map(|cluster| join_variants(cluster.members)));
    joined.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.bytes.cmp(&b.bytes)));
    joined
}

/// In thousandths, how many of the constant words are equal, if at least half of them are.
fn similarity(a: &[Vec<u8>], b: &[&[u8]]) -> Option<usize> {
    let (mut equal, mut constant) = (0, 0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a.as_slice(), *b);
        if a != [VARIABLE] || b != [VARIABLE] {
            constant += 1;
            equal += usize::from(a == b);
        }
    }
    (2 * equal >= constant && equal > 0).then(|| 1000 * equal / constant.max(1))
}

/// Makes the places variable in which members have many different words, and puts together what is equal then.
fn join_variants(members: Vec<Shape>) -> Vec<Shape> {
    if members.len() <= FEW_WORDS {
        return members;
    }
    let mut variants: Vec<BTreeSet<&[u8]>> = Vec::new();
    for member in &members {
        let (parts, _) = words(&member.bytes);
        variants.resize_with(variants.len().max(parts.len()), BTreeSet::new);
        for (known, (_, word)) in variants.iter_mut().zip(&parts) {
            known.insert(word);
        }
    }
    let is_variable: Vec<bool> = variants.iter().map(|known| known.len() > FEW_WORDS).collect();
    let mut merged: BTreeMap<Vec<u8>, Shape> = BTreeMap::new();
    for member in &members {
        let (parts, end) = words(&member.bytes);
        let mut bytes = Vec::with_capacity(member.bytes.len());
        for ((between, word), is_variable) in parts.iter().zip(&is_variable) {
            bytes.extend_from_slice(between);
            if !is_variable {
                bytes.extend_from_slice(word);
            } else if bytes.last() != Some(&VARIABLE) {
                bytes.push(VARIABLE);
            }
        }
        bytes.extend_from_slice(end);
        let empty = || Shape { bytes: bytes.clone(), total: 0, counts: Counts::new() };
        let shape = merged.entry(bytes.clone()).or_insert_with(empty);
        shape.total += member.total;
        for (bucket, n) in &member.counts {
            *shape.counts.entry(*bucket).or_default() += n;
        }
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::shape::{of, shown};
    use super::*;

    fn joined(lines: impl IntoIterator<Item = String>) -> Vec<(String, u64)> {
        let mut shapes: BTreeMap<Vec<u8>, Shape> = BTreeMap::new();
        for (i, line) in lines.into_iter().enumerate() {
            let mut bytes = Vec::new();
            of(line.as_bytes(), &mut bytes);
            let empty = Shape { bytes: bytes.clone(), total: 0, counts: Counts::new() };
            let shape = shapes.entry(bytes).or_insert(empty);
            shape.total += 1;
            *shape.counts.entry(i as i64 % 3).or_default() += 1;
        }
        let all = join(shapes.into_values().collect(), &|| false);
        assert!(all.iter().all(|shape| shape.total == shape.counts.values().sum::<u64>()));
        all.into_iter().map(|shape| (shown(&shape.bytes), shape.total)).collect()
    }

    fn names() -> impl Iterator<Item = String> {
        ["ada", "bo", "cem", "dara", "eli", "fay", "gus", "hal"].into_iter().map(str::to_owned)
    }

    #[test]
    fn names_become_variable_and_states_do_not() {
        let lines =
            names().flat_map(|name| ["in", "out"].map(|state| format!("user {name} logged {state} at gate")));
        assert_eq!(
            joined(lines),
            [("user <_> logged in at gate".to_owned(), 8), ("user <_> logged out at gate".to_owned(), 8)]
        );
    }

    #[test]
    fn different_events_stay_apart() {
        let mut lines = vec!["cache flushed to disk".to_owned(), "queue drained by worker".to_owned()];
        lines.extend(names().map(|name| format!("hello {name} how are you")));
        assert_eq!(
            joined(lines),
            [
                ("hello <_> how are you".to_owned(), 8),
                ("cache flushed to disk".to_owned(), 1),
                ("queue drained by worker".to_owned(), 1)
            ]
        );
        assert!(joined([]).is_empty());
    }
}
