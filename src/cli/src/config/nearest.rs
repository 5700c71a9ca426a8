//! Which known name did a person mean who typed an unknown one?

/// The closest of `known` to `typed`, when it is close enough to be a slip of the pen.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = fold(typed);
    // A third of the name wrong is another name, not a slip.
    let most = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&typed, &fold(name)), name))
        .filter(|(found, _)| *found <= most)
        .min_by_key(|(found, _)| *found)
        .map(|(_, name)| name)
}

/// `dataDir`, `data-dir` and `DATA_DIR` differ from `data_dir` in spelling only.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Least number of inserted, dropped, replaced or swapped neighboring characters between two texts.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, from) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(from != *to);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = column > 0 && previous == Some(*to) && right[column - 1] == from;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(from);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: [&str; 4] = ["storage.data_dir", "storage.min_free_bytes", "wal.sync", "wal.sync_interval"];

    #[test]
    fn slips_find_their_name_and_other_words_find_none() {
        for (typed, meant) in [
            ("storage.datadir", Some("storage.data_dir")),
            ("storage.dataDir", Some("storage.data_dir")),
            ("storage.data_dri", Some("storage.data_dir")),
            ("wal.snyc", Some("wal.sync")),
            ("wal.sync_intervall", Some("wal.sync_interval")),
            ("entirely.different", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, KNOWN), meant, "{typed}");
        }
    }

    #[test]
    fn distances_are_the_known_ones() {
        for (left, right, expected) in
            [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("same", "same", 0)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_and_zero_only_for_equals(left in "[a-c]{0,8}", right in "[a-c]{0,8}") {
            prop_assert_eq!(distance(&left, &right), distance(&right, &left));
            prop_assert_eq!(distance(&left, &right) == 0, left == right);
        }
    }
}
