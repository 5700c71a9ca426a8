//! Which words is a query made of? Strings resolved, comments and blanks gone, every word with its position.

use crate::error::{ParseError, Position};
use crate::parser::number;
use std::fmt;

/// Longest query in bytes (Loki's limit).
pub const MAX_QUERY_BYTES: usize = 131_072;

/// One word of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name that is no reserved word; functions' names too.
    Ident(String),
    /// A reserved word, in lower case.
    Keyword(&'static str),
    /// A string, its escapes resolved.
    Text(Vec<u8>),
    /// A number as written.
    Number(String),
    /// A length of time in nanoseconds, up to the 2^63 that may follow a `-`.
    Duration(u64),
    /// A size in bytes.
    Bytes(u64),
    /// `[5m]` in nanoseconds.
    Range(i64),
    /// An operator, bracket or flag.
    Sign(&'static str),
    /// A character that begins no word.
    Unknown(char),
    /// No word, for this reason. Nothing follows: it is told when all before it was right.
    Bad(ParseError),
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
            Self::Duration(_) => "DURATION",
            Self::Bytes(_) => "BYTES",
            Self::Range(_) => "RANGE",
            Self::Unknown(c) => return write!(f, "{c:?}"),
            Self::Bad(error) => return error.fmt(f),
            Self::End => "$end",
        })
    }
}

/// Most characters behind a number that are read as its unit, or `1.1.1.1` would be read again for each of its numbers.
const MAX_UNIT: usize = 64;

/// Words that no label can be named.
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

/// Flags of `logfmt`. Their case counts.
const FLAGS: [&str; 2] = ["--strict", "--keep-empty"];

/// Signs, the longer before those that they begin with.
const SIGNS: [&str; 27] = [
    "|=", "|~", "|>", "|", "!=", "!~", "!>", "==", "=~", "=", ">=", ">", "<=", "<", "{", "}", "(", ")", ",",
    "+", "-", "*", "/", "%", "^", ".", "!",
];

/// Refuses what is longer than a query may be.
pub(crate) fn check_length(text: &str) -> Result<(), ParseError> {
    match text.len() {
        0..=MAX_QUERY_BYTES => Ok(()),
        size => Err(ParseError::whole(format!("input size too long ({size} > {MAX_QUERY_BYTES})"))),
    }
}

/// The words of `text`. The last is the end or what is no word.
pub(crate) fn tokens(text: &str) -> Vec<(Token, Position)> {
    let mut lexer = Lexer { rest: text, position: Position { line: 1, col: 1 } };
    let mut out = Vec::new();
    loop {
        let blanks = lexer.skip_blanks();
        let position = lexer.position;
        let token = blanks.and_then(|()| lexer.token()).unwrap_or_else(Token::Bad);
        let last = matches!(token, Token::Bad(_) | Token::End);
        out.push((token, position));
        if last {
            return out;
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    position: Position,
}

impl<'a> Lexer<'a> {
    /// Takes `bytes` off the front, which must end between characters, and moves the position on.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for c in taken.chars() {
            if c == '\n' {
                self.position = Position { line: self.position.line + 1, col: 1 };
            } else {
                self.position.col += 1;
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
                let len =
                    self.rest.find("*/").ok_or_else(|| self.position.error("comment not terminated"))?;
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
            c if c.is_ascii_digit() => self.number(),
            '.' if self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            '[' => self.range(),
            c => Ok(self.sign().unwrap_or_else(|| {
                self.take(c.len_utf8());
                Token::Unknown(c)
            })),
        }
    }

    fn sign(&mut self) -> Option<Token> {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let flag = FLAGS
            .into_iter()
            .find(|flag| self.rest.strip_prefix(flag).is_some_and(|rest| !rest.starts_with(word)));
        let sign = flag.or_else(|| SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)))?;
        self.take(sign.len());
        Some(Token::Sign(sign))
    }

    /// A number, and what stands behind it without a blank if the two are a length of time or a size. If not, the rest
    /// is left for the next word, as in Loki.
    fn number(&mut self) -> Result<Token, ParseError> {
        let len = number_len(self.rest).ok_or_else(|| self.position.error("exponent has no digits"))?;
        let with_unit = |unit: fn(char) -> bool| {
            let tail = self.rest.get(len..).unwrap_or("").chars();
            let unit: usize = tail.take(MAX_UNIT).take_while(|c| unit(*c)).map(char::len_utf8).sum();
            (unit > 0).then(|| self.rest.get(..len + unit)).flatten()
        };
        let time = with_unit(|c| c.is_ascii_digit() || ".nuµμmshdwy".contains(c));
        if let Some((text, ns)) = time.and_then(|text| Some((text, number::duration(text)?))) {
            self.take(text.len());
            return Ok(Token::Duration(ns));
        }
        let size = with_unit(|c| c.is_ascii_digit() || ".BikKMGTP".contains(c));
        if let Some((text, size)) = size.and_then(|text| Some((text, number::bytes(text)?))) {
            self.take(text.len());
            return Ok(Token::Bytes(size));
        }
        Ok(Token::Number(self.take(len).to_owned()))
    }

    /// `[5m]`, in which a blank is no blank.
    fn range(&mut self) -> Result<Token, ParseError> {
        let position = self.position;
        let body = self.rest.get(1..).unwrap_or("");
        let (text, _) =
            body.split_once(']').ok_or_else(|| position.error("missing closing ']' in duration"))?;
        let ns = number::range(text).map_err(|e| position.error(e))?;
        self.take(text.len() + 2);
        Ok(Token::Range(ns))
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
        let len = body.find('`').ok_or_else(|| self.position.error("literal not terminated"))?;
        let taken = self.take(len + 2);
        let inner = taken.get(1..len + 1).unwrap_or("");
        Ok(Token::Text(inner.replace('\r', "").into_bytes()))
    }

    /// A string in double quotes with Go's escapes.
    fn quoted(&mut self) -> Result<Token, ParseError> {
        let position = self.position;
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
        let inner = inner.ok_or_else(|| position.error("literal not terminated"))?;
        let text = unescaped(inner).ok_or_else(|| position.error("invalid char escape"))?;
        self.take(inner.len() + 2);
        Ok(Token::Text(text))
    }
}

