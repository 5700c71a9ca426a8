//! Under which labels is a stream's volume counted? Packed, so that equal labels are equal bytes.

use super::request::VolumeBy;
use hashbrown::DefaultHashBuilder;
use std::hash::BuildHasher;
use strandline_model::metadata::put_varint;
use strandline_model::{Metadata, Selector};

/// What tells volumes apart.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    by: VolumeBy,
    /// The labels that count, by name; `None` for all.
    names: Option<Vec<String>>,
    /// Whether a stream must have all of them to be counted.
    required: bool,
    /// Where streams are only told apart: what their labels are, nobody asks, and there may be very many.
    hasher: Option<DefaultHashBuilder>,
}

impl Keys {
    /// The labels of `targets`; without any, those that the selector names, or all where it names none. By label name
    /// all of a stream's count if none is a target.
    pub(super) fn new(by: VolumeBy, selector: &Selector, targets: &[String]) -> Self {
        let of_selector = || selector.matchers.iter().map(|matcher| matcher.name.clone()).collect::<Vec<_>>();
        let mut names = match (targets.is_empty(), by) {
            (false, _) => targets.to_vec(),
            (true, VolumeBy::Series) => of_selector(),
            (true, VolumeBy::Labels | VolumeBy::Streams) => Vec::new(),
        };
        names.sort_unstable();
        names.dedup();
        let required = !targets.is_empty();
        Self { by, names: Some(names).filter(|names| !names.is_empty()), required, hasher: None }
    }

    /// Streams, by keys that tell them apart and say nothing of their labels.
    pub(super) fn of_streams() -> Self {
        let hasher = Some(DefaultHashBuilder::default());
        Self { by: VolumeBy::Streams, names: None, required: false, hasher }
    }

    /// Calls `each` with every key under which a stream with these labels, by name, is counted.
    pub(super) fn each(&self, pairs: &[(&str, &str)], key: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
        let kept = |name: &str| self.names.as_ref().is_none_or(|names| names.iter().any(|n| n == name));
        let mut kept = pairs.iter().filter(|(name, _)| kept(name)).peekable();
        let wanted = if self.required { self.names.as_ref().map_or(0, Vec::len) } else { 0 };
        if wanted > 0 && kept.clone().count() < wanted {
            return;
        }
        key.clear();
        match self.by {
            VolumeBy::Series => {
                if kept.peek().is_some() {
                    kept.for_each(|(name, value)| put_pair(key, name, value));
                    each(key);
                }
            }
            VolumeBy::Streams => {
                match &self.hasher {
                    Some(hasher) => key.extend_from_slice(&hasher.hash_one(pairs).to_le_bytes()),
                    None => kept.for_each(|(name, value)| put_pair(key, name, value)),
                }
                each(key);
            }
            VolumeBy::Labels => kept.for_each(|(name, _)| {
                key.clear();
                put_pair(key, name, "");
                each(key);
            }),
        }
    }
}

fn put_pair(key: &mut Vec<u8>, name: &str, value: &str) {
    for text in [name, value] {
        put_varint(key, text.len() as u64);
        key.extend_from_slice(text.as_bytes());
    }
}

/// The labels of a key.
pub(super) fn labels_of(key: &[u8]) -> Vec<(String, String)> {
    Metadata(key).iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::selector::Matcher;

    fn keys(by: VolumeBy, matchers: &[&str], targets: &[&str], pairs: &[(&str, &str)]) -> Vec<String> {
        let matchers = matchers.iter().map(|name| Matcher::equal(*name, "x")).collect();
        let targets: Vec<String> = targets.iter().map(|t| (*t).to_owned()).collect();
        let mut found = Vec::new();
        Keys::new(by, &Selector { matchers }, &targets).each(pairs, &mut Vec::new(), |key| {
            let pairs = labels_of(key).into_iter().map(|(n, v)| format!("{n}={v}"));
            found.push(pairs.collect::<Vec<_>>().join(","));
        });
        found
    }

    #[test]
    fn targets_come_before_matchers_and_all_labels_after() {
        let stream = [("app", "a"), ("env", "e"), ("pod", "p")];
        let series = |matchers: &[&str], targets: &[&str]| keys(VolumeBy::Series, matchers, targets, &stream);
        assert_eq!(series(&["env", "app", "gone"], &[]), ["app=a,env=e"]);
        assert_eq!(series(&["env"], &["pod", "app", "pod"]), ["app=a,pod=p"]);
        assert_eq!(series(&[], &[]), ["app=a,env=e,pod=p"]);
        assert_eq!(series(&["gone"], &[]), [""; 0], "no labels are no series");
        assert_eq!(series(&["app"], &["app", "gone"]), [""; 0], "a target that a stream lacks");
        let labels = |targets: &[&str]| keys(VolumeBy::Labels, &["app"], targets, &stream);
        assert_eq!(labels(&[]), ["app=", "env=", "pod="]);
        assert_eq!(labels(&["pod", "env"]), ["env=", "pod="]);
        assert_eq!(labels(&["pod", "gone"]), [""; 0]);
        assert_eq!(keys(VolumeBy::Streams, &["app"], &[], &stream), ["app=a,env=e,pod=p"]);
        assert_eq!(keys(VolumeBy::Streams, &["app"], &[], &[]), [""]);
        let by = Keys::of_streams();
        let key = |pairs: &[(&str, &str)]| {
            let mut found = Vec::new();
            by.each(pairs, &mut Vec::new(), |key| found.push(key.to_vec()));
            found
        };
        assert_eq!((key(&stream).len(), key(&[]).len()), (1, 1), "each stream counts");
        assert_eq!(key(&stream), key(&stream));
        assert_ne!(key(&stream), key(&stream[..2]));
    }
}
