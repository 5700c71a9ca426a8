//! Into which series does a line fall? The labels that a grouping keeps, packed, so that equal ones are equal bytes.

use smallvec::SmallVec;
use strandline_logql::Row;
use strandline_logql::ast::Grouping;
use strandline_model::metadata::put_varint;
use strandline_model::{Labels, Metadata};

/// What metadata named like a stream label gets behind its name.
const RENAMED: &str = "_extracted";

/// Which labels tell series apart.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    grouping: Grouping,
}

impl Kept {
    pub(crate) fn new(grouping: Grouping) -> Self {
        Self { grouping }
    }

    /// Whether a label of this name is kept.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        self.grouping.labels.iter().any(|label| label == name) != self.grouping.without
    }

    /// Whether metadata of this name may be kept, under its own name or renamed.
    pub(crate) fn may_keep_metadata(&self, name: &str) -> bool {
        self.keeps(name) || self.keeps(&format!("{name}{RENAMED}"))
    }

    /// Packs the kept ones of a line's labels.
    pub(crate) fn pack<'a>(&self, key: &mut Vec<u8>, pairs: &mut Vec<(&'a str, &'a str)>) {
        pairs.retain(|(name, _)| self.keeps(name));
        // Of two with one name the first stays.
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by_key(|(name, _)| *name);
        key.clear();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            put_varint(key, text.len() as u64);
            key.extend_from_slice(text.as_bytes());
        }
    }

    /// Packs the kept labels of a row behind the stages.
    pub(crate) fn pack_row(&self, key: &mut Vec<u8>, row: &Row<'_>) {
        key.clear();
        let mut pairs: SmallVec<[(&str, &str); 16]> = SmallVec::new();
        match self.grouping.without {
            false => {
                // The grouping's labels are sorted.
                let names = self.grouping.labels.iter();
                pairs.extend(names.filter_map(|name| Some((name.as_str(), row.get(name)?))));
            }
            true => {
                let labels = row.labels().map(|label| (label.name, label.value));
                pairs.extend(labels.filter(|(name, _)| self.keeps(name)));
                pairs.sort_unstable_by_key(|(name, _)| *name);
            }
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            put_varint(key, text.len() as u64);
            key.extend_from_slice(text.as_bytes());
        }
    }

    /// Packs the kept labels of a stream's lines, whose metadata does not matter.
    pub(crate) fn pack_stream(&self, key: &mut Vec<u8>, labels: &Labels) {
        key.clear();
        // By name already.
        for text in labels.iter().filter(|(name, _)| self.keeps(name)).flat_map(|(name, value)| [name, value])
        {
            put_varint(key, text.len() as u64);
            key.extend_from_slice(text.as_bytes());
        }
    }

    /// Packs the kept labels of a line that went through no stages.
    pub(crate) fn pack_plain(&self, key: &mut Vec<u8>, labels: &Labels, metadata: Metadata<'_>) {
        let renamed = |name: &str| labels.get(name).is_some().then(|| format!("{name}{RENAMED}"));
        let names: Vec<Option<String>> = metadata.iter().map(|(name, _)| renamed(name)).collect();
        let mut pairs: Vec<(&str, &str)> = labels.iter().collect();
        let shown = metadata.iter().zip(&names);
        pairs.extend(shown.map(|((name, value), new)| (new.as_deref().unwrap_or(name), value)));
        self.pack(key, &mut pairs);
    }
}

/// The name under which metadata of a stream is shown.
pub(crate) fn shown_name(labels: &Labels, name: &str) -> String {
    let suffix = if labels.get(name).is_some() { RENAMED } else { "" };
    format!("{name}{suffix}")
}
