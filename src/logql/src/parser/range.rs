//! Over which lines and which window does a range aggregation run? Its argument in all the orders that it may be
//! written in.

use super::Parser;
use crate::ast::{Conversion, LogExpr, Unwrap};
use crate::error::ParseError;
use crate::lexer::Token;

/// Lines and their window. Inside of brackets the window may still be missing.
pub(super) struct RangeArgument {
    pub(super) log: LogExpr,
    pub(super) unwrap: Option<Unwrap>,
    pub(super) window: Option<Window>,
    /// How high the highest of its label filters is.
    pub(super) height: usize,
}

/// A window of time, in nanoseconds.
pub(super) struct Window {
    pub(super) range_ns: i64,
    pub(super) offset_ns: i64,
}

impl Parser {
    /// The lines of a range aggregation. Stages stand before the window or behind it; behind a window that follows a
    /// bracket only `unwrap` may stand.
    pub(super) fn range_argument(&mut self, expecting: &str) -> Result<RangeArgument, ParseError> {
        if self.eat("(") {
            let mut inner = self.nested(|p| p.range_argument("{ or ("))?;
            self.expect(")", "")?;
            if inner.window.is_some() {
                return Ok(inner);
            }
            inner.window = self.window()?;
            let bare = inner.log.stages.is_empty() && inner.unwrap.is_none();
            if inner.window.is_some() && bare && self.at_sign("|", 0) {
                self.at += 1;
                inner.unwrap = Some(self.unwrap(&mut inner.height)?);
            }
            return Ok(inner);
        }
        let matchers = self.selector(expecting)?;
        let mut log = LogExpr { matchers, stages: Vec::new() };
        let before = self.window()?;
        let mut height = self.stages(&mut log.stages)?;
        let mut unwrap = None;
        if self.at_unwrap() {
            self.at += 1;
            unwrap = Some(self.unwrap(&mut height)?);
        }
        let window = match before {
            None => self.window()?,
            before => before,
        };
        Ok(RangeArgument { log, unwrap, window, height })
    }

    /// `"[" dur "]" [offset]`, if it is next.
    fn window(&mut self) -> Result<Option<Window>, ParseError> {
        let Token::Range(range_ns) = self.peek() else { return Ok(None) };
        let range_ns = *range_ns;
        self.at += 1;
        let mut offset_ns = 0;
        if self.eat_keyword("offset") {
            let negative = self.eat("-");
            let Token::Duration(ns) = self.peek() else { return Err(self.unexpected("DURATION")) };
            offset_ns = self.signed_ns(*ns, negative)?;
            self.at += 1;
        }
        Ok(Some(Window { range_ns, offset_ns }))
    }

    /// `unwrap label` and the filters behind it, behind its `|`. `height` grows to that of the highest.
    fn unwrap(&mut self, height: &mut usize) -> Result<Unwrap, ParseError> {
        if !self.eat_keyword("unwrap") {
            return Err(self.unexpected("unwrap"));
        }
        let conversion = self.conversion();
        let label = if conversion.is_some() {
            self.at += 2;
            let label = self.ident("IDENTIFIER")?;
            self.expect(")", ")")?;
            label
        } else {
            self.ident("IDENTIFIER or BYTES_CONV or DURATION_CONV or DURATION_SECONDS_CONV")?
        };
        // Whatever else stands here, the window is missing.
        if self.at_sign("(", 0) {
            return Err(self.unexpected("RANGE or |"));
        }
        let mut filters = Vec::new();
        while self.eat("|") {
            let filter = self.label_filter("IDENTIFIER or (")?;
            *height = filter.height.max(*height);
            filters.push(*filter.root);
        }
        Ok(Unwrap { label, conversion, filters })
    }

    /// How the label is read, if the next word is a function for that. Before anything but a bracket it is a label.
    fn conversion(&self) -> Option<Conversion> {
        let Token::Ident(word) = self.peek() else { return None };
        let conversions = [Conversion::Bytes, Conversion::Duration, Conversion::DurationSeconds];
        let found = conversions.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(word));
        found.filter(|_| self.at_sign("(", 1))
    }
}
