//! A stream's labels: sorted pairs, their canonical text, and the id that names the stream.

use std::borrow::Cow;
use std::fmt::{self, Write};
use xxhash_rust::xxh3::xxh3_128;

/// 128-bit hash (XXH3) of a stream's canonical label text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u128);

/// Sorted label pairs with unique names and non-empty values.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels {
    /// Name, value, name, value ... back to back: one allocation however many labels.
    text: Box<str>,
    /// Where each piece of `text` ends.
    ends: Box<[u32]>,
}

/// Why a text is not a label set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LabelError {
    /// The text does not follow the grammar `{name="value", ...}`.
    #[error("1:{column}: parse error: {what}")]
    Syntax {
        /// Byte position from 1.
        column: usize,
        /// What was found and what was expected.
        what: String,
    },
    /// A name that is not `[a-zA-Z_][a-zA-Z0-9_]*`.
    #[error("invalid label name \"{0}\"")]
    Name(String),
    /// The same name twice.
    #[error("duplicate label name \"{0}\"")]
    Duplicate(String),
}

/// Whether `name` follows Prometheus' rule for label names.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Labels {
    /// Sorts `pairs`; drops those with an empty value; refuses bad and double names.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Result<Self, LabelError> {
        let mut sorted: Vec<(&str, &str)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            if !is_label_name(name.as_ref()) {
                return Err(LabelError::Name(name.as_ref().to_owned()));
            }
            if !value.as_ref().is_empty() {
                sorted.push((name.as_ref(), value.as_ref()));
            }
        }
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|w| w[0].0 == w[1].0) {
            return Err(LabelError::Duplicate(twice[0].0.to_owned()));
        }
        Ok(Self::from_sorted(&sorted))
    }

    /// The labels of pairs that are in order already, as a file holds them: names ascending, each one valid, no value
    /// empty. `None` for anything else. About `n` pairs with `bytes` of text are expected.
    pub fn from_ordered<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        n: usize,
        bytes: usize,
    ) -> Option<Self> {
        let (mut text, mut ends) = (String::with_capacity(bytes), Vec::with_capacity(2 * n));
        let mut last = "";
        for (name, value) in pairs {
            if name <= last || value.is_empty() || !is_label_name(name) {
                return None;
            }
            for piece in [name, value] {
                text.push_str(piece);
                ends.push(u32::try_from(text.len()).ok()?);
            }
            last = name;
        }
        Some(Self { text: text.into(), ends: ends.into() })
    }

    fn from_sorted(sorted: &[(&str, &str)]) -> Self {
        let mut text = String::with_capacity(sorted.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut ends = Vec::with_capacity(sorted.len() * 2);
        for (name, value) in sorted {
            for piece in [name, value] {
                text.push_str(piece);
                ends.push(text.len() as u32);
            }
        }
        Self { text: text.into(), ends: ends.into() }
    }

    /// Parses label text as push clients send it and as [`Labels::to_string`] prints it:
    /// `{name="value", other="value"}` with Go string escapes. As in Prometheus, a metric's name may stand in front or
    /// among the labels, names may be quoted, and comments may stand anywhere.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        Parser { text, at: 0 }.labels()
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The pairs, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        (0..self.len()).map(|i| (self.piece(2 * i), self.piece(2 * i + 1)))
    }

    fn piece(&self, i: usize) -> &str {
        let end = |i: usize| self.ends.get(i).map_or(0, |e| *e as usize);
        let start = if i == 0 { 0 } else { end(i - 1) };
        self.text.get(start..end(i)).unwrap_or("")
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// These labels and one more; an existing label of that name is replaced.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<(&str, &str)> = self.iter().filter(|(n, _)| *n != name).collect();
        if !value.is_empty() {
            pairs.push((name, value));
        }
        pairs.sort_unstable();
        Self::from_sorted(&pairs)
    }

    /// The stream's id.
    pub fn stream_id(&self) -> StreamId {
        StreamId(xxh3_128(self.to_string().as_bytes()))
    }

    /// How many of the first `most` bytes of these two label sets, in the order by which they compare, are equal.
    pub fn common_prefix(&self, other: &Self, most: usize) -> usize {
        let (a, b) = (self.text.as_bytes(), other.text.as_bytes());
        match (a.get(..most), b.get(..most)) {
            (Some(a), Some(b)) if a == b => most,
            _ => a.iter().zip(b).take(most).take_while(|(a, b)| a == b).count(),
        }
    }

    /// Eight bytes behind the first `skip`, as a number: of two label sets that share a prefix of `skip` bytes, the
    /// one with the lesser number is the lesser. Equal numbers say nothing.
    pub fn prefix_key(&self, skip: usize) -> u64 {
        let rest = self.text.as_bytes().get(skip..).unwrap_or_default();
        let mut key = [0; 8];
        key.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(key)
    }

    /// Bytes of memory that this label set takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.ends.len() * 4
    }
}

