//! Which known name did a person mean who typed an unknown one?

/// The closest of `known` to `typed`, when it is close enough to be a slip of the pen.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = fold(typed);
    // A third of the name wrong is another name, not a slip.
    let most = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&typed, &fold(name)), name))
        .filter(|(found, _)| *found <= most)
        .min_by_key(|(found, _)| *found)
        .map(|(_, name)| name)
}

/// `dataDir`, `data-dir` and `DATA_DIR` differ from `data_dir` in spelling only.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
