//! Which words is a query made of? Strings resolved, comments and blanks gone, every word with its place.

use crate::error::{ParseError, Place};
use std::fmt;

/// Longest query in bytes (Loki's limit).
pub const MAX_QUERY_BYTES: usize = 131_072;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name that is no reserved word.
    Ident(String),
    /// A reserved word, in lower case.
    Keyword(&'static str),
    /// A string, its escapes resolved.
    Text(Vec<u8>),
    /// A number, duration or size as written.
    Number(String),
    /// An operator or bracket.
    Sign(&'static str),
    /// The end of the query.
    End,
}

/// The word as Loki's messages name it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ident(_) => "IDENTIFIER",
            Self::Keyword(word) | Self::Sign(word) => word,
            Self::Text(_) => "STRING",
            Self::Number(_) => "NUMBER",
            Self::End => "$end",
        })
    }
}

/// Words that no label can be named (loki-surface 9.1).
const KEYWORDS: [&str; 23] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "and",
    "or",
    "unless",
    "offset",
    "json",
    "logfmt",
    "regexp",
    "pattern",
    "unpack",
    "unwrap",
    "line_format",
    "label_format",
    "decolorize",
    "drop",
    "keep",
    "ip",
];

/// Signs, the longer before those that they begin with.
const SIGNS: [&str; 29] = [
    "|=", "|~", "|>", "|", "!=", "!~", "!>", "==", "=~", "=", ">=", ">", "<=", "<", "{", "}", "(", ")", "[",
    "]", ",", "+", "-", "*", "/", "%", "^", ".", "!",
];

/// The words of `text`, the end as the last.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, Place)>, ParseError> {
    if text.len() > MAX_QUERY_BYTES {
        let size = text.len();
        return Err(ParseError::whole(format!("input size too long ({size} > {MAX_QUERY_BYTES})")));
    }
    let mut lexer = Lexer { rest: text, place: Place { line: 1, col: 1 } };
    let mut out = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let place = lexer.place;
        let token = lexer.token()?;
        let end = token == Token::End;
        out.push((token, place));
        if end {
            return Ok(out);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Lexer<'a> {
    /// Takes `bytes` off the front, which must end between characters, and moves the place on.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for c in taken.chars() {
            if c == '\n' {
                self.place = Place { line: self.place.line + 1, col: 1 };
            } else {
                self.place.col += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, more: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(|c| !more(c)).unwrap_or(self.rest.len());
        self.take(len)
    }

    /// Blanks, `# ...`, `// ...` and `/* ... */`.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                let len = self.rest.find("*/").ok_or_else(|| self.place.error("comment not terminated"))?;
                self.take(len + 2);
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            c if c.is_alphabetic() || c == '_' => Ok(self.word()),
            c if c.is_ascii_digit() => {
                let number = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
                Ok(Token::Number(self.take_while(number).to_owned()))
            }
            c => match SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) {
                Some(sign) => {
                    self.take(sign.len());
                    Ok(Token::Sign(sign))
                }
                None => Err(self.place.error(format!("syntax error: unexpected {c:?}"))),
            },
        }
    }

    fn word(&mut self) -> Token {
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_');
        match KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word)) {
            // A function's name is only special before its bracket; elsewhere it is a label's.
            Some("ip") if !self.rest.trim_start().starts_with('(') => Token::Ident(word.to_owned()),
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Ident(word.to_owned()),
        }
    }

    /// A string in backquotes: no escapes, may span lines; carriage returns vanish, as in Go.
    fn raw(&mut self) -> Result<Token, ParseError> {
        let body = self.rest.get(1..).unwrap_or("");
        let len = body.find('`').ok_or_else(|| self.place.error("literal not terminated"))?;
        let taken = self.take(len + 2);
        let inner = taken.get(1..len + 1).unwrap_or("");
        Ok(Token::Text(inner.replace('\r', "").into_bytes()))
    }

    /// A string in double quotes with Go's escapes.
    fn quoted(&mut self) -> Result<Token, ParseError> {
        let place = self.place;
        let body = self.rest.get(1..).unwrap_or("");
        let mut escaped = false;
        let end = body.bytes().position(|b| {
            let end = b == b'\n' || (b == b'"' && !escaped);
            escaped = b == b'\\' && !escaped;
            end
        });
        let inner = end
            .and_then(|end| body.get(..end))
            .filter(|inner| body.as_bytes().get(inner.len()) == Some(&b'"'));
        let inner = inner.ok_or_else(|| place.error("literal not terminated"))?;
        let text = unescaped(inner).ok_or_else(|| place.error("invalid char escape"))?;
        self.take(inner.len() + 2);
        Ok(Token::Text(text))
    }
}

