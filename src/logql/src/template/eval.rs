//! What does a template write? Its nodes and pipelines, run over one entry.

use super::constant_pattern::ConstantPattern;
use super::functions::{Body, Call, Function};
use super::source::Source;
use super::tree::{Choice, Command, List, Loop, Node, Operand, OperandKind, Pipe, Span, Tree};
use super::value::{Map, Sink, Value};
use crate::pattern::GroupRegex;
use crate::patterns::search_weight;
use std::rc::Rc;

/// Nodes, commands, and pieces of text that functions work on.
const MAX_STEPS: usize = 100_000;
/// So many bytes of arguments and results count as a step.
const BYTES_PER_STEP: usize = 256;
/// A pattern that is compiled while the template runs counts as so many steps.
const PATTERN_STEPS: usize = 500;
/// The most characters of a template that an error repeats.
const MAX_SHOWN: usize = 200;
/// Templates that call each other.
const MAX_CALLS: usize = 100;
/// Structures, calls and parentheses inside each other.
const MAX_LEVELS: usize = 300;

/// Appends what `tree` makes of `source`.
pub(super) fn render(tree: &Tree, source: &dyn Source, out: &mut Vec<u8>) -> Result<(), String> {
    let mut evaluation = Evaluation {
        tree,
        source,
        out: Sink::new(out),
        steps: 0,
        levels: 0,
        calls: 0,
        root: Value::Labels,
        variables: Vec::new(),
    };
    evaluation.list(&tree.body, &Value::Labels).map(|_| ())
}

