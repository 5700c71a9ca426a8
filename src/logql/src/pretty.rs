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
            Some(grouping) => {
                self.out.push(' ');
                grouping.write(&mut self.out, ", ")
            }
        }
    }

    fn vector(&mut self, expr: &VectorAggregation, level: usize) -> fmt::Result {
        self.indent(level);
        self.out.push_str(expr.op.as_str());
        if let Some(grouping) = &expr.grouping {
            self.out.push(' ');
            grouping.write(&mut self.out, ", ")?;
        }
        self.out.push_str("(\n");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_query;

    fn laid_out(query: &str) -> String {
        pretty(&parse_query(query).unwrap_or_else(|e| panic!("{query}: {e}")))
    }

    #[test]
    fn short_queries_stay_on_their_line() {
        for (query, wanted) in [
            (r#"{ a = "b" }|="x""#, r#"{a="b"} |= "x""#),
            ("1+2", "3"),
            (r#"{a="b"} | size>1KB | size<1.5MiB"#, r#"{a="b"} | size>1.0kB | size<1.6MB"#),
            (r#"{a="b"} | size<17PiB | size>9000PB"#, r#"{a="b"} | size<19PB | size>9000000000000000000B"#),
        ] {
            assert_eq!(laid_out(query), wanted);
        }
        let edge = format!("{{}} |= \"{}\"", "é".repeat(MAX_LINE - 8));
        assert_eq!(laid_out(&edge), edge);
        let longer = edge.replacen('é', "éé", 1);
        assert_eq!(laid_out(&longer), longer.replacen(' ', "\n  ", 1));
    }

    #[test]
    fn long_queries_are_broken_by_their_parts() {
        let long = "x".repeat(90);
        for (query, wanted) in [
            (
                format!("{{a=\"b\"}} |= \"{long}\" |~ \"y\" | json | z>=500 != \"w\""),
                format!("{{a=\"b\"}}\n  |= \"{long}\" |~ \"y\"\n  | json\n  | z>=500\n  != \"w\""),
            ),
            (
                format!(
                    "topk(10, sum by (path) (quantile_over_time(0.99, {{a=\"b\"}} | {long}=1 | unwrap took | e=\"\" [10m] offset 1h) by (c)))"
                ),
                format!(
                    "topk(\n  10,\n  sum by (path)(\n    quantile_over_time(\n      0.99,\n      {{a=\"b\"}}\n        | {long}==1\n        \
                     | unwrap took\n        | e=\"\" [10m] offset 1h0m0s\n    ) by (c)\n  )\n)"
                ),
            ),
            (
                format!("label_replace(rate({{}} | {long}=1 [5m]), \"a\", \"$1\", \"b\", \"(.*)\")"),
                format!(
                    "label_replace(\n  rate(\n    {{}} | {long}==1 [5m]\n  ),\n  \"a\",\n  \"$1\",\n  \"b\",\n  \"(.*)\"\n)"
                ),
            ),
        ] {
            assert_eq!(laid_out(&query), wanted);
        }
    }

    #[test]
    fn brackets_stay_where_they_count() {
        let rate = |name: &str| format!("rate({{{}=\"1\"}}[5m])", name.repeat(60));
        let (a, b, c) = (rate("a"), rate("b"), rate("c"));
        for (query, wanted) in [
            (format!("{a} + {b} * on(x) {c}"), format!("  {a}\n+\n    {b}\n  * on (x)\n    {c}")),
            (format!("({a} + {b}) * {c}"), format!("  (\n      {a}\n    +\n      {b}\n  )\n*\n  {c}")),
            (format!("{a} - {b} - {c}"), format!("    {a}\n  -\n    {b}\n-\n  {c}")),
            (format!("{a} - ({b} - {c})"), format!("  {a}\n-\n  (\n      {b}\n    -\n      {c}\n  )")),
            (format!("{a} ^ {b} ^ {c}"), format!("  {a}\n^\n    {b}\n  ^\n    {c}")),
            (
                format!("{a} + (1 + vector(2)) + {c}"),
                format!("    {a}\n  +\n    (1 + vector(2.000000))\n+\n  {c}"),
            ),
        ] {
            assert_eq!(laid_out(&query), wanted);
            let expr = parse_query(&query).unwrap();
            assert_eq!(parse_query(&wanted), Ok(expr));
        }
    }
}
