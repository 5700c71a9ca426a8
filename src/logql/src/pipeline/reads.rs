//! Which labels does what follows a stage look at? Walked from the last stage to the first, so that each parser makes
//! only labels that matter.

use super::needed::Needed;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED};
use crate::ast::{LabelChoice, LabelFilterExpr, Unwrap};
use std::collections::BTreeSet;

/// Adds the labels that a filter names.
pub(super) fn filter_labels(filter: &LabelFilterExpr, names: &mut BTreeSet<String>) {
    match filter {
        LabelFilterExpr::And(left, right) | LabelFilterExpr::Or(left, right) => {
            filter_labels(left, names);
            filter_labels(right, names);
        }
        LabelFilterExpr::Text(matcher) => {
            names.insert(matcher.name.clone());
        }
        LabelFilterExpr::Quantity { name, .. } | LabelFilterExpr::Ip { name, .. } => {
            names.insert(name.clone());
        }
    }
}

/// The labels that are looked at from some place of the pipeline on.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    /// `None`: all. Without the errors.
    pub(super) names: Option<BTreeSet<String>>,
    error: bool,
    details: bool,
}

impl Reads {
    /// What the caller looks at.
    pub(super) fn new(needed: &Needed) -> Self {
        match needed {
            Needed::All => Self { names: None, error: true, details: true },
            Needed::Only(names) | Needed::Grouped(names) => {
                let mut reads = Self { names: Some(BTreeSet::new()), error: false, details: false };
                names.iter().for_each(|name| reads.add(name));
                reads.error |= matches!(needed, Needed::Grouped(_));
                reads
            }
        }
    }

    /// Whether an error would be seen.
    pub(super) fn sees_errors(&self) -> bool {
        self.error || self.details
    }

    /// What that comes to for the labels that an entry came with.
    pub(super) fn needed(&self) -> Needed {
        let Some(names) = &self.names else { return Needed::All };
        // Whether a field is renamed depends on whether the entry has a label of its name.
        let unclashed = names.iter().filter_map(|name| name.strip_suffix(EXTRACTED));
        Needed::Only(unclashed.map(str::to_owned).chain(names.iter().cloned()).collect())
    }

    pub(super) fn add(&mut self, name: &str) {
        self.error |= name == ERROR;
        self.details |= name == ERROR_DETAILS;
        if let Some(names) = &mut self.names {
            // A line can hold a field of an error's name, which shows as if it were one.
            names.insert(name.to_owned());
        }
    }

    pub(super) fn add_all(&mut self) {
        *self = Self { names: None, error: true, details: true };
    }

    fn forget(&mut self, name: &str) {
        self.error &= name != ERROR;
        self.details &= name != ERROR_DETAILS;
        if let Some(names) = &mut self.names {
            names.remove(name);
        }
    }

    /// In front of a label filter.
    pub(super) fn through_filter(&mut self, filter: &LabelFilterExpr) {
        match filter {
            LabelFilterExpr::And(left, right) | LabelFilterExpr::Or(left, right) => {
                self.through_filter(left);
                self.through_filter(right);
            }
            LabelFilterExpr::Text(matcher) => self.add(&matcher.name),
            LabelFilterExpr::Quantity { name, .. } => self.add(name),
            LabelFilterExpr::Ip { name, .. } => {
                self.add(name);
                // A row with an error passes unchecked.
                self.error = true;
            }
        }
    }

    /// In front of `drop`.
    pub(super) fn through_drop(&mut self, choices: &[LabelChoice]) {
        for choice in choices.iter().rev() {
            match &choice.condition {
                None => self.forget(&choice.name),
                Some(_) => self.add(&choice.name),
            }
        }
    }

    /// In front of `keep`: only what it names can be seen behind it.
    pub(super) fn through_keep(&mut self, choices: &[LabelChoice]) {
        let kept = |name: &str| choices.iter().any(|choice| choice.name == name);
        match &mut self.names {
            Some(names) => names.retain(|name| kept(name)),
            None => self.names = Some(choices.iter().map(|choice| choice.name.clone()).collect()),
        }
        for choice in choices.iter().filter(|choice| choice.condition.is_some()) {
            self.add(&choice.name);
        }
    }

    /// In front of a template that reads `fields` (`None`: any).
    pub(super) fn through_template(&mut self, fields: Option<&[String]>) {
        match fields {
            Some(fields) => fields.iter().for_each(|field| self.add(field)),
            None => self.add_all(),
        }
    }

    /// In front of a rename: the new name stays as it was where the old one is missing.
    pub(super) fn through_rename(&mut self, name: &str, from: &str) {
        let is_read = self.names.as_ref().is_none_or(|names| names.contains(name));
        if is_read {
            self.add(from);
        }
        if from == ERROR {
            self.error = true;
        }
    }

    /// What `| unwrap` and the filters behind it look at.
    pub(super) fn of_unwrap(unwrap: &Unwrap) -> BTreeSet<String> {
        let mut reads = Self { names: Some(BTreeSet::new()), error: false, details: false };
        unwrap.filters.iter().for_each(|filter| reads.through_filter(filter));
        reads.add(&unwrap.label);
        if reads.error {
            reads.add(ERROR);
        }
        reads.names.unwrap_or_default()
    }
}