/// `text` with Go's escapes resolved; `None` for an escape that Go does not have.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let kind = tail.chars().next()?;
        let (digits, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (3, 8),
            _ => (0, 10),
        };
        let digits_from = usize::from(radix == 16);
        rest = tail.get((digits_from + digits).max(1)..)?;
        if digits == 0 {
            out.push(simple_escape(kind)?);
            continue;
        }
        let digits = tail.get(digits_from..digits_from + digits)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(digits, radix).ok()?;
        if matches!(kind, 'u' | 'U') {
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(u8::try_from(code).ok()?);
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

fn simple_escape(kind: char) -> Option<u8> {
    Some(match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(query: &str) -> Result<Vec<u8>, String> {
        match tokens(query).map_err(|e| e.to_string())?.as_slice() {
            [(Token::Text(text), _), (Token::End, _)] => Ok(text.clone()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn strings_as_go_reads_them() {
        for (query, wanted) in [
            (r#""""#, &b""[..]),
            (r#""a\n\t\\\"\a\b\f\r\v""#, b"a\n\t\\\"\x07\x08\x0c\r\x0b"),
            (r#""\x41\101\u00e9\U0001F680\xff""#, b"AA\xc3\xa9\xf0\x9f\x9a\x80\xff"),
            ("`raw \\d \"\r\n`", b"raw \\d \"\n"),
            ("# comment\n \"a\" // more\n/* and\nmore */", b"a"),
        ] {
            assert_eq!(text(query).unwrap(), wanted, "{query}");
        }
        for (query, wanted) in [
            (r#""\q""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\d""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\'""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\x4""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\x+1""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\400""#, "parse error at line 1, col 1: invalid char escape"),
            (r#""\ud800""#, "parse error at line 1, col 1: invalid char escape"),
            ("é\n \"open", "parse error at line 2, col 2: literal not terminated"),
            ("\"a\nb\"", "parse error at line 1, col 1: literal not terminated"),
            ("`open", "parse error at line 1, col 1: literal not terminated"),
            ("/* open", "parse error at line 1, col 1: comment not terminated"),
            ("§", "parse error at line 1, col 1: syntax error: unexpected '§'"),
        ] {
            assert_eq!(text(query).unwrap_err(), wanted, "{query}");
        }
    }

    #[test]
    fn words_and_signs() {
        let shown = |query: &str| -> String {
            let words: Vec<String> = tokens(query).unwrap().iter().map(|(t, _)| t.to_string()).collect();
            words.join(" ")
        };
        assert_eq!(
            shown("{a=~\"b\",é!=`c`}|=|~!~!>"),
            "{ IDENTIFIER =~ STRING , IDENTIFIER != STRING } |= |~ !~ !> $end"
        );
        assert_eq!(shown("OR or By ip ip(\"x\") 1.5h"), "or or by IDENTIFIER ip ( STRING ) NUMBER $end");
        let long = "x".repeat(MAX_QUERY_BYTES + 1);
        assert_eq!(
            tokens(&long).unwrap_err().to_string(),
            "parse error : input size too long (131073 > 131072)"
        );
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(query in any::<String>()) {
            let _ = tokens(&query);
        }

        #[test]
        fn escapes_never_panic(query in "\"[\\\\xuU0-9a-fé\"]{0,12}") {
            let _ = tokens(&query);
        }
    }
}
