//! How do the tokens inside of `{{ }}` form a pipeline?

use super::constant_pattern::ConstantPattern;
use super::functions;
use super::lexer::{Kind, Mistake, Token};
use super::literal;
use super::parser::{Parser, fail, unexpected};
use super::tree::{Command, Operand, OperandKind, Pipe, Span};
use std::sync::Arc;

impl Parser<'_> {
    /// A pipeline and the token that ends it.
    pub(super) fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, Mistake> {
        let first = self.peek();
        let (variables, is_assignment) = self.declaration(context)?;
        let mut commands: Vec<Command> = Vec::new();
        let mut is_complete = false;
        loop {
            let token = self.peek();
            if token.kind == end {
                // As in Go, nothing need follow the last bar.
                if commands.is_empty() {
                    return fail(token, format!("missing value for {context}"));
                }
                self.next();
                let span = Span { start: first.span.start, end: token.span.start };
                return Ok(Pipe { variables, is_assignment, commands, span });
            }
            if is_complete || !starts_operand(token) {
                return unexpected(token, context);
            }
            let command = self.command()?;
            if !commands.is_empty() && !is_executable(&command) {
                let stage = commands.len() + 1;
                return fail(token, format!("non executable command in pipeline stage {stage}"));
            }
            commands.push(command);
            is_complete = self.peek().kind != Kind::Pipe;
            if !is_complete {
                self.next();
            }
        }
    }

    /// `$x :=`, `$x =`, or `$k, $v :=` of a range.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), Mistake> {
        let mut names = Vec::new();
        loop {
            let (variable, next) = (self.peek(), self.ahead(1));
            if variable.kind != Kind::Variable {
                return match names.is_empty() {
                    true => Ok((names, false)),
                    false => fail(variable, "range can only initialize variables"),
                };
            }
            match next.kind {
                Kind::Declare | Kind::Assign => {}
                Kind::Comma if context != "range" || !names.is_empty() => {
                    return fail(next, format!("too many declarations in {context}"));
                }
                Kind::Comma => {}
                _ if names.is_empty() => return Ok((names, false)),
                _ => return unexpected(next, context),
            }
            self.next();
            self.next();
            names.push(variable.text.to_owned());
            self.variables.push(variable.text.to_owned());
            if next.kind != Kind::Comma {
                return Ok((names, next.kind == Kind::Assign));
            }
        }
    }

    fn command(&mut self) -> Result<Command, Mistake> {
        let head = self.operand()?;
        let mut arguments = Vec::new();
        let mut end = head.span.end;
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Close | Kind::Right | Kind::Pipe => break,
                _ if !token.is_spaced => return unexpected(token, "operand"),
                _ if !starts_operand(token) => return unexpected(token, "operand"),
                _ => {}
            }
            let operand = self.operand()?;
            end = operand.span.end;
            arguments.push(operand);
        }
        let span = Span { start: head.span.start, end };
        let pattern = constant_pattern(&head, &arguments);
        self.patterns.extend(pattern.clone());
        Ok(Command { head, arguments, pattern, span })
    }

    /// A term with the fields behind it.
    fn operand(&mut self) -> Result<Operand, Mistake> {
        let first = self.peek();
        let mut operand = self.term()?;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field && !self.peek().is_spaced {
            let token = self.next();
            operand.span.end = token.span.end;
            fields.push(token.text.trim_start_matches('.').to_owned());
        }
        if fields.is_empty() {
            return Ok(operand);
        }
        match &mut operand.kind {
            OperandKind::Field(names) | OperandKind::Variable(_, names) => names.append(&mut fields),
            OperandKind::Function(_) | OperandKind::Pipe(_) => {
                let span = operand.span;
                operand = Operand { kind: OperandKind::Chain(Box::new(operand), fields), span };
            }
            _ => return fail(first, format!("unexpected . after term {:?}", first.text)),
        }
        Ok(operand)
    }

    fn term(&mut self) -> Result<Operand, Mistake> {
        let token = self.next();
        let kind = match token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field => OperandKind::Field(vec![token.text.trim_start_matches('.').to_owned()]),
            Kind::Variable if self.variables.iter().any(|name| name == token.text) => {
                OperandKind::Variable(token.text.to_owned(), Vec::new())
            }
            Kind::Variable => return fail(token, format!("undefined variable {:?}", token.text)),
            Kind::Quoted => match literal::quoted(token.text) {
                Some(text) => OperandKind::Text(text),
                None => return fail(token, "invalid syntax"),
            },
            Kind::Raw => OperandKind::Text(literal::raw(token.text)),
            Kind::Char => match literal::character(token.text) {
                Some(c) => OperandKind::Number(super::tree::Number {
                    int: Some(c),
                    float: c as f64,
                    is_float: false,
                }),
                None => return fail(token, format!("malformed character constant: {}", token.text)),
            },
            Kind::Number => match literal::number(token.text) {
                Some(number) => OperandKind::Number(number),
                None => return fail(token, format!("bad number syntax: {:?}", token.text)),
            },
            Kind::Identifier => match token.text {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                name => match functions::find(name) {
                    Some(function) => OperandKind::Function(function),
                    None => return fail(token, format!("function {name:?} not defined")),
                },
            },
            Kind::Left => {
                self.enter()?;
                let pipe = self.pipe("parenthesized pipeline", Kind::Right)?;
                self.leave();
                let span = Span { start: token.span.start, end: pipe.span.end + 1 };
                return Ok(Operand { kind: OperandKind::Pipe(Box::new(pipe)), span });
            }
            _ => return unexpected(token, "operand"),
        };
        Ok(Operand { kind, span: token.span })
    }
}

fn starts_operand(token: Token<'_>) -> bool {
    use Kind::{Char, Dot, Field, Identifier, Left, Number, Quoted, Raw, Variable};
    matches!(token.kind, Char | Dot | Field | Identifier | Left | Number | Quoted | Raw | Variable)
}

/// Whether a command can take what the one before it made.
fn is_executable(command: &Command) -> bool {
    use OperandKind::{Bool, Dot, Nil, Number, Text};
    !matches!(command.head.kind, Bool(_) | Dot | Nil | Number(_) | Text(_))
}

/// The pattern, if it is a constant.
fn constant_pattern(head: &Operand, arguments: &[Operand]) -> Option<Arc<ConstantPattern>> {
    let OperandKind::Function(function) = &head.kind else { return None };
    let OperandKind::Text(text) = &arguments.first()?.kind else { return None };
    let pattern = || Arc::new(ConstantPattern::new(text.clone()));
    function.takes_pattern.then(pattern)
}
