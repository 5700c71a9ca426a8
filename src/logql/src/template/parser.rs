//! How do the tokens of a template form a tree? (Text and control structures; pipelines are read in `pipes`.)

use super::constant_pattern::ConstantPattern;
use super::lexer::{Kind, Mistake, Token, tokens};
use super::literal;
use super::tree::{Choice, List, Loop, Node, Span, Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Structures and parentheses inside each other.
const MAX_NESTING: usize = 100;

/// Reads a template; the error is in Go's words.
pub(super) fn parse(text: &str) -> Result<Tree, String> {
    read(text).map_err(|mistake| {
        let line = 1 + text.bytes().take(mistake.at).filter(|b| *b == b'\n').count();
        format!("template: line:{line}: {}", mistake.text)
    })
}

fn read(text: &str) -> Result<Tree, Mistake> {
    let (tokens, unread) = tokens(text);
    match (tree(text, tokens), unread) {
        // What comes first counts: behind a text that is no token, the end is not the end.
        (Err(mistake), Some(unread)) if mistake.at < unread.at => Err(mistake),
        (_, Some(unread)) => Err(unread),
        (result, None) => result,
    }
}

fn tree(text: &str, tokens: Vec<Token<'_>>) -> Result<Tree, Mistake> {
    let mut parser = Parser {
        tokens,
        at: 0,
        variables: vec!["$".to_owned()],
        nesting: 0,
        loops: 0,
        defined: BTreeMap::new(),
        patterns: Vec::new(),
    };
    let (body, stop) = parser.list(true)?;
    match stop.kind {
        Kind::End => {
            Ok(Tree { text: text.to_owned(), body, defined: parser.defined, patterns: parser.patterns })
        }
        _ => fail(stop, format!("unexpected {{{{{}}}}}", stop.text)),
    }
}

/// A mistake at a token.
pub(super) fn fail<T>(token: Token<'_>, text: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { at: token.span.start, text: text.into() })
}

/// A token that does not belong where it stands.
pub(super) fn unexpected<T>(token: Token<'_>, context: &str) -> Result<T, Mistake> {
    let shown = match token.kind {
        Kind::End => "EOF".to_owned(),
        Kind::Keyword => format!("<{}>", token.text),
        _ if token.text.len() > 10 => {
            let mut end = 10;
            while !token.text.is_char_boundary(end) {
                end -= 1;
            }
            format!("{:?}...", token.text.get(..end).unwrap_or(""))
        }
        _ => format!("{:?}", token.text),
    };
    fail(token, format!("unexpected {shown} in {context}"))
}

pub(super) struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    /// The variables in scope.
    pub(super) variables: Vec<String>,
    nesting: usize,
    /// Ranges around this place.
    loops: usize,
    defined: BTreeMap<String, List>,
    /// The constant patterns so far.
    pub(super) patterns: Vec<Arc<ConstantPattern>>,
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Token<'t> {
        self.ahead(0)
    }

    /// The token `count` behind the next one.
    pub(super) fn ahead(&self, count: usize) -> Token<'t> {
        let end = Token { kind: Kind::End, text: "", span: Span { start: 0, end: 0 }, is_spaced: false };
        self.tokens.get(self.at + count).or(self.tokens.last()).copied().unwrap_or(end)
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// One level deeper.
    pub(super) fn enter(&mut self) -> Result<(), Mistake> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING { fail(self.peek(), "nested too deeply") } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn close(&mut self, context: &str) -> Result<(), Mistake> {
        let token = self.next();
        if token.kind == Kind::Close { Ok(()) } else { unexpected(token, context) }
    }

    /// Nodes up to `{{end}}`, `{{else` or the end; and the token that ended them, of which only `end` is closed.
    fn list(&mut self, is_top: bool) -> Result<(List, Token<'t>), Mistake> {
        self.enter()?;
        let mut list = List::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Text => list.push(Node::Text(token.text.to_owned())),
                Kind::Open => {
                    let next = self.peek();
                    match (next.kind, next.text) {
                        (Kind::Keyword, "end") => {
                            self.next();
                            self.close("end")?;
                            self.leave();
                            return Ok((list, next));
                        }
                        (Kind::Keyword, "else") => {
                            self.next();
                            self.leave();
                            return Ok((list, next));
                        }
                        (Kind::Keyword, "define") if is_top => self.define()?,
                        _ => list.push(self.action()?),
                    }
                }
                Kind::End => {
                    self.leave();
                    return Ok((list, token));
                }
                _ => return unexpected(token, "input"),
            }
        }
    }

    /// Behind `{{`.
    fn action(&mut self) -> Result<Node, Mistake> {
        let first = self.peek();
        if first.kind != Kind::Keyword {
            return Ok(Node::Action(self.pipe("command", Kind::Close)?));
        }
        self.next();
        let scope = self.variables.len();
        let node = match first.text {
            "if" => Node::If(self.choice("if")?),
            "with" => Node::With(self.choice("with")?),
            "range" => Node::Range(self.range()?),
            "template" => return self.call(first),
            "block" => return self.block(first),
            "break" | "continue" => {
                self.close(first.text)?;
                if self.loops == 0 {
                    return fail(first, format!("{{{{{}}}}} outside {{{{range}}}}", first.text));
                }
                if first.text == "break" { Node::Break } else { Node::Continue }
            }
            _ => return unexpected(first, "command"),
        };
        self.variables.truncate(scope);
        Ok(node)
    }

    /// Behind `{{if` or `{{with`.
    fn choice(&mut self, word: &'static str) -> Result<Choice, Mistake> {
        let mut branches = Vec::new();
        loop {
            let pipe = self.pipe(word, Kind::Close)?;
            let (list, stop) = self.list(false)?;
            branches.push((pipe, list));
            match (stop.kind, stop.text) {
                (Kind::Keyword, "end") => return Ok(Choice { branches, otherwise: List::new() }),
                (Kind::Keyword, _) if self.peek().kind == Kind::Keyword && self.peek().text == word => {
                    self.next();
                }
                (Kind::Keyword, _) => {
                    let otherwise = self.otherwise()?;
                    return Ok(Choice { branches, otherwise });
                }
                _ => return fail(stop, "unexpected EOF"),
            }
        }
    }

    /// Behind `{{else`: up to `{{end}}`.
    fn otherwise(&mut self) -> Result<List, Mistake> {
        self.close("else")?;
        let (list, stop) = self.list(false)?;
        match (stop.kind, stop.text) {
            (Kind::Keyword, "end") => Ok(list),
            (Kind::Keyword, _) => fail(stop, "expected end; found {{else}}"),
            _ => fail(stop, "unexpected EOF"),
        }
    }

    fn range(&mut self) -> Result<Loop, Mistake> {
        let pipe = self.pipe("range", Kind::Close)?;
        self.loops += 1;
        let (body, stop) = self.list(false)?;
        self.loops -= 1;
        match (stop.kind, stop.text) {
            (Kind::Keyword, "end") => Ok(Loop { pipe, body, otherwise: List::new() }),
            (Kind::Keyword, _) => {
                let otherwise = self.otherwise()?;
                Ok(Loop { pipe, body, otherwise })
            }
            _ => fail(stop, "unexpected EOF"),
        }
    }

    fn name(&mut self, context: &str) -> Result<String, Mistake> {
        let token = self.next();
        let name = match token.kind {
            Kind::Quoted => literal::quoted(token.text),
            Kind::Raw => Some(literal::raw(token.text)),
            _ => return unexpected(token, context),
        };
        match name {
            Some(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
            None => fail(token, "invalid syntax"),
        }
    }

    /// The pipeline of a call, if there is one.
    fn argument(&mut self, context: &str) -> Result<Option<super::tree::Pipe>, Mistake> {
        if self.peek().kind == Kind::Close {
            self.next();
            return Ok(None);
        }
        self.pipe(context, Kind::Close).map(Some)
    }

    fn call(&mut self, first: Token<'t>) -> Result<Node, Mistake> {
        let name = self.name("template clause")?;
        let pipe = self.argument("template clause")?;
        Ok(Node::Call { name, pipe, span: first.span })
    }

    /// A definition that is called where it stands.
    fn block(&mut self, first: Token<'t>) -> Result<Node, Mistake> {
        let name = self.name("block clause")?;
        let pipe = self.pipe("block clause", Kind::Close)?;
        self.definition(name.clone())?;
        Ok(Node::Call { name, pipe: Some(pipe), span: first.span })
    }

    fn define(&mut self) -> Result<(), Mistake> {
        self.next();
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.definition(name)
    }

    /// The body of a definition, which sees no variables but its own.
    fn definition(&mut self, name: String) -> Result<(), Mistake> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (list, stop) = self.list(false)?;
        if (stop.kind, stop.text) != (Kind::Keyword, "end") {
            return unexpected(stop, "define clause");
        }
        self.variables = variables;
        self.loops = loops;
        // An empty definition replaces nothing, and may be replaced.
        let is_empty = |list: &List| {
            list.iter().all(|node| matches!(node, Node::Text(text) if text.trim_ascii().is_empty()))
        };
        match self.defined.get(&name) {
            Some(known) if !is_empty(known) && !is_empty(&list) => {
                return fail(stop, format!("template: multiple definition of template {name:?}"));
            }
            Some(_) if is_empty(&list) => {}
            _ => {
                self.defined.insert(name, list);
            }
        }
        Ok(())
    }
}
