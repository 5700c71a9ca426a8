//! Which line and labels do templates make? (`| line_format` and `| label_format`)

use super::row::{ERROR, ERROR_DETAILS, Row};
use super::watch::{TEMPLATE_WORK, Watch};
use crate::ast::{LabelFormatExpr, LabelFormatValue};
use crate::patterns::Patterns;
use crate::template::{Source, Template};
use std::collections::BTreeSet;

/// The error of templates that fail.
const FORMAT_ERROR: &str = "TemplateFormatErr";

/// What a template reads: a row.
struct RowSource<'r, 'a>(&'r Row<'a>);

impl Source for RowSource<'_, '_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &str)) {
        self.0.plain_labels().for_each(|label| each(label.name, label.value));
    }

    fn line(&self) -> &[u8] {
        self.0.line()
    }

    fn timestamp_ns(&self) -> i64 {
        self.0.timestamp_ns()
    }

    fn now_ns(&self) -> i64 {
        self.0.now_ns()
    }
}

/// Makes the text of `template` the line; a template that fails leaves the line and marks the row.
pub(super) fn format_line(template: &Template, row: &mut Row<'_>, watch: &Watch<'_>) {
    if watch.is_over(TEMPLATE_WORK) {
        return;
    }
    let mut out = std::mem::take(&mut row.scratch.bytes);
    out.clear();
    match template.render(&RowSource(row), &mut out) {
        Ok(()) => row.scratch.bytes = row.change_line(out),
        Err(details) => {
            row.scratch.bytes = out;
            fail(row, &details);
        }
    }
}

fn fail(row: &mut Row<'_>, details: &str) {
    row.set_error(FORMAT_ERROR);
    row.set_details(details);
}

/// The assignments of one `label_format`.
#[derive(Debug, Clone)]
pub(super) struct LabelFormats {
    pub(super) formats: Vec<LabelFormat>,
}

#[derive(Debug, Clone)]
pub(super) struct LabelFormat {
    pub(super) name: String,
    pub(super) value: FormatValue,
}

#[derive(Debug, Clone)]
pub(super) enum FormatValue {
    Rename(String),
    Template(Template),
}

impl LabelFormats {
    pub(super) fn compile(exprs: &[LabelFormatExpr], patterns: &mut Patterns) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        let mut formats = Vec::with_capacity(exprs.len());
        for expr in exprs {
            if expr.name == ERROR || expr.name == ERROR_DETAILS {
                return Err(format!("{} cannot be formatted", expr.name));
            }
            if !names.insert(expr.name.as_str()) {
                return Err(format!(
                    "multiple label name '{}' not allowed in a single format operation",
                    expr.name
                ));
            }
            let value = match &expr.value {
                LabelFormatValue::Label(from) => FormatValue::Rename(from.clone()),
                LabelFormatValue::Template(text) => FormatValue::Template(Template::compile(text, patterns)?),
            };
            formats.push(LabelFormat { name: expr.name.clone(), value });
        }
        Ok(Self { formats })
    }

    /// Sets the labels from left to right. All templates read the labels as they are in front of the first template: behind
    /// the renames that stand before it, and no others.
    pub(super) fn apply(&self, row: &mut Row<'_>, watch: &Watch<'_>) {
        let is_rename = |format: &&LabelFormat| matches!(format.value, FormatValue::Rename(_));
        let leading = self.formats.iter().take_while(is_rename).count();
        let (renames, formats) = self.formats.split_at_checked(leading).unwrap_or((&self.formats, &[]));
        renames.iter().for_each(|format| format.rename(row));
        if formats.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut row.scratch.bytes);
        let mut ends = std::mem::take(&mut row.scratch.ends);
        let failure = render(formats, row, watch, &mut out, &mut ends);
        let mut start = 0;
        for (format, end) in formats.iter().zip(&ends) {
            match &format.value {
                FormatValue::Rename(_) => format.rename(row),
                // A template that failed has no end behind its start.
                FormatValue::Template(_) if *end == usize::MAX => continue,
                FormatValue::Template(_) => {
                    let value = row.keep_bytes(out.get(start..*end).unwrap_or_default());
                    row.set(&format.name, value);
                    start = *end;
                }
            }
        }
        if let Some(details) = failure {
            fail(row, &details);
        }
        row.scratch.bytes = out;
        row.scratch.ends = ends;
    }
}

impl LabelFormat {
    /// Moves a label, if it is there. An error is none: it stays where it is.
    fn rename(&self, row: &mut Row<'_>) {
        let FormatValue::Rename(from) = &self.value else { return };
        if let Some(value) = row.value_of(from) {
            row.set(&self.name, value);
            row.remove_label(from);
        }
    }
}

/// Writes what the templates make behind each other; `usize::MAX` as the end of one that failed. The last failure.
fn render(
    formats: &[LabelFormat],
    row: &Row<'_>,
    watch: &Watch<'_>,
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Option<String> {
    out.clear();
    ends.clear();
    let mut failure = None;
    for format in formats {
        let start = out.len();
        let FormatValue::Template(template) = &format.value else {
            ends.push(start);
            continue;
        };
        if watch.is_over(TEMPLATE_WORK) {
            break;
        }
        let rendered = match out.len() < row.left() {
            true => template.render(&RowSource(row), out),
            false => Err(format!("the templates of the line make more than {} bytes", row.most())),
        };
        match rendered {
            Ok(()) => ends.push(out.len()),
            Err(details) => {
                out.truncate(start);
                ends.push(usize::MAX);
                failure = Some(details);
            }
        }
    }
    failure
}
