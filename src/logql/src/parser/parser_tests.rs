//! Are queries read as Loki reads them?

use super::*;

fn printed(query: &str) -> String {
    parse_query(query).unwrap_or_else(|e| panic!("{query}: {e}")).to_string()
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
        (
            r#"{a="b"} |= ip("10.0.0.1") or "x" |> "<_> y" or "z" !> `"`"#,
            r#"{a="b"} |= ip("10.0.0.1") or "x" |> "<_> y" or "z" !> "\"""#,
        ),
        (r#"{a="b"}|json|json x="y.z[0]",w|JSON"#, r#"{a="b"} | json | json x="y.z[0]",w="w" | json"#),
        (
            r#"{a="b"}|logfmt --keep-empty --strict a|unpack|decolorize"#,
            r#"{a="b"} | logfmt --strict --keep-empty a="a" | unpack | decolorize"#,
        ),
        (
            r#"{a="b"} | regexp `(?P<x>\d)` | pattern `<y> "`"#,
            r#"{a="b"} | regexp "(?P<x>\\d)" | pattern "<y> \"""#,
        ),
        (
            r#"{a="b"} | line_format `{{.x}} "q"` | label_format a=b , c="{{.d}}""#,
            r#"{a="b"} | line_format "{{.x}} \"q\"" | label_format a=b,c="{{.d}}""#,
        ),
        (r#"{a="b"} | drop a , b="c", d=~`e+` | keep f"#, r#"{a="b"} | drop a,b="c",d=~"e+" | keep f"#),
        (
            r#"{a="b"} | x=1 | y==.5 | z!=-5 | x>=+1e3 | x<1_000 | bytes<=5."#,
            r#"{a="b"} | x==1 | y==0.5 | z!=-5 | x>=1000 | x<1000 | bytes<=5"#,
        ),
        (
            r#"{a="b"} | x>1h30m | x<1d | x>-5m | y!=1.5h | z=500us"#,
            r#"{a="b"} | x>1h30m0s | x<24h0m0s | x>-5m0s | y!=1h30m0s | z==500µs"#,
        ),
        (
            r#"{a="b"} | x>1KB | x<1.5MiB | x=5B | x=2G"#,
            r#"{a="b"} | x>1.0kB | x<1572864B | x==5B | x==2.0GB"#,
        ),
        (
            r#"{a="b"} | x=ip("1.2.3.4") | y!=ip("::1/8") | ip="7""#,
            r#"{a="b"} | x=ip("1.2.3.4") | y!=ip("::1/8") | ip="7""#,
        ),
        // `and` binds tighter than `or`; `,` and a blank take all that follows as their right side.
        (r#"{} | a="" and b="" or c="""#, r#"{} | ( ( a="" , b="" ) or c="" )"#),
        (r#"{} | a="" or b="" and c="""#, r#"{} | ( a="" or ( b="" , c="" ) )"#),
        (r#"{} | a="" , b="" or c="""#, r#"{} | ( a="" , ( b="" or c="" ) )"#),
        (r#"{} | a=""b="" or c="""#, r#"{} | ( a="" , ( b="" or c="" ) )"#),
        (r#"{} | a="" or b="" , c="""#, r#"{} | ( a="" or ( b="" , c="" ) )"#),
        (
            r#"{} | a="" or b="" (c="" or d="") and e="" or f="""#,
            r#"{} | ( a="" or ( b="" , ( ( ( c="" or d="" ) , e="" ) or f="" ) ) )"#,
        ),
        (r#"{} | (a="" or b="") and c="""#, r#"{} | ( ( a="" or b="" ) , c="" )"#),
        (r#"{} | a="" or b="" or c="""#, r#"{} | ( ( a="" or b="" ) or c="" )"#),
    ] {
        assert_eq!(printed(query), wanted, "{query}");
    }
}

#[test]
fn metric_queries_print_in_their_canonical_form() {
    for (query, wanted) in [
        ("1+2", "3"),
        ("2^3^2", "512"),
        ("-2^2", "4"),
        ("1 - -1", "2"),
        ("10/4*2-1 % 2", "4"),
        ("1 > bool 2", "0"),
        ("2 == 2 != 0", "1"),
        ("1/0", "(0 / 0)"),
        ("5 % 0 + 1", "(0 / 0)"),
        ("-1e308 * 10", "(-1e308 * 10)"),
        ("vector(1)+vector(2)*3", "(vector(1.000000) + (vector(2.000000) * 3))"),
        ("vector(1)-vector(2)-vector(3)", "((vector(1.000000) - vector(2.000000)) - vector(3.000000))"),
        ("vector(1)^vector(2)^vector(3)", "(vector(1.000000) ^ (vector(2.000000) ^ vector(3.000000)))"),
        (
            "vector(1) or vector(2) and vector(3) unless vector(4)",
            "(vector(1.000000) or ((vector(2.000000) and vector(3.000000)) unless vector(4.000000)))",
        ),
        ("vector(1) > 2 + 3 and vector(1)", "((vector(1.000000) > 5) and vector(1.000000))"),
        ("(vector(1e-9))", "vector(0.000000001)"),
        ("SUM BY (a)(RATE({a=\"b\"}[5m]))", r#"sum by (a)(rate({a="b"}[5m]))"#),
        ("sum(rate({}[5m])) without ( a , b )", "sum without (a,b)(rate({}[5m]))"),
        ("sum by ()(vector(1))", "sum by ()(vector(1.000000))"),
        ("sum(1) by (count, rate, sum)", "sum by (count,rate,sum)(1)"),
        ("topk ( 5 , rate({}[5m]))", "topk(5,rate({}[5m]))"),
        ("sort_desc(vector(1)) by ()", "sort_desc by ()(vector(1.000000))"),
        ("rate({} |= \"x\" [90m] offset 1h)", r#"rate({} |= "x"[1h30m] offset 1h0m0s)"#),
        ("rate({}[5m] offset -1h |= \"x\" | json)", r#"rate({} |= "x" | json[5m] offset -1h0m0s)"#),
        ("rate({}[0s] offset 0s)", "rate({}[0s])"),
        ("rate((({})[1d] | unwrap x))", "rate({} | unwrap x[1d])"),
        ("rate(({} | json | unwrap x | y=1)[1w])", "rate({} | json | unwrap x | y==1[1w])"),
        (
            "sum_over_time({}[5m] | unwrap Duration(x) | y=1 z=2)",
            "sum_over_time({} | unwrap duration(x) | ( y==1 , z==2 )[5m])",
        ),
        ("sum_over_time({} | unwrap bytes [5m])", "sum_over_time({} | unwrap bytes[5m])"),
        (
            "avg_over_time({} | unwrap bytes(bytes) [5m]) by (y)",
            "avg_over_time({} | unwrap bytes(bytes)[5m]) by (y)",
        ),
        (
            "quantile_over_time(0.99, {} | unwrap duration_seconds(x)[5m]) without ()",
            "quantile_over_time(0.99,{} | unwrap duration_seconds(x)[5m]) without ()",
        ),
        ("count_over_time({}[5m])>bool 5", "(count_over_time({}[5m]) > bool 5)"),
        ("vector(1) + on() group_left() vector(2)", "(vector(1.000000) + on () group_left vector(2.000000))"),
        (
            "vector(1) / ignoring(a, b) group_right (c,d) (vector(2))",
            "(vector(1.000000) / ignoring (a,b) group_right (c,d) vector(2.000000))",
        ),
        (
            "vector(1) * on(a) group_left (vector(2))",
            "(vector(1.000000) * on (a) group_left vector(2.000000))",
        ),
        (
            r#"label_replace(vector(1), "a", "$1", `b`, "(.*)")"#,
            r#"label_replace(vector(1.000000),"a","$1","b","(.*)")"#,
        ),
    ] {
        assert_eq!(printed(query), wanted, "{query}");
    }
}

#[test]
fn only_log_queries_where_only_these_are_expected() {
    assert_eq!(parse("{}"), Ok(LogExpr::default()));
    assert_eq!(parse("1").unwrap_err().to_string(), "parse error : only a log query is expected here");
}
