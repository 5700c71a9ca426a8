//! What does a query say? Recursive descent over its words; errors read as Loki's.
//!
//! Of LogQL there are stream selectors and line filters so far. What is LogQL but not read yet is refused by name.

use crate::ast::{LineFilterExpr, LineFilterOp, LineOperand, LogExpr, MatcherExpr, Stage};
use crate::error::{ParseError, Place};
use crate::lexer::{Token, tokens};
use strandline_model::MatchOp;

/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 100;

/// Reads a log query.
pub fn parse(text: &str) -> Result<LogExpr, ParseError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let expr = parser.log_expr()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("")),
    }
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    at: usize,
}

impl Parser {
    /// The next word. The last one is the end, and stays.
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str, expecting: &str) -> Result<(), ParseError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    /// The error that the next word does not belong here; `expecting` may be empty.
    fn unexpected(&self, expecting: &str) -> ParseError {
        let separator = if expecting.is_empty() { "" } else { ", expecting " };
        self.error(format!("syntax error: unexpected {}{separator}{expecting}", self.peek()))
    }

    fn not_yet(&self, what: &str) -> ParseError {
        self.error(format!("syntax error: unexpected {}, {what} are not supported yet", self.peek()))
    }

    fn error(&self, text: String) -> ParseError {
        match self.tokens.get(self.at).or_else(|| self.tokens.last()) {
            Some((_, place)) => place.error(text),
            None => ParseError::Whole(text),
        }
    }

    /// `selector stage*`, or the same in brackets, behind which no stage may follow.
    fn log_expr(&mut self) -> Result<LogExpr, ParseError> {
        let mut depth = 0;
        while self.eat("(") {
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(self.error("syntax error: nested too deeply".to_owned()));
            }
        }
        let expr = LogExpr { matchers: self.selector()?, stages: self.stages()? };
        for _ in 0..depth {
            self.expect(")", ")")?;
        }
        Ok(expr)
    }

    fn selector(&mut self) -> Result<Vec<MatcherExpr>, ParseError> {
        if matches!(self.peek(), Token::Ident(_) | Token::Number(_) | Token::Sign("+" | "-")) {
            return Err(self.not_yet("metric queries"));
        }
        self.expect("{", "{")?;
        let mut matchers = Vec::new();
        if self.eat("}") {
            return Ok(matchers);
        }
        loop {
            let expecting = if matchers.is_empty() { "IDENTIFIER or }" } else { "IDENTIFIER" };
            matchers.push(self.matcher(expecting)?);
            if self.eat("}") {
                return Ok(matchers);
            }
            self.expect(",", "} or ,")?;
        }
    }

    fn matcher(&mut self, expecting: &str) -> Result<MatcherExpr, ParseError> {
        let Token::Ident(name) = self.peek() else { return Err(self.unexpected(expecting)) };
        let name = name.clone();
        self.at += 1;
        let op = match self.peek() {
            Token::Sign("=") => MatchOp::Equal,
            Token::Sign("!=") => MatchOp::NotEqual,
            Token::Sign("=~") => MatchOp::Regex,
            Token::Sign("!~") => MatchOp::NotRegex,
            _ => return Err(self.unexpected("= or =~ or !~ or !=")),
        };
        self.at += 1;
        let value = self.text("STRING")?;
        // Label values are text: what is not becomes blanks, as when it is pushed.
        let value = match String::from_utf8(value) {
            Ok(value) => value,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).replace(char::REPLACEMENT_CHARACTER, " "),
        };
        Ok(MatcherExpr { name, op, value })
    }

    fn text(&mut self, expecting: &str) -> Result<Vec<u8>, ParseError> {
        let Token::Text(text) = self.peek() else { return Err(self.unexpected(expecting)) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    fn stages(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = Vec::new();
        loop {
            let op = match self.peek() {
                Token::Sign("|=") => LineFilterOp::Contains,
                Token::Sign("!=") => LineFilterOp::NotContains,
                Token::Sign("|~") => LineFilterOp::Matches,
                Token::Sign("!~") => LineFilterOp::NotMatches,
                Token::Sign("|") => return Err(self.not_yet("stages other than line filters")),
                Token::Sign("|>" | "!>") => return Err(self.not_yet("pattern filters")),
                Token::Sign("[") => return Err(self.not_yet("ranges")),
                _ => return Ok(stages),
            };
            self.at += 1;
            stages.push(Stage::LineFilter(self.line_filter(op)?));
        }
    }

    fn line_filter(&mut self, op: LineFilterOp) -> Result<LineFilterExpr, ParseError> {
        let expecting = match op {
            LineFilterOp::Contains | LineFilterOp::NotContains => "STRING or ip",
            _ => "STRING",
        };
        let mut operands = Vec::new();
        loop {
            if *self.peek() == Token::Keyword("ip") {
                return Err(self.not_yet("ip() filters"));
            }
            operands.push(LineOperand::Text(self.text(expecting)?));
            if *self.peek() != Token::Keyword("or") {
                return Ok(LineFilterExpr { op, operands });
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
