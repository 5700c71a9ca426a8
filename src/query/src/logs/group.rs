//! Which label set does each entry of the answer belong to?
//!
//! A stream's entries fall apart by their structured metadata, whose names and values join the labels, unless the
//! client wants them kept with the entries.

use super::best::{Hit, Shown};
use crate::request::Direction;
use crate::result::{ResultEntry, ResultStream};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use strandline_model::{Labels, Metadata};

/// What metadata named like a stream label gets behind its name.
const RENAMED: &str = "_extracted";

/// The answer's streams, by their labels.
pub(crate) fn streams(found: Vec<Hit>, direction: Direction, categorize: bool) -> Vec<ResultStream> {
    let mut streams = Streams::default();
    // Merging labels once per stream and metadata, not once per entry.
    let mut by_source: HashMap<(*const Labels, Box<[u8]>), usize> = HashMap::new();
    for mut entry in found {
        let home = match &mut entry.shown {
            Some(shown) => streams.index_of(&shown_labels(shown, categorize)),
            None => {
                let joined: &[u8] = if categorize { &[] } else { &entry.metadata };
                *by_source
                    .entry((Arc::as_ptr(&entry.labels), joined.into()))
                    .or_insert_with(|| streams.index_of(&merged(&entry.labels, Metadata(joined))))
            }
        };
        if let Some(stream) = streams.all.get_mut(home) {
            stream.entries.push(result_entry(entry, direction, categorize));
        }
    }
    streams.all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    streams.all
}

/// Streams, found by their labels without a second copy of these.
#[derive(Default)]
struct Streams {
    all: Vec<ResultStream>,
    by_labels: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Streams {
    /// Which of `all` has these labels, packed as metadata is; a new one if none had. The table of the hash holds indexes into
    /// `all`, so that labels are compared there and stored once.
    fn index_of(&mut self, packed: &[u8]) -> usize {
        let (all, hasher) = (&mut self.all, &self.hasher);
        let pairs = |i: usize| all.get(i).into_iter().flat_map(|stream| &stream.labels);
        let same = |i: &usize| pairs(*i).map(|(n, v)| (n.as_str(), v.as_str())).eq(Metadata(packed).iter());
        let hash = hash_of(hasher, Metadata(packed).iter());
        if let Some(known) = self.by_labels.find(hash, same) {
            return *known;
        }
        let hash_again =
            |i: &usize| hash_of(hasher, pairs(*i).map(|(name, value)| (name.as_str(), value.as_str())));
        self.by_labels.insert_unique(hash, all.len(), hash_again);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = Metadata(packed).iter().map(owned).collect();
        all.push(ResultStream { labels, entries: Vec::new() });
        all.len() - 1
    }
}

fn hash_of<'a>(hasher: &DefaultHashBuilder, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut state = hasher.build_hasher();
    pairs.for_each(|pair| pair.hash(&mut state));
    state.finish()
}

fn result_entry(found: Hit, direction: Direction, categorize: bool) -> ResultEntry {
    let (packed_metadata, packed_parsed) = match (categorize, found.shown) {
        (false, _) => Default::default(),
        (true, Some(shown)) => (shown.metadata, shown.parsed),
        (true, None) => (kept_apart(&found.labels, found.metadata), Box::default()),
    };
    ResultEntry { ts: direction.ts(found.key), line: found.line, packed_metadata, packed_parsed }
}

/// An entry's labels and metadata after the stages, as one packed set.
pub(crate) fn joined(found: &Hit) -> Vec<u8> {
    match &found.shown {
        Some(shown) => shown_labels(shown, false),
        None => merged(&found.labels, Metadata(&found.metadata)),
    }
}

/// Labels that stages changed, as one packed set.
fn shown_labels(shown: &Shown, categorize: bool) -> Vec<u8> {
    if categorize {
        return shown.stream.to_vec();
    }
    let parts = [&shown.stream, &shown.metadata, &shown.parsed];
    let mut all = parts.into_iter().flat_map(|part| Metadata(part)).collect();
    let mut packed = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    Metadata::pack(&mut packed, &mut all);
    packed
}