/// How long the number is that `text` begins with; `None` if its exponent is missing. Numbers of other bases are one
/// word too, so that they can be refused as such.
fn number_len(text: &str) -> Option<usize> {
    let while_in = |from: usize, wanted: fn(u8) -> bool| {
        from + text.bytes().skip(from).take_while(|b| wanted(*b)).count()
    };
    let digits = |from| while_in(from, |b| b.is_ascii_digit() || b == b'_');
    let mut bytes = text.bytes();
    let prefix = bytes.next().zip(bytes.next()).filter(|(zero, _)| *zero == b'0').map(|(_, base)| base);
    if let Some(base) = prefix.filter(|b| b"xXbBoO".contains(b)) {
        let is_float = matches!(base, b'x' | b'X');
        let len = match is_float {
            true => while_in(2, |b| b.is_ascii_hexdigit() || matches!(b, b'_' | b'.')),
            false => while_in(2, |b| b.is_ascii_hexdigit() || b == b'_'),
        };
        // `0B` is a size.
        if len == 2 {
            return Some(1);
        }
        return match is_float && matches!(text.as_bytes().get(len), Some(b'p' | b'P')) {
            true => exponent_len(text, len),
            false => Some(len),
        };
    }
    let mut len = digits(0);
    if text.as_bytes().get(len) == Some(&b'.') {
        len = digits(len + 1);
    }
    if !matches!(text.as_bytes().get(len), Some(b'e' | b'E')) {
        return Some(len);
    }
    exponent_len(text, len)
}

/// How long the number is with its exponent, the letter of which stands at `at`.
fn exponent_len(text: &str, at: usize) -> Option<usize> {
    let signed = matches!(text.as_bytes().get(at + 1), Some(b'+' | b'-'));
    let start = at + 1 + usize::from(signed);
    let digits = text.bytes().skip(start).take_while(|b| b.is_ascii_digit() || *b == b'_').count();
    (digits > 0).then_some(start + digits)
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
        match tokens(query).as_slice() {
            [(Token::Text(text), _), (Token::End, _)] => Ok(text.clone()),
            [.., (Token::Bad(error), _)] => Err(error.to_string()),
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
        ] {
            assert_eq!(text(query).unwrap_err(), wanted, "{query}");
        }
    }

    #[test]
    fn words_and_signs() {
        let shown = |query: &str| -> String {
            let words: Vec<String> = tokens(query).iter().map(|(t, _)| t.to_string()).collect();
            words.join(" ")
        };
        assert_eq!(
            shown("{a=~\"b\",é!=`c`}|=|~!~!>"),
            "{ IDENTIFIER =~ STRING , IDENTIFIER != STRING } |= |~ !~ !> $end"
        );
        assert_eq!(shown("OR or By ip ip(\"x\") 1.5h"), "or or by IDENTIFIER ip ( STRING ) DURATION $end");
        assert_eq!(
            shown("1 .5 5. 1e3 1_0 0x1f 1e+3-1"),
            "NUMBER NUMBER NUMBER NUMBER NUMBER NUMBER NUMBER - NUMBER $end"
        );
        assert_eq!(
            shown("1h30m 1d 1KB 0B 1.5MiB 5ns[1h30m][0s]"),
            "DURATION DURATION BYTES BYTES BYTES DURATION RANGE RANGE $end"
        );
        // What is no unit is the next word.
        assert_eq!(
            shown("1h30 1kb 5x 1..5"),
            "NUMBER IDENTIFIER BYTES IDENTIFIER NUMBER IDENTIFIER NUMBER NUMBER $end"
        );
        assert_eq!(
            shown("--strict --keep-empty --strictly --STRICT"),
            "--strict --keep-empty - - IDENTIFIER - - IDENTIFIER $end"
        );
        assert_eq!(
            shown("§ 1 [x"),
            "'§' NUMBER parse error at line 1, col 5: missing closing ']' in duration"
        );
        assert_eq!(shown("1EB"), "parse error at line 1, col 1: exponent has no digits");
        let long = "x".repeat(MAX_QUERY_BYTES + 1);
        assert_eq!(
            check_length(&long).unwrap_err().to_string(),
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
