//! Which labels stay? (`| drop` and `| keep`)

use super::label_filter::TextFilter;
use super::row::Row;
use crate::ast::LabelChoice;
use crate::patterns::Patterns;

/// Labels that are named, always or when they compare so.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    choices: Vec<(String, Option<TextFilter>)>,
}

impl Choices {
    pub(super) fn compile(choices: &[LabelChoice], patterns: &mut Patterns) -> Result<Self, String> {
        let choices = choices.iter().map(|choice| {
            let condition = choice.condition.as_ref();
            let filter = condition.map(|(op, value)| TextFilter::compile(&choice.name, *op, value, patterns));
            Ok((choice.name.clone(), filter.transpose()?))
        });
        Ok(Self { choices: choices.collect::<Result<_, String>>()? })
    }

    /// Removes the labels that are chosen.
    pub(super) fn drop_from(&self, row: &mut Row<'_>) {
        for (name, condition) in &self.choices {
            let chosen = match condition {
                None => true,
                Some(filter) => row.get(name).is_some_and(|value| filter.takes(value)),
            };
            if chosen {
                row.remove(name);
            }
        }
    }

    /// Removes the labels that are not chosen, but no errors.
    pub(super) fn keep_of(&self, row: &mut Row<'_>) {
        row.retain(|name, value| {
            let mut named = self.choices.iter().filter(|(chosen, _)| chosen == name);
            named.any(|(_, condition)| condition.as_ref().is_none_or(|filter| filter.takes(value)))
        });
    }
}
