//! Which functions may a template call?

mod builtins;
mod call;
mod compare;
mod convert;
mod decimal;
mod numbers;
mod regexes;
mod strings;
mod times;

pub(super) use call::{Body, Call, Function};

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
