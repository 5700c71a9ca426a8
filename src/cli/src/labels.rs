//! How is a label set written for a person? As in a selector.

use std::collections::BTreeMap;

/// `{app="a", env="b"}`, not yet safe for a terminal.
pub fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
