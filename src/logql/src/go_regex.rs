//! What does a pattern of Go's RE2 mean in the syntax of Rust's regex crate?
//!
//! The two nearly agree. Where they do not, the pattern is rewritten: `\d \w \s \b` are ASCII in Go, Rust has set
//! operations inside `[...]` and word-edge escapes that Go takes literally, Go takes a stray `{` literally, and has
//! octal escapes and `\Q...\E`. All else (`.`, `(?i)`, `\pL`) is Unicode-aware in both.

use std::collections::HashMap;

/// Largest count in `{n,m}`, as in Go, and largest product of those that stand inside each other.
pub(crate) const MAX_REPEAT: u32 = 1000;
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Which groups of a pattern keep what they matched. Each costs memory for every state of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Groups {
    /// None: only whether it matches is asked.
    None,
    /// Those with names.
    Named,
    /// All.
    All,
}

/// A pattern in Rust's syntax.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) text: String,
    /// The names that more than one group has, which Go allows, with the numbers of these groups (if all are kept): all but
    /// the first have no name here.
    pub(crate) repeated: Vec<(String, Vec<usize>)>,
}

/// `pattern` in Rust's syntax, or what Go says about it.
pub(crate) fn translate(pattern: &str, groups: Groups) -> Result<Translated, String> {
    let mut state = Translation {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        no_posix_end: false,
        groups,
        opened: 0,
        names: HashMap::new(),
        repeated: Vec::new(),
    };
    while let Some(c) = state.next() {
        match c {
            '\\' => state.escape()?,
            '[' => state.class()?,
            '(' => state.group()?,
            '{' => state.brace()?,
            // Operators mean the same, and what is left is literal in both.
            other => state.out.push(other),
        }
    }
    Ok(Translated { text: state.out, repeated: state.repeated })
}

/// A character, or a class of characters.
enum Item {
    Char(char),
    /// The inside of brackets, and whether it is negated.
    Class(&'static str, bool),
    /// `\pX` in Rust's spelling.
    Unicode(String),
}

struct Translation<'a> {
    rest: &'a str,
    out: String,
    /// Whether no `:]` is left, so that it is looked for once only.
    no_posix_end: bool,
    groups: Groups,
    /// How many groups with numbers were opened.
    opened: usize,
    /// The number of the first group of each name, and its place in `repeated` if there are more.
    names: HashMap<&'a str, (usize, Option<usize>)>,
    repeated: Vec<(String, Vec<usize>)>,
}

impl<'a> Translation<'a> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn literal(&mut self, c: char) {
        if regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    /// Behind a backslash outside of brackets.
    fn escape(&mut self) -> Result<(), String> {
        if self.eat("b") {
            self.out.push_str(r"(?-u:\b)");
        } else if self.eat("B") {
            self.out.push_str(r"(?-u:\B)");
        } else if self.eat("A") {
            self.out.push_str(r"\A");
        } else if self.eat("z") {
            self.out.push_str(r"\z");
        } else if self.eat("Q") {
            let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            quoted.chars().for_each(|c| self.literal(c));
        } else {
            match self.item()? {
                Item::Char(c) => self.literal(c),
                Item::Class(inside, negated) => {
                    let caret = if negated { "^" } else { "" };
                    self.out.push_str(&format!("[{caret}{inside}]"));
                }
                Item::Unicode(text) => self.out.push_str(&text),
            }
        }
        Ok(())
    }

    /// Behind a backslash: an escape that may also stand in brackets.
    fn item(&mut self) -> Result<Item, String> {
        let before = self.rest;
        let bad = || {
            format!(
                "invalid escape sequence: `\\{}`",
                before.chars().next().map_or(String::new(), String::from)
            )
        };
        let Some(c) = self.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        Ok(match c {
            'd' => Item::Class("0-9", false),
            'D' => Item::Class("0-9", true),
            'w' => Item::Class("0-9A-Za-z_", false),
            'W' => Item::Class("0-9A-Za-z_", true),
            's' => Item::Class(r"\t\n\f\r ", false),
            'S' => Item::Class(r"\t\n\f\r ", true),
            'p' | 'P' => Item::Unicode(self.unicode_class(c == 'P')?),
            'a' => Item::Char('\x07'),
            'f' => Item::Char('\x0c'),
            'n' => Item::Char('\n'),
            'r' => Item::Char('\r'),
            't' => Item::Char('\t'),
            'v' => Item::Char('\x0b'),
            'x' => Item::Char(self.hex().ok_or_else(bad)?),
            '0'..='7' => Item::Char(self.octal(c).ok_or_else(bad)?),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Item::Char(c),
            _ => return Err(bad()),
        })
    }

