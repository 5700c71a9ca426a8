//! Which labels can a template read?

use super::tree::{Choice, Command, List, Node, Operand, OperandKind, Pipe, Tree};
use std::collections::BTreeSet;

/// The names of the labels; `None`: the template can read any.
pub(super) fn labels(tree: &Tree) -> Option<Vec<String>> {
    let mut reads = Reads { names: BTreeSet::new(), is_all_labels: true, is_any: false };
    reads.list(&tree.body);
    // Inside of definitions, `.` and `$` are what the caller gives, which counts where it is given.
    reads.is_all_labels = false;
    tree.defined.values().for_each(|list| reads.definition(list));
    (!reads.is_any).then(|| reads.names.into_iter().collect())
}

struct Reads {
    names: BTreeSet<String>,
    /// Whether `.` stands for all labels here.
    is_all_labels: bool,
    is_any: bool,
}

impl Reads {
    fn definition(&mut self, list: &List) {
        let is_any = self.is_any;
        self.list(list);
        // `$` inside of a definition is its argument.
        self.is_any = is_any;
    }

    fn list(&mut self, list: &List) {
        for node in list {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipe) => self.pipe(pipe),
                Node::If(choice) => self.choice(choice, self.is_all_labels),
                Node::With(choice) => self.choice(choice, false),
                Node::Range(range) => {
                    self.pipe(&range.pipe);
                    self.inside(&range.body, false);
                    self.list(&range.otherwise);
                }
                Node::Call { pipe, .. } => pipe.iter().for_each(|pipe| self.pipe(pipe)),
            }
        }
    }

    fn choice(&mut self, choice: &Choice, is_all_labels: bool) {
        for (pipe, list) in &choice.branches {
            self.pipe(pipe);
            self.inside(list, is_all_labels);
        }
        self.list(&choice.otherwise);
    }

    /// Where `.` is something else, which can be all labels only if they were named around it.
    fn inside(&mut self, list: &List, is_all_labels: bool) {
        let outside = std::mem::replace(&mut self.is_all_labels, is_all_labels);
        self.list(list);
        self.is_all_labels = outside;
    }

    fn pipe(&mut self, pipe: &Pipe) {
        pipe.commands.iter().for_each(|command| self.command(command));
    }

    fn command(&mut self, command: &Command) {
        self.operand(&command.head);
        command.arguments.iter().for_each(|operand| self.operand(operand));
    }

    fn operand(&mut self, operand: &Operand) {
        match &operand.kind {
            OperandKind::Dot => self.is_any |= self.is_all_labels,
            OperandKind::Variable(name, fields) if fields.is_empty() => self.is_any |= name == "$",
            OperandKind::Field(fields) | OperandKind::Variable(_, fields) => {
                self.names.extend(fields.first().cloned());
            }
            OperandKind::Pipe(pipe) => self.pipe(pipe),
            OperandKind::Chain(inner, fields) => {
                self.operand(inner);
                self.names.extend(fields.first().cloned());
            }
            _ => {}
        }
    }
}
