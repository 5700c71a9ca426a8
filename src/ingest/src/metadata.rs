//! The structured metadata of the entry being read: names made safe, values made text, sizes counted.
//!
//! One scratch buffer serves all entries of a push, so an entry with metadata costs no allocation.

use std::borrow::Cow;
use strandline_model::Limits;

/// Pairs of one entry.
#[derive(Debug, Default)]
pub(crate) struct EntryMetadata {
    /// Names and values back to back.
    text: String,
    /// Where in `text` a pair starts, its name ends and its value ends.
    pairs: Vec<(usize, usize, usize)>,
    /// Bytes of all names and values, also of those that were not kept.
    bytes: usize,
    /// Pairs, also those that were not kept.
    count: usize,
    /// A name of which normalisation leaves nothing.
    bad_name: Option<String>,
}

impl EntryMetadata {
    /// Forgets the pairs of the last entry.
    pub(crate) fn clear(&mut self) {
        if self.count > 0 || self.bad_name.is_some() {
            self.text.clear();
            self.pairs.clear();
            self.bytes = 0;
            self.count = 0;
            self.bad_name = None;
        }
    }

    /// Adds a pair; one with an empty value is dropped (as Loki does). Past `max_bytes` pairs are only counted, for
    /// the entry is going to be refused.
    pub(crate) fn add(&mut self, name: &str, value: &str, max_bytes: usize) {
        if value.is_empty() {
            return;
        }
        self.count += 1;
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        if self.bytes > max_bytes {
            return;
        }
        let start = self.text.len();
        if is_normal(name) {
            self.text.push_str(name);
        } else if !push_normalised(&mut self.text, name) {
            self.text.truncate(start);
            self.bad_name.get_or_insert_with(|| name.to_owned());
            return;
        }
        let name_end = self.text.len();
        self.text.push_str(value);
        self.pairs.push((start, name_end, self.text.len()));
    }

    /// Adds all of `other`. When that is more than `limits` leave, it is only counted: the entry is going to be refused,
    /// and copying the same pairs to a million of such entries would be somebody's attack.
    pub(crate) fn append(&mut self, other: &Self, limits: &Limits) {
        self.count += other.count;
        self.bytes = self.bytes.saturating_add(other.bytes);
        if let (None, Some(name)) = (&self.bad_name, &other.bad_name) {
            self.bad_name = Some(name.clone());
        }
        if self.count > limits.max_metadata_pairs || self.bytes > limits.max_metadata_bytes {
            return;
        }
        let base = self.text.len();
        self.text.push_str(&other.text);
        let moved =
            |&(start, name_end, end): &(usize, usize, usize)| (start + base, name_end + base, end + base);
        self.pairs.extend(other.pairs.iter().map(moved));
    }

    /// The pairs as they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let piece = |from: usize, to: usize| self.text.get(from..to).unwrap_or("");
        self.pairs.iter().map(move |&(start, name_end, end)| (piece(start, name_end), piece(name_end, end)))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn bad_name(&self) -> Option<&str> {
        self.bad_name.as_deref()
    }
}

/// Metadata that many entries of a push share, made safe once: attributes of a resource, for example.
#[derive(Debug, Default)]
pub struct SharedMetadata(EntryMetadata);

impl SharedMetadata {
    /// Forgets all pairs.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a pair by the rules for an entry's own.
    pub fn add(&mut self, name: &str, value: &str, limits: &Limits) {
        self.0.add(name, value, limits.max_metadata_bytes);
    }

    pub(crate) fn pairs(&self) -> &EntryMetadata {
        &self.0
    }
}

/// `name` as a name of labels and metadata; `None` when nothing is left of it.
pub fn normalised_name(name: &str) -> Option<Cow<'_, str>> {
    if is_normal(name) {
        return Some(Cow::Borrowed(name));
    }
    let mut out = String::with_capacity(name.len() + 4);
    push_normalised(&mut out, name).then_some(Cow::Owned(out))
}

/// `bytes` as text, a space for every byte that is not UTF-8.
pub fn text_or_spaces(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| ' '));
    }
    Cow::Owned(out)
}

