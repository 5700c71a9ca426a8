//! Which numbers does a metric query ask for? Aggregations, operators and their precedence.

use super::range::Window;
use super::{Parser, Tree, number};
use crate::ast::{
    BinaryOp, Expr, GroupSide, Grouping, LabelReplace, Matching, MetricExpr, RangeAggregation, RangeOp,
    VectorAggregation, VectorOp,
};
use crate::check::{self, Modifiers};
use crate::error::ParseError;
use crate::lexer::Token;

/// What a name before a bracket calls.
enum Function {
    Range(RangeOp),
    Vector(VectorOp),
    LabelReplace,
    VectorLiteral,
}

fn function(name: &str) -> Option<Function> {
    let name = name.to_ascii_lowercase();
    let range = RangeOp::ALL.into_iter().find(|op| op.as_str() == name);
    let vector = || VectorOp::ALL.into_iter().find(|op| op.as_str() == name);
    match name.as_str() {
        "label_replace" => Some(Function::LabelReplace),
        "vector" => Some(Function::VectorLiteral),
        _ => range.map(Function::Range).or_else(|| vector().map(Function::Vector)),
    }
}

/// Whether `name` calls a function when a bracket follows.
pub(super) fn is_function(name: &str) -> bool {
    function(name).is_some()
}

/// The operators, and how tight each binds.
fn binary_op(token: &Token) -> Option<(BinaryOp, usize)> {
    let (Token::Sign(word) | Token::Keyword(word)) = token else { return None };
    let op = BinaryOp::ALL.into_iter().find(|op| op.as_str() == *word)?;
    Some((op, op.precedence()))
}

impl Parser {
    /// A whole query with all its operators.
    pub(super) fn tree(&mut self) -> Result<Tree<Expr>, ParseError> {
        self.operation(0)
    }

    /// A chain of operators that bind at least as tight as `loosest`.
    fn operation(&mut self, loosest: usize) -> Result<Tree<Expr>, ParseError> {
        let mut left = self.leg()?;
        while let Some((op, precedence)) = binary_op(self.peek()).filter(|(_, p)| *p >= loosest) {
            self.at += 1;
            let modifiers = self.modifiers()?;
            // Only `^` groups from the right.
            let tighter = precedence + usize::from(op != BinaryOp::Pow);
            let right = self.nested(|p| p.operation(tighter))?;
            let height = self.checked_height(left.height.max(right.height))?;
            let root = check::binary(op, modifiers, left.root, right.root)?;
            // Numbers are computed at once, and stay leaves.
            let height = if matches!(root, MetricExpr::Literal(_)) { 1 } else { height };
            left = Tree { root: Expr::Metric(root), height };
        }
        Ok(left)
    }

    /// `["bool"] [("on"|"ignoring") "(" idents ")" [("group_left"|"group_right") ["(" idents ")"]]]`
    fn modifiers(&mut self) -> Result<Modifiers, ParseError> {
        let returns_bool = self.eat_keyword("bool");
        let on = self.eat_keyword("on");
        if !on && !self.eat_keyword("ignoring") {
            return Ok(Modifiers { returns_bool, matching: None });
        }
        self.expect("(", "(")?;
        let labels = self.idents()?;
        let side = match self.peek() {
            Token::Keyword("group_left") => Some(GroupSide::Left),
            Token::Keyword("group_right") => Some(GroupSide::Right),
            _ => None,
        };
        self.at += usize::from(side.is_some());
        let group = match side {
            None => None,
            Some(side) if self.at_names() => {
                self.at += 1;
                Some((side, self.idents()?))
            }
            Some(side) => Some((side, Vec::new())),
        };
        Ok(Modifiers { returns_bool, matching: Some(Matching { on, labels, group }) })
    }

    /// Whether names in brackets follow, and not an operand in brackets.
    fn at_names(&self) -> bool {
        let name = matches!(self.peek_at(1), Token::Ident(_));
        self.at_sign("(", 0)
            && (self.at_sign(")", 1) || name && (self.at_sign(",", 2) || self.at_sign(")", 2)))
    }

