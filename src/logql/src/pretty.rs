//! How is a query laid out for people? As Loki's `format_query`: on one line if it is short, else a line for each part,
//! indented by two blanks a level.

use crate::ast::{
    BinaryExpr, BinaryOp, Expr, LabelFilterExpr, LabelReplace, LogExpr, MetricExpr, Quantity,
    RangeAggregation, Stage, VectorAggregation,
};
use crate::parser::number;
use std::fmt::{self, Display, Write};
use strandline_model::labels::write_quoted;

/// Longest part that is not broken, in characters.
const MAX_LINE: usize = 100;

/// `expr` laid out. Sizes are rounded to what Loki shows of them (`1.6MB`), all else is exact.
pub fn pretty(expr: &Expr) -> String {
    let mut expr = expr.clone();
    match &mut expr {
        Expr::Log(log) => round_stages(&mut log.stages),
        Expr::Metric(metric) => round_metric(metric),
    }
    let mut layout = Layout { out: String::new() };
    // Writing to a string does not fail.
    let _ = match &expr {
        Expr::Log(log) => layout.log(log, 0),
        Expr::Metric(metric) => layout.metric(metric, 0),
    };
    layout.out
}

struct Layout {
    out: String,
}

impl Layout {
    fn indent(&mut self, level: usize) {
        self.out.extend(std::iter::repeat_n("  ", level));
    }

    /// Writes `part` on one line if it is short enough. The answer is whether it was.
    fn short(&mut self, part: &impl Display, level: usize) -> Result<bool, fmt::Error> {
        let mut line = Line { text: String::new(), left: MAX_LINE };
        let fits = write!(line, "{part}").is_ok();
        if fits {
            self.indent(level);
            self.out.push_str(&line.text);
        }
        Ok(fits)
    }

    fn log(&mut self, expr: &LogExpr, level: usize) -> fmt::Result {
        if self.short(expr, level)? {
            return Ok(());
        }
        self.indent(level);
        let selector = LogExpr { matchers: expr.matchers.clone(), stages: Vec::new() };
        write!(self.out, "{selector}")?;
        let mut behind_line_filter = false;
        for stage in &expr.stages {
            let line_filter = matches!(stage, Stage::LineFilter(_));
            // Neighbouring line filters stay on one line.
            if line_filter && behind_line_filter {
                self.out.push(' ');
            } else {
                self.out.push('\n');
                self.indent(level + 1);
            }
            behind_line_filter = line_filter;
            write!(self.out, "{stage}")?;
        }
        Ok(())
    }

    fn metric(&mut self, expr: &MetricExpr, level: usize) -> fmt::Result {
        if self.short(expr, level)? {
            return Ok(());
        }
        match expr {
            MetricExpr::Range(expr) => self.range(expr, level),
            MetricExpr::Vector(expr) => self.vector(expr, level),
            MetricExpr::Binary(expr) => self.binary(expr, level),
            MetricExpr::LabelReplace(expr) => self.label_replace(expr, level),
            MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {
                self.indent(level);
                write!(self.out, "{expr}")
            }
        }
    }

    fn range(&mut self, expr: &RangeAggregation, level: usize) -> fmt::Result {
        self.indent(level);
        writeln!(self.out, "{}(", expr.op.as_str())?;
        if let Some(parameter) = expr.parameter {
            self.indent(level + 1);
            writeln!(self.out, "{parameter},")?;
        }
        self.log(&expr.log, level + 1)?;
        if let Some(unwrap) = &expr.unwrap {
            let head = crate::ast::Unwrap { filters: Vec::new(), ..unwrap.clone() };
            self.out.push('\n');
            self.indent(level + 2);
            write!(self.out, "{head}")?;
            for filter in &unwrap.filters {
                self.out.push('\n');
                self.indent(level + 2);
                write!(self.out, "| {filter}")?;
            }
        }
        self.out.push(' ');
        expr.write_window(&mut self.out)?;
        self.close(level);
        match &expr.grouping {
            None => Ok(()),
            Some(grouping) => write!(self.out, " {grouping}"),
        }
    }

