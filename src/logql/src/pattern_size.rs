//! How large will a pattern be when it is compiled? Told from its syntax, before anything is compiled.
//!
//! Repetitions copy what they repeat, and a Unicode class is some hundred ranges, so a pattern of a few bytes can become
//! megabytes: `\pL{40}` takes 1.9 MB. The figures are upper bounds of what `regex-automata` 0.4 was measured to need; a test
//! compares them with it.

use regex_syntax::ast::{
    Ast, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind, Literal, RepetitionKind,
    RepetitionRange,
};

/// What parts of a pattern take, in whatever is counted.
struct Costs {
    /// One state of the automaton.
    state: u64,
    /// A letter that stands for its other case too: `k` and `s` have three and more.
    folded: u64,
    folded_wide: u64,
    /// A class like `.` or `[^,]`, which takes nearly all of Unicode in UTF-8.
    nearly_all: u64,
    /// The largest classes of Unicode.
    unicode_class: u64,
    /// Each range of a class in brackets.
    ascii_range: u64,
    wide_char: u64,
}

const BYTES: Costs = Costs {
    state: 24,
    folded: 40,
    folded_wide: 200,
    nearly_all: 640,
    unicode_class: 32_000,
    ascii_range: 16,
    wide_char: 80,
};
const STATES: Costs = Costs {
    state: 1,
    folded: 1,
    folded_wide: 6,
    nearly_all: 12,
    unicode_class: 400,
    ascii_range: 1,
    wide_char: 4,
};
/// A search has an automaton for each direction, and what finds its starts.
const COPIES: u64 = 2;
/// Where a search keeps the bounds of groups, it has two places of eight bytes for each group and state, twice.
const BYTES_OF_GROUP: u64 = 2 * 2 * 8;

/// Bytes that a search for `ast` will take at most, but for a constant part.
pub(super) fn of_search(ast: &Ast) -> u64 {
    let bytes = Measure::new(&BYTES).of(ast).saturating_mul(COPIES);
    match groups(ast) {
        0 => bytes,
        groups => bytes.saturating_add(of_groups(ast, groups)),
    }
}

/// Bytes that the bounds of `groups` take while a search that reads them runs, in each thread.
fn of_groups(ast: &Ast, groups: u64) -> u64 {
    Measure::new(&STATES).of(ast).saturating_mul(groups).saturating_mul(BYTES_OF_GROUP)
}

/// How many groups keep what they matched. The parser bounds how deep patterns nest.
fn groups(ast: &Ast) -> u64 {
    match ast {
        Ast::Group(group) => u64::from(group.is_capturing()) + groups(&group.ast),
        Ast::Repetition(repetition) => groups(&repetition.ast),
        Ast::Concat(all) => all.asts.iter().map(groups).sum(),
        Ast::Alternation(all) => all.asts.iter().map(groups).sum(),
        _ => 0,
    }
}

/// What is known on the way through a pattern, from left to right.
struct Measure {
    /// Whether `(?i)` holds here.
    folds: bool,
    costs: &'static Costs,
}

impl Measure {
    fn new(costs: &'static Costs) -> Self {
        Self { folds: false, costs }
    }

    /// What the automaton of one direction takes. The parser bounds how deep patterns nest.
    fn of(&mut self, ast: &Ast) -> u64 {
        match ast {
            Ast::Empty(_) | Ast::Assertion(_) => self.costs.state,
            Ast::Flags(flags) => {
                self.take(&flags.flags);
                self.costs.state
            }
            Ast::Literal(literal) => self.literal(literal),
            Ast::Dot(_) => self.costs.nearly_all,
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) => self.costs.unicode_class,
            Ast::ClassBracketed(class) => {
                let all = if class.negated { self.costs.nearly_all } else { self.costs.state };
                all.saturating_add(self.set(&class.kind))
            }
            Ast::Repetition(repetition) => {
                let one = self.of(&repetition.ast).saturating_add(2 * self.costs.state);
                one.saturating_mul(copies(&repetition.op.kind))
            }
            Ast::Group(group) => {
                let before = self.folds;
                if let GroupKind::NonCapturing(flags) = &group.kind {
                    self.take(flags);
                }
                let inside = self.of(&group.ast);
                self.folds = before;
                inside.saturating_add(4 * self.costs.state)
            }
            Ast::Alternation(all) => {
                self.sum(&all.asts).saturating_add(self.costs.state * all.asts.len() as u64)
            }
            Ast::Concat(all) => self.sum(&all.asts),
        }
    }

    fn sum(&mut self, all: &[Ast]) -> u64 {
        all.iter().map(|part| self.of(part)).fold(0, u64::saturating_add)
    }

    fn literal(&self, literal: &Literal) -> u64 {
        match (self.folds, literal.c) {
            (true, 'k' | 'K' | 's' | 'S') => self.costs.folded_wide,
            (true, c) if c.is_ascii() => self.costs.folded,
            (true, _) => self.costs.folded_wide,
            (false, c) => self.costs.state * c.len_utf8() as u64,
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
            ClassSetItem::Literal(literal) if literal.c.is_ascii() => self.costs.ascii_range * cases,
            ClassSetItem::Literal(_) => self.costs.wide_char * cases,
            ClassSetItem::Range(range) if range.end.c.is_ascii() => self.costs.ascii_range * cases,
            ClassSetItem::Range(_) => self.costs.nearly_all * cases,
            ClassSetItem::Ascii(class) => {
                if class.negated {
                    self.costs.nearly_all
                } else {
                    self.costs.ascii_range * 4 * cases
                }
            }
            ClassSetItem::Unicode(_) | ClassSetItem::Perl(_) => self.costs.unicode_class,
            ClassSetItem::Bracketed(class) => {
                let all = if class.negated { self.costs.nearly_all } else { 0 };
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

    #[test]
    fn the_states_that_groups_cost_memory_for_are_not_underrated() {
        for pattern in [
            r"\pL{20}",
            r"\PL{20}",
            r"\p{Cn}{20}",
            r"(?i)\pL{20}",
            r"(?i)[^\pL]{20}",
            ".{20}",
            "[^,]{20}",
            "(?i)k{20}",
            "(?i)é{20}",
            "[é-ü]{20}",
            r"[\x{81}-\x{10fffe}]{20}",
            "(a|bc|d[ef]){100}",
            "((a?){10}){10}",
            "()()()",
            "x{0,90}",
            "[a-z0-9_]{50}",
            "(?:日|本){30}",
        ] {
            let estimate = Measure::new(&STATES).of(&Parser::new().parse(pattern).unwrap());
            let states = regex_automata::nfa::thompson::NFA::new(pattern).unwrap().states().len() as u64;
            assert!(states <= estimate + 16, "{pattern}: {states}, {estimate} estimated");
            assert!(estimate < 12 * states, "{pattern}: {states}, {estimate} estimated");
        }
    }

    #[test]
    fn groups_cost_memory_for_each_state() {
        let size = |pattern: &str| of_search(&Parser::new().parse(pattern).unwrap());
        assert!(size(&"()".repeat(4_000)) > 1 << 30);
        assert!(size(&"(?:)".repeat(4_000)) < 1 << 20);
        let line = r"([^ ]+) ([^ ]+) ([^ ]+) \[([^\]]+)\] ([^ ]+) ([^ ]+) ([0-9]+) ([0-9]+)";
        assert!(size(line) < 256 << 10, "{}", size(line));
    }
}
