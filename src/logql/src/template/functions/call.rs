//! What is a function of a template, and how does it take its arguments?

use super::super::moment::Moment;
use super::super::source::Source;
use super::super::value::Value;
use crate::pattern::GroupRegex;
use std::borrow::Cow;

/// A function of the language.
#[derive(Debug)]
pub(in crate::template) struct Function {
    pub(in crate::template) name: &'static str,
    pub(in crate::template) least: usize,
    pub(in crate::template) most: usize,
    /// Whether its first argument is a pattern.
    pub(in crate::template) takes_pattern: bool,
    pub(in crate::template) body: Body,
}

/// What a function does.
#[derive(Clone, Copy)]
pub(in crate::template) enum Body {
    /// These do not look at all of their arguments.
    And,
    Or,
    Plain(PlainBody),
}

pub(in crate::template) type PlainBody = for<'c, 'a> fn(&mut Call<'c, 'a>) -> Result<Value<'a>, String>;

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::And => "And",
            Self::Or => "Or",
            Self::Plain(_) => "Plain",
        })
    }
}

impl Function {
    pub(super) const fn of(name: &'static str, count: usize, body: PlainBody) -> Self {
        Self::with(name, count, count, body)
    }

    pub(super) const fn with(name: &'static str, least: usize, most: usize, body: PlainBody) -> Self {
        Self { name, least, most, takes_pattern: false, body: Body::Plain(body) }
    }

    pub(super) const fn on_pattern(name: &'static str, count: usize, body: PlainBody) -> Self {
        Self { name, least: count, most: count, takes_pattern: true, body: Body::Plain(body) }
    }
}

/// A call: its arguments, which are taken out one by one.
pub(in crate::template) struct Call<'c, 'a> {
    pub(in crate::template) arguments: &'c mut [Value<'a>],
    pub(in crate::template) source: &'a dyn Source,
    /// The first argument, compiled, when it is a constant.
    pub(in crate::template) pattern: Option<&'a Result<GroupRegex, String>>,
}

impl<'a> Call<'_, 'a> {
    /// Any value.
    pub(super) fn value(&mut self, i: usize) -> Value<'a> {
        self.arguments.get_mut(i).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn bytes(&mut self, i: usize) -> Result<Cow<'a, [u8]>, String> {
        match self.value(i) {
            Value::Text(text) => Ok(text),
            other => Err(wrong_type("string", &other)),
        }
    }

    /// A text; what is no UTF-8 in it is replaced.
    pub(super) fn text(&mut self, i: usize) -> Result<Cow<'a, str>, String> {
        Ok(match self.bytes(i)? {
            Cow::Borrowed(text) => String::from_utf8_lossy(text),
            Cow::Owned(text) => Cow::Owned(match String::from_utf8(text) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        })
    }

    pub(super) fn int(&mut self, i: usize) -> Result<i64, String> {
        match self.value(i) {
            Value::Int(value) => Ok(value),
            other => Err(wrong_type("int", &other)),
        }
    }

    /// A length or count.
    pub(super) fn count(&mut self, i: usize) -> Result<usize, String> {
        usize::try_from(self.int(i)?).map_err(|_| "strings: negative Repeat count".to_owned())
    }

    pub(super) fn time(&mut self, i: usize) -> Result<Moment, String> {
        match self.value(i) {
            Value::Time(time) => Ok(time),
            other => Err(wrong_type("time.Time", &other)),
        }
    }
}

pub(super) fn wrong_type(wanted: &str, found: &Value<'_>) -> String {
    match found {
        Value::Nil => format!("invalid value; expected {wanted}"),
        other => format!("wrong type for value; expected {wanted}; got {}", other.type_name()),
    }
}

/// A piece of a text, without copying it if it is borrowed.
pub(super) fn piece<'a>(text: Cow<'a, [u8]>, cut: impl Fn(&[u8]) -> &[u8]) -> Value<'a> {
    match text {
        Cow::Borrowed(text) => Value::Text(Cow::Borrowed(cut(text))),
        Cow::Owned(text) => Value::owned(cut(&text)),
    }
}
