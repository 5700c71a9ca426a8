//! Which labels must a line have? Conditions and how they combine.

use super::{Parser, Tree, number};
use crate::ast::{CompareOp, LabelFilterExpr, MatcherExpr, Quantity};
use crate::error::ParseError;
use crate::lexer::Token;
use strandline_model::MatchOp;

/// How tight an operator binds. `,` and a mere blank have no place among these: whatever stands before them, all that
/// follows is their right side.
const OR: usize = 1;
const AND: usize = 2;

impl Parser {
    /// A condition with all that is combined with it. `expecting` is said when there is none.
    pub(super) fn label_filter(&mut self, expecting: &str) -> Result<Tree<LabelFilterExpr>, ParseError> {
        self.combined(OR, expecting)
    }

    fn combined(&mut self, loosest: usize, expecting: &str) -> Result<Tree<LabelFilterExpr>, ParseError> {
        const OPERAND: &str = "IDENTIFIER or (";
        let mut left = self.operand(expecting)?;
        loop {
            let (combine, right): (fn(_, _) -> _, _) = match self.peek() {
                Token::Keyword("or") if loosest <= OR => {
                    self.at += 1;
                    (LabelFilterExpr::Or, self.nested(|p| p.combined(AND, OPERAND))?)
                }
                Token::Keyword("and") if loosest <= AND => {
                    self.at += 1;
                    (LabelFilterExpr::And, self.nested(|p| p.combined(AND + 1, OPERAND))?)
                }
                Token::Sign(",") => {
                    self.at += 1;
                    (LabelFilterExpr::And, self.nested(|p| p.combined(OR, OPERAND))?)
                }
                Token::Ident(_) | Token::Sign("(") => {
                    (LabelFilterExpr::And, self.nested(|p| p.combined(OR, OPERAND))?)
                }
                _ => return Ok(left),
            };
            let height = self.checked_height(left.height.max(right.height))?;
            left = Tree::new(combine(left.root, right.root), height);
        }
    }

    /// A single condition, or any in brackets.
    fn operand(&mut self, expecting: &str) -> Result<Tree<LabelFilterExpr>, ParseError> {
        if self.eat("(") {
            let inner = self.nested(|p| p.combined(OR, "IDENTIFIER or ("))?;
            self.expect(")", "")?;
            return Ok(inner);
        }
        let name = self.ident(expecting)?;
        Ok(Tree::new(self.condition(name)?, 1))
    }

    /// The operator and value behind a label's name.
    #[inline(never)]
    fn condition(&mut self, name: String) -> Result<LabelFilterExpr, ParseError> {
        let text = match self.peek() {
            Token::Sign("=") => Some(MatchOp::Equal),
            Token::Sign("!=") => Some(MatchOp::NotEqual),
            Token::Sign("=~") => Some(MatchOp::Regex),
            Token::Sign("!~") => Some(MatchOp::NotRegex),
            _ => None,
        };
        let quantity = match self.peek() {
            Token::Sign("=" | "==") => Some(CompareOp::Equal),
            Token::Sign("!=") => Some(CompareOp::NotEqual),
            Token::Sign(">") => Some(CompareOp::Greater),
            Token::Sign(">=") => Some(CompareOp::GreaterEqual),
            Token::Sign("<") => Some(CompareOp::Less),
            Token::Sign("<=") => Some(CompareOp::LessEqual),
            _ => None,
        };
        if text.is_none() && quantity.is_none() {
            return Err(self.unexpected(""));
        }
        self.at += 1;
        if let (Some(op), true) = (text, quantity.is_none() || matches!(self.peek(), Token::Text(_))) {
            let value = self.label_value(op)?;
            return Ok(LabelFilterExpr::Text(MatcherExpr { name, op, value }));
        }
        let op = quantity.unwrap_or(CompareOp::Equal);
        if text.is_some()
            && let Some(range) = self.ip()?
        {
            return Ok(LabelFilterExpr::Ip { name, negative: op == CompareOp::NotEqual, range });
        }
        Ok(LabelFilterExpr::Quantity { name, op, value: self.quantity()? })
    }

    /// `["+"|"-"] number`, a length of time or a size.
    fn quantity(&mut self) -> Result<Quantity, ParseError> {
        let negative = self.at_sign("-", 0);
        let signed = negative || self.at_sign("+", 0);
        let value = match self.peek_at(usize::from(signed)) {
            Token::Number(text) => {
                let value = number::float(text).map_err(ParseError::Whole)?;
                Quantity::Number(if negative { -value } else { value })
            }
            Token::Duration(ns) => Quantity::Duration(self.signed_ns(*ns, negative)?),
            Token::Bytes(size) if !signed => Quantity::Bytes(*size),
            _ => {
                self.at += usize::from(signed);
                return Err(self.unexpected(if signed { "NUMBER" } else { "" }));
            }
        };
        self.at += 1 + usize::from(signed);
        Ok(value)
    }

    /// A length of time with its sign.
    pub(super) fn signed_ns(&self, ns: u64, negative: bool) -> Result<i64, ParseError> {
        let signed = if negative { 0i64.checked_sub_unsigned(ns) } else { i64::try_from(ns).ok() };
        signed.ok_or_else(|| self.error("duration out of range".to_owned()))
    }
}
