//! Which numbers does a metric query ask for? Aggregations, operators and their precedence.

use super::function::{Function, function};
use super::range::Window;
use super::{Parser, Tree, number};
use crate::ast::{
    BinaryOp, Expr, GroupSide, Grouping, LabelReplace, Matching, MetricExpr, RangeAggregation, RangeOp,
    VectorAggregation, VectorOp,
};
use crate::check::{self, Modifiers};
use crate::error::ParseError;
use crate::lexer::Token;
use crate::pattern::Groups;

fn literal(value: f64) -> Tree<Expr> {
    Tree::new(Expr::Metric(MetricExpr::Literal(value)), 1)
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
            let root = check::binary(op, modifiers, *left.root, *right.root)?;
            // Numbers are computed at once, and stay leaves.
            let height = if matches!(root, MetricExpr::Literal(_)) { 1 } else { height };
            left = Tree::new(Expr::Metric(root), height);
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
        if !self.eat("(") {
            return self.unbracketed();
        }
        let inner = self.nested(Self::tree)?;
        self.expect(")", "")?;
        Ok(inner)
    }

    #[inline(never)]
    fn unbracketed(&mut self) -> Result<Tree<Expr>, ParseError> {
        match self.peek() {
            Token::Sign("{") => {
                let Tree { root, height } = self.log()?;
                Ok(Tree::new(Expr::Log(*root), height))
            }
            Token::Sign("-" | "+") => {
                let negative = self.eat("-");
                self.at += usize::from(!negative);
                let value = self.number()?;
                Ok(literal(if negative { -value } else { value }))
            }
            Token::Number(_) => Ok(literal(self.number()?)),
            Token::Ident(name) => {
                let Some(function) = function(name) else { return Err(self.unexpected("")) };
                let Tree { root, height } = self.call(function)?;
                Ok(Tree::new(Expr::Metric(*root), height))
            }
            _ => Err(self.unexpected("")),
        }
    }

    /// A function, from its name on.
    #[inline(never)]
    fn call(&mut self, function: Function) -> Result<Tree<MetricExpr>, ParseError> {
        let grouped = matches!(function, Function::Vector(_)) && self.at_grouping(1);
        if !grouped && !self.at_sign("(", 1) {
            return Err(self.unexpected(""));
        }
        match function {
            Function::Range(op) => self.range_aggregation(op),
            Function::Vector(op) => self.vector_aggregation(op),
            Function::LabelReplace => self.label_replace(),
            Function::VectorLiteral => {
                self.at += 2;
                let value = self.number()?;
                self.expect(")", ")")?;
                Ok(Tree::new(MetricExpr::VectorLiteral(value), 1))
            }
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
    #[inline(never)]
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
        Ok(Tree::new(MetricExpr::Range(expr), argument.height))
    }

    /// `vecOp [grouping] "(" [number ","] metricExpr ")" [grouping]`, with one grouping at most.
    #[inline(never)]
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
        let expr = VectorAggregation { op, parameter, grouping, inner: inner.root };
        check::vector_aggregation(&expr)?;
        Ok(Tree::new(MetricExpr::Vector(expr), self.checked_height(inner.height)?))
    }

    /// `"label_replace" "(" metricExpr "," string "," string "," string "," string ")"`
    #[inline(never)]
    fn label_replace(&mut self) -> Result<Tree<MetricExpr>, ParseError> {
        self.at += 2;
        let inner = self.metric()?;
        let mut next = || -> Result<String, ParseError> {
            self.expect(",", ",")?;
            self.text("STRING")
        };
        let (destination, replacement, source, regex) = (next()?, next()?, next()?, next()?);
        self.expect(")", ")")?;
        // It is compiled while the query is evaluated.
        self.patterns.count_again(&regex, Groups::All)?;
        check::label_replace(&regex)?;
        let expr = LabelReplace { inner: *inner.root, destination, replacement, source, regex };
        Ok(Tree::new(MetricExpr::LabelReplace(Box::new(expr)), self.checked_height(inner.height)?))
    }
}