    fn vector(&mut self, expr: &VectorAggregation, level: usize) -> fmt::Result {
        self.indent(level);
        expr.write_head(&mut self.out)?;
        self.out.push('\n');
        if let Some(parameter) = expr.parameter {
            self.indent(level + 1);
            writeln!(self.out, "{parameter},")?;
        }
        self.metric(&expr.inner, level + 1)?;
        self.close(level);
        Ok(())
    }

    fn label_replace(&mut self, expr: &LabelReplace, level: usize) -> fmt::Result {
        self.indent(level);
        self.out.push_str("label_replace(\n");
        self.metric(&expr.inner, level + 1)?;
        for text in expr.texts() {
            self.out.push_str(",\n");
            self.indent(level + 1);
            write_quoted(&mut self.out, text)?;
        }
        self.close(level);
        Ok(())
    }

    /// Both sides a level deeper, the operator between them. Loki leaves brackets out here even where that makes another
    /// query of it; they stay where they count.
    fn binary(&mut self, expr: &BinaryExpr, level: usize) -> fmt::Result {
        self.side(&expr.left, binds_looser(&expr.left, expr.op, true), level + 1)?;
        self.out.push('\n');
        self.indent(level);
        expr.write_operator(&mut self.out)?;
        self.out.push('\n');
        self.side(&expr.right, binds_looser(&expr.right, expr.op, false), level + 1)
    }

    fn side(&mut self, expr: &MetricExpr, brackets: bool, level: usize) -> fmt::Result {
        if !brackets || self.short(expr, level)? {
            return if brackets { Ok(()) } else { self.metric(expr, level) };
        }
        self.indent(level);
        self.out.push_str("(\n");
        self.metric(expr, level + 1)?;
        self.close(level);
        Ok(())
    }

    fn close(&mut self, level: usize) {
        self.out.push('\n');
        self.indent(level);
        self.out.push(')');
    }
}

/// Whether a side of `outer` needs brackets to stay one.
fn binds_looser(side: &MetricExpr, outer: BinaryOp, left: bool) -> bool {
    let MetricExpr::Binary(side) = side else { return false };
    let (side, precedence) = (side.op.precedence(), outer.precedence());
    let groups_here = left != (outer == BinaryOp::Pow);
    side < precedence || (side == precedence && !groups_here)
}

/// A text that takes no more than so many characters.
struct Line {
    text: String,
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.chars().count()).ok_or(fmt::Error)?;
        self.text.push_str(text);
        Ok(())
    }
}

fn round_metric(expr: &mut MetricExpr) {
    match expr {
        MetricExpr::Range(expr) => {
            round_stages(&mut expr.log.stages);
            let filters = expr.unwrap.iter_mut().flat_map(|unwrap| &mut unwrap.filters);
            filters.for_each(round_filter);
        }
        MetricExpr::Vector(expr) => round_metric(&mut expr.inner),
        MetricExpr::Binary(expr) => {
            round_metric(&mut expr.left);
            round_metric(&mut expr.right);
        }
        MetricExpr::LabelReplace(expr) => round_metric(&mut expr.inner),
        MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
    }
}

fn round_stages(stages: &mut [Stage]) {
    for stage in stages {
        if let Stage::LabelFilter(filter) = stage {
            round_filter(filter);
        }
    }
}

/// Makes each size the one that Loki prints for it. Those that Loki could not read again stay.
fn round_filter(filter: &mut LabelFilterExpr) {
    match filter {
        LabelFilterExpr::And(left, right) | LabelFilterExpr::Or(left, right) => {
            round_filter(left);
            round_filter(right);
        }
        LabelFilterExpr::Quantity { value: Quantity::Bytes(size), .. } => {
            *size = number::bytes(&number::rounded_bytes(*size)).unwrap_or(*size);
        }
        LabelFilterExpr::Text(_) | LabelFilterExpr::Quantity { .. } | LabelFilterExpr::Ip { .. } => {}
    }
}
