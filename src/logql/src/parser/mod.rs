//! What does a query say? Recursive descent over its words; errors read as Loki's.

mod function;
mod label_filter;
mod log;
mod metric;
pub(crate) mod number;
mod range;
mod stage;

use crate::ast::{Expr, LogExpr, MetricExpr};
use crate::check;
use crate::error::{ParseError, Position};
use crate::lexer::{Token, check_length, tokens};
use crate::pattern::Groups;
use crate::patterns::{Budget, Extent};
use crate::template::Template;
use strandline_model::{MatchOp, polling};

/// How high a query's tree may be. It grows with what stands in brackets and with each step of a chain like `a + b + c`.
/// Printing, copying and dropping a tree recurse, on stacks of 2 MiB.
const MAX_HEIGHT: usize = 128;

/// How many parts may be read inside each other. In the printed form of a tree these are two for each step of its
/// height, the brackets and the right side, and some around numbers that need brackets: whatever is printed can be read.
const MAX_DEPTH: usize = 2 * MAX_HEIGHT + 8;

/// Reads any query.
pub fn parse_query(text: &str) -> Result<Expr, ParseError> {
    parse_query_within(text, &mut Budget::default())
}

/// As [`parse_query`], with what is left of a budget for regular expressions.
pub fn parse_query_within(text: &str, patterns: &mut Budget) -> Result<Expr, ParseError> {
    check_length(text)?;
    parse_printed(text, patterns)
}

/// Reads a query as it was printed, which may be longer than what its client wrote.
pub fn parse_printed(text: &str, patterns: &mut Budget) -> Result<Expr, ParseError> {
    polling::assert_none("parsing a query");
    let mut parser = Parser { tokens: tokens(text), at: 0, depth: 0, patterns: std::mem::take(patterns) };
    let expr = parser.expr();
    *patterns = std::mem::take(&mut parser.patterns);
    let expr = expr?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("")),
    }
}

/// Reads a log query.
pub fn parse(text: &str) -> Result<LogExpr, ParseError> {
    match parse_query(text)? {
        Expr::Log(expr) => Ok(expr),
        Expr::Metric(_) => Err(ParseError::whole("only a log query is expected here")),
    }
}

/// A part of a query and how high its tree is. Boxed, for many of them wait on the stack.
struct Tree<T> {
    root: Box<T>,
    height: usize,
}

impl<T> Tree<T> {
    fn new(root: T, height: usize) -> Self {
        Self { root: Box::new(root), height }
    }
}

struct Parser {
    tokens: Vec<(Token, Position)>,
    at: usize,
    /// How many parts are being read inside each other.
    depth: usize,
    /// What is left for regular expressions.
    patterns: Budget,
}

