//! Does every line that a filter keeps satisfy the filter's needle?

use super::*;
use crate::LineFilters;
use crate::pattern::{Groups, Pattern};
use proptest::prelude::*;

fn needle(query: &str) -> Needle {
    filters(query).unwrap_or_else(|e| panic!("{query}: {e}")).needle()
}

fn filters(query: &str) -> Result<LineFilters, crate::ParseError> {
    LineFilters::compile(&crate::parse(&format!("{{}} {query}"))?.stages)
}

fn text(text: &str) -> Needle {
    Needle::Literal(text.as_bytes().to_vec())
}

fn folded(text: &str) -> Needle {
    Needle::LiteralFolded(text.to_owned())
}

#[test]
fn conditions_of_filters() {
    use Needle::{All, Any, OneOf};
    for (query, wanted) in [
        ("", Any),
        (r#"|= "abc""#, text("abc")),
        (r#"|= """#, Any),
        (r#"|= "a" or "b""#, OneOf(vec![text("a"), text("b")])),
        (r#"|= "a" or """#, Any),
        (r#"|= "a" |= "b" != "c" !~ "d.e""#, All(vec![text("a"), text("b")])),
        ("|~ `abc`", text("abc")),
        ("|~ `^abc$`", text("abc")),
        ("|~ `abc.*def`", All(vec![text("abc"), text("def")])),
        ("|~ `ab(c)d`", text("abcd")),
        ("|~ `ab?c`", All(vec![text("a"), text("c")])),
        ("|~ `ab+c`", All(vec![text("ab"), text("bc")])),
        ("|~ `a{3}`", text("aaa")),
        ("|~ `(ab){2,}c`", All(vec![text("abab"), text("abc")])),
        ("|~ `xa{20}y`", All(vec![text("xaaaaaaaa"), text("ay")])),
        ("|~ `foo|bar`", OneOf(vec![text("foo"), text("bar")])),
        ("|~ `x(foo|bar)y`", All(vec![text("x"), OneOf(vec![text("foo"), text("bar")]), text("y")])),
        ("|~ `foo|b*`", Any),
        ("|~ `foo|.`", Any),
        ("|~ `[a-z]+`", Any),
        ("|~ `status=5\\d\\d`", text("status=5")),
        ("|~ `(?i)error`", folded("error")),
        ("|~ `(?i)error: 5`", folded("error: 5")),
        ("|~ `(?i)5\\.0`", text("5.0")),
        ("|~ `Foo(?i)bar`", All(vec![folded("Foobar"), text("Foo")])),
        ("|~ `(?i)warn|error`", OneOf(vec![folded("warn"), folded("error")])),
        ("|~ `(?i)straße`", folded("straße")),
        ("|~ `[aA][bB]`", folded("ab")),
        ("|~ `[sS]`", Any),
        ("|~ `a.c` or `d.f`", OneOf(vec![All(vec![text("a"), text("c")]), All(vec![text("d"), text("f")])])),
        ("|~ `.*`", Any),
        ("|~ ``", Any),
        ("|~ `$`", Any),
    ] {
        assert_eq!(needle(query), wanted, "{query}");
    }
}

#[test]
fn nested_repetitions_do_not_multiply_without_end() {
    let mut pattern = "ab".to_owned();
    for i in 0..24 {
        pattern = format!("(?:{pattern}|c{i}d)+x");
    }
    let started = std::time::Instant::now();
    of_pattern(&Pattern::parse(&pattern, Groups::None).unwrap().hir);
    assert!(started.elapsed().as_secs() < 2);
}

/// Whether the condition holds, by its definition.
fn holds(needle: &Needle, line: &[u8]) -> bool {
    match needle {
        Needle::Any => true,
        Needle::Literal(text) => line.windows(text.len()).any(|w| w == text),
        Needle::LiteralFolded(text) => {
            let wanted: Vec<ClassUnicode> = text.chars().map(fold_set).collect();
            line.utf8_chunks().any(|chunk| {
                let chars: Vec<char> = chunk.valid().chars().collect();
                chars.windows(wanted.len()).any(|w| {
                    w.iter()
                        .zip(&wanted)
                        .all(|(c, set)| set.ranges().iter().any(|r| (r.start()..=r.end()).contains(c)))
                })
            })
        }
        Needle::Metadata { .. } => false,
        Needle::All(all) => all.iter().all(|n| holds(n, line)),
        Needle::OneOf(any) => any.iter().any(|n| holds(n, line)),
    }
}

/// Patterns of a small grammar over few letters, some with odd cases (Kelvin sign, long s, sharp s).
fn pattern() -> impl Strategy<Value = String> {
    let atom = proptest::sample::select(vec![
        "a",
        "b",
        "k",
        "s",
        "K",
        "ß",
        "é",
        "1",
        " ",
        ".",
        "[ab]",
        "[kK]",
        "[sS]",
        "[^a]",
        r"\d",
        r"\w",
        r"\b",
        "^",
        "$",
        "[aA]",
        r"\x{212a}",
        "ab",
        "ks",
        "1b",
    ])
    .prop_map(str::to_owned);
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => proptest::collection::vec(inner.clone(), 1..5).prop_map(|parts| parts.concat()),
            2 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            1 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join("|")),
            2 => (inner.clone(), proptest::sample::select(vec!["*", "+", "?", "{2}", "{1,3}", "+?", "{0}", "{9}"]))
                .prop_map(|(p, times)| format!("(?:{p}){times}")),
            1 => inner.clone().prop_map(|p| format!("(?i:{p})")),
            1 => inner.prop_map(|p| format!("(?i){p}")),
        ]
    })
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece: Vec<&[u8]> = vec![
        b"a",
        b"b",
        b"k",
        b"s",
        b"K",
        b"A",
        b"B",
        b"S",
        b"1",
        b" ",
        "ß".as_bytes(),
        "ẞ".as_bytes(),
        "é".as_bytes(),
        "É".as_bytes(),
        "\u{212a}".as_bytes(),
        "\u{17f}".as_bytes(),
        b"\xff",
        b"\n",
        b"ab",
        b"ks",
    ];
    proptest::collection::vec(proptest::sample::select(piece), 0..14).prop_map(|pieces| pieces.concat())
}

/// A pattern, and lines that it is likely to match.
fn pattern_and_lines() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    pattern().prop_flat_map(|pattern| {
        // The generator knows no assertions; what it makes without them often matches with them.
        let plain = pattern.replace("\\b", "").replace('^', "").replace("[a]", "[^a]").replace('$', "");
        let lines = match proptest::string::bytes_regex(&plain) {
            Ok(matching) => {
                (line(), matching, line()).prop_map(|parts| [parts.0, parts.1, parts.2].concat()).boxed()
            }
            Err(_) => line().boxed(),
        };
        let lines = prop_oneof![1 => line(), 4 => lines];
        (Just(pattern), proptest::collection::vec(lines, 1..8))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn a_line_that_passes_holds_what_the_needle_asks(
        sets in proptest::collection::vec(pattern_and_lines(), 1..3),
        texts in proptest::collection::vec("[abks1]{0,2}", 0..2),
    ) {
        let quoted: Vec<String> = sets.iter().map(|(pattern, _)| format!("`{pattern}`")).collect();
        let mut query = format!("|~ {}", quoted.join(" or "));
        if !texts.is_empty() {
            let texts: Vec<String> = texts.iter().map(|t| format!("\"{t}\"")).collect();
            query = format!("{query} |= {}", texts.join(" or "));
        }
        let Ok(filters) = filters(&query) else { return Ok(()) };
        let needle = filters.needle();
        for line in sets.iter().flat_map(|(_, lines)| lines) {
            prop_assert!(!filters.is_match(line) || holds(&needle, line), "{} {:?} {:?}", query, needle, line);
        }
    }
}
