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
mod needed;
mod parsed;
mod pattern;
mod reads;
mod regexp;
pub mod row;
mod step;
mod text;
pub mod units;
mod unpack;
mod unwrap;
mod watch;

pub(crate) use ip::IpRange;
pub use json_keys::json_keys;
pub use label_needle::LabelNeedle;
pub use needed::Needed;
pub(crate) use pattern::LineShape;
pub use row::{Category, Label, Row};
pub use unwrap::Unwrapped;

use crate::ast::{LabelFilterExpr, LabelFormatValue, LineFilterExpr, Stage};
use crate::error::ParseError;
use crate::line_filter::LineFilters;
use crate::patterns::Patterns;
use crate::template::Template;
use reads::Reads;
use std::collections::BTreeSet;
use step::{Step, changes_line, compile_stage};
use strandline_model::{MatchOp, Needle};
pub(crate) use watch::Watch;

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

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds_tests;
#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