/// Labels and metadata as one packed set.
fn merged(labels: &Labels, metadata: Metadata<'_>) -> Vec<u8> {
    let renamed: Vec<(String, String)> = renamed(labels, metadata).collect();
    // `a` renamed may meet an `a_extracted` of the client's own: the last one stays.
    let mut all: Vec<(&str, &str)> = renamed.iter().map(|(n, v)| (n.as_str(), v.as_str())).rev().collect();
    all.extend(labels.iter());
    let mut packed = Vec::new();
    Metadata::pack(&mut packed, &mut all);
    packed
}

fn renamed(labels: &Labels, metadata: Metadata<'_>) -> impl Iterator<Item = (String, String)> {
    metadata.iter().map(|(name, value)| {
        let taken = labels.get(name).is_some();
        (format!("{name}{}", if taken { RENAMED } else { "" }), value.to_owned())
    })
}

/// Packed metadata without clashes with the stream's labels.
pub(crate) fn kept_apart(labels: &Labels, packed: Box<[u8]>) -> Box<[u8]> {
    if Metadata(&packed).iter().all(|(name, _)| labels.get(name).is_none()) {
        return packed;
    }
    let pairs: Vec<(String, String)> = renamed(labels, Metadata(&packed)).collect();
    let mut out = Vec::with_capacity(packed.len() + RENAMED.len());
    Metadata::pack(&mut out, &mut pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::labels::write_quoted;

    fn label_text(labels: &[(String, String)]) -> String {
        let mut text = String::from("{");
        for (i, (name, value)) in labels.iter().enumerate() {
            text.push_str(if i > 0 { ", " } else { "" });
            text.push_str(name);
            text.push('=');
            // Writing into a string does not fail.
            let _ = write_quoted(&mut text, value);
        }
        text.push('}');
        text
    }

    fn found(labels: &Arc<Labels>, ts: i64, pairs: &[(&str, &str)]) -> Hit {
        let mut metadata = Vec::new();
        Metadata::pack(&mut metadata, &mut pairs.to_vec());
        Hit {
            key: ts,
            labels: Arc::clone(labels),
            arrival: 0,
            line: b"x".as_slice().into(),
            metadata: metadata.into(),
            identity: 0,
            shown: None,
        }
    }

    #[test]
    fn metadata_joins_the_labels_or_stays_with_its_entry() {
        let a = Arc::new(Labels::parse(r#"{app="b", env="p"}"#).unwrap());
        let b = Arc::new(Labels::parse(r#"{app="a"}"#).unwrap());
        let c = Arc::new(Labels::parse(r#"{app="a", k="v"}"#).unwrap());
        let all = vec![
            found(&a, 9, &[("env", "q"), ("zone", "1")]),
            found(&b, 8, &[("k", "v")]),
            found(&c, 7, &[]),
            found(&a, 6, &[("env", "q"), ("zone", "1")]),
        ];
        let shown = |streams: &[ResultStream]| -> Vec<(String, Vec<i64>)> {
            let times = |s: &ResultStream| s.entries.iter().map(|e| e.ts).collect();
            streams.iter().map(|s| (label_text(&s.labels), times(s))).collect()
        };
        let merged = streams(all.clone(), Direction::Backward, false);
        let wanted = [
            (r#"{app="a", k="v"}"#.to_owned(), vec![8, 7]),
            (r#"{app="b", env="p", env_extracted="q", zone="1"}"#.to_owned(), vec![9, 6]),
        ];
        assert_eq!(shown(&merged), wanted);
        assert!(merged.iter().all(|s| s.entries.iter().all(|e| e.packed_metadata.is_empty())));
        let apart = streams(all, Direction::Backward, true);
        let texts: Vec<String> = apart.iter().map(|s| label_text(&s.labels)).collect();
        assert_eq!(texts, [r#"{app="a"}"#, r#"{app="a", k="v"}"#, r#"{app="b", env="p"}"#]);
        let pairs: Vec<_> = apart[2].entries[0].metadata().iter().collect();
        assert_eq!(pairs, [("env_extracted", "q"), ("zone", "1")]);
    }
}
