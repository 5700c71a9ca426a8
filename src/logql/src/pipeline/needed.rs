//! Which labels does somebody look at?

use std::collections::BTreeSet;

/// The labels that somebody looks at. Errors count as labels here ([`ERROR`](super::row::ERROR), [`ERROR_DETAILS`](super::row::ERROR_DETAILS)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// All of them.
    All,
    /// These.
    Only(BTreeSet<String>),
    /// These, which tell the series of a metric query apart. As in Loki, parsers then do nothing if the query names no label
    /// at all, and a fault counts only where not all the labels that it names had been found before.
    Grouped(BTreeSet<String>),
}
