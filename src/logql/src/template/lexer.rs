//! Which tokens does the text of a template hold?

use super::tree::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What stands outside of `{{ }}`.
    Text,
    Open,
    Close,
    End,
    Identifier,
    Keyword,
    /// `.name`
    Field,
    Dot,
    /// `$name`, or `$` alone.
    Variable,
    Quoted,
    Raw,
    Char,
    Number,
    Declare,
    Assign,
    Comma,
    Pipe,
    Left,
    Right,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) span: Span,
    /// Whether space stands before it.
    pub(super) is_spaced: bool,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) text: String,
}

const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// The tokens of `text`, the last of which is `End`; up to the first mistake, if there is one.
pub(super) fn tokens(text: &str) -> (Vec<Token<'_>>, Option<Mistake>) {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), depth: 0 };
    let mistake = lexer.outside().err();
    lexer.at = text.len();
    lexer.push(Kind::End, text.len(), false);
    (lexer.tokens, mistake)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
    /// Open parentheses.
    depth: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn fail<T>(&self, text: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { at: self.at, text: text.into() })
    }

    /// A token from here to `end`.
    fn push(&mut self, kind: Kind, end: usize, is_spaced: bool) {
        let span = Span { start: self.at, end };
        self.tokens.push(Token { kind, text: self.text.get(self.at..end).unwrap_or(""), span, is_spaced });
        self.at = end;
    }

    fn push_text(&mut self, text: &'t str, start: usize) {
        if !text.is_empty() {
            let span = Span { start, end: start + text.len() };
            self.tokens.push(Token { kind: Kind::Text, text, span, is_spaced: false });
        }
    }

    /// Text and actions in turns.
    fn outside(&mut self) -> Result<(), Mistake> {
        let mut trims_left = false;
        loop {
            let start = self.at;
            let whole = self.rest();
            let text = whole.find("{{").map_or(whole, |end| whole.get(..end).unwrap_or(""));
            let is_last = text.len() == whole.len();
            self.at = start + text.len();
            let trims_right = !is_last && is_trim_left(self.rest().get(2..).unwrap_or(""));
            let kept = if trims_right { text.trim_end_matches(is_space) } else { text };
            let kept = if trims_left { kept.trim_start_matches(is_space) } else { kept };
            self.push_text(kept, start);
            if is_last {
                return Ok(());
            }
            trims_left = self.action(trims_right)?;
        }
    }

    /// From `{{` to behind `}}`; whether what follows is trimmed.
    fn action(&mut self, is_trimmed: bool) -> Result<bool, Mistake> {
        let marker = if is_trimmed { 2 } else { 0 };
        let inside = self.rest().get(2 + marker..).unwrap_or("");
        // Space may stand before a comment's `/*` only as part of the trim marker.
        if inside.starts_with("/*") {
            self.at += 2 + marker;
            return self.comment();
        }
        let open = self.at + 2;
        self.push(Kind::Open, open, false);
        self.at += if is_trimmed { 1 } else { 0 };
        self.depth = 0;
        loop {
            let spaces = self.rest().len() - self.rest().trim_start_matches(is_space).len();
            self.at += spaces;
            let rest = self.rest();
            let trims = spaces > 0 && rest.starts_with("-}}");
            if trims || rest.starts_with("}}") {
                if self.depth > 0 {
                    return self.fail("unclosed left paren");
                }
                self.push(Kind::Close, self.at + if trims { 3 } else { 2 }, spaces > 0);
                return Ok(trims);
            }
            self.token(spaces > 0)?;
        }
    }

    fn comment(&mut self) -> Result<bool, Mistake> {
        let Some((_, behind)) = self.rest().split_once("*/") else { return self.fail("unclosed comment") };
        let end = self.text.len() - behind.len();
        for (close, trims) in
            [("}}", false), (" -}}", true), ("\t-}}", true), ("\n-}}", true), ("\r-}}", true)]
        {
            if behind.starts_with(close) {
                self.at = end + close.len();
                return Ok(trims);
            }
        }
        self.fail("comment ends before closing delimiter")
    }

    fn token(&mut self, is_spaced: bool) -> Result<(), Mistake> {
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return self.fail("unclosed action") };
        let second = chars.next();
        let word = |text: &str| text.chars().take_while(|c| is_word(*c)).map(char::len_utf8).sum::<usize>();
        let (kind, length) = match first {
            ':' if second == Some('=') => (Kind::Declare, 2),
            ':' => return self.fail("expected :="),
            '=' => (Kind::Assign, 1),
            ',' => (Kind::Comma, 1),
            '|' => (Kind::Pipe, 1),
            '(' => {
                self.depth += 1;
                (Kind::Left, 1)
            }
            ')' => {
                let Some(depth) = self.depth.checked_sub(1) else {
                    return self.fail("unexpected right paren");
                };
                self.depth = depth;
                (Kind::Right, 1)
            }
            '"' => (Kind::Quoted, self.quoted('"', "unterminated quoted string")?),
            '\'' => (Kind::Char, self.quoted('\'', "unterminated character constant")?),
            '`' => match rest.get(1..).and_then(|inside| inside.find('`')) {
                Some(end) => (Kind::Raw, end + 2),
                None => return self.fail("unterminated raw quoted string"),
            },
            '$' => (Kind::Variable, 1 + word(rest.get(1..).unwrap_or(""))),
            '.' if second.is_some_and(is_letter) => (Kind::Field, 1 + word(rest.get(1..).unwrap_or(""))),
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => (Kind::Dot, 1),
            '.' | '0'..='9' | '+' | '-' => (Kind::Number, self.number()?),
            c if is_letter(c) => {
                let length = word(rest);
                let name = rest.get(..length).unwrap_or("");
                (if KEYWORDS.contains(&name) { Kind::Keyword } else { Kind::Identifier }, length)
            }
            c => return self.fail(format!("unrecognized character in action: U+{:04X} '{c}'", c as u32)),
        };
        self.push(kind, self.at + length, is_spaced);
        Ok(())
    }

    /// The length of a quoted text with its quotes; a backslash hides what follows it.
    fn quoted(&self, quote: char, unterminated: &str) -> Result<usize, Mistake> {
        let mut is_escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                c if c == quote => return Ok(at + 1),
                _ => {}
            }
        }
        self.fail(unterminated)
    }

    fn number(&self) -> Result<usize, Mistake> {
        let rest = self.rest();
        let mut before = ' ';
        let mut length = 0;
        let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let is_hex = unsigned.starts_with("0x") || unsigned.starts_with("0X");
        for c in rest.chars() {
            let is_sign = matches!(c, '+' | '-');
            let follows_exponent = matches!(before, 'p' | 'P') || (!is_hex && matches!(before, 'e' | 'E'));
            if !(is_word(c) || c == '.' || (is_sign && (length == 0 || follows_exponent))) {
                break;
            }
            length += c.len_utf8();
            before = c;
        }
        if super::literal::number(rest.get(..length).unwrap_or("")).is_none() {
            return self.fail(format!("bad number syntax: {:?}", rest.get(..length).unwrap_or("")));
        }
        Ok(length)
    }
}

/// Whether what stands behind `{{` trims the text in front of it.
fn is_trim_left(inside: &str) -> bool {
    inside.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
