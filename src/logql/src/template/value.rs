//! Which values does a template work on, and how do they print by themselves?

use super::float;
use super::moment::Moment;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most that a template may write, and the longest text that it may make on the way.
pub(super) const MAX_OUTPUT_BYTES: usize = 1 << 20;
const TOO_LONG: &str = "template output exceeds 1MiB";

#[derive(Debug, Clone, Default)]
pub(super) enum Value<'a> {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, [u8]>),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<Map<'a>>),
    /// All labels, not looked at yet.
    Labels,
    Time(Moment),
}

#[derive(Debug, Default)]
pub(super) struct Map<'a> {
    pub(super) entries: BTreeMap<String, Value<'a>>,
    /// Labels are texts, so that a missing one is empty; elsewhere it is nothing.
    pub(super) is_labels: bool,
}

impl<'a> Map<'a> {
    pub(super) fn get(&self, name: &str) -> Value<'a> {
        match self.entries.get(name) {
            Some(value) => value.clone(),
            None if self.is_labels => Value::text(""),
            None => Value::Nil,
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text.as_bytes()))
    }

    pub(super) fn owned(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// The type's name in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(map) if !map.is_labels => "map[string]interface {}",
            Self::Map(_) | Self::Labels => "map[string]string",
            Self::Time(_) => "time.Time",
        }
    }

    /// Whether `if` takes it for true. `Labels` counts as a map with entries.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Labels | Self::Time(_) => true,
        }
    }

    /// The size in bytes, for what it costs to work on it.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(list) => list.len() * 16,
            Self::Map(map) => map.entries.len() * 32,
            _ => 0,
        }
    }

    /// Prints it as `%v` does.
    pub(super) fn print(&self, out: &mut Sink<'_>) -> Result<(), String> {
        match self {
            Self::Nil => out.push(b"<nil>"),
            Self::Bool(value) => out.push(if *value { b"true" } else { b"false" }),
            Self::Int(value) => out.push_display(value),
            Self::Float(value) => out.push(float::shortest(*value).as_bytes()),
            Self::Text(text) => out.push(text),
            Self::List(list) => {
                out.push(b"[")?;
                for (i, value) in list.iter().enumerate() {
                    out.push(if i == 0 { b"" } else { b" " })?;
                    value.print(out)?;
                }
                out.push(b"]")
            }
            Self::Map(map) => {
                out.push(b"map[")?;
                for (i, (name, value)) in map.entries.iter().enumerate() {
                    out.push(if i == 0 { b"" } else { b" " })?;
                    out.push(name.as_bytes())?;
                    out.push(b":")?;
                    value.print(out)?;
                }
                out.push(b"]")
            }
            Self::Labels => out.push(b"map[]"),
            Self::Time(time) => out.push(time.print().as_bytes()),
        }
    }
}

/// Where a text is made, up to the bound.
#[derive(Debug)]
pub(super) struct Sink<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> Sink<'o> {
    /// A sink that appends.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Whether so many bytes more would fit.
    pub(super) fn reserve(&self, length: usize) -> Result<(), String> {
        if length > MAX_OUTPUT_BYTES.saturating_sub(self.out.len() - self.start) {
            return Err(TOO_LONG.to_owned());
        }
        Ok(())
    }

    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), String> {
        self.reserve(text.len())?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    pub(super) fn push_display(&mut self, value: &dyn std::fmt::Display) -> Result<(), String> {
        use std::io::Write;
        // Into a vector this cannot fail, and what is displayed is short.
        let _ = write!(self.out, "{value}");
        self.reserve(0)
    }

    pub(super) fn push_times(&mut self, text: &[u8], count: usize) -> Result<(), String> {
        self.reserve(text.len().saturating_mul(count))?;
        for _ in 0..count {
            self.out.extend_from_slice(text);
        }
        Ok(())
    }
}

/// The text that `write` makes.
pub(super) fn made<'a>(write: impl FnOnce(&mut Sink<'_>) -> Result<(), String>) -> Result<Value<'a>, String> {
    let mut out = Vec::new();
    write(&mut Sink::new(&mut out))?;
    Ok(Value::owned(out))
}
