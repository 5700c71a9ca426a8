//! How does a query read in its canonical form? As Loki prints it: `{a="b", c=~"d"} |= "x" or "y"`.

use crate::ast::{LineFilterExpr, LineOperand, LogExpr, MatcherExpr, Stage};
use std::fmt::{self, Write};
use strandline_model::MatchOp;
use strandline_model::labels::write_quoted;

impl fmt::Display for LogExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, matcher) in self.matchers.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{matcher}")?;
        }
        f.write_char('}')?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl fmt::Display for MatcherExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}", self.name)?;
        write_quoted(f, &self.value)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            // Not parsed yet.
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for LineFilterExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        for (i, operand) in self.operands.iter().enumerate() {
            f.write_str(if i > 0 { " or " } else { " " })?;
            match operand {
                LineOperand::Text(text) => write_quoted_bytes(f, text)?,
                LineOperand::Ip(range) => {
                    f.write_str("ip(")?;
                    write_quoted(f, range)?;
                    f.write_char(')')?;
                }
            }
        }
        Ok(())
    }
}

/// As [`write_quoted`], with `\xHH` for each byte that is not UTF-8.
fn write_quoted_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for chunk in bytes.utf8_chunks() {
        let mut quoted = String::new();
        write_quoted(&mut quoted, chunk.valid())?;
        f.write_str(quoted.get(1..quoted.len() - 1).unwrap_or(""))?;
        chunk.invalid().iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
    }
    f.write_char('"')
}
