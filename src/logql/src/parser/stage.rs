//! What is done with the lines? The stages behind a selector.

use super::Parser;
use crate::ast::{Extraction, LabelChoice, LabelFormatExpr, LabelFormatValue, Stage};
use crate::check;
use crate::error::ParseError;
use crate::lexer::Token;
use crate::pattern::Groups;
use crate::patterns::Extent;

/// Most stages that follow one selector. Filters are cheap, and bounded by the length of a query.
const MAX_STAGES: usize = 1000;

impl Parser {
    /// All stages that follow, and the height of the highest. An `unwrap` is none, and is left.
    pub(super) fn stages(&mut self, stages: &mut Vec<Stage>) -> Result<usize, ParseError> {
        let (mut height, mut count) = (1, 0);
        loop {
            if self.line_filter(stages)? {
                continue;
            }
            if self.at_unwrap() || !self.eat("|") {
                return Ok(height);
            }
            if matches!(self.peek(), Token::Keyword(_)) {
                count += 1;
                if count > MAX_STAGES {
                    return Err(
                        self.error(format!("at most {MAX_STAGES} stages are possible besides filters"))
                    );
                }
                stages.push(self.stage()?);
            } else {
                let filter = self.label_filter("")?;
                height = height.max(filter.height);
                stages.push(Stage::LabelFilter(*filter.root));
            }
        }
    }

    /// Whether `| unwrap` is next.
    pub(super) fn at_unwrap(&self) -> bool {
        self.at_sign("|", 0) && matches!(self.peek_at(1), Token::Keyword("unwrap"))
    }

    /// A stage that begins with a reserved word, behind its `|`.
    fn stage(&mut self) -> Result<Stage, ParseError> {
        let Token::Keyword(word) = self.peek() else {
            return Err(self.unexpected(""));
        };
        let word = *word;
        self.at += 1;
        Ok(match word {
            "json" => Stage::Json(self.extractions()?),
            "logfmt" => self.logfmt()?,
            "regexp" => {
                let pattern = self.text("STRING")?;
                self.patterns.count(&pattern, Extent::Part, Groups::Named)?;
                check::regexp(&pattern)?;
                Stage::Regexp(pattern)
            }
            "pattern" => {
                let pattern = self.text("STRING")?;
                check::pattern(&pattern)?;
                Stage::Pattern(pattern)
            }
            "unpack" => Stage::Unpack,
            "decolorize" => Stage::Decolorize,
            "line_format" => Stage::LineFormat(self.template("STRING")?),
            "label_format" => Stage::LabelFormat(self.label_formats()?),
            "drop" => Stage::Drop(self.label_choices()?),
            "keep" => Stage::Keep(self.label_choices()?),
            _ => {
                self.at -= 1;
                return Err(self.unexpected(""));
            }
        })
    }

    fn logfmt(&mut self) -> Result<Stage, ParseError> {
        let (mut strict, mut keep_empty) = (false, false);
        loop {
            if self.eat("--strict") {
                strict = true;
            } else if self.eat("--keep-empty") {
                keep_empty = true;
            } else {
                return Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? });
            }
        }
    }

    /// `[extract ("," extract)*]`, where `a` stands for `a="a"`.
    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        let mut extractions = Vec::new();
        if !matches!(self.peek(), Token::Ident(_)) {
            return Ok(extractions);
        }
        loop {
            let name = self.ident("IDENTIFIER")?;
            let expression = if self.eat("=") { self.text("STRING")? } else { name.clone() };
            extractions.push(Extraction { name, expression });
            if !self.eat(",") {
                return Ok(extractions);
            }
        }
    }

    fn label_formats(&mut self) -> Result<Vec<LabelFormatExpr>, ParseError> {
        let mut formats = Vec::new();
        loop {
            let name = self.ident("IDENTIFIER")?;
            self.expect("=", "=")?;
            let value = match self.peek() {
                Token::Ident(_) => LabelFormatValue::Label(self.ident("")?),
                _ => LabelFormatValue::Template(self.template("IDENTIFIER or STRING")?),
            };
            formats.push(LabelFormatExpr { name, value });
            if !self.eat(",") {
                return Ok(formats);
            }
        }
    }

    fn label_choices(&mut self) -> Result<Vec<LabelChoice>, ParseError> {
        let mut choices = Vec::new();
        loop {
            let name = self.ident("IDENTIFIER")?;
            let condition = match self.match_op() {
                None => None,
                Some(op) => {
                    let value = self.label_value(op)?;
                    Some((op, value))
                }
            };
            choices.push(LabelChoice { name, condition });
            if !self.eat(",") {
                return Ok(choices);
            }
        }
    }
}