/// The canonical text: `{a="b", c="d"}`, values quoted as Go's `strconv.Quote` does for ASCII.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(name)?;
            f.write_char('=')?;
            write_quoted(f, value)?;
        }
        f.write_char('}')
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `value` in double quotes with Go escapes.
pub fn write_quoted(out: &mut impl Write, value: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain_from = 0;
    for (i, b) in value.bytes().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' && b != 0x7f {
            continue;
        }
        // Every escaped byte is ASCII, so the slice ends on a character boundary.
        out.write_str(value.get(plain_from..i).unwrap_or(""))?;
        match b {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            other => write!(out, "\\x{other:02x}")?,
        }
        plain_from = i + 1;
    }
    out.write_str(value.get(plain_from..).unwrap_or(""))?;
    out.write_char('"')
}

/// The label that holds a metric's name.
const METRIC_NAME: &str = "__name__";

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn labels(mut self) -> Result<Labels, LabelError> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        let mut metric = self.metric_name().map(Cow::Borrowed);
        if metric.is_none() || !self.is_at_end() {
            self.expect('{', "\"{\"")?;
            while !self.eat('}') {
                let (name, value) = self.pair()?;
                match value {
                    Some(value) => pairs.push((name, value)),
                    None if metric.is_none() => metric = Some(name),
                    None => return Err(self.error("one metric name, not two")),
                }
                if self.eat('}') {
                    break;
                }
                self.expect(',', "\",\" or \"}\"")?;
            }
        }
        if !self.is_at_end() {
            return Err(self.error("end of input"));
        }
        pairs.extend(metric.map(|name| (Cow::Borrowed(METRIC_NAME), name)));
        Labels::from_pairs(&pairs)
    }

    /// `name="value"`, the name in quotes or not; or a name in quotes alone, which is that of the metric.
    fn pair(&mut self) -> Result<(Cow<'a, str>, Option<Cow<'a, str>>), LabelError> {
        self.blanks();
        let is_quoted = self.rest().starts_with(['"', '\'', '`']);
        let name = if is_quoted { self.quoted()? } else { Cow::Borrowed(self.name()?) };
        if is_quoted && !self.eat('=') {
            return Ok((name, None));
        }
        if !is_quoted {
            self.expect('=', "\"=\"")?;
        }
        Ok((name, Some(self.quoted()?)))
    }

    /// What stands in front of the brace, as in `up{job="x"}`.
    fn metric_name(&mut self) -> Option<&'a str> {
        self.blanks();
        let rest = self.rest();
        let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
        let len = rest.bytes().take_while(letter).count();
        let name = rest
            .get(..len)
            .filter(|name| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()))?;
        self.at += len;
        Some(name)
    }

    fn is_at_end(&mut self) -> bool {
        self.blanks();
        self.at >= self.text.len()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Passes blanks, and comments from `#` to the end of their line.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(c);
        self.at += usize::from(found) * c.len_utf8();
        found
    }

    fn expect(&mut self, c: char, what: &str) -> Result<(), LabelError> {
        if self.eat(c) { Ok(()) } else { Err(self.error(what)) }
    }

    fn name(&mut self) -> Result<&'a str, LabelError> {
        self.blanks();
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let name = rest.get(..len).unwrap_or("");
        if !is_label_name(name) {
            return Err(self.error("a label name ([a-zA-Z_][a-zA-Z0-9_]*)"));
        }
        self.at += len;
        Ok(name)
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, LabelError> {
        self.blanks();
        let start = self.at;
        let rest = self.rest();
        if let Some(raw) = rest.strip_prefix('`') {
            let len = raw.find('`').ok_or_else(|| self.error("a closing \"`\""))?;
            self.at += len + 2;
            return Ok(Cow::Borrowed(raw.get(..len).unwrap_or("")));
        }
        let Some(quote) = rest.bytes().next().filter(|b| matches!(b, b'"' | b'\'')) else {
            return Err(self.error("a quoted label value"));
        };
        let body = rest.get(1..).unwrap_or("");
        let mut escaped = false;
        for (i, b) in body.bytes().enumerate() {
            match b {
                b'\\' if !escaped => escaped = true,
                b if b == quote && !escaped => {
                    self.at += i + 2;
                    let inner = body.get(..i).unwrap_or("");
                    return unquote(inner).ok_or_else(|| LabelError::Syntax {
                        column: start + 1,
                        what: "invalid escape in label value".to_owned(),
                    });
                }
                _ => escaped = false,
            }
        }
        Err(self.error("a closing quote"))
    }

    fn error(&self, wanted: &str) -> LabelError {
        let found = match self.rest().chars().next() {
            Some(c) => format!("unexpected {c:?}"),
            None => "unexpected end of input".to_owned(),
        };
        LabelError::Syntax { column: self.at + 1, what: format!("{found}, expected {wanted}") }
    }
}

