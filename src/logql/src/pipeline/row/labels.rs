//! Which labels does a row have by now? Those that it came with may be hidden, those that stages made come and go.

use super::{ERROR, ERROR_DETAILS, Row};
use crate::pipeline::text::{Text, resolve};

impl<'a> Row<'a> {
    /// Whether the entry came with a label of this name, even if it was dropped since.
    pub(in crate::pipeline) fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|given| given.name == name)
    }

    pub(in crate::pipeline) fn is_parsed(&self, name: &str) -> bool {
        self.parsed.find(&self.arena, name).is_some()
    }

    /// How many labels stages made so far.
    pub(in crate::pipeline) fn mark(&self) -> usize {
        self.parsed.len()
    }

    /// Takes back the labels that were made since.
    pub(in crate::pipeline) fn rewind(&mut self, mark: usize) {
        self.parsed.truncate(mark);
    }

    /// Adds a parsed label; the caller knows that there is none of this name.
    pub(in crate::pipeline) fn push(&mut self, name: &str, value: Text<'a>) {
        for given in &mut self.given {
            // A clashing name never comes here but as a name that was made for a clash.
            if let Text::Arena(start, end) = given.shown {
                given.hidden |= self.arena.get(start..end) == Some(name);
            }
        }
        let name = self.keep(name);
        self.parsed.push(&self.arena, name, value);
    }

    /// Sets a label, whatever it was before.
    pub(in crate::pipeline) fn set(&mut self, name: &str, value: Text<'a>) {
        match self.parsed.find(&self.arena, name) {
            Some(at) => self.parsed.set_value(at, value),
            None => {
                self.hide_given(name);
                self.push(name, value);
            }
        }
    }

    /// Removes a label, also an error.
    pub(in crate::pipeline) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.clear_error(),
            ERROR_DETAILS => self.clear_details(),
            _ => {}
        }
        self.remove_label(name);
    }

    /// Removes a label, and no error.
    pub(in crate::pipeline) fn remove_label(&mut self, name: &str) {
        self.parsed.remove(&self.arena, name);
        self.hide_given(name);
    }

    /// Removes the labels that `keeps` does not want; errors stay.
    pub(in crate::pipeline) fn retain(&mut self, keeps: impl Fn(&str, &str) -> bool) {
        let arena = &self.arena;
        self.parsed.retain(|label| keeps(resolve(arena, label.name), resolve(arena, label.value)));
        for given in &mut self.given {
            given.hidden |= !keeps(resolve(arena, given.shown), given.value);
        }
    }

    fn hide_given(&mut self, name: &str) {
        let arena = &self.arena;
        for given in &mut self.given {
            given.hidden |= resolve(arena, given.shown) == name;
        }
    }

    /// The value of a label that is moved to another name.
    pub(in crate::pipeline) fn value_of(&self, name: &str) -> Option<Text<'a>> {
        if let Some(value) = self.parsed.get(&self.arena, name) {
            return Some(value);
        }
        if let Some(given) = self.given.iter().find(|given| !given.hidden && self.text(given.shown) == name) {
            return Some(Text::Borrowed(given.value));
        }
        None
    }
}
