//! What must a line contain to pass the filters? The part of them that an index can answer.
//!
//! Always a necessary condition, never a sufficient one: where a pattern is not understood, nothing is asked of the line.

use crate::pattern::uncaptured;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Repetition};
use strandline_model::Needle;

/// Most alternatives worth asking an index for.
const MAX_ALTERNATIVES: usize = 64;
/// Most repetitions that are written out.
const MAX_COPIES: u32 = 8;
/// Most parts of a pattern that are looked at: repetitions inside repetitions would multiply without end.
const MAX_STEPS: usize = 4096;

/// The condition of a pattern that is searched for anywhere in a line.
pub(crate) fn of_pattern(hir: &Hir) -> Needle {
    let mut steps = MAX_STEPS;
    find(hir, &mut steps)
}

fn find(hir: &Hir, steps: &mut usize) -> Needle {
    match uncaptured(hir).kind() {
        HirKind::Alternation(parts) => one_of(parts.iter().map(|part| find(part, steps))),
        _ => {
            let mut walk = Walk { needle: Needle::Any, run: Vec::new(), steps };
            walk.walk(hir);
            walk.close();
            walk.needle
        }
    }
}

/// Any of the conditions.
pub(crate) fn one_of(needles: impl Iterator<Item = Needle>) -> Needle {
    let mut all: Vec<Needle> = Vec::new();
    for needle in needles {
        if needle == Needle::Any || all.len() == MAX_ALTERNATIVES {
            return Needle::Any;
        }
        if !all.contains(&needle) {
            all.push(needle);
        }
    }
    match all.len() {
        0 | 1 => all.pop().unwrap_or(Needle::Any),
        _ => Needle::OneOf(all),
    }
}

/// The condition that a text is there.
pub(crate) fn literal(text: Vec<u8>) -> Needle {
    if text.is_empty() { Needle::Any } else { Needle::Literal(text) }
}

/// A piece of text that every match holds.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Exact(Vec<u8>),
    /// This character in either case.
    Folded(char),
}

/// What is known so far, walking a pattern from left to right.
struct Walk<'s> {
    needle: Needle,
    /// Pieces that stand side by side in every match.
    run: Vec<Piece>,
    /// Parts that may still be looked at.
    steps: &'s mut usize,
}

impl Walk<'_> {
    fn walk(&mut self, hir: &Hir) {
        match self.steps.checked_sub(1) {
            Some(left) => *self.steps = left,
            None => return self.close(),
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(text) => self.run.push(Piece::Exact(text.0.to_vec())),
            HirKind::Class(class) => match folded_char(class) {
                Some(c) => self.run.push(Piece::Folded(c)),
                None => self.close(),
            },
            HirKind::Capture(group) => self.walk(&group.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.walk(part)),
            HirKind::Alternation(_) => {
                self.close();
                let needle = find(hir, self.steps);
                self.add(needle);
            }
            HirKind::Repetition(repetition) => self.repeat(repetition),
        }
    }

    /// Something that is there `min` times or more: the first times follow what stands before it, the last one
    /// precedes what stands behind it.
    fn repeat(&mut self, repetition: &Repetition) {
        if repetition.min == 0 {
            return self.close();
        }
        for _ in 0..repetition.min.min(MAX_COPIES) {
            self.walk(&repetition.sub);
        }
        if repetition.max != Some(repetition.min) || repetition.min > MAX_COPIES {
            self.close();
            self.walk(&repetition.sub);
        }
    }

    /// Ends the run: what follows does not adjoin it.
    fn close(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.iter().any(|piece| matches!(piece, Piece::Folded(_))) {
            self.add(folded_run(&run));
        } else {
            self.add(literal(run.iter().flat_map(Piece::exact).copied().collect()));
        }
    }

    fn add(&mut self, needle: Needle) {
        // A repetition whose text was found twice asks nothing new.
        let known = match &self.needle {
            Needle::All(all) => all.contains(&needle),
            one => *one == needle,
        };
        if !known {
            self.needle = std::mem::replace(&mut self.needle, Needle::Any).and(needle);
        }
    }
}

impl Piece {
    fn exact(&self) -> &[u8] {
        match self {
            Self::Exact(text) => text,
            Self::Folded(_) => &[],
        }
    }
}

/// The condition of a run in which some characters may be in either case: the whole run folded, and each exact part
/// that folding would blur.
fn folded_run(run: &[Piece]) -> Needle {
    let mut text = String::new();
    let mut exact = Needle::Any;
    for piece in run {
        match piece {
            Piece::Folded(c) => text.push(*c),
            Piece::Exact(bytes) => match std::str::from_utf8(bytes) {
                Ok(part) => {
                    text.push_str(part);
                    if part.chars().any(|c| fold_set(c).ranges().len() > 1) {
                        exact = exact.and(literal(bytes.clone()));
                    }
                }
                // No text: only the exact parts can be asked for.
                Err(_) => return run.iter().fold(Needle::Any, |all, p| all.and(literal(p.exact().to_vec()))),
            },
        }
    }
    Needle::LiteralFolded(text).and(exact)
}

/// The character that `class` is in all its cases, if that is what it is.
fn folded_char(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else { return None };
    // The lower-case ASCII letter if there is one, for it is what an index knows best.
    let chars = || class.ranges().iter().flat_map(|range| range.start()..=range.end()).take(8);
    let c = chars().find(char::is_ascii_lowercase).or_else(|| chars().next())?;
    (fold_set(c) == *class && class.ranges().len() > 1).then_some(c)
}

/// `c` in all its cases.
fn fold_set(c: char) -> ClassUnicode {
    let mut set = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    // Without tables nothing folds, and what nothing folds to is not taken for folded.
    let _ = set.try_case_fold_simple();
    set
}

#[cfg(test)]
#[path = "needle_tests.rs"]
mod tests;
