//! Which functions may a template call?

mod builtins;
mod compare;
mod convert;
mod decimal;
mod numbers;
mod regexes;
mod strings;
mod times;

use super::Source;
use super::moment::Moment;
use super::value::Value;
use crate::pattern::GroupRegex;
use std::borrow::Cow;

/// A function of the language.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    /// Whether its first argument is a pattern.
    pub(super) takes_pattern: bool,
    pub(super) body: Body,
}

/// What a function does.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// These do not look at all of their arguments.
    And,
    Or,
    Plain(PlainBody),
}

type PlainBody = for<'c, 'a> fn(&mut Call<'c, 'a>) -> Result<Value<'a>, String>;

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
    const fn of(name: &'static str, count: usize, body: PlainBody) -> Self {
        Self::with(name, count, count, body)
    }

    const fn with(name: &'static str, least: usize, most: usize, body: PlainBody) -> Self {
        Self { name, least, most, takes_pattern: false, body: Body::Plain(body) }
    }

    const fn on_pattern(name: &'static str, count: usize, body: PlainBody) -> Self {
        Self { name, least: count, most: count, takes_pattern: true, body: Body::Plain(body) }
    }
}

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    let tables: [&'static [Function]; 7] = [
        builtins::TABLE,
        compare::TABLE,
        convert::TABLE,
        numbers::TABLE,
        regexes::TABLE,
        strings::TABLE,
        times::TABLE,
    ];
    tables.into_iter().flatten().find(|function| function.name == name)
}

/// A call: its arguments, which are taken out one by one.
pub(super) struct Call<'c, 'a> {
    pub(super) arguments: &'c mut [Value<'a>],
    pub(super) source: &'a dyn Source,
    /// The first argument, compiled, when it is a constant.
    pub(super) pattern: Option<&'a Result<GroupRegex, String>>,
}

impl<'a> Call<'_, 'a> {
    /// Any value.
    fn value(&mut self, i: usize) -> Value<'a> {
        self.arguments.get_mut(i).map(std::mem::take).unwrap_or_default()
    }

    fn bytes(&mut self, i: usize) -> Result<Cow<'a, [u8]>, String> {
        match self.value(i) {
            Value::Text(text) => Ok(text),
            other => Err(wrong_type("string", &other)),
        }
    }

    /// A text; what is no UTF-8 in it is replaced.
    fn text(&mut self, i: usize) -> Result<Cow<'a, str>, String> {
        Ok(match self.bytes(i)? {
            Cow::Borrowed(text) => String::from_utf8_lossy(text),
            Cow::Owned(text) => Cow::Owned(match String::from_utf8(text) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        })
    }

    fn int(&mut self, i: usize) -> Result<i64, String> {
        match self.value(i) {
            Value::Int(value) => Ok(value),
            other => Err(wrong_type("int", &other)),
        }
    }

    /// A length or count.
    fn count(&mut self, i: usize) -> Result<usize, String> {
        usize::try_from(self.int(i)?).map_err(|_| "strings: negative Repeat count".to_owned())
    }

    fn time(&mut self, i: usize) -> Result<Moment, String> {
        match self.value(i) {
            Value::Time(time) => Ok(time),
            other => Err(wrong_type("time.Time", &other)),
        }
    }
}

fn wrong_type(wanted: &str, found: &Value<'_>) -> String {
    match found {
        Value::Nil => format!("invalid value; expected {wanted}"),
        other => format!("wrong type for value; expected {wanted}; got {}", other.type_name()),
    }
}

/// A piece of a text, without copying it if it is borrowed.
fn piece<'a>(text: Cow<'a, [u8]>, cut: impl Fn(&[u8]) -> &[u8]) -> Value<'a> {
    match text {
        Cow::Borrowed(text) => Value::Text(Cow::Borrowed(cut(text))),
        Cow::Owned(text) => Value::owned(cut(&text)),
    }
}
