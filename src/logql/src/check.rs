//! Is what is well-formed also meaningful? The rules that a part of a query must keep beyond the grammar
//!.

use crate::ast::{
    BinaryExpr, BinaryOp, Expr, Matching, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};
use crate::error::ParseError;
use crate::parser::number;
use crate::pattern::{Groups, Pattern};
use regex_syntax::hir::{Hir, HirKind};
use std::collections::HashSet;
use strandline_model::MatchOp;

/// What stands between an operator and its right side.
pub(crate) struct Modifiers {
    pub(crate) returns_bool: bool,
    pub(crate) matching: Option<Matching>,
}

/// The value of a condition on a label: a regex must be one.
pub(crate) fn label_text(op: MatchOp, value: &str) -> Result<(), ParseError> {
    match op {
        MatchOp::Equal | MatchOp::NotEqual => Ok(()),
        MatchOp::Regex | MatchOp::NotRegex => {
            Pattern::parse(value, Groups::None).map(|_| ()).map_err(ParseError::Whole)
        }
    }
}

/// The expression of `regexp`: it must name something, and nothing twice.
pub(crate) fn regexp(text: &str) -> Result<(), ParseError> {
    let error = |why: &str| ParseError::whole(format!("invalid regexp parser: {why}"));
    let pattern = Pattern::parse(text, Groups::Named).map_err(|e| error(&e))?;
    if let Some(name) = pattern.duplicate_name() {
        return Err(error(&format!("duplicate extracted label name '{name}'")));
    }
    if names_a_group(&pattern.hir) {
        return Ok(());
    }
    Err(error("at least one named capture must be supplied"))
}

/// Whether a group of `hir` has a name. Patterns bound their nesting.
fn names_a_group(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(group) => group.name.is_some() || names_a_group(&group.sub),
        HirKind::Repetition(repetition) => names_a_group(&repetition.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(names_a_group),
        _ => false,
    }
}

/// The expression of `pattern`: `<name>` captures, `<_>` skips, two must not touch.
pub(crate) fn pattern(text: &str) -> Result<(), ParseError> {
    let error = |why: String| ParseError::whole(format!("invalid pattern parser: {why}: invalid expression"));
    let mut names = HashSet::new();
    let mut rest = text;
    let mut last = None;
    while let Some((before, name, after)) = next_capture(rest) {
        if let Some(last) = last.filter(|_| before.is_empty()) {
            return Err(error(format!("found consecutive capture '<{last}><{name}>'")));
        }
        if name != "_" && !names.insert(name) {
            return Err(error(format!("duplicate capture name ({name})")));
        }
        last = Some(name);
        rest = after;
    }
    if names.is_empty() { Err(error("at least one capture is required".to_owned())) } else { Ok(()) }
}

/// The first `<name>` of `text`, with what stands around it.
fn next_capture(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('<').find_map(|(at, _)| {
        let (before, behind) = (text.get(..at)?, text.get(at + 1..)?);
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = behind.get(..behind.find(|c| !letter(c))?)?;
        let after = behind.get(name.len()..)?.strip_prefix('>')?;
        let valid = name.starts_with(|c: char| letter(c) && !c.is_ascii_digit());
        valid.then_some((before, name, after))
    })
}

/// The regex of `label_replace`.
pub(crate) fn label_replace(regex: &str) -> Result<(), ParseError> {
    let checked = Pattern::parse(regex, Groups::All).map(|_| ());
    checked.map_err(|e| ParseError::whole(format!("invalid regex in label_replace: {e}")))
}

/// The number before the lines of a range aggregation.
pub(crate) fn range_parameter(op: RangeOp, text: Option<&str>) -> Result<Option<f64>, ParseError> {
    match (op, text) {
        (RangeOp::Quantile, Some(text)) => number::float(text).map(Some).map_err(ParseError::Whole),
        (RangeOp::Quantile, None) => {
            Err(ParseError::whole(format!("parameter required for operation {}", op.as_str())))
        }
        (_, Some(text)) => {
            Err(ParseError::whole(format!("parameter {text} not supported for operation {}", op.as_str())))
        }
        (_, None) => Ok(None),
    }
}

