//! What does one stage do, once it is compiled?

use super::decolorize;
use super::drop_keep::Choices;
use super::extract::Wanted;
use super::format::{self, FormatValue, LabelFormats};
use super::json;
use super::json_path::JsonPaths;
use super::label_filter::LabelFilter;
use super::logfmt::Logfmt;
use super::pattern::LineShape;
use super::reads::Reads;
use super::regexp::Regexp;
use super::row::Row;
use super::unpack;
use super::watch::Watch;
use crate::ast::Stage;
use crate::error::ParseError;
use crate::line_filter::LineFilters;
use crate::patterns::Patterns;
use crate::template::Template;
use std::collections::BTreeSet;

/// One stage, compiled, with the labels that it has to make.
#[derive(Debug, Clone)]
pub(super) enum Step {
    LineFilter(LineFilters),
    Json(Wanted),
    JsonPaths(JsonPaths, Wanted),
    Logfmt(Logfmt, Wanted),
    Regexp(Regexp, Wanted),
    Pattern(LineShape, Wanted),
    Unpack(Wanted),
    Decolorize,
    LabelFilter(LabelFilter),
    LineFormat(Template),
    LabelFormat(LabelFormats),
    Drop(Choices),
    Keep(Choices),
}

/// Whether a row's line may be another one behind the stage.
pub(super) fn changes_line(stage: &Stage) -> bool {
    matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize)
}

/// Compiles one stage; `named` are the labels after which parsers look for no more faults; `reads` is what is looked at behind it, and then in front of it.
pub(super) fn compile_stage(
    stage: &Stage,
    reads: &mut Reads,
    named: Option<&BTreeSet<String>>,
    patterns: &mut Patterns,
) -> Result<Step, ParseError> {
    let wanted = Wanted::new(reads, named);
    let whole = ParseError::Whole;
    Ok(match stage {
        Stage::LineFilter(expr) => Step::LineFilter(LineFilters::of(std::iter::once(expr), patterns)?),
        Stage::Json(fields) if fields.is_empty() => Step::Json(wanted),
        Stage::Json(fields) => Step::JsonPaths(JsonPaths::compile(fields).map_err(whole)?, wanted),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            Step::Logfmt(Logfmt::compile(*strict, *keep_empty, extractions).map_err(whole)?, wanted)
        }
        Stage::Regexp(pattern) => Step::Regexp(Regexp::compile(pattern, patterns).map_err(whole)?, wanted),
        Stage::Pattern(pattern) => Step::Pattern(LineShape::parser(pattern).map_err(whole)?, wanted),
        Stage::Unpack => Step::Unpack(wanted),
        Stage::Decolorize => Step::Decolorize,
        Stage::LabelFilter(filter) => {
            reads.through_filter(filter);
            Step::LabelFilter(LabelFilter::compile(filter, patterns).map_err(whole)?)
        }
        Stage::LineFormat(text) => {
            let template = Template::compile(text, patterns).map_err(whole)?;
            reads.through_template(template.fields());
            Step::LineFormat(template)
        }
        Stage::LabelFormat(exprs) => {
            let formats = LabelFormats::compile(exprs, patterns).map_err(whole)?;
            formats.formats.iter().rev().for_each(|format| match &format.value {
                FormatValue::Rename(from) => reads.through_rename(&format.name, from),
                FormatValue::Template(template) => reads.through_template(template.fields()),
            });
            Step::LabelFormat(formats)
        }
        Stage::Drop(choices) => {
            reads.through_drop(choices);
            Step::Drop(Choices::compile(choices, patterns).map_err(whole)?)
        }
        Stage::Keep(choices) => {
            reads.through_keep(choices);
            Step::Keep(Choices::compile(choices, patterns).map_err(whole)?)
        }
    })
}

impl Step {
    /// False: the row is dropped.
    pub(super) fn run(&self, row: &mut Row<'_>, watch: &Watch<'_>) -> bool {
        match self {
            Self::LineFilter(filters) => return filters.is_match_watched(row.line(), watch),
            Self::LabelFilter(filter) => return filter.takes(row),
            Self::Json(wanted) => json::extract(row, wanted),
            Self::JsonPaths(places, wanted) => places.extract(row, wanted),
            Self::Logfmt(logfmt, wanted) => logfmt.extract(row, wanted),
            Self::Regexp(regexp, wanted) => regexp.extract(row, wanted),
            Self::Pattern(shape, wanted) => shape.extract(row, wanted),
            Self::Unpack(wanted) => unpack::unpack(row, wanted),
            Self::Decolorize => decolorize::decolorize(row),
            Self::LineFormat(template) => format::format_line(template, row, watch),
            Self::LabelFormat(formats) => formats.apply(row, watch),
            Self::Drop(choices) => choices.drop_from(row),
            Self::Keep(choices) => choices.keep_of(row),
        }
        row.mark_overfull();
        true
    }

    /// How many times as long as others it may take.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Regexp(regexp, _) => regexp.weight(),
            _ => 1,
        }
    }

    pub(super) fn may_drop(&self) -> bool {
        matches!(self, Self::LineFilter(_) | Self::LabelFilter(_))
    }

    pub(super) fn needs_line(&self) -> bool {
        match self {
            Self::LabelFilter(_) | Self::Drop(_) | Self::Keep(_) => false,
            // A template may ask for the line; a rename does not.
            Self::LabelFormat(formats) => {
                formats.formats.iter().any(|format| matches!(format.value, FormatValue::Template(_)))
            }
            Self::Json(wanted) | Self::JsonPaths(_, wanted) | Self::Logfmt(_, wanted) => !wanted.is_nothing(),
            Self::Regexp(_, wanted) | Self::Pattern(_, wanted) => !wanted.no_names(),
            Self::LineFilter(_) | Self::Unpack(_) | Self::Decolorize | Self::LineFormat(_) => true,
        }
    }
}