    /// Behind `\p`: `L`, `{Greek}` or `{^Greek}`.
    fn unicode_class(&mut self, mut negated: bool) -> Result<String, String> {
        let invalid = |name: &str| format!("invalid character class range: `\\p{{{name}}}`");
        let name = if self.eat("{") {
            let (name, rest) = self.rest.split_once('}').ok_or_else(|| invalid(self.rest))?;
            self.rest = rest;
            negated ^= name.starts_with('^');
            name.trim_start_matches('^').to_owned()
        } else {
            self.next().map_or(String::new(), String::from)
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(invalid(&name));
        }
        Ok(format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    /// Behind `\x`: two digits, or any number of them in braces.
    fn hex(&mut self) -> Option<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2)?;
            self.rest = rest;
            digits
        };
        let hex = !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
    }

    /// Behind a backslash and an octal digit: up to two more. One digit alone would be a back reference, but for `\0`.
    fn octal(&mut self, first: char) -> Option<char> {
        let more = self.rest.bytes().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
        if first != '0' && more == 0 {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(more)?;
        self.rest = rest;
        u32::from_str_radix(&format!("{first}{digits}"), 8).ok().and_then(char::from_u32)
    }

    /// Behind `(`: Go's kinds of groups, and none of Rust's own flags.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        let before = self.rest;
        if !self.eat("?") {
            self.opened += 1;
            if self.groups != Groups::All {
                self.out.push_str("?:");
            }
            return Ok(());
        }
        if self.eat("P<") || self.eat("<") {
            let name = self.rest.split_once('>').map(|(name, _)| name);
            let name =
                name.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            let name = name.ok_or_else(|| {
                let end = before.find('>').map_or(before.len(), |end| end + 1);
                format!("invalid named capture: `({}`", before.get(..end).unwrap_or(""))
            })?;
            self.rest = self.rest.get(name.len() + 1..).unwrap_or("");
            self.named_group(name);
            return Ok(());
        }
        self.out.push('?');
        let flags = self.rest.bytes().take_while(|b| b"imsU-".contains(b)).count();
        let (flags, rest) = self.rest.split_at_checked(flags).unwrap_or(("", self.rest));
        if !rest.starts_with([':', ')']) {
            let end = before.len() - rest.len() + rest.chars().next().map_or(0, char::len_utf8);
            return Err(format!(
                "invalid or unsupported Perl syntax: `({}`",
                before.get(..end).unwrap_or("")
            ));
        }
        self.out.push_str(flags);
        self.rest = rest;
        Ok(())
    }

    /// Behind the name of a group.
    fn named_group(&mut self, name: &'a str) {
        self.opened += 1;
        let number = self.opened;
        let Some((first, place)) = self.names.get_mut(name) else {
            self.names.insert(name, (number, None));
            match self.groups {
                Groups::None => self.out.push_str("?:"),
                Groups::Named | Groups::All => self.out.push_str(&format!("?P<{name}>")),
            }
            return;
        };
        if self.groups != Groups::All {
            self.out.push_str("?:");
        }
        let repeated = &mut self.repeated;
        let place = *place.get_or_insert_with(|| {
            repeated.push((name.to_owned(), vec![*first]));
            repeated.len() - 1
        });
        if let Some((_, numbers)) = repeated.get_mut(place) {
            numbers.push(number);
        }
    }

    /// Behind `{`: a count, or else a literal brace.
    fn brace(&mut self) -> Result<(), String> {
        // No further than what can be a count, or many braces would be searched for their ends many times.
        let length = self.rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count();
        let Some((count, rest)) = self
            .rest
            .split_at_checked(length)
            .and_then(|(count, rest)| Some((count, rest.strip_prefix('}')?)))
        else {
            self.literal('{');
            return Ok(());
        };
        let number = |text: &str| {
            let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            // Numbers too long for 32 bits are counts all the same, and too large.
            (plain && !text.is_empty()).then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (low, high) = match count.split_once(',') {
            None => (number(count), number(count)),
            Some((low, "")) => (number(low), number(low)),
            Some((low, high)) => (number(low), number(high)),
        };
        let (Some(low), Some(high)) = (low, high) else {
            self.literal('{');
            return Ok(());
        };
        if low > MAX_REPEAT || high > MAX_REPEAT || low > high {
            return Err(format!("invalid repeat count: `{{{count}}}`"));
        }
        self.out.push_str(&format!("{{{count}}}"));
        self.rest = rest;
        Ok(())
    }

    /// Behind `[`: every member is written so that Rust cannot see an operator in it.
    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest;
        let open = || format!("missing closing ]: `[{whole}`");
        self.out.push('[');
        if self.eat("^") {
            self.out.push('^');
        }
        let mut first = true;
        while !self.rest.is_empty() {
            if !first && self.eat("]") {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if self.posix_class()? {
                continue;
            }
            match self.class_item()? {
                Item::Char(low) => self.class_range(low).map_err(|e| e.unwrap_or_else(open))?,
                Item::Class(inside, false) => self.out.push_str(inside),
                Item::Class(inside, true) => self.out.push_str(&format!("[^{inside}]")),
                Item::Unicode(text) => self.out.push_str(&text),
            }
        }
        Err(open())
    }

    fn class_item(&mut self) -> Result<Item, String> {
        match self.next() {
            Some('\\') => self.item(),
            Some(c) => Ok(Item::Char(c)),
            None => Err("missing closing ]".to_owned()),
        }
    }

    /// Behind a member that may begin a range. The inner `None` of an error stands for a class that is not closed.
    fn class_range(&mut self, low: char) -> Result<(), Option<String>> {
        self.literal(low);
        if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
            return Ok(());
        }
        self.next();
        if self.rest.is_empty() {
            return Err(None);
        }
        match self.class_item().map_err(Some)? {
            Item::Char(high) if high >= low => {
                self.out.push('-');
                self.literal(high);
                Ok(())
            }
            _ => Err(Some(format!("invalid character class range: `{low}-`"))),
        }
    }

    /// `[:name:]` inside brackets, if one stands next.
    fn posix_class(&mut self) -> Result<bool, String> {
        let Some(inside) = self.rest.strip_prefix("[:").filter(|_| !self.no_posix_end) else {
            return Ok(false);
        };
        let Some((name, rest)) = inside.split_once(":]") else {
            self.no_posix_end = true;
            return Ok(false);
        };
        if !POSIX.contains(&name.trim_start_matches('^')) || name.starts_with("^^") {
            return Err(format!("invalid character class range: `[:{name}:]`"));
        }
        self.out.push_str(&format!("[:{name}:]"));
        self.rest = rest;
        Ok(true)
    }
}