/// Whether normalisation would leave `name` as it is.
fn is_normal(name: &str) -> bool {
    let mut before = 0;
    let mut letters = false;
    for (i, b) in name.bytes().enumerate() {
        let letter = b.is_ascii_alphabetic() || (b.is_ascii_digit() && i > 0);
        if !letter && (b != b'_' || before == b'_') {
            return false;
        }
        letters |= letter;
        before = b;
    }
    letters
}

/// Appends `name` by the OpenTelemetry-to-Prometheus rule. False when nothing is left of it.
fn push_normalised(out: &mut String, name: &str) -> bool {
    let core = name.strip_prefix("__").and_then(|n| n.strip_suffix("__")).filter(|core| !core.is_empty());
    let Some(core) = core else {
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str("key_");
        }
        return push_runs(out, name);
    };
    out.push_str("__");
    let some = push_runs(out, core);
    out.push_str("__");
    some
}

/// Appends `name` with every run of anything but letters and digits as one `_`; whether there was a letter or digit.
fn push_runs(out: &mut String, name: &str) -> bool {
    let mut letters = false;
    let mut in_run = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
            letters = true;
        } else if !in_run {
            out.push('_');
        }
        in_run = !c.is_ascii_alphanumeric();
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalised(name: &str) -> Option<String> {
        let mut out = String::new();
        push_normalised(&mut out, name).then_some(out)
    }

    #[test]
    fn names_as_loki_writes_them() {
        for (name, wanted) in [
            ("a.b", "a_b"),
            ("c-d", "c_d"),
            ("e f", "e_f"),
            ("g__h", "g_h"),
            ("9i", "key_9i"),
            ("_j", "_j"),
            ("k_", "k_"),
            ("L", "L"),
            ("k8s.pod.name", "k8s_pod_name"),
            ("__a.b__", "__a_b__"),
            ("__x", "_x"),
            ("é1é", "_1_"),
        ] {
            assert_eq!(normalised(name).as_deref(), Some(wanted), "{name}");
        }
        for name in ["", "_", "__", "____", "_____", "ü", "..", "__ü__"] {
            assert_eq!(normalised(name), None, "{name}");
        }
    }

    #[test]
    fn invalid_bytes_become_spaces() {
        assert_eq!(text_or_spaces(b"a\xffb\xe2\x82"), "a b  ");
        assert_eq!(text_or_spaces("é".as_bytes()), "é");
    }

    #[test]
    fn too_much_is_counted_but_not_kept() {
        let mut metadata = EntryMetadata::default();
        for _ in 0..100 {
            metadata.add("name", "value", 50);
        }
        metadata.add("name", "", 50);
        assert_eq!((metadata.count(), metadata.bytes()), (100, 900));
        assert_eq!(metadata.iter().count(), 5);
        metadata.clear();
        assert_eq!((metadata.count(), metadata.bytes(), metadata.iter().count()), (0, 0, 0));
    }

    #[test]
    fn shared_pairs_count_as_the_entry_s_own_and_are_not_copied_in_vain() {
        let limits = Limits { max_metadata_pairs: 3, ..Limits::default() };
        let mut shared = SharedMetadata::default();
        shared.add("a.b", "1", &limits);
        shared.add("c", "2", &limits);
        let mut entry = EntryMetadata::default();
        entry.add("x", "0", limits.max_metadata_bytes);
        entry.append(shared.pairs(), &limits);
        assert_eq!(entry.iter().collect::<Vec<_>>(), [("x", "0"), ("a_b", "1"), ("c", "2")]);
        assert_eq!((entry.count(), entry.bytes(), entry.bad_name()), (3, 8, None));
        shared.add("..", "3", &limits);
        entry.append(shared.pairs(), &limits);
        assert_eq!((entry.count(), entry.iter().count(), entry.bad_name()), (6, 3, Some("..")));
        entry.clear();
        assert_eq!((entry.count(), entry.bad_name()), (0, None));
    }

    proptest! {
        #[test]
        fn normal_names_are_those_that_normalisation_keeps(name in "[a-z0-9_.é]{0,8}") {
            if is_normal(&name) {
                prop_assert_eq!(normalised(&name), Some(name.clone()));
            } else if !name.starts_with("__") {
                prop_assert_ne!(normalised(&name), Some(name.clone()));
            }
            if let Some(out) = normalised(&name) {
                prop_assert!(strandline_model::labels::is_label_name(&out));
            }
        }
    }
}
