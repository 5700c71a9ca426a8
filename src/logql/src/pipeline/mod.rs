//! What do the stages of a query do with an entry? Compiled once, run over each row.
//!
//! Pure: a row goes in, and either it is dropped or its line and labels are what the query shows. The stages mean
//! what they mean in Loki 3.

mod decolorize;
mod drop_keep;
mod extract;
mod format;
mod ip;
mod json;
mod json_keys;
mod json_member;
mod json_path;
mod json_scan;
mod label_filter;
mod label_needle;
mod logfmt;
mod parsed;
mod pattern;
mod reads;
mod regexp;
pub mod row;
mod text;
pub mod units;
mod unpack;
mod unwrap;
mod watch;

pub(crate) use ip::IpRange;
pub use json_keys::json_keys;
pub use label_needle::LabelNeedle;
pub(crate) use pattern::LineShape;
pub use row::{Category, Label, Row};
pub use unwrap::Unwrapped;

use crate::ast::{LabelFilterExpr, LabelFormatValue, LineFilterExpr, Stage};
use crate::error::ParseError;
use crate::line_filter::LineFilters;
use crate::patterns::Patterns;
use crate::template::Template;
use drop_keep::Choices;
use extract::Wanted;
use format::{FormatValue, LabelFormats};
use json_path::JsonPaths;
use label_filter::LabelFilter;
use logfmt::Logfmt;
use reads::Reads;
use regexp::Regexp;
use std::collections::BTreeSet;
use strandline_model::{MatchOp, Needle};
pub(crate) use watch::Watch;

/// The labels that somebody looks at. Errors count as labels here ([`row::ERROR`], [`row::ERROR_DETAILS`]).
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

/// The stages of a query, compiled.
#[derive(Debug, Clone)]
pub struct Pipeline {
    line_filters: LineFilters,
    steps: Vec<Step>,
    reads: Needed,
    needs_line: bool,
    changes_line: bool,
    label_needles: Vec<LabelNeedle>,
    probe: Option<Box<Pipeline>>,
    /// Whether the probe is worth running first.
    probes: bool,
}

/// One stage, compiled, with the labels that it has to make.
#[derive(Debug, Clone)]
enum Step {
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

impl Pipeline {
    /// Compiles `stages`. Parsers then make only the labels that are `needed` or that a later stage reads.
    pub fn compile(stages: &[Stage], needed: &Needed, patterns: &mut Patterns) -> Result<Self, ParseError> {
        let (leading, mut rest) = split_line_filters(stages);
        drop_idle(&mut rest);
        let line_filters = LineFilters::of(leading.into_iter(), patterns)?;
        let mut reads = Reads::new(needed);
        let named = match needed {
            Needed::Grouped(names) => Some(named_labels(names, &rest)),
            Needed::All | Needed::Only(_) => None,
        };
        let mut steps = Vec::with_capacity(rest.len());
        for stage in rest.iter().rev() {
            let step = compile_stage(stage, &mut reads, named.as_ref(), patterns);
            steps.push(step.map_err(|e| in_stage(stage, e))?);
        }
        steps.reverse();
        Ok(Self {
            line_filters,
            needs_line: steps.iter().any(Step::needs_line),
            changes_line: rest.iter().any(|stage| changes_line(stage)),
            label_needles: label_needle::of_stages(&rest, &steps),
            steps,
            reads: reads.needed(),
            probe: probe(&rest, needed, patterns)?.map(Box::new),
            probes: rest.iter().any(|stage| makes_labels(stage)),
        })
    }

    /// The filters on the stored line. They can be judged before anything else, over a whole block at once.
    pub fn line_filters(&self) -> &LineFilters {
        &self.line_filters
    }

    /// What every stored line that passes must contain.
    pub fn needle(&self) -> Needle {
        self.line_filters.needle()
    }

    /// What the stored line of a row that passes must contain besides, if the row has no such label otherwise.
    pub fn label_needles(&self) -> &[LabelNeedle] {
        &self.label_needles
    }

    /// Whether nothing is left to do behind the line filters.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether [`Self::process`] looks at the line; otherwise a row may do without.
    pub fn needs_line(&self) -> bool {
        self.needs_line
    }

    /// Whether a row's line may differ from the stored one behind the stages.
    pub fn changes_line(&self) -> bool {
        self.changes_line
    }

    /// The labels of the stream and the metadata that matter: to a stage, or to who needed them.
    pub fn reads(&self) -> &Needed {
        &self.reads
    }

    /// The same stages as far as they decide whether a row is dropped.
    pub fn decisive(&self) -> &Self {
        self.probe.as_deref().unwrap_or(self)
    }

    /// Whether every row that passes [`Self::line_filters`] is kept.
    pub fn keeps_all(&self) -> bool {
        !self.steps.iter().any(Step::may_drop)
    }

    /// Runs the stages over a row whose line has passed [`Self::line_filters`]. False: the row is dropped.
    pub fn process(&self, row: &mut Row<'_>) -> bool {
        self.process_until(row, &|| false)
    }

    /// The same, but ends when `stop` says that nobody waits for the row any more: then what is returned means nothing. It
    /// is asked only where a row is much work.
    pub fn process_until(&self, row: &mut Row<'_>, stop: &dyn Fn() -> bool) -> bool {
        self.run(row, &Watch::new(stop))
    }