/// Resolves Go string escapes; bytes that are not UTF-8 afterwards become a space (as Loki stores them).
pub fn unquote(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let number = |chars: &mut std::str::Chars<'_>, first: Option<char>, digits: usize, radix: u32| {
            let mut n = match first {
                Some(c) => c.to_digit(radix)?,
                None => 0,
            };
            for _ in 0..digits {
                n = n.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
            }
            Some(n)
        };
        match chars.next()? {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            '"' => out.push(b'"'),
            '\'' => out.push(b'\''),
            'x' => out.push(number(&mut chars, None, 2, 16)? as u8),
            'u' => push_char(&mut out, number(&mut chars, None, 4, 16)?)?,
            'U' => push_char(&mut out, number(&mut chars, None, 8, 16)?)?,
            c @ '0'..='7' => out.push(u8::try_from(number(&mut chars, Some(c), 2, 8)?).ok()?),
            _ => return None,
        }
    }
    Some(Cow::Owned(match String::from_utf8(out) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).replace(char::REPLACEMENT_CHARACTER, " "),
    }))
}

fn push_char(out: &mut Vec<u8>, code: u32) -> Option<()> {
    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_as_clients_send_it() {
        let labels = Labels::parse(r#" { b = "2" ,a="x\ty\"\x41\u00e9", empty="" } "#).unwrap();
        assert_eq!(labels.to_string(), "{a=\"x\\ty\\\"Aé\", b=\"2\"}");
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(Labels::parse("{}").unwrap().to_string(), "{}");
        assert_eq!(Labels::parse("{a=`raw\\n`}").unwrap().get("a"), Some("raw\\n"));
        assert_eq!(Labels::parse("{a='1\"\\'', b='\\n'}").unwrap().get("a"), Some("1\"'"));
        assert_eq!(labels.with("b", "3").with("0", "").get("b"), Some("3"));
    }

    #[test]
    fn text_as_prometheus_reads_it() {
        for (text, wanted) in [
            (r#"{ "foo"="bar" }"#, r#"{foo="bar"}"#),
            (r#"{"a"='1', b="2", `c`="3",}"#, r#"{a="1", b="2", c="3"}"#),
            (r#"up{job="x"}"#, r#"{__name__="up", job="x"}"#),
            (r#" ns:up { } "#, r#"{__name__="ns:up"}"#),
            ("up", r#"{__name__="up"}"#),
            (r#"{"my metric", job="x"}"#, r#"{__name__="my metric", job="x"}"#),
            ("{a=\"b\"} # trailing", r#"{a="b"}"#),
            ("# before\n{ # inside }\n a=\"#b\"}", r##"{a="#b"}"##),
        ] {
            assert_eq!(Labels::parse(text).unwrap().to_string(), wanted, "{text}");
        }
        for text in [
            "#",
            "up{\"down\"}",
            "{\"a\", \"b\"}",
            "1up{}",
            "up up",
            "{\"a\"=}",
            "{\"a}",
            "{a=\"b\" # }",
            "{=\"b\"}",
        ] {
            assert!(Labels::parse(text).is_err(), "{text}");
        }
        assert_eq!(Labels::parse(r#"{"a.b"="c"}"#), Err(LabelError::Name("a.b".into())));
        assert_eq!(Labels::parse(r#"up{__name__="x"}"#), Err(LabelError::Duplicate("__name__".into())));
    }

    #[test]
    fn errors_name_the_column() {
        for (text, column) in
            [("", 1), ("{a}", 3), ("{a=\"b", 4), ("{a=b}", 4), ("{a=\"b\"} x", 9), ("{1=\"b\"}", 2)]
        {
            match Labels::parse(text) {
                Err(LabelError::Syntax { column: found, .. }) => assert_eq!(found, column, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(Labels::parse(r#"{a="1",a="2"}"#), Err(LabelError::Duplicate("a".into())));
        assert!(Labels::parse(r#"{a="\d"}"#).is_err());
    }

    proptest! {
        #[test]
        fn canonical_text_parses_back(
            pairs in proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,6}", any::<String>(), 0..6)
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let labels = Labels::from_pairs(&pairs).unwrap();
            prop_assert_eq!(&Labels::parse(&labels.to_string()).unwrap(), &labels);
            prop_assert_eq!(labels.len(), pairs.iter().filter(|(_, v)| !v.is_empty()).count());
        }

        #[test]
        fn foreign_text_never_panics(text in any::<String>()) {
            let _ = Labels::parse(&text);
            let _ = unquote(&text);
        }
    }
}
