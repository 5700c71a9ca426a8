//! What stands between the fixed parts of a line? (`| pattern "<ip> - <user> [<_>]"`, and the filters `|>` and `!>`)

use super::extract::{Clash, Wanted, add};
use super::row::Row;
use memchr::memmem::{self, Finder};
use strandline_model::Needle;

/// A pattern's fixed parts and what lies between them.
#[derive(Debug, Clone)]
pub(crate) struct LineShape {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(Box<Finder<'static>>),
    /// `None`: `<_>`
    Capture(Option<String>),
}

impl LineShape {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut literal, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('<') {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            let Some((name, behind)) = capture(from) else {
                literal.push('<');
                rest = from.get(1..).unwrap_or("");
                continue;
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(Box::new(Finder::new(literal.as_bytes()).into_owned())));
                literal.clear();
            } else if let Some(Part::Capture(before)) = parts.last() {
                let before = before.as_deref().unwrap_or("_");
                return Err(format!("found consecutive capture '<{before}><{name}>'"));
            }
            parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(Box::new(Finder::new(literal.as_bytes()).into_owned())));
        }
        Ok(Self { parts })
    }

    /// The pattern of a `| pattern` stage: at least one capture has a name, no two the same.
    pub(super) fn parser(text: &str) -> Result<Self, String> {
        let shape = Self::parse(text)?;
        let names: Vec<&str> = shape.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".to_owned());
        }
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|known| known == name) {
                return Err(format!("duplicate capture name ({name})"));
            }
        }
        Ok(shape)
    }

    /// The pattern of a `|>` filter: no capture has a name.
    pub(crate) fn filter(text: &str) -> Result<Self, String> {
        let shape = Self::parse(text)?;
        if shape.names().next().is_some() {
            return Err("named captures are not allowed".to_owned());
        }
        Ok(shape)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Capture(name) => name.as_deref(),
            Part::Literal(_) => None,
        })
    }

    /// Whether `label` is a capture's name.
    pub(super) fn makes(&self, label: &str) -> bool {
        self.names().any(|name| name == label)
    }

    /// What a line that passes the filter must contain.
    pub(crate) fn needle(&self) -> Needle {
        self.parts.iter().fold(Needle::Any, |all, part| match part {
            Part::Literal(finder) => all.and(Needle::Literal(finder.needle().to_vec())),
            Part::Capture(_) => all,
        })
    }

    /// What a line from which `label` is captured must contain: what stands in front of it.
    pub(super) fn needle_of(&self, label: &str) -> Needle {
        let mut all = Needle::Any;
        for part in &self.parts {
            match part {
                Part::Literal(finder) => all = all.and(Needle::Literal(finder.needle().to_vec())),
                Part::Capture(Some(name)) if name == label => break,
                Part::Capture(_) => {}
            }
        }
        all
    }

    /// Makes labels of the captures. A literal that is missing leaves the capture before it the rest of the line, and
    /// the captures behind it unset.
    pub(super) fn extract(&self, row: &mut Row<'_>, wanted: &Wanted) {
        if !self.names().any(|name| wanted.may(name)) {
            return;
        }
        row.read(|row, input| {
            let (text, mut at) = (input.text.as_bytes(), 0);
            if text.is_empty() {
                return;
            }
            let mut parts = self.parts.as_slice();
            if let [Part::Literal(first), rest @ ..] = parts {
                if !text.starts_with(first.needle()) {
                    return;
                }
                at = first.needle().len();
                parts = rest;
            }
            while let [Part::Capture(name), rest @ ..] = parts {
                let literal = rest.first().and_then(|part| match part {
                    Part::Literal(finder) => Some(finder),
                    Part::Capture(_) => None,
                });
                let hit = literal.and_then(|finder| finder.find(text.get(at..)?));
                let end = hit.map_or(text.len(), |hit| at + hit);
                if let Some(name) = name {
                    add(row, wanted, name, Clash::Keep, |row| input.value(row, at..end));
                }
                let (Some(literal), true) = (literal, hit.is_some()) else { return };
                at = end + literal.needle().len();
                parts = rest.get(1..).unwrap_or_default();
            }
        });
    }

    /// Whether the filter takes `line`: the literals stand in it in order, something lies between them, and behind the
    /// last one only if the pattern ends in a capture. What stands in front of the first literal does not matter.
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        if line.is_empty() || self.parts.is_empty() {
            return line.is_empty() && self.parts.is_empty();
        }
        let mut rest = line;
        for (i, part) in self.parts.iter().enumerate() {
            let Part::Literal(finder) = part else { continue };
            let Some(hit) = finder.find(rest) else { return false };
            // The capture before it would be empty.
            if i > 0 && hit == 0 {
                return false;
            }
            rest = rest.get(hit + finder.needle().len()..).unwrap_or_default();
        }
        let open = matches!(self.parts.last(), Some(Part::Capture(_)));
        open != rest.is_empty()
    }
}

/// The name of the capture with which `text` begins, and what follows.
fn capture(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let (name, behind) = inside.split_at_checked(memmem::find(inside.as_bytes(), b">")?)?;
    strandline_model::labels::is_label_name(name).then(|| (name, behind.get(1..).unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_loki_has_them() {
        for (pattern, line, wanted) in [
            ("noise", "noise", true),
            ("noise", "noise!", false),
            ("<_>", "x", true),
            ("<_>", "", false),
            ("", "", true),
            ("", "x", false),
            ("foo <_> baz", "foo bar baz", true),
            ("foo <_> baz", "xx foo bar baz", true),
            ("foo <_> baz", "foo bar baz!", false),
            ("foo <_>baz", "foo baz", false),
            ("<_>ms", "12ms", true),
            ("<_>ms", "ms", false),
            ("GET <_> 200 <_>", "GET /a/b 200 12ms", true),
            ("GET <_> 200 <_>", "GET /a 200 ", false),
            ("[<_>=<_>] <_>", "[k1=v1] [k2=v2] tail", true),
            ("a<b", "a<b", true),
        ] {
            assert_eq!(
                LineShape::filter(pattern).unwrap().is_match(line.as_bytes()),
                wanted,
                "{pattern} {line}"
            );
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for text in ["<a><b>", "x <_><_>", "<_>", "plain", "", "<a> <a>"] {
            assert!(LineShape::parser(text).is_err(), "{text}");
        }
        for text in ["<a> x", "<_><_>"] {
            assert!(LineShape::filter(text).is_err(), "{text}");
        }
        for text in ["<a>", "<_> - <a>", "< x > <a>", "<1> <a>"] {
            assert!(LineShape::parser(text).is_ok(), "{text}");
        }
    }
}
