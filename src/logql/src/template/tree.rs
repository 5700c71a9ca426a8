//! What does a template consist of, once it is read?

use super::constant_pattern::ConstantPattern;
use super::functions::Function;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a part of a template stands in its text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A whole template with what it defines.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) text: String,
    pub(super) body: List,
    pub(super) defined: BTreeMap<String, List>,
    /// The constant patterns in all of it.
    pub(super) patterns: Vec<Arc<ConstantPattern>>,
}

/// Nodes that follow each other.
pub(super) type List = Vec<Node>;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Choice),
    With(Choice),
    Range(Loop),
    /// A call of a defined template.
    Call {
        name: String,
        pipe: Option<Pipe>,
        span: Span,
    },
    Break,
    Continue,
}

/// `if` or `with`, with all its `else if` in one flat list, so that long ones do not nest.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) branches: Vec<(Pipe, List)>,
    pub(super) otherwise: List,
}

#[derive(Debug)]
pub(super) struct Loop {
    pub(super) pipe: Pipe,
    pub(super) body: List,
    pub(super) otherwise: List,
}

/// `$x := command | command`.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Variables with their `$`.
    pub(super) variables: Vec<String>,
    /// `=` and not `:=`.
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
    pub(super) span: Span,
}

/// An operand with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) head: Operand,
    pub(super) arguments: Vec<Operand>,
    /// The pattern of a regex function, when it is a constant: then it is compiled once.
    pub(super) pattern: Option<Arc<ConstantPattern>>,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) kind: OperandKind,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Text(Vec<u8>),
    Number(Number),
    /// `.a.b`, without the points.
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
    /// `(pipe).a.b`, or fields behind a function's name.
    Chain(Box<Operand>, Vec<String>),
}

/// A constant, which is whatever the place where it stands asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    /// The value as an integer, if it is one.
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// Whether it is a float where nothing else is asked for.
    pub(super) is_float: bool,
}
