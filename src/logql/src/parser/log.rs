//! Which streams and lines does a log query ask for? Its braces and line filters.

use super::{Parser, Tree};
use crate::ast::{LineFilterExpr, LineFilterOp, LineOperand, LogExpr, MatcherExpr, Stage};
use crate::error::ParseError;
use crate::lexer::Token;
use crate::pattern::Groups;
use crate::patterns::Extent;

impl Parser {
    /// `selector stage*`
    pub(super) fn log(&mut self) -> Result<Tree<LogExpr>, ParseError> {
        let matchers = self.selector("{")?;
        let mut stages = Vec::new();
        let height = self.stages(&mut stages)?;
        if self.at_unwrap() {
            // The bar was right, only this cannot follow it outside of a range aggregation.
            self.at += 1;
            return Err(self.unexpected(""));
        }
        Ok(Tree::new(LogExpr { matchers, stages }, height))
    }

    /// `"{" [matcher ("," matcher)*] "}"`
    pub(super) fn selector(&mut self, expecting: &str) -> Result<Vec<MatcherExpr>, ParseError> {
        self.expect("{", expecting)?;
        let mut matchers = Vec::new();
        if self.eat("}") {
            return Ok(matchers);
        }
        loop {
            let name = self.ident(if matchers.is_empty() { "IDENTIFIER or }" } else { "IDENTIFIER" })?;
            let op = self.match_op().ok_or_else(|| self.unexpected("= or =~ or !~ or !="))?;
            let value = self.label_value(op)?;
            matchers.push(MatcherExpr { name, op, value });
            if self.eat("}") {
                return Ok(matchers);
            }
            self.expect(",", "} or ,")?;
        }
    }

    /// Takes a line filter, if one is next. Several operands of a negative operator are as many filters, as in Loki.
    pub(super) fn line_filter(&mut self, stages: &mut Vec<Stage>) -> Result<bool, ParseError> {
        let op = match self.peek() {
            Token::Sign("|=") => LineFilterOp::Contains,
            Token::Sign("!=") => LineFilterOp::NotContains,
            Token::Sign("|~") => LineFilterOp::Matches,
            Token::Sign("!~") => LineFilterOp::NotMatches,
            Token::Sign("|>") => LineFilterOp::Pattern,
            Token::Sign("!>") => LineFilterOp::NotPattern,
            _ => return Ok(false),
        };
        self.at += 1;
        let is_negative =
            matches!(op, LineFilterOp::NotContains | LineFilterOp::NotMatches | LineFilterOp::NotPattern);
        let is_regex = matches!(op, LineFilterOp::Matches | LineFilterOp::NotMatches);
        let takes_ip = matches!(op, LineFilterOp::Contains | LineFilterOp::NotContains);
        let mut operands = Vec::new();
        loop {
            operands.push(match self.ip()? {
                Some(range) => LineOperand::Ip(range),
                None => LineOperand::Text(self.bytes(if takes_ip { "STRING or ip" } else { "STRING" })?),
            });
            if let (true, Some(LineOperand::Text(text))) = (is_regex, operands.last())
                && let Ok(text) = std::str::from_utf8(text)
            {
                self.patterns.count(text, Extent::Part, Groups::None)?;
            }
            if !self.eat_keyword("or") {
                break;
            }
        }
        let filter = |operands| Stage::LineFilter(LineFilterExpr { op, operands });
        match is_negative {
            true => stages.extend(operands.into_iter().map(|operand| filter(vec![operand]))),
            false => stages.push(filter(operands)),
        }
        Ok(true)
    }
}
