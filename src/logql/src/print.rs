//! How does a query read in its canonical form? As Loki prints it: `sum by (a)(rate({b="c"} |= "x" or "y"[5m]))`.
//!
//! What is printed is read as the same tree. Where Loki's form would lose something (a size of 1572864 bytes is `1.6MB`
//! there), the exact value is printed.

use crate::ast::{
    BinaryExpr, Expr, Extraction, GroupSide, Grouping, LabelChoice, LabelFilterExpr, LabelFormatExpr,
    LabelFormatValue, LabelReplace, LineFilterExpr, LineOperand, LogExpr, MatcherExpr, Matching, MetricExpr,
    Quantity, RangeAggregation, Stage, Unwrap, VectorAggregation,
};
use crate::parser::number;
use std::fmt::{self, Display, Formatter, Write};
use strandline_model::MatchOp;
use strandline_model::labels::write_quoted;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(expr) => expr.fmt(f),
            Self::Metric(expr) => expr.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        write_list(f, &self.matchers, ", ")?;
        f.write_char('}')?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for MatcherExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, match_op(self.op))?;
        write_quoted(f, &self.value)
    }
}

fn match_op(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    }
}

/// All of `parts` with `separator` between them.
fn write_list<T: Display>(f: &mut Formatter<'_>, parts: &[T], separator: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        f.write_str(if i > 0 { separator } else { "" })?;
        part.fmt(f)?;
    }
    Ok(())
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            Self::Json(extractions) => {
                f.write_str("| json")?;
                write_extractions(f, extractions)
            }
            Self::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                write_extractions(f, extractions)
            }
            Self::Regexp(pattern) => write_with_text(f, "| regexp ", pattern),
            Self::Pattern(pattern) => write_with_text(f, "| pattern ", pattern),
            Self::Unpack => f.write_str("| unpack"),
            Self::Decolorize => f.write_str("| decolorize"),
            Self::LabelFilter(filter) => write!(f, "| {filter}"),
            Self::LineFormat(template) => write_with_text(f, "| line_format ", template),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                write_list(f, formats, ",")
            }
            Self::Drop(choices) => {
                f.write_str("| drop ")?;
                write_list(f, choices, ",")
            }
            Self::Keep(choices) => {
                f.write_str("| keep ")?;
                write_list(f, choices, ",")
            }
        }
    }
}

fn write_with_text(f: &mut Formatter<'_>, word: &str, text: &str) -> fmt::Result {
    f.write_str(word)?;
    write_quoted(f, text)
}

fn write_extractions(f: &mut Formatter<'_>, extractions: &[Extraction]) -> fmt::Result {
    f.write_str(if extractions.is_empty() { "" } else { " " })?;
    write_list(f, extractions, ",")
}

impl Display for LineFilterExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op.as_str())?;
        write_list(f, &self.operands, " or ")
    }
}

impl Display for LineOperand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write_quoted_bytes(f, text),
            Self::Ip(range) => write_ip(f, range),
        }
    }
}

fn write_ip(f: &mut Formatter<'_>, range: &str) -> fmt::Result {
    f.write_str("ip(")?;
    write_quoted(f, range)?;
    f.write_char(')')
}

/// As [`write_quoted`], with `\xHH` for each byte that is not UTF-8.
fn write_quoted_bytes(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        let mut quoted = String::new();
        write_quoted(&mut quoted, chunk.valid())?;
        f.write_str(quoted.get(1..quoted.len() - 1).unwrap_or(""))?;
        chunk.invalid().iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
    }
    f.write_char('"')
}

impl Display for Extraction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        write_quoted(f, &self.expression)
    }
}

impl Display for LabelFormatExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        match &self.value {
            LabelFormatValue::Label(name) => f.write_str(name),
            LabelFormatValue::Template(template) => write_quoted(f, template),
        }
    }
}

impl Display for LabelChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.condition {
            None => Ok(()),
            Some((op, value)) => write_with_text(f, match_op(*op), value),
        }
    }
}

impl Display for LabelFilterExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(left, right) => write!(f, "( {left} , {right} )"),
            Self::Or(left, right) => write!(f, "( {left} or {right} )"),
            Self::Text(matcher) => matcher.fmt(f),
            Self::Quantity { name, op, value } => write!(f, "{name}{}{value}", op.as_str()),
            Self::Ip { name, negative, range } => {
                write!(f, "{name}{}", if *negative { "!=" } else { "=" })?;
                write_ip(f, range)
            }
        }
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Duration(ns) => number::write_duration(f, ns),
            Self::Bytes(size) => number::write_bytes(f, size),
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(expr) => expr.fmt(f),
            Self::Vector(expr) => expr.fmt(f),
            Self::Binary(expr) => expr.fmt(f),
            Self::LabelReplace(expr) => expr.fmt(f),
            Self::VectorLiteral(value) => {
                f.write_str("vector(")?;
                number::write_fixed(f, *value)?;
                f.write_char(')')
            }
            Self::Literal(value) => number::write_number(f, *value),
        }
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        self.write_window(f)?;
        f.write_char(')')?;
        match &self.grouping {
            None => Ok(()),
            Some(grouping) => write!(f, " {grouping}"),
        }
    }
}

impl RangeAggregation {
    /// `[5m] offset 1h0m0s`
    pub(crate) fn write_window(&self, out: &mut impl Write) -> fmt::Result {
        out.write_char('[')?;
        number::write_range(out, self.range_ns)?;
        out.write_char(']')?;
        if self.offset_ns == 0 {
            return Ok(());
        }
        out.write_str(" offset ")?;
        number::write_duration(out, self.offset_ns)
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion {
            None => write!(f, "| unwrap {}", self.label)?,
            Some(conversion) => write!(f, "| unwrap {}({})", conversion.as_str(), self.label)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, ",")
    }
}

impl Grouping {
    /// `by (a,b)`, with `separator` between the names.
    pub(crate) fn write(&self, out: &mut impl Write, separator: &str) -> fmt::Result {
        out.write_str(if self.without { "without (" } else { "by (" })?;
        out.write_str(&self.labels.join(separator))?;
        out.write_char(')')
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping}")?;
        }
        f.write_char('(')?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for BinaryExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({} ", self.left)?;
        self.write_operator(f)?;
        write!(f, " {})", self.right)
    }
}

impl BinaryExpr {
    /// `> bool on (a) group_left (b)`
    pub(crate) fn write_operator(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str(self.op.as_str())?;
        out.write_str(if self.returns_bool { " bool" } else { "" })?;
        match &self.matching {
            None => Ok(()),
            Some(matching) => write!(out, " {matching}"),
        }
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.on { "on (" } else { "ignoring (" })?;
        write_list(f, &self.labels, ",")?;
        f.write_char(')')?;
        let Some((side, labels)) = &self.group else { return Ok(()) };
        f.write_str(match side {
            GroupSide::Left => " group_left",
            GroupSide::Right => " group_right",
        })?;
        if labels.is_empty() {
            return Ok(());
        }
        f.write_str(" (")?;
        write_list(f, labels, ",")?;
        f.write_char(')')
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "label_replace({}", self.inner)?;
        for text in self.texts() {
            f.write_char(',')?;
            write_quoted(f, text)?;
        }
        f.write_char(')')
    }
}

impl LabelReplace {
    /// The four strings in the order in which they are written.
    pub(crate) fn texts(&self) -> [&str; 4] {
        [&self.destination, &self.replacement, &self.source, &self.regex]
    }
}
