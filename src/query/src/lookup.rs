//! Which labels, values and streams does a reader see? Asked of the storage tenant by tenant, until the deadline and within
//! the memory of one query; what could not be looked at is told.

use crate::damage::Damage;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::reader::{Part, Reader, TENANT_LABEL};
use crate::slot::Slot;
use crate::storage::{LookupResult, Selection, Storage};
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Labels, Selector, TimeRange};
use strandline_store::{LookupAnswer, LookupError, LookupLimits};

/// What an item of an answer takes beside its bytes.
pub(crate) const ITEM_BYTES: usize = 48;

/// The answer of a lookup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked<T> {
    /// In order.
    pub found: T,
    /// What the answer may lack because it could not be read.
    pub warnings: Vec<String>,
}

/// What the lookups of one answer have in common.
pub(crate) struct Looking<'a> {
    engine: &'a QueryEngine,
    slot: &'a Slot,
    range: TimeRange,
    damage: Damage,
    /// Bytes of what was found so far.
    bytes: usize,
}

impl<'a> Looking<'a> {
    pub(crate) fn new(engine: &'a QueryEngine, slot: &'a Slot, reader: &Reader, range: TimeRange) -> Self {
        let range = engine.seen_by(reader, range);
        Self { engine, slot, range, damage: Damage::default(), bytes: 0 }
    }

    /// Asks for a part of the answer. `size` is the bytes of what was found.
    pub(crate) fn part<T>(
        &mut self,
        part: &Part,
        ask: impl FnOnce(&dyn Storage, Selection<'_>) -> LookupResult<T>,
        size: impl FnOnce(&T) -> usize,
    ) -> Result<T, QueryError> {
        let max = self.engine.config().max_memory_bytes;
        let stop = || self.slot.check().is_err();
        let limits = LookupLimits { stop: &stop, max_bytes: max.saturating_sub(self.bytes) };
        let storage = self.engine.storage();
        let streams = Selection { tenant: &part.tenant, range: self.range, selector: &part.selector, limits };
        let LookupAnswer { found, unread } = ask(storage, streams).map_err(|error| match error {
            LookupError::Stopped => self.slot.check().err().unwrap_or(QueryError::TimedOut),
            LookupError::TooLarge(_) => QueryError::TooLarge(max),
        })?;
        for unread in unread {
            unread.segment.note_damage(&unread.error);
            let meta = unread.segment.meta();
            let part = format_args!("segment {}", meta.id);
            self.damage.note(part, meta.rows, meta.time, &unread.error);
        }
        let warnings = storage.warnings(&part.tenant, self.range);
        warnings.into_iter().for_each(|warning| self.damage.tell(warning));
        self.bytes = self.bytes.saturating_add(size(&found));
        if self.bytes > max {
            return Err(QueryError::TooLarge(max));
        }
        self.slot.memory().hold(self.bytes)?;
        Ok(found)
    }

    pub(crate) fn done<T>(self, found: T) -> Looked<T> {
        Looked { found, warnings: self.damage.take_warnings() }
    }
}

fn bytes_of_texts(texts: &BTreeSet<String>) -> usize {
    texts.iter().map(|text| text.len() + ITEM_BYTES).sum()
}

impl QueryEngine {
    /// Names of the labels that selected streams have in `range` (to the day).
    pub fn label_names(
        &self,
        slot: &Slot,
        reader: &Reader,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<Looked<BTreeSet<String>>, QueryError> {
        let mut looking = Looking::new(self, slot, reader, range);
        let mut all = BTreeSet::new();
        for part in reader.parts(selector) {
            let names =
                looking.part(&part, |storage, streams| storage.label_names(streams), bytes_of_texts)?;
            all.extend(names.into_iter().map(|name| part.shown_name(name)));
        }
        if reader.shows_tenants() {
            all.insert(TENANT_LABEL.to_owned());
        }
        Ok(looking.done(all))
    }

    /// Values of the label `name` that selected streams have in `range` (to the day).
    pub fn label_values(
        &self,
        slot: &Slot,
        reader: &Reader,
        name: &str,
        range: TimeRange,
        selector: &Selector,
    ) -> Result<Looked<BTreeSet<String>>, QueryError> {
        let mut looking = Looking::new(self, slot, reader, range);
        let mut all = BTreeSet::new();
        for part in reader.parts(selector) {
            match part.stored_name(name) {
                Some(name) => {
                    let ask =
                        |storage: &dyn Storage, streams: Selection<'_>| storage.label_values(streams, name);
                    all.append(&mut looking.part(&part, ask, bytes_of_texts)?);
                }
                None => {
                    all.insert(part.tenant.to_string());
                }
            }
        }
        Ok(looking.done(all))
    }

    /// The streams that any of the selectors selects and that have entries in `range` (to the day).
    pub fn series(
        &self,
        slot: &Slot,
        reader: &Reader,
        range: TimeRange,
        selectors: &[Selector],
    ) -> Result<Looked<BTreeSet<Labels>>, QueryError> {
        let mut looking = Looking::new(self, slot, reader, range);
        let mut all = BTreeSet::new();
        for part in selectors.iter().flat_map(|selector| reader.parts(selector)) {
            let size = |series: &BTreeSet<Labels>| {
                series.iter().map(|labels| labels.memory_bytes() + ITEM_BYTES).sum()
            };
            let mut series = looking.part(&part, |storage, streams| storage.series(streams), size)?;
            if part.shows_tenant() {
                all.extend(series.into_iter().map(|labels| Labels::clone(&part.shown(Arc::new(labels)))));
            } else {
                all.append(&mut series);
            }
        }
        Ok(looking.done(all))
    }
}