    fn run(&self, row: &mut Row<'_>, watch: &Watch<'_>) -> bool {
        if !self.may_have_members(row) {
            return false;
        }
        if let (Some(probe), true) = (&self.probe, self.probes) {
            if !probe.run(row, watch) {
                return false;
            }
            row.restart();
        }
        self.steps
            .iter()
            .all(|step| !watch.is_over(step.weight().saturating_mul(row.weight())) && step.run(row, watch))
    }

    /// Whether the line's JSON may have what label filters ask of it.
    fn may_have_members(&self, row: &Row<'_>) -> bool {
        let mut members = self.label_needles.iter().filter_map(|needle| needle.member.as_ref());
        members.all(|member| row.is_given(member.label()) || member.may_be_in(row.line()))
    }

    /// Runs all stages, the leading line filters too.
    pub fn process_all(&self, row: &mut Row<'_>) -> bool {
        self.line_filters.is_match(row.line()) && self.process(row)
    }
}

/// Drops the stages that do nothing because no stage before them can fail: Grafana puts them behind every query. (A label
/// of the client's own that is named like an error is taken for one.)
fn drop_idle(stages: &mut Vec<&Stage>) {
    let mut can_fail = false;
    stages.retain(|stage| {
        let idle = !can_fail && minds_errors_only(stage);
        can_fail |= !idle && !matches!(stage, Stage::LineFilter(_) | Stage::Drop(_) | Stage::Keep(_));
        !idle
    });
}

fn minds_errors_only(stage: &Stage) -> bool {
    let is_error = |name: &str| name == row::ERROR || name == row::ERROR_DETAILS;
    match stage {
        Stage::Drop(choices) => choices.iter().all(|choice| is_error(&choice.name)),
        Stage::LabelFilter(LabelFilterExpr::Text(m)) => {
            is_error(&m.name) && m.op == MatchOp::Equal && m.value.is_empty()
        }
        _ => false,
    }
}

fn makes_labels(stage: &Stage) -> bool {
    matches!(
        stage,
        Stage::Json(_) | Stage::Logfmt { .. } | Stage::Unpack | Stage::Regexp(_) | Stage::Pattern(_)
    )
}

/// The same stages with only those labels that decide whether a row is dropped: less work than to make all of them for
/// rows that are dropped then.
fn probe(
    stages: &[&Stage],
    needed: &Needed,
    patterns: &mut Patterns,
) -> Result<Option<Pipeline>, ParseError> {
    let is_filter = |stage: &&Stage| matches!(stage, Stage::LabelFilter(_));
    let Some(last) = stages.iter().rposition(is_filter) else { return Ok(None) };
    let stages = stages.get(..=last).unwrap_or_default();
    if *needed != Needed::All {
        return Ok(None);
    }
    let stages: Vec<Stage> = stages.iter().map(|stage| (*stage).clone()).collect();
    Pipeline::compile(&stages, &Needed::Only(BTreeSet::new()), patterns).map(Some)
}

fn changes_line(stage: &Stage) -> bool {
    matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize)
}

fn in_stage(stage: &Stage, error: ParseError) -> ParseError {
    match error {
        ParseError::Whole(text) if !text.starts_with("stage '") => {
            ParseError::whole(format!("stage '{stage}' : {text}"))
        }
        other => other,
    }
}

/// The line filters on the stored line, and all other stages. Filters move in front of stages that leave the line
/// alone: they have no effect but to drop.
fn split_line_filters(stages: &[Stage]) -> (Vec<&LineFilterExpr>, Vec<&Stage>) {
    let mut filters = Vec::new();
    let mut rest: Vec<&Stage> = Vec::new();
    for stage in stages {
        match stage {
            Stage::LineFilter(expr) if !rest.iter().any(|stage| changes_line(stage)) => filters.push(expr),
            _ => rest.push(stage),
        }
    }
    (filters, rest)
}

/// The labels that a metric query names: those that it groups by or unwraps, and those that its stages look at.
fn named_labels(names: &BTreeSet<String>, stages: &[&Stage]) -> BTreeSet<String> {
    let mut all = names.clone();
    let template = |text: &str, all: &mut BTreeSet<String>| {
        let template = Template::parse(text).ok();
        all.extend(template.iter().filter_map(Template::fields).flatten().cloned());
    };
    for stage in stages {
        match stage {
            Stage::LabelFilter(filter) => reads::filter_labels(filter, &mut all),
            Stage::LineFormat(text) => template(text, &mut all),
            Stage::LabelFormat(formats) => formats.iter().for_each(|format| match &format.value {
                LabelFormatValue::Label(from) => {
                    all.insert(from.clone());
                }
                LabelFormatValue::Template(text) => template(text, &mut all),
            }),
            _ => {}
        }
    }
    let unclashed: Vec<String> =
        all.iter().filter_map(|name| name.strip_suffix(row::EXTRACTED)).map(str::to_owned).collect();
    all.extend(unclashed);
    all
}

/// Compiles one stage; `named` are the labels after which parsers look for no more faults; `reads` is what is looked at behind it, and then in front of it.
fn compile_stage(
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
    fn run(&self, row: &mut Row<'_>, watch: &Watch<'_>) -> bool {
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
    fn weight(&self) -> usize {
        match self {
            Self::Regexp(regexp, _) => regexp.weight(),
            _ => 1,
        }
    }

    fn may_drop(&self) -> bool {
        matches!(self, Self::LineFilter(_) | Self::LabelFilter(_))
    }

    fn needs_line(&self) -> bool {
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

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds_tests;
#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
