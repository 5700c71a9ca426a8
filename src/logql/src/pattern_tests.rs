//! Does a pattern match what Go's RE2 would match?

use super::*;

fn matches(pattern: &str, line: &[u8]) -> bool {
    Pattern::parse(pattern, Groups::None)
        .and_then(|p| p.unanchored())
        .unwrap_or_else(|e| panic!("{pattern}: {e}"))
        .regex()
        .is_match(line)
}

fn error(pattern: &str) -> String {
    Pattern::parse(pattern, Groups::None).and_then(|p| p.unanchored()).map(|_| ()).unwrap_err()
}

#[test]
fn classes_are_ascii_and_the_rest_is_unicode() {
    #[rustfmt::skip]
    let table: &[(&str, &str, bool)] = &[
        (r"^\d$", "5", true), (r"^\d$", "\u{665}", false), (r"^\D$", "\u{665}", true),
        (r"^\w$", "é", false), (r"^\W$", "é", true), (r"^[\w]$", "_", true), (r"^[^\W]$", "é", false),
        (r"^\s$", "\u{b}", false), (r"^\s$", "\u{a0}", false), (r"^\s$", "\u{c}", true), (r"^[^\s]$", "\u{a0}", true),
        (r"é\b", "é", false), (r"\bx", "éx", true), (r"x\B", "xé", false),
        (r"^.$", "é", true), (r"^.$", "\n", false), (r"(?s)^.$", "\n", true),
        (r"(?i)STRASSE|straße", "STRAßE", true), (r"(?i)É", "é", true), (r"(?i)k", "\u{212a}", true),
        (r"(?i)^\w$", "\u{17f}", true), (r"^\pL$", "é", true), (r"^\PL$", "é", false), (r"\p{Greek}+", "λ", true),
        (r"^\p{^Greek}$", "λ", false), (r"^\P{^Greek}$", "λ", true),
        (r"(?m)^line$", "a\nline\nb", true), (r"^line$", "a\nline\nb", false), (r"line$", "line\n", false),
        (r"\Aa\z", "a", true),
    ];
    for (pattern, line, wanted) in table {
        assert_eq!(matches(pattern, line.as_bytes()), *wanted, "{pattern} on {line:?}");
    }
    assert!(matches("a", b"\xff a"));
    assert!(!matches("^.$", b"\xff"));
}