/// Whether the aggregation can be grouped, and whether it needs or bears an unwrapped value.
pub(crate) fn range_aggregation(expr: &RangeAggregation) -> Result<(), ParseError> {
    use RangeOp as R;
    let name = expr.op.as_str();
    let groups = matches!(
        expr.op,
        R::Avg | R::Min | R::Max | R::First | R::Last | R::Stddev | R::Stdvar | R::Quantile
    );
    if expr.grouping.is_some() && !groups {
        return Err(ParseError::whole(format!("grouping not allowed for {name} aggregation")));
    }
    let without_unwrap = matches!(expr.op, R::Rate | R::Count | R::BytesRate | R::Bytes | R::Absent);
    let with_unwrap = !matches!(expr.op, R::Count | R::BytesRate | R::Bytes);
    match expr.unwrap {
        Some(_) if !with_unwrap => Err(ParseError::whole(format!("invalid aggregation {name} with unwrap"))),
        None if !without_unwrap => {
            Err(ParseError::whole(format!("invalid aggregation {name} without unwrap")))
        }
        _ => Ok(()),
    }
}

/// The number before the series of a vector aggregation.
pub(crate) fn vector_parameter(op: VectorOp, text: Option<&str>) -> Result<Option<u64>, ParseError> {
    let name = op.as_str();
    let takes = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    let fault = match text {
        None if takes => format!("parameter required for operation {name}"),
        None => return Ok(None),
        Some(text) if !takes => format!("unsupported parameter for operation {name}({text},"),
        Some(text) => match text.parse::<i64>().map(u64::try_from) {
            Ok(Ok(k)) if k > 0 => return Ok(Some(k)),
            Ok(_) => format!("invalid parameter (must be greater than 0) {name}({text}"),
            Err(_) => format!("invalid parameter {name}({text},"),
        },
    };
    Err(ParseError::Whole(fault))
}

/// Whether the aggregation can be grouped.
pub(crate) fn vector_aggregation(expr: &VectorAggregation) -> Result<(), ParseError> {
    let Some(grouping) = &expr.grouping else { return Ok(()) };
    let refused = match expr.op {
        VectorOp::ApproxTopk => true,
        VectorOp::Sort | VectorOp::SortDesc => !grouping.labels.is_empty(),
        _ => false,
    };
    if refused {
        return Err(ParseError::whole(format!("grouping not allowed for {} aggregation", expr.op.as_str())));
    }
    Ok(())
}

/// An operation between two queries. Two numbers are computed at once.
pub(crate) fn binary(
    op: BinaryOp,
    modifiers: Modifiers,
    left: Expr,
    right: Expr,
) -> Result<MetricExpr, ParseError> {
    let (left, right) = (leg(op, "left", left)?, leg(op, "right", right)?);
    if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) {
        for (side, leg) in [("left", &left), ("right", &right)] {
            if let MetricExpr::Literal(value) = leg {
                return Err(ParseError::whole(format!(
                    "unexpected literal for {side} leg of logical/set binary operation ({}): {value:.6}",
                    op.as_str()
                )));
            }
        }
    }
    if let (MetricExpr::Literal(left), MetricExpr::Literal(right)) = (&left, &right)
        && let Some(value) = computed(op, *left, *right)
    {
        return Ok(MetricExpr::Literal(value));
    }
    let Modifiers { returns_bool, matching } = modifiers;
    Ok(MetricExpr::Binary(Box::new(BinaryExpr { op, returns_bool, matching, left, right })))
}

fn leg(op: BinaryOp, side: &str, expr: Expr) -> Result<MetricExpr, ParseError> {
    match expr {
        Expr::Metric(expr) => Ok(expr),
        Expr::Log(expr) => {
            let kind = if expr.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
            let op = op.as_str();
            Err(ParseError::whole(format!(
                "unexpected type for {side} leg of binary operation ({op}): *syntax.{kind}"
            )))
        }
    }
}

/// An operation between two numbers; `None` for those between sets. Nothing can be divided by zero.
fn computed(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    #[allow(clippy::float_cmp, reason = "LogQL compares so")]
    Some(match op {
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => return None,
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessEqual => truth(left <= right),
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
    })
}