    /// What stands beside an operator.
    fn leg(&mut self) -> Result<Tree<Expr>, ParseError> {
        if self.eat("(") {
            let inner = self.nested(Self::tree)?;
            self.expect(")", "")?;
            return Ok(inner);
        }
        let leaf = |root| Ok(Tree { root, height: 1 });
        let metric = |root: Tree<MetricExpr>| Tree { root: Expr::Metric(root.root), height: root.height };
        match self.peek() {
            Token::Sign("{") => leaf(Expr::Log(self.log()?)),
            Token::Sign("-") => {
                self.at += 1;
                leaf(Expr::Metric(MetricExpr::Literal(-self.number()?)))
            }
            Token::Sign("+") => {
                self.at += 1;
                leaf(Expr::Metric(MetricExpr::Literal(self.number()?)))
            }
            Token::Number(_) => leaf(Expr::Metric(MetricExpr::Literal(self.number()?))),
            Token::Ident(name) => match function(name) {
                Some(Function::Vector(op)) if self.at_grouping(1) || self.at_sign("(", 1) => {
                    Ok(metric(self.vector_aggregation(op)?))
                }
                Some(Function::Vector(_)) | None => Err(self.unexpected("")),
                Some(_) if !self.at_sign("(", 1) => Err(self.unexpected("")),
                Some(Function::Range(op)) => Ok(metric(self.range_aggregation(op)?)),
                Some(Function::LabelReplace) => Ok(metric(self.label_replace()?)),
                Some(Function::VectorLiteral) => {
                    self.at += 2;
                    let value = self.number()?;
                    self.expect(")", ")")?;
                    leaf(Expr::Metric(MetricExpr::VectorLiteral(value)))
                }
            },
            _ => Err(self.unexpected("")),
        }
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        let Token::Number(text) = self.peek() else { return Err(self.unexpected("NUMBER")) };
        let value = number::float(text).map_err(ParseError::Whole)?;
        self.at += 1;
        Ok(value)
    }

    /// `number ","`, if it is next. A number with nothing behind it is an operand.
    fn parameter(&mut self) -> Option<String> {
        let Token::Number(text) = self.peek() else { return None };
        let text = text.clone();
        let found = self.at_sign(",", 1);
        self.at += 2 * usize::from(found);
        found.then_some(text)
    }

    fn at_grouping(&self, ahead: usize) -> bool {
        matches!(self.peek_at(ahead), Token::Keyword("by" | "without"))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = self.eat_keyword("without");
        if !without && !self.eat_keyword("by") {
            return Ok(None);
        }
        self.expect("(", "(")?;
        Ok(Some(Grouping { without, labels: self.idents()? }))
    }

    /// `rangeOp "(" [number ","] rangeArg ")" [grouping]`
    fn range_aggregation(&mut self, op: RangeOp) -> Result<Tree<MetricExpr>, ParseError> {
        self.at += 2;
        let parameter = self.parameter();
        let expecting = if parameter.is_some() { "{ or (" } else { "NUMBER or { or (" };
        let argument = self.nested(|p| p.range_argument(expecting))?;
        let Some(Window { range_ns, offset_ns }) = argument.window else { return Err(self.unexpected("")) };
        self.expect(")", ")")?;
        let grouping = self.grouping()?;
        let parameter = check::range_parameter(op, parameter.as_deref())?;
        let (log, unwrap) = (argument.log, argument.unwrap);
        let expr = RangeAggregation { op, parameter, log, range_ns, offset_ns, unwrap, grouping };
        check::range_aggregation(&expr)?;
        Ok(Tree { root: MetricExpr::Range(expr), height: 1 })
    }

    /// `vecOp [grouping] "(" [number ","] metricExpr ")" [grouping]`, with one grouping at most.
    fn vector_aggregation(&mut self, op: VectorOp) -> Result<Tree<MetricExpr>, ParseError> {
        self.at += 1;
        let before = self.grouping()?;
        self.expect("(", "(")?;
        let parameter = self.parameter();
        let inner = self.metric()?;
        self.expect(")", "")?;
        let grouping = match before {
            None => self.grouping()?,
            before => before,
        };
        let parameter = check::vector_parameter(op, parameter.as_deref())?;
        let expr = VectorAggregation { op, parameter, grouping, inner: Box::new(inner.root) };
        check::vector_aggregation(&expr)?;
        Ok(Tree { root: MetricExpr::Vector(expr), height: self.checked_height(inner.height)? })
    }

    /// `"label_replace" "(" metricExpr "," string "," string "," string "," string ")"`
    fn label_replace(&mut self) -> Result<Tree<MetricExpr>, ParseError> {
        self.at += 2;
        let inner = self.metric()?;
        let mut next = || -> Result<String, ParseError> {
            self.expect(",", ",")?;
            self.text("STRING")
        };
        let (destination, replacement, source, regex) = (next()?, next()?, next()?, next()?);
        self.expect(")", ")")?;
        check::label_replace(&regex)?;
        let expr = LabelReplace { inner: inner.root, destination, replacement, source, regex };
        Ok(Tree {
            root: MetricExpr::LabelReplace(Box::new(expr)),
            height: self.checked_height(inner.height)?,
        })
    }
}