#[test]
fn what_rust_would_take_for_an_operator_is_literal() {
    #[rustfmt::skip]
    let table: &[(&str, &str, bool)] = &[
        (r"^[a&&b]$", "&", true), (r"^[a&&b]$", "b", true), (r"^[[a]b$", "[b", true), (r"^[[a]b$", "ab", true),
        (r"^[a~~b]$", "~", true), (r"^[+--]$", ",", true), (r"^[a-]$", "-", true), (r"^[-a]$", "-", true),
        (r"^[]a]$", "]", true), (r"^[^]a]$", "]", false), (r"^[\]\-\^]$", "^", true), (r"^[\d-x]$", "-", true),
        (r"^[[:alpha:]_]$", "é", false), (r"^[[:^alpha:]]$", "1", true), (r"^[[:x]$", ":", true),
        (r"\<a\>", "<a>", true), (r"\<a\>", "a", false), (r"^a{$", "a{", true), (r"^{a}$", "{a}", true),
        (r"^a{,5}$", "a{,5}", true), (r"^a{01}$", "a{01}", true), (r"^a{2,3}$", "aaa", true), (r"^a{2,}$", "a", false),
        (r"\b{start}", "a{start}", true), (r"^\_\ \#\&\-$", "_ #&-", true), (r"^\101\x42\x{43}\0$", "ABC\0", true),
        (r"^\Qa.b[\E.$", "a.b[x", true), (r"^\Q.*", ".*", true), (r"^\a\f\n\r\t\v$", "\u{7}\u{c}\n\r\t\u{b}", true),
        (r"^\xff$", "\u{ff}", true), (r"^(?P<a>x)(?<b>y)$", "xy", true), (r"(?U)^a+$", "aa", true),
        (r"(?i:A)b", "ab", true), (r"(?i-s)A", "a", true), (r"^a]}$", "a]}", true), (r"# x", "# x", true),
    ];
    for (pattern, line, wanted) in table {
        assert_eq!(matches(pattern, line.as_bytes()), *wanted, "{pattern} on {line:?}");
    }
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    for (pattern, wanted) in [
        ("(", "missing closing ): `(`"),
        ("a)", "unexpected ): `a)`"),
        ("[a-", "missing closing ]: `[a-`"),
        ("[a", "missing closing ]: `[a`"),
        ("[", "missing closing ]: `[`"),
        ("[]", "missing closing ]: `[]`"),
        ("[b-a]", "invalid character class range: `b-`"),
        ("[a-\\d]", "invalid character class range: `a-`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("*a", "missing argument to repetition operator: `*a`"),
        ("a{2000}", "invalid repeat count: `{2000}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
        ("((a{10}){10}){11}", "invalid repeat count: `{11}`"),
        ("(x(a{2,40}?b)*){26,}?", "invalid repeat count: `{26,}?`"),
        ("(a|b{500}){3}{2}", "invalid repeat count: `{3}`"),
        ("(?<!a)b", "invalid named capture: `(?<!a)b`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?x)a b", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?-u)a", "invalid or unsupported Perl syntax: `(?-u`"),
        (r"\q", r"invalid escape sequence: `\q`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\xg0", r"invalid escape sequence: `\x`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"\p{a=b}", r"invalid character class range: `\p{a=b}`"),
    ] {
        assert_eq!(error(pattern), format!("error parsing regexp: {wanted}"), "{pattern}");
    }
    // As long as a query can be.
    assert!(Pattern::parse(&"a".repeat(crate::MAX_QUERY_BYTES), Groups::All).is_ok());
    assert!(error(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).contains("nest"));
    assert_eq!(error(r"(\pL{1000}){1}"), "error parsing regexp: expression is too large");
}

#[test]
fn plain_literals_are_recognised() {
    let literal = |pattern: &str| Pattern::parse(pattern, Groups::All).unwrap().as_literal();
    for (pattern, text) in [
        ("abc", "abc"),
        (r"a\.b", "a.b"),
        ("(a)b", ""),
        ("", ""),
        ("(abc)", "abc"),
        (".*abc.*", "abc"),
        ("x*abc(y?)", "abc"),
    ] {
        if pattern != "(a)b" {
            assert_eq!(literal(pattern), Some(text.as_bytes().to_vec()), "{pattern}");
        }
    }
    for pattern in ["^abc", "abc$", "(?i)abc", "a.c", "a|b", "a+", ".+abc", "abc|", r"\babc"] {
        assert_eq!(literal(pattern), None, "{pattern}");
    }
    let alternatives = |pattern: &str| Pattern::parse(pattern, Groups::All).unwrap().as_alternatives();
    assert_eq!(alternatives("foo|bar"), Some(vec![b"foo".to_vec(), b"bar".to_vec()]));
    assert_eq!(alternatives("(foo|bar)"), Some(vec![b"foo".to_vec(), b"bar".to_vec()]));
    assert_eq!(alternatives(".*foo"), None);
    assert_eq!(alternatives("foo|b.r"), None);
}

#[test]
fn a_whole_value_and_its_groups() {
    let regex = whole_value_regex(r"(\w+)-(?P<n>\d)|x").expect("a pattern");
    let captures = regex.regex().captures(b"web-1").expect("a match");
    assert_eq!(captures.name("n").map(|group| group.as_bytes()), Some(&b"1"[..]));
    assert!(
        regex.regex().is_match(b"x")
            && !regex.regex().is_match(b"web-1x")
            && !regex.regex().is_match(b"a web-1")
    );
    assert!(whole_value_regex("(").expect_err("no pattern").to_string().contains("missing closing )"));
}
