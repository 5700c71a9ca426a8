//! How large will a pattern be when it is compiled? Told from its syntax, before anything is compiled.
//!
//! Repetitions copy what they repeat, and a Unicode class is some hundred ranges, so a pattern of a few bytes can become
//! megabytes: `\pL{40}` takes 1.9 MB. The figures are upper bounds of what `regex-automata` 0.4 was measured to need; a test
//! compares them with it.

use regex_syntax::ast::{
    Ast, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind, Literal, RepetitionKind,
    RepetitionRange,
};

/// Bytes of one state of the automaton.
const STATE: u64 = 24;
/// Bytes of a letter that stands for its other case too: `k` and `s` have three and more.
const FOLDED: u64 = 40;
const FOLDED_WIDE: u64 = 200;
/// Bytes of a class like `.` or `[^,]`, which takes nearly all of Unicode in UTF-8.
const NEARLY_ALL: u64 = 640;
/// Bytes of the largest classes of Unicode.
const UNICODE_CLASS: u64 = 32_000;
/// Bytes for each range of a class in brackets.
const ASCII_RANGE: u64 = 16;
const WIDE_CHAR: u64 = 80;
/// A search has an automaton for each direction, and what finds its starts.
const COPIES: u64 = 2;

/// Bytes that a search for `ast` will take at most, but for a constant part.
pub(super) fn of_search(ast: &Ast) -> u64 {
    Measure { folds: false }.of(ast).saturating_mul(COPIES)
}

/// What is known on the way through a pattern, from left to right.
struct Measure {
    /// Whether `(?i)` holds here.
    folds: bool,
}

impl Measure {
    /// Bytes of the automaton of one direction. The parser bounds how deep patterns nest.
    fn of(&mut self, ast: &Ast) -> u64 {
        match ast {
            Ast::Empty(_) | Ast::Assertion(_) => STATE,
            Ast::Flags(flags) => {
                self.take(&flags.flags);
                STATE
            }
            Ast::Literal(literal) => self.literal(literal),
            Ast::Dot(_) => NEARLY_ALL,
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) => UNICODE_CLASS,
            Ast::ClassBracketed(class) => {
                let all = if class.negated { NEARLY_ALL } else { STATE };
                all.saturating_add(self.set(&class.kind))
            }
            Ast::Repetition(repetition) => {
                let one = self.of(&repetition.ast).saturating_add(2 * STATE);
                one.saturating_mul(copies(&repetition.op.kind))
            }
            Ast::Group(group) => {
                let before = self.folds;
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.take(flags);
                }
                let inside = self.of(&group.ast);
                self.folds = before;
                inside.saturating_add(4 * STATE)
            }
            Ast::Alternation(all) => self.sum(&all.asts).saturating_add(STATE * all.asts.len() as u64),
            Ast::Concat(all) => self.sum(&all.asts),
        }
    }

    fn sum(&mut self, all: &[Ast]) -> u64 {
        all.iter().map(|part| self.of(part)).fold(0, u64::saturating_add)
    }

    fn literal(&self, literal: &Literal) -> u64 {
        match (self.folds, literal.c) {
            (true, 'k' | 'K' | 's' | 'S') => FOLDED_WIDE,
            (true, c) if c.is_ascii() => FOLDED,
            (true, _) => FOLDED_WIDE,
            (false, c) => STATE * c.len_utf8() as u64,
        }
    }

    fn set(&mut self, set: &ClassSet) -> u64 {
        match set {
            ClassSet::Item(item) => self.item(item),
            ClassSet::BinaryOp(op) => self.set(&op.lhs).saturating_add(self.set(&op.rhs)),
        }
    }

    fn item(&mut self, item: &ClassSetItem) -> u64 {
        let cases = if self.folds { 4 } else { 1 };
        match item {
            ClassSetItem::Empty(_) => 0,
            ClassSetItem::Literal(literal) if literal.c.is_ascii() => ASCII_RANGE * cases,
            ClassSetItem::Literal(_) => WIDE_CHAR * cases,
            ClassSetItem::Range(range) if range.end.c.is_ascii() => ASCII_RANGE * cases,
            ClassSetItem::Range(_) => NEARLY_ALL * cases,
            ClassSetItem::Ascii(class) => {
                if class.negated {
                    NEARLY_ALL
                } else {
                    ASCII_RANGE * 4 * cases
                }
            }
            ClassSetItem::Unicode(_) | ClassSetItem::Perl(_) => UNICODE_CLASS,
            ClassSetItem::Bracketed(class) => {
                let all = if class.negated { NEARLY_ALL } else { 0 };
                self.set(&class.kind).saturating_add(all)
            }
            ClassSetItem::Union(union) => {
                union.items.iter().map(|item| self.item(item)).fold(0, u64::saturating_add)
            }
        }
    }

    fn take(&mut self, flags: &Flags) {
        let mut on = true;
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Negation => on = false,
                FlagsItemKind::Flag(Flag::CaseInsensitive) => self.folds = on,
                FlagsItemKind::Flag(_) => {}
            }
        }
    }
}

/// How often what is repeated is written out.
fn copies(kind: &RepetitionKind) -> u64 {
    let most = match kind {
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
        RepetitionKind::Range(RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n)) => n + 1,
        RepetitionKind::Range(RepetitionRange::Bounded(_, n)) => *n,
    };
    u64::from(most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_automata::meta;
    use regex_syntax::ast::parse::Parser;

    /// What is estimated, and what is needed.
    fn sizes(pattern: &str) -> (u64, u64) {
        let estimate = of_search(&Parser::new().parse(pattern).unwrap());
        let built = meta::Regex::builder().build(pattern).unwrap();
        (estimate, built.memory_usage() as u64)
    }

    #[test]
    fn estimates_are_above_what_is_needed_and_not_far() {
        let words: Vec<String> =
            (0..3000u32).map(|i| format!("w{:07}", i.wrapping_mul(2_654_435_761) % 9_999_991)).collect();
        let folded = format!("(?i){}", words.join("|"));
        let spread: String = (0..500).filter_map(|i| char::from_u32(0x3400 + 2 * i)).collect();
        for pattern in [
            r"[a-z0-9_-]+@[a-z]+\.com{1000}",
            r"[a-z]{1000}",
            r".{1000}",
            r"[^,]{200}",
            r"\pL{40}",
            r"(?i)\pL{20}",
            r"[\pL\pN]{20}",
            r"[^\pL]{20}",
            r"\PL{20}",
            r"(?i)k{500}",
            r"(?i)error{500}",
            r"(?i)[a-z]{500}",
            r"(?i)é{500}",
            r"é{500}",
            r"[é-ü]{500}",
            r"[\x{81}-\x{10fffe}]{300}",
            r"(?:(?:.{10}){10}){10}",
            r"((a?){100}){100}",
            r"(a*){1000}",
            r"(a|bc|d[ef]){1000}",
            r"(?:x{0,1000}y){3}",
            r"x{1000,}",
            r"(?i:a(?-i)b){500}",
            &folded,
            &words.join("|"),
            &format!("[{spread}]{{20}}"),
        ] {
            let (estimate, needed) = sizes(pattern);
            let shown: String = pattern.chars().take(40).collect();
            assert!(needed <= estimate + (256 << 10), "{shown}: {needed} needed, {estimate} estimated");
            assert!(estimate < 64 * needed + (64 << 10), "{shown}: {needed} needed, {estimate} estimated");
        }
    }
}
