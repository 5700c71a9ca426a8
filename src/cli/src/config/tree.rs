//! What does a YAML text say, and where does each piece stand?
//!
//! Scalars stay text exactly as written: `off`, `007` and `1e3` are given a meaning by the setting they belong to,
//! not by YAML's guesses. Anchors, aliases and tags are refused: a settings file needs none, and without them no
//! small file can unfold into a large one.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

/// Deepest nesting; the deepest setting needs four.
const MAX_DEPTH: usize = 16;

/// Line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub at: Position,
    /// The value.
    pub value: Value,
}

/// A piece of YAML.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: an empty, `~` or `null` plain scalar.
    Null,
    /// A scalar's text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the text, no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Where the key begins.
    pub at: Position,
    /// The key.
    pub name: String,
}

/// What is wrong with a text or a value, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}:{}: {message}", at.line, at.column)]
pub struct Fault {
    /// Where.
    pub at: Position,
    /// What.
    pub message: String,
}

impl Fault {
    /// A fault at a place.
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl Node {
    /// A text that stands in no file: a flag's or a variable's value.
    pub fn text(text: impl Into<String>) -> Self {
        Self { at: Position { line: 1, column: 1 }, value: Value::Text(text.into()) }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a plain value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Parses one YAML document; an empty text is [`Value::Null`].
pub fn parse(text: &str) -> Result<Node, Fault> {
    let mut events = Events { parser: Parser::new_from_str(text), peeked: None };
    let mut root = Node { at: Position { line: 1, column: 1 }, value: Value::Null };
    let mut documents = 0;
    loop {
        let (event, span) = events.next()?;
        match event {
            Event::StreamEnd => return Ok(root),
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Fault::new(position(&span), "a second document; one file holds one"));
                }
                root = events.node(0)?;
            }
            _ => {}
        }
    }
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

struct Events<'a> {
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    peeked: Option<(Event<'a>, Span)>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        if let Some(event) = self.peeked.take() {
            return Ok(event);
        }
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = error.marker();
                let at = Position { line: marker.line(), column: marker.col() + 1 };
                Err(Fault::new(at, format!("not YAML: {}", error.info())))
            }
            None => Err(Fault::new(Position { line: 1, column: 1 }, "not YAML: it ends early")),
        }
    }

    fn ends_with(&mut self, end: &Event<'static>) -> Result<bool, Fault> {
        let event = self.next()?;
        if event.0 == *end {
            return Ok(true);
        }
        self.peeked = Some(event);
        Ok(false)
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let (event, span) = self.next()?;
        let at = position(&span);
        if depth > MAX_DEPTH {
            return Err(Fault::new(at, "nested too deep"));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain_node_only(at, anchor, tag.is_some())?;
                scalar(text.into_owned(), style)
            }
            Event::SequenceStart(_, anchor, tag) => {
                plain_node_only(at, anchor, tag.is_some())?;
                self.list(depth)?
            }
            Event::MappingStart(_, anchor, tag) => {
                plain_node_only(at, anchor, tag.is_some())?;
                self.map(depth)?
            }
            Event::Alias(_) => return Err(Fault::new(at, "aliases are not supported; write the value out")),
            other => return Err(Fault::new(at, format!("not YAML: unexpected {other:?}"))),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        while !self.ends_with(&Event::SequenceEnd)? {
            items.push(self.node(depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        while !self.ends_with(&Event::MappingEnd)? {
            let key = self.node(depth + 1)?;
            let Value::Text(name) = key.value else {
                return Err(Fault::new(key.at, format!("a key must be a plain value, not {}", key.kind())));
            };
            if let Some((first, _)) = entries.iter().find(|(first, _)| first.name == name) {
                let line = first.at.line;
                return Err(Fault::new(
                    key.at,
                    format!("key \"{name}\" is given twice, first in line {line}"),
                ));
            }
            let value = self.node(depth + 1)?;
            entries.push((Key { at: key.at, name }, value));
        }
        Ok(Value::Map(entries))
    }
}

fn plain_node_only(at: Position, anchor: usize, tagged: bool) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(Fault::new(at, "anchors are not supported; write the value out"));
    }
    if tagged {
        return Err(Fault::new(at, "tags are not supported; write the plain value"));
    }
    Ok(())
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    if style == ScalarStyle::Plain && matches!(text.as_str(), "" | "~" | "null") {
        return Value::Null;
    }
    Value::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(node: &Node) -> &[(Key, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            other => panic!("not a mapping: {other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_places() {
        let root = parse("# comment\nwal:\n  sync: off\n  tenant: 007 # why\n  quoted: \"a\\tb\"\n").unwrap();
        let wal = &map(&root)[0];
        assert_eq!((wal.0.name.as_str(), wal.0.at), ("wal", Position { line: 2, column: 1 }));
        let texts: Vec<_> = map(&wal.1).iter().map(|(key, node)| (key.at.line, node.value.clone())).collect();
        assert_eq!(
            texts,
            [(3, Value::Text("off".into())), (4, Value::Text("007".into())), (5, Value::Text("a\tb".into()))]
        );
        assert_eq!(map(&wal.1)[0].0.at, Position { line: 3, column: 3 });
        assert_eq!(map(&wal.1)[0].1.at, Position { line: 3, column: 9 });
    }

    #[test]
    fn empty_texts_are_nothing() {
        for text in ["", "\n", "# only a comment\n", "---\n", "~", "null"] {
            assert_eq!(parse(text).unwrap().value, Value::Null, "{text:?}");
        }
    }

    #[test]
    fn what_a_settings_file_must_not_hold_is_refused_with_its_place() {
        for (text, said) in [
            ("a: 1\na: 2\n", "2:1: key \"a\" is given twice, first in line 1"),
            ("a: &x 1\n", "anchors are not supported"),
            ("a: !!str 1\n", "tags are not supported"),
            ("? [a]\n: 1\n", "a key must be a plain value, not a list"),
            ("a: 1\n---\nb: 2\n", "2:1: a second document"),
            ("a: [1, 2\n", "not YAML"),
            ("a: b: c\n", "1:"),
        ] {
            let fault = parse(text).unwrap_err().to_string();
            assert!(fault.contains(said), "{text:?} gave {fault}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(40), "]".repeat(40))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\t\u{e9}]{0,200}") {
            let _ = parse(&text);
        }
    }
}