impl Parser {
    /// The next word. The last one stays.
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    /// The word `ahead` of the next.
    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |(token, _)| token)
    }

    /// Takes the next word if it is this sign.
    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.at += usize::from(found);
        found
    }

    /// Takes the next word if it is this reserved one.
    fn eat_keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Keyword(found) if *found == word);
        self.at += usize::from(found);
        found
    }

    fn at_sign(&self, sign: &str, ahead: usize) -> bool {
        matches!(self.peek_at(ahead), Token::Sign(found) if *found == sign)
    }

    fn expect(&mut self, sign: &str, expecting: &str) -> Result<(), ParseError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(expecting)) }
    }

    /// The error that the next word does not belong here; `expecting` may be empty.
    fn unexpected(&self, expecting: &str) -> ParseError {
        let token = match self.peek() {
            Token::Bad(error) => return error.clone(),
            // Functions are only such before their bracket.
            Token::Ident(name) if self.at_sign("(", 1) && function::is_function(name) => {
                name.to_ascii_uppercase()
            }
            token => token.to_string(),
        };
        let separator = if expecting.is_empty() { "" } else { ", expecting " };
        self.error(format!("syntax error: unexpected {token}{separator}{expecting}"))
    }

    /// An error at the next word.
    fn error(&self, text: String) -> ParseError {
        match self.tokens.get(self.at).or_else(|| self.tokens.last()) {
            Some((_, position)) => position.error(text),
            None => ParseError::Whole(text),
        }
    }

    /// Reads a part inside the present one.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let part = read(self);
        self.depth -= 1;
        part
    }

    /// The height of a tree whose largest part is as high as that.
    fn checked_height(&self, of_parts: usize) -> Result<usize, ParseError> {
        if of_parts < MAX_HEIGHT { Ok(of_parts + 1) } else { Err(self.too_deep()) }
    }

    #[inline(never)]
    fn too_deep(&self) -> ParseError {
        self.error(format!("query is nested too deeply, at most {MAX_HEIGHT} levels are possible"))
    }

    /// A whole query.
    fn expr(&mut self) -> Result<Expr, ParseError> {
        Ok(*self.tree()?.root)
    }

    /// A name.
    fn ident(&mut self, expecting: &str) -> Result<String, ParseError> {
        let Token::Ident(name) = self.peek() else { return Err(self.unexpected(expecting)) };
        let name = name.clone();
        self.at += 1;
        Ok(name)
    }

    /// `[ident ("," ident)*] ")"`, behind the opening bracket.
    fn idents(&mut self) -> Result<Vec<String>, ParseError> {
        let mut names = Vec::new();
        if self.eat(")") {
            return Ok(names);
        }
        loop {
            names.push(self.ident(if names.is_empty() { "IDENTIFIER or )" } else { "IDENTIFIER" })?);
            if self.eat(")") {
                return Ok(names);
            }
            self.expect(",", ") or ,")?;
        }
    }

    /// A string of any bytes.
    fn bytes(&mut self, expecting: &str) -> Result<Vec<u8>, ParseError> {
        let Token::Text(text) = self.peek() else { return Err(self.unexpected(expecting)) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    /// A string of text.
    fn text(&mut self, expecting: &str) -> Result<String, ParseError> {
        // Labels are text: what is not becomes blanks, as when it is pushed.
        Ok(match String::from_utf8(self.bytes(expecting)?) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).replace(char::REPLACEMENT_CHARACTER, " "),
        })
    }

    /// The value of a condition on a label: a regex must be one.
    fn label_value(&mut self, op: MatchOp) -> Result<String, ParseError> {
        let value = self.text("STRING")?;
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) {
            self.patterns.count(&value, Extent::Whole, Groups::None)?;
        }
        check::label_text(op, &value)?;
        Ok(value)
    }

    /// A template. What is wrong with it is told when it is compiled.
    fn template(&mut self, expecting: &str) -> Result<String, ParseError> {
        let text = self.text(expecting)?;
        if let Ok(template) = Template::parse(&text) {
            for pattern in template.patterns() {
                self.patterns.count(pattern, Extent::Part, Groups::All)?;
            }
        }
        Ok(text)
    }

    /// `= != =~ !~`, if one of them is next.
    fn match_op(&mut self) -> Option<MatchOp> {
        let op = match self.peek() {
            Token::Sign("=") => MatchOp::Equal,
            Token::Sign("!=") => MatchOp::NotEqual,
            Token::Sign("=~") => MatchOp::Regex,
            Token::Sign("!~") => MatchOp::NotRegex,
            _ => return None,
        };
        self.at += 1;
        Some(op)
    }

    /// `"ip" "(" string ")"`, if the word is next.
    fn ip(&mut self) -> Result<Option<String>, ParseError> {
        if !self.eat_keyword("ip") {
            return Ok(None);
        }
        self.expect("(", "(")?;
        let range = self.text("STRING")?;
        self.expect(")", ")")?;
        Ok(Some(range))
    }

    /// A query for numbers.
    fn metric(&mut self) -> Result<Tree<MetricExpr>, ParseError> {
        // Functions need more of the stack than brackets, and only one level for each step of the height.
        let Tree { root, height } = self.nested(|p| p.nested(Self::tree))?;
        match *root {
            Expr::Metric(root) => Ok(Tree::new(root, height)),
            Expr::Log(_) => Err(self.unexpected("")),
        }
    }
}

#[cfg(test)]
#[path = "mistakes_tests.rs"]
mod mistakes_tests;
#[cfg(test)]
#[path = "roundtrip_tests.rs"]
mod roundtrip_tests;
#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
