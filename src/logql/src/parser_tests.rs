//! Are queries read as Loki reads them, and refused in its words?

use super::*;
use crate::ast::LineOperand;
use proptest::prelude::*;

fn printed(query: &str) -> String {
    parse(query).unwrap_or_else(|e| panic!("{query}: {e}")).to_string()
}

#[test]
fn queries_print_in_their_canonical_form() {
    for (query, wanted) in [
        ("{}", "{}"),
        (" { } ", "{}"),
        (r#"{ a = "b" , c =~ "d" }|="x""#, r#"{a="b", c=~"d"} |= "x""#),
        (r#"{a!="b",c!~`d\d`}"#, r#"{a!="b", c!~"d\\d"}"#),
        (r#"{a="b"} |= "x" or "y" != "z""#, r#"{a="b"} |= "x" or "y" != "z""#),
        (r#"{a="b"}|~`"x"`OR"y"!~"z""#, r#"{a="b"} |~ "\"x\"" or "y" !~ "z""#),
        ("# c\n{a=\"b\"} # d\n\n# e", r#"{a="b"}"#),
        (r#"({app="shop", env="staging"})"#, r#"{app="shop", env="staging"}"#),
        (r#"(({a="b"} |= "x"))"#, r#"{a="b"} |= "x""#),
        (r#"{a="b\"c\né"}"#, r#"{a="b\"c\né"}"#),
        (r#"{é="1"}"#, r#"{é="1"}"#),
        (r#"{ip="1", rate="x"}"#, r#"{ip="1", rate="x"}"#),
        (r#"{} |= "\xffa\x00é" or """#, r#"{} |= "\xffa\x00é" or """#),
        (r#"{a="\xff"}"#, r#"{a=" "}"#),
    ] {
        assert_eq!(printed(query), wanted, "{query}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (query, wanted) in [
        ("", "at line 1, col 1: syntax error: unexpected $end, expecting {"),
        (r#"{app}"#, "at line 1, col 5: syntax error: unexpected }, expecting = or =~ or !~ or !="),
        (r#"{app=}"#, "at line 1, col 6: syntax error: unexpected }, expecting STRING"),
        (r#"{app="x""#, "at line 1, col 9: syntax error: unexpected $end, expecting } or ,"),
        (r#"{app="x"}}"#, "at line 1, col 10: syntax error: unexpected }"),
        (r#"{app="x",}"#, "at line 1, col 10: syntax error: unexpected }, expecting IDENTIFIER"),
        (r#"{app="x" env="y"}"#, "at line 1, col 10: syntax error: unexpected IDENTIFIER, expecting } or ,"),
        (r#"{app=="x"}"#, "at line 1, col 5: syntax error: unexpected ==, expecting = or =~ or !~ or !="),
        (r#"{app="x}"#, "at line 1, col 6: literal not terminated"),
        (r#"{"app"="x"}"#, "at line 1, col 2: syntax error: unexpected STRING, expecting IDENTIFIER or }"),
        (r#"{by="x"}"#, "at line 1, col 2: syntax error: unexpected by, expecting IDENTIFIER or }"),
        (r#"{a.b="x"}"#, "at line 1, col 3: syntax error: unexpected ., expecting = or =~ or !~ or !="),
        (r#"{app="shop"} |="#, "at line 1, col 16: syntax error: unexpected $end, expecting STRING or ip"),
        (r#"{app="shop"} |= "x"#, "at line 1, col 17: literal not terminated"),
        (r#"{app="shop"} == "x""#, "at line 1, col 14: syntax error: unexpected =="),
        (
            r#"{app="shop"} |= "a" or"#,
            "at line 1, col 23: syntax error: unexpected $end, expecting STRING or ip",
        ),
        (r#"{app="shop"} |= "a" and "b""#, "at line 1, col 21: syntax error: unexpected and"),
        (r#"{app="shop"} |= ("a")"#, "at line 1, col 17: syntax error: unexpected (, expecting STRING or ip"),
        (r#"{app="shop"} |= "\q""#, "at line 1, col 17: invalid char escape"),
        (
            r#"{app="shop"} |= 5"#,
            "at line 1, col 17: syntax error: unexpected NUMBER, expecting STRING or ip",
        ),
        (r#"{app="shop"} |~ x"#, "at line 1, col 17: syntax error: unexpected IDENTIFIER, expecting STRING"),
        (r#"{app="shop"})"#, "at line 1, col 13: syntax error: unexpected )"),
        (r#"({app="shop"}"#, "at line 1, col 14: syntax error: unexpected $end, expecting )"),
        (r#"({app="shop"}) |= "x""#, "at line 1, col 16: syntax error: unexpected |="),
        (
            "{app=\"shop\"}\n  | json",
            "at line 2, col 3: syntax error: unexpected |, stages other than line filters are not supported yet",
        ),
        (
            r#"{app="shop"} |> "<_>""#,
            "at line 1, col 14: syntax error: unexpected |>, pattern filters are not supported yet",
        ),
        (
            r#"{app="shop"} |= ip("10.0.0.1")"#,
            "at line 1, col 17: syntax error: unexpected ip, ip() filters are not supported yet",
        ),
        (
            r#"rate({app="shop"}[5m])"#,
            "at line 1, col 1: syntax error: unexpected IDENTIFIER, metric queries are not supported yet",
        ),
    ] {
        assert_eq!(parse(query).unwrap_err().to_string(), format!("parse error {wanted}"), "{query}");
    }
    assert!(parse(&"(".repeat(100_000)).is_err());
}

fn log_expr() -> impl Strategy<Value = LogExpr> {
    let op =
        proptest::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    let name = "[a-zA-Z_][a-zA-Z0-9_]{0,6}"
        .prop_filter("reserved", |n| matches!(tokens(n).unwrap().first(), Some((Token::Ident(_), _))));
    let matcher = (name, op, any::<String>()).prop_map(|(name, op, value)| MatcherExpr { name, op, value });
    let op = proptest::sample::select(vec![
        LineFilterOp::Contains,
        LineFilterOp::NotContains,
        LineFilterOp::Matches,
        LineFilterOp::NotMatches,
    ]);
    let operand = prop_oneof![
        any::<String>().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    let filter = (op, proptest::collection::vec(operand, 1..4)).prop_map(|(op, texts): (_, Vec<Vec<u8>>)| {
        let operands = texts.into_iter().map(LineOperand::Text).collect();
        Stage::LineFilter(LineFilterExpr { op, operands })
    });
    (proptest::collection::vec(matcher, 0..4), proptest::collection::vec(filter, 0..4))
        .prop_map(|(matchers, stages)| LogExpr { matchers, stages })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(expr in log_expr()) {
        let printed = expr.to_string();
        prop_assert_eq!(parse(&printed), Ok(expr), "{}", printed);
    }

    #[test]
    fn foreign_text_never_panics(text in any::<String>(), words in proptest::collection::vec(
        proptest::sample::select(vec!["{", "}", "a", "=", "\"x\"", "|=", "|~", "!=", "or", ",", "(", ")", " ", "`", "by"]), 0..16,
    )) {
        let _ = parse(&text);
        if let Ok(expr) = parse(&words.concat()) {
            prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
        }
    }
}