/// What happens behind a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Evaluation<'a, 'o> {
    tree: &'a Tree,
    source: &'a dyn Source,
    out: Sink<'o>,
    steps: usize,
    levels: usize,
    calls: usize,
    /// What `$` stands for.
    root: Value<'a>,
    variables: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Evaluation<'a, '_> {
    /// An error in Go's words.
    fn fail<T>(&self, span: Span, text: impl std::fmt::Display) -> Result<T, String> {
        let before = self.tree.text.get(..span.start).unwrap_or("");
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let shown = self.tree.text.get(span.start..span.end).unwrap_or("");
        let shown: String = shown.chars().take(MAX_SHOWN).collect();
        Err(format!("template: line:{line}:{column}: executing \"line\" at <{shown}>: {text}"))
    }

    fn step(&mut self, count: usize) -> Result<(), String> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > MAX_STEPS { Err("template runs too long".to_owned()) } else { Ok(()) }
    }

    /// One level deeper; `leave` is not called after errors, which end everything.
    fn enter(&mut self) -> Result<(), String> {
        self.levels += 1;
        if self.levels > MAX_LEVELS { Err("template is nested too deeply".to_owned()) } else { Ok(()) }
    }

    fn list(&mut self, list: &'a List, dot: &Value<'a>) -> Result<Flow, String> {
        self.enter()?;
        for node in list {
            self.step(1)?;
            let flow = match node {
                Node::Text(text) => self.out.push(text.as_bytes()).map(|()| Flow::On),
                Node::Action(pipe) => self.action(pipe, dot).map(|()| Flow::On),
                Node::If(choice) => self.choice(choice, dot, false),
                Node::With(choice) => self.choice(choice, dot, true),
                Node::Range(range) => self.range(range, dot),
                Node::Call { name, pipe, span } => {
                    self.call(name, pipe.as_ref(), *span, dot).map(|()| Flow::On)
                }
                Node::Break => Ok(Flow::Break),
                Node::Continue => Ok(Flow::Continue),
            }?;
            if flow != Flow::On {
                self.levels -= 1;
                return Ok(flow);
            }
        }
        self.levels -= 1;
        Ok(Flow::On)
    }

    fn action(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Result<(), String> {
        let value = self.pipe(pipe, dot)?;
        if !pipe.variables.is_empty() {
            return Ok(());
        }
        match value {
            Value::Nil => self.out.push(b"<no value>"),
            value => self.looked_at(value).print(&mut self.out),
        }
    }

    fn choice(&mut self, choice: &'a Choice, dot: &Value<'a>, is_with: bool) -> Result<Flow, String> {
        let scope = self.variables.len();
        for (pipe, list) in &choice.branches {
            let value = self.pipe(pipe, dot)?;
            let value = self.looked_at_if_empty(value);
            if value.is_true() {
                let flow = self.list(list, if is_with { &value } else { dot });
                self.variables.truncate(scope);
                return flow;
            }
        }
        let flow = self.list(&choice.otherwise, dot);
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, range: &'a Loop, dot: &Value<'a>) -> Result<Flow, String> {
        let scope = self.variables.len();
        let value = self.pipe(&range.pipe, dot)?;
        let mut is_empty = true;
        let flow = match self.looked_at(value) {
            Value::Nil => Flow::On,
            Value::List(list) => {
                let pairs = list.iter().zip(0..).map(|(value, i)| (Value::Int(i), value.clone()));
                self.rounds(range, pairs, &mut is_empty)?
            }
            Value::Map(map) => {
                let pairs = map.entries.iter();
                let pairs = pairs.map(|(name, value)| (Value::owned(name.as_str()), value.clone()));
                self.rounds(range, pairs, &mut is_empty)?
            }
            Value::Int(count) if range.pipe.variables.len() > 1 => {
                return self.fail(
                    range.pipe.span,
                    format!("can't use {count} to iterate over more than one variable"),
                );
            }
            Value::Int(count) => {
                let pairs = (0..count).map(|i| (Value::Int(i), Value::Int(i)));
                self.rounds(range, pairs, &mut is_empty)?
            }
            other => {
                let kind = other.type_name();
                return self.fail(range.pipe.span, format!("range can't iterate over value of type {kind}"));
            }
        };
        self.variables.truncate(scope);
        if is_empty { self.list(&range.otherwise, dot) } else { Ok(flow) }
    }

    /// The body once for each pair.
    fn rounds(
        &mut self,
        range: &'a Loop,
        pairs: impl Iterator<Item = (Value<'a>, Value<'a>)>,
        is_empty: &mut bool,
    ) -> Result<Flow, String> {
        let scope = self.variables.len();
        for (key, value) in pairs {
            *is_empty = false;
            self.step(1 + value.size() / BYTES_PER_STEP)?;
            match range.pipe.variables.as_slice() {
                [] => {}
                [only] => self.assign(only, value.clone(), range.pipe.span)?,
                [first, second, ..] => {
                    self.assign(first, key, range.pipe.span)?;
                    self.assign(second, value.clone(), range.pipe.span)?;
                }
            }
            let flow = self.list(&range.body, &value)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn call(
        &mut self,
        name: &str,
        pipe: Option<&'a Pipe>,
        span: Span,
        dot: &Value<'a>,
    ) -> Result<(), String> {
        let Some(list) = self.tree.defined.get(name) else {
            return self.fail(span, format!("template {name:?} not defined"));
        };
        let value = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return self.fail(span, format!("exceeded maximum template depth ({MAX_CALLS})"));
        }
        let root = std::mem::replace(&mut self.root, value.clone());
        let variables = std::mem::take(&mut self.variables);
        self.list(list, &value)?;
        self.root = root;
        self.variables = variables;
        self.calls -= 1;
        Ok(())
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value<'a>) -> Result<Value<'a>, String> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.assign(name, value.clone(), pipe.span)?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// Sets the innermost variable of a name.
    fn assign(&mut self, name: &str, value: Value<'a>, span: Span) -> Result<(), String> {
        match self.variables.iter_mut().rev().find(|(variable, _)| *variable == name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => self.fail(span, format!("undefined variable: {name}")),
        }
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, String> {
        self.step(1)?;
        if let OperandKind::Function(function) = command.head.kind {
            return self.function(function, command, dot, last);
        }
        if !command.arguments.is_empty() || last.is_some() {
            let shown = self.tree.text.get(command.head.span.start..command.head.span.end).unwrap_or("");
            return self.fail(command.span, format!("can't give argument to non-function {shown}"));
        }
        match command.head.kind {
            OperandKind::Nil => self.fail(command.span, "nil is not a command"),
            _ => self.operand(&command.head, dot),
        }
    }

    /// The value of an operand, which may be a copy: large ones cost steps.
    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, String> {
        let value = self.value(operand, dot)?;
        self.step(value.size() / BYTES_PER_STEP)?;
        Ok(value)
    }

    fn value(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, String> {
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Text(text) => Ok(Value::Text(text.as_slice().into())),
            OperandKind::Number(number) => match number.int {
                Some(value) if !number.is_float => Ok(Value::Int(value)),
                _ => Ok(Value::Float(number.float)),
            },
            OperandKind::Field(fields) => self.fields(dot, fields, operand.span),
            OperandKind::Variable(name, fields) => {
                let found = self.variables.iter().rev().find(|(variable, _)| variable == name);
                match found.map(|(_, value)| value) {
                    Some(value) => self.fields(value, fields, operand.span),
                    None if name == "$" => self.fields(&self.root, fields, operand.span),
                    None => self.fail(operand.span, format!("undefined variable: {name}")),
                }
            }
            OperandKind::Function(function) => {
                self.step(1)?;
                self.invoke(function, &mut [], None, operand.span)
            }
            OperandKind::Pipe(pipe) => {
                self.enter()?;
                let value = self.pipe(pipe, dot)?;
                self.levels -= 1;
                Ok(value)
            }
            OperandKind::Chain(inner, fields) => {
                let value = self.operand(inner, dot)?;
                self.fields(&value, fields, operand.span)
            }
        }
    }

    fn fields(&self, value: &Value<'a>, fields: &[String], span: Span) -> Result<Value<'a>, String> {
        // Most often there is one name, looked up among the labels.
        let Some((first, rest)) = fields.split_first() else { return Ok(value.clone()) };
        let mut value = self.field(value, first, span)?;
        for name in rest {
            value = self.field(&value, name, span)?;
        }
        Ok(value)
    }

    fn field(&self, value: &Value<'a>, name: &str, span: Span) -> Result<Value<'a>, String> {
        match value {
            Value::Labels => Ok(Value::text(self.source.get(name).unwrap_or(""))),
            Value::Map(map) => Ok(map.get(name)),
            Value::Nil => Ok(Value::Nil),
            other => self.fail(span, format!("can't evaluate field {name} in type {}", other.type_name())),
        }
    }

    fn function(
        &mut self,
        function: &'static Function,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, String> {
        if let Body::And | Body::Or = function.body {
            return self.logic(function, command, dot, last);
        }
        let mut arguments = Vec::with_capacity(command.arguments.len() + usize::from(last.is_some()));
        for operand in &command.arguments {
            let value = self.operand(operand, dot)?;
            arguments.push(self.looked_at(value));
        }
        arguments.extend(last.map(|value| self.looked_at(value)));
        let size: usize = arguments.iter().map(Value::size).sum();
        self.step(size / BYTES_PER_STEP)?;
        if function.takes_pattern && command.pattern.is_none() {
            self.step(PATTERN_STEPS)?;
        }
        let pattern = command.pattern.as_deref().map(ConstantPattern::regex);
        if let Some(Ok(pattern)) = pattern {
            // A search may look at all of the pattern for each byte.
            let weight = search_weight(pattern.bytes()) - 1;
            self.step(weight.saturating_mul(1 + size / BYTES_PER_STEP))?;
        }
        self.invoke(function, &mut arguments, pattern, command.span)
    }

    fn invoke(
        &mut self,
        function: &'static Function,
        arguments: &mut [Value<'a>],
        pattern: Option<&'a Result<GroupRegex, String>>,
        span: Span,
    ) -> Result<Value<'a>, String> {
        let (name, count) = (function.name, arguments.len());
        if count < function.least || count > function.most {
            let at_least = if function.most > function.least { "at least " } else { "" };
            let want = function.least;
            return self
                .fail(span, format!("wrong number of args for {name}: want {at_least}{want} got {count}"));
        }
        let Body::Plain(body) = function.body else { return Ok(Value::Nil) };
        match body(&mut Call { arguments, source: self.source, pattern }) {
            Ok(value) => {
                self.step(value.size() / BYTES_PER_STEP)?;
                Ok(value)
            }
            Err(error) => self.fail(span, format!("error calling {name}: {error}")),
        }
    }

    /// `and` and `or`: the first operand that decides, and no operand behind it.
    fn logic(
        &mut self,
        function: &'static Function,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, String> {
        let decides = matches!(function.body, Body::Or);
        let mut value = None;
        for operand in &command.arguments {
            let found = self.operand(operand, dot)?;
            if self.looked_at_if_empty(found.clone()).is_true() == decides {
                return Ok(found);
            }
            value = Some(found);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => {
                let name = function.name;
                self.fail(command.span, format!("wrong number of args for {name}: want at least 1 got 0"))
            }
        }
    }

    /// All labels as a map.
    fn looked_at(&self, value: Value<'a>) -> Value<'a> {
        let Value::Labels = value else { return value };
        let mut map = Map { is_labels: true, ..Map::default() };
        self.source.for_each(&mut |name, value| {
            map.entries.insert(name.to_owned(), Value::owned(value));
        });
        Value::Map(Rc::new(map))
    }

    /// Labels only count as true when there are some.
    fn looked_at_if_empty(&self, value: Value<'a>) -> Value<'a> {
        let Value::Labels = value else { return value };
        let mut is_empty = true;
        self.source.for_each(&mut |_, _| is_empty = false);
        if is_empty { self.looked_at(Value::Labels) } else { Value::Labels }
    }
}
