//! Are queries refused as Loki refuses them, in its words and with its positions?

use super::*;

#[test]
fn stages_are_bounded() {
    let query = |stages: usize| format!("{{a=\"b\"}} | c=1 {} |= \"x\"", "|json".repeat(stages));
    assert!(parse_query(&query(1000)).is_ok());
    let error = parse_query(&query(1001)).unwrap_err().to_string();
    assert!(error.ends_with("at most 1000 stages are possible besides filters"), "{error}");
}

#[test]
fn mistakes_are_named_with_their_position() {
    for (query, wanted) in [
        ("", "at line 1, col 1: syntax error: unexpected $end"),
        (" ", "at line 1, col 2: syntax error: unexpected $end"),
        ("{app}", "at line 1, col 5: syntax error: unexpected }, expecting = or =~ or !~ or !="),
        ("{app=}", "at line 1, col 6: syntax error: unexpected }, expecting STRING"),
        (r#"{app="x""#, "at line 1, col 9: syntax error: unexpected $end, expecting } or ,"),
        (r#"{app="x"}}"#, "at line 1, col 10: syntax error: unexpected }"),
        (r#"{app="x",}"#, "at line 1, col 10: syntax error: unexpected }, expecting IDENTIFIER"),
        (r#"{app="x" env="y"}"#, "at line 1, col 10: syntax error: unexpected IDENTIFIER, expecting } or ,"),
        (r#"{app=="x"}"#, "at line 1, col 5: syntax error: unexpected ==, expecting = or =~ or !~ or !="),
        (r#"{app="x}"#, "at line 1, col 6: literal not terminated"),
        (r#"{"app"="x"}"#, "at line 1, col 2: syntax error: unexpected STRING, expecting IDENTIFIER or }"),
        (r#"{app!="""#, "at line 1, col 9: syntax error: unexpected $end, expecting } or ,"),
        (r#"{by="x"}"#, "at line 1, col 2: syntax error: unexpected by, expecting IDENTIFIER or }"),
        (
            r#"{app="x"} and {env="y"}"#,
            ": unexpected type for left leg of binary operation (and): *syntax.MatchersExpr",
        ),
        (r#"{app="shop"} |="#, "at line 1, col 16: syntax error: unexpected $end, expecting STRING or ip"),
        (
            r#"{app="shop"} |= 'x'"#,
            r#"at line 1, col 17: syntax error: unexpected '\'', expecting STRING or ip"#,
        ),
        (r#"{app="shop"} |= "x"#, "at line 1, col 17: literal not terminated"),
        (r#"{app="shop"} == "x""#, "at line 1, col 17: syntax error: unexpected STRING"),
        (r#"{app="shop"} ! "x""#, "at line 1, col 14: syntax error: unexpected !"),
        (
            r#"{app="shop"} |= "a" or"#,
            "at line 1, col 23: syntax error: unexpected $end, expecting STRING or ip",
        ),
        (r#"{app="shop"} |= "a" and "b""#, "at line 1, col 25: syntax error: unexpected STRING"),
        (r#"{app="shop"} |= ("a")"#, "at line 1, col 17: syntax error: unexpected (, expecting STRING or ip"),
        (
            r#"{app="shop"} |= ip(10.0.0.1)"#,
            "at line 1, col 20: syntax error: unexpected NUMBER, expecting STRING",
        ),
        (r#"{app="shop"} |= "\q""#, "at line 1, col 17: invalid char escape"),
        (
            r#"{app="shop"} |= 5"#,
            "at line 1, col 17: syntax error: unexpected NUMBER, expecting STRING or ip",
        ),
        (r#"{app="shop"} | jsn"#, "at line 1, col 19: syntax error: unexpected $end"),
        (
            r#"{app="shop"} | json x=y"#,
            "at line 1, col 23: syntax error: unexpected IDENTIFIER, expecting STRING",
        ),
        (r#"{app="shop"} | json "x""#, "at line 1, col 21: syntax error: unexpected STRING"),
        (
            r#"{app="shop"} | regexp "(""#,
            ": invalid regexp parser: error parsing regexp: missing closing ): `(`",
        ),
        (
            r#"{app="shop"} | regexp "noname""#,
            ": invalid regexp parser: at least one named capture must be supplied",
        ),
        (
            r#"{app="shop"} | regexp "(?P<a>x)(?P<a>y)""#,
            ": invalid regexp parser: duplicate extracted label name 'a'",
        ),
        (
            r#"{app="shop"} | pattern "<a><b>""#,
            ": invalid pattern parser: found consecutive capture '<a><b>': invalid expression",
        ),
        (
            r#"{app="shop"} | pattern "<a> <a>""#,
            ": invalid pattern parser: duplicate capture name (a): invalid expression",
        ),
        (r#"{app="shop"} | json by"#, "at line 1, col 21: syntax error: unexpected by"),
        (r#"{app="shop"} | xml"#, "at line 1, col 19: syntax error: unexpected $end"),
        (r#"{app="shop"} | json | status="#, "at line 1, col 30: syntax error: unexpected $end"),
        (r#"{app="shop"} | json | status=>5"#, "at line 1, col 30: syntax error: unexpected >"),
        (r#"{app="shop"} | json | status>"5""#, "at line 1, col 30: syntax error: unexpected STRING"),
        (
            r#"{app="shop"} | json | status=~5"#,
            "at line 1, col 31: syntax error: unexpected NUMBER, expecting STRING",
        ),
        (
            r#"{app="shop"} | json | status=5 and"#,
            "at line 1, col 35: syntax error: unexpected $end, expecting IDENTIFIER or (",
        ),
        (r#"{app="shop"} | json | or status=5"#, "at line 1, col 23: syntax error: unexpected or"),
        (
            r#"{app="shop"} | json | status=5 && method="x""#,
            "at line 1, col 32: syntax error: unexpected '&'",
        ),
        (r#"{app="shop"} | json | status=5 || method="x""#, "at line 1, col 33: syntax error: unexpected |"),
        (r#"{app="shop"} | json | "status"=5"#, "at line 1, col 23: syntax error: unexpected STRING"),
        (r#"{app="shop"} | json | addr>ip("10.0.0.1")"#, "at line 1, col 28: syntax error: unexpected ip"),
        (
            r#"{app="shop"} | json | status=0x10"#,
            r#": unable to parse literal as a float: strconv.ParseFloat: parsing "0x10": invalid syntax"#,
        ),
        (r#"{app="shop"} | json | status>1h30"#, "at line 1, col 34: syntax error: unexpected $end"),
        (r#"{app="shop"} | json | and="x""#, "at line 1, col 23: syntax error: unexpected and"),
        (
            r#"{app="shop"} | json | status in (1,2)"#,
            "at line 1, col 30: syntax error: unexpected IDENTIFIER",
        ),
        (r#"{app="shop"} | json | status>1EB"#, "at line 1, col 30: exponent has no digits"),
        (
            r#"{app="shop"} | line_format x"#,
            "at line 1, col 28: syntax error: unexpected IDENTIFIER, expecting STRING",
        ),
        (
            r#"{app="shop"} | label_format"#,
            "at line 1, col 28: syntax error: unexpected $end, expecting IDENTIFIER",
        ),
        (
            r#"{app="shop"} | label_format x="#,
            "at line 1, col 31: syntax error: unexpected $end, expecting IDENTIFIER or STRING",
        ),
        (
            r#"{app="shop"} | label_format x="a",y"#,
            "at line 1, col 36: syntax error: unexpected $end, expecting =",
        ),
        (
            r#"{app="shop"} | label_format "x"="y""#,
            "at line 1, col 29: syntax error: unexpected STRING, expecting IDENTIFIER",
        ),
        (r#"{app="shop"} | drop"#, "at line 1, col 20: syntax error: unexpected $end, expecting IDENTIFIER"),
        (r#"{app="shop"} | keep"#, "at line 1, col 20: syntax error: unexpected $end, expecting IDENTIFIER"),
        (
            r#"{app="shop"} | drop x=5"#,
            "at line 1, col 23: syntax error: unexpected NUMBER, expecting STRING",
        ),
        (r#"{app="shop"} | distinct x"#, "at line 1, col 25: syntax error: unexpected IDENTIFIER"),
        (r#"{app="shop"} | json | unwrap x"#, "at line 1, col 23: syntax error: unexpected unwrap"),
        (r#"({app="shop"}"#, "at line 1, col 14: syntax error: unexpected $end"),
        (r#"{app="shop"})"#, "at line 1, col 13: syntax error: unexpected )"),
        (r#"rate({app="shop"})"#, "at line 1, col 18: syntax error: unexpected )"),
        (r#"rate({app="shop"}[])"#, "at line 1, col 18: empty duration string"),
        (r#"rate({app="shop"}[5])"#, r#"at line 1, col 18: not a valid duration string: "5""#),
        (r#"rate({app="shop"}[1.5h])"#, r#"at line 1, col 18: unknown unit "." in duration "1.5h""#),
        (r#"rate({app="shop"}[-5m])"#, r#"at line 1, col 18: not a valid duration string: "-5m""#),
        (r#"rate({app="shop"}[ 5m ])"#, r#"at line 1, col 18: not a valid duration string: " 5m ""#),
        (r#"rate({app="shop"}[5m:1m])"#, r#"at line 1, col 18: unknown unit "m:" in duration "5m:1m""#),
        (r#"rate {app="shop"}[5m]"#, "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        ("count_over_time()", "at line 1, col 17: syntax error: unexpected ), expecting NUMBER or { or ("),
        (
            r#"quantile_over_time(0.5, {app="shop"}[5m])"#,
            ": invalid aggregation quantile_over_time without unwrap",
        ),
        (r#"rate_counter({app="shop"}[5m])"#, ": invalid aggregation rate_counter without unwrap"),
        (r#"rate(5, {app="shop"}[5m])"#, ": parameter 5 not supported for operation rate"),
        (
            r#"max_over_time(0.5, {app="shop"} | json | unwrap x [5m])"#,
            ": parameter 0.5 not supported for operation max_over_time",
        ),
        (
            r#"rate(({app="shop"})[5m] | logfmt)"#,
            "at line 1, col 27: syntax error: unexpected logfmt, expecting unwrap",
        ),
        (
            r#"rate({app="shop"} | json [5m] | logfmt)"#,
            "at line 1, col 31: syntax error: unexpected |, expecting )",
        ),
        (
            r#"avg_over_time({app="shop"} | json | unwrap duration(x,y) [5m])"#,
            "at line 1, col 54: syntax error: unexpected ,, expecting )",
        ),
        (
            r#"avg_over_time({app="shop"} | json | unwrap foo(x) [5m])"#,
            "at line 1, col 47: syntax error: unexpected (, expecting RANGE or |",
        ),
        (
            r#"avg_over_time({app="shop"} | json | unwrap "x" [5m])"#,
            "at line 1, col 44: syntax error: unexpected STRING, expecting IDENTIFIER or BYTES_CONV or DURATION_CONV or DURATION_SECONDS_CONV",
        ),
        (r#"sum({app="shop"} |= "x")"#, "at line 1, col 24: syntax error: unexpected )"),
        (
            r#"sum by ("app")(rate({app="shop"}[5m]))"#,
            "at line 1, col 9: syntax error: unexpected STRING, expecting IDENTIFIER or )",
        ),
        (
            r#"sum by (app) without (x)(rate({app="shop"}[5m]))"#,
            "at line 1, col 14: syntax error: unexpected without, expecting (",
        ),
        (
            r#"sum by (app)(rate({app="shop"}[5m])) by (app)"#,
            "at line 1, col 38: syntax error: unexpected by",
        ),
        (r#"sum(1, rate({app="shop"}[5m]))"#, ": unsupported parameter for operation sum(1,"),
        (r#"topk(0, rate({app="shop"}[5m]))"#, ": invalid parameter (must be greater than 0) topk(0"),
        (r#"topk(1.5, rate({app="shop"}[5m]))"#, ": invalid parameter topk(1.5,"),
        (r#"topk("1", rate({app="shop"}[5m]))"#, "at line 1, col 6: syntax error: unexpected STRING"),
        (r#"group(rate({app="shop"}[5m]))"#, "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        ("sum by (app)", "at line 1, col 13: syntax error: unexpected $end, expecting ("),
        (r#"abs(rate({app="shop"}[5m]))"#, "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (r#"absent(rate({app="shop"}[5m]))"#, "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (
            r#"label_join(rate({app="shop"}[5m]), "a", ",", "b")"#,
            "at line 1, col 1: syntax error: unexpected IDENTIFIER",
        ),
        (r#"rate({app="shop"}[5m]) +"#, "at line 1, col 25: syntax error: unexpected $end"),
        (r#"-rate({app="shop"}[5m])"#, "at line 1, col 2: syntax error: unexpected RATE, expecting NUMBER"),
        (r#"rate({app="shop"}[5m]) ** 2"#, "at line 1, col 25: syntax error: unexpected *"),
        (r#"rate({app="shop"}[5m]) = 2"#, "at line 1, col 24: syntax error: unexpected ="),
        (
            r#"rate({app="shop"}[5m]) and 1"#,
            ": unexpected literal for right leg of logical/set binary operation (and): 1.000000",
        ),
        (
            r#"1 or rate({app="shop"}[5m])"#,
            ": unexpected literal for left leg of logical/set binary operation (or): 1.000000",
        ),
        (
            r#"rate({app="shop"}[5m]) + {app="shop"}"#,
            ": unexpected type for right leg of binary operation (+): *syntax.MatchersExpr",
        ),
        (
            r#"{app="shop"} + 1"#,
            ": unexpected type for left leg of binary operation (+): *syntax.MatchersExpr",
        ),
        (
            r#"rate({app="shop"}[5m]) + on rate({app="shop"}[5m])"#,
            "at line 1, col 29: syntax error: unexpected RATE, expecting (",
        ),
        (
            r#"rate({app="shop"}[5m]) + group_left rate({app="shop"}[5m])"#,
            "at line 1, col 26: syntax error: unexpected group_left",
        ),
        ("1 +", "at line 1, col 4: syntax error: unexpected $end"),
        (
            "0x10",
            r#": unable to parse literal as a float: strconv.ParseFloat: parsing "0x10": invalid syntax"#,
        ),
        ("Inf", "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (r#"1 + "x""#, "at line 1, col 5: syntax error: unexpected STRING"),
        ("vector()", "at line 1, col 8: syntax error: unexpected ), expecting NUMBER"),
        ("vector(-1)", "at line 1, col 8: syntax error: unexpected -, expecting NUMBER"),
        ("-vector(1)", "at line 1, col 2: syntax error: unexpected VECTOR, expecting NUMBER"),
        ("scalar(vector(1))", "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (r#"rate({app="shop"} offset 5m [5m])"#, "at line 1, col 19: syntax error: unexpected offset"),
        (
            r#"rate({app="shop"}[5m] offset)"#,
            "at line 1, col 29: syntax error: unexpected ), expecting DURATION",
        ),
        (
            r#"rate({app="shop"}[5m] offset 5m offset 5m)"#,
            "at line 1, col 33: syntax error: unexpected offset, expecting )",
        ),
        (r#"rate({app="shop"}[5m] @ 100)"#, "at line 1, col 23: syntax error: unexpected '@', expecting )"),
        (
            r#"label_replace(rate({app="shop"}[5m]), "a", "b", "c")"#,
            "at line 1, col 52: syntax error: unexpected ), expecting ,",
        ),
        (
            r#"label_replace({app="shop"}, "a", "b", "c", "d")"#,
            "at line 1, col 27: syntax error: unexpected ,",
        ),
        (r#"rate({app="shop"}[5m]"#, "at line 1, col 22: syntax error: unexpected $end, expecting )"),
        (r#"{a.b="x"}"#, "at line 1, col 3: syntax error: unexpected ., expecting = or =~ or !~ or !="),
        (r#"{app="shop"} or"#, "at line 1, col 16: syntax error: unexpected $end"),
        (r#"({app="shop"}) |= "x""#, "at line 1, col 16: syntax error: unexpected |="),
        (
            r#"{a="b"} | label_format a=`x` | x > -5KB"#,
            "at line 1, col 37: syntax error: unexpected BYTES, expecting NUMBER",
        ),
        (r#"rate({a="b"}[5m] offset 9223372036854775808ns)"#, "at line 1, col 25: duration out of range"),
        (
            r#"rate({a="b"} | unwrap x | json [5m])"#,
            "at line 1, col 27: syntax error: unexpected json, expecting IDENTIFIER or (",
        ),
        (r#"rate({a="b"}[5m"#, "at line 1, col 13: missing closing ']' in duration"),
        (r#"rate(({a="b"}))"#, "at line 1, col 15: syntax error: unexpected )"),
        (r#"topk(rate({a="b"}[5m]))"#, ": parameter required for operation topk"),
        (r#"topk(1.0, rate({a="b"}[5m]))"#, ": invalid parameter topk(1.0,"),
        (
            r#"quantile_over_time({a="b"} | unwrap x [5m])"#,
            ": parameter required for operation quantile_over_time",
        ),
        (
            r#"quantile_over_time(-1, {a="b"} | unwrap x [5m])"#,
            "at line 1, col 20: syntax error: unexpected -, expecting NUMBER or { or (",
        ),
        (r#"count_over_time({a="b"} | unwrap x [5m])"#, ": invalid aggregation count_over_time with unwrap"),
        (r#"sort(rate({a="b"}[5m])) by (x)"#, ": grouping not allowed for sort aggregation"),
        (r#"approx_topk(2, rate({a="b"}[5m])) by ()"#, ": grouping not allowed for approx_topk aggregation"),
        (r#"rate({a="b"}[5m]) by (x)"#, ": grouping not allowed for rate aggregation"),
        (
            r#"label_replace(vector(1), "a", "b", "c", "(")"#,
            ": invalid regex in label_replace: error parsing regexp: missing closing ): `(`",
        ),
        (r#"{a="b"} | x=~"(""#, ": error parsing regexp: missing closing ): `(`"),
        (r#"{a="b"} | drop x=~"(""#, ": error parsing regexp: missing closing ): `(`"),
        (
            r#"{a="b"} | pattern "x""#,
            ": invalid pattern parser: at least one capture is required: invalid expression",
        ),
        (
            r#"{a="b"} | pattern "<_>""#,
            ": invalid pattern parser: at least one capture is required: invalid expression",
        ),
        ("{a=\"b\"} | json\n  | xml", "at line 2, col 8: syntax error: unexpected $end"),
        (
            "1e999",
            r#": unable to parse literal as a float: strconv.ParseFloat: parsing "1e999": value out of range"#,
        ),
        (
            r#"{a="b"} | x=1__0"#,
            r#": unable to parse literal as a float: strconv.ParseFloat: parsing "1__0": invalid syntax"#,
        ),
        (r#"{a="b"} | (x="1""#, "at line 1, col 17: syntax error: unexpected $end"),
        (
            r#"{a="b"} | logfmt --Strict"#,
            "at line 1, col 20: syntax error: unexpected IDENTIFIER, expecting NUMBER",
        ),
        ("vector(1) + unless vector(2)", "at line 1, col 13: syntax error: unexpected unless"),
        ("vector(1) on(a) + vector(2)", "at line 1, col 11: syntax error: unexpected on"),
        ("sum by (app,) (vector(1))", "at line 1, col 13: syntax error: unexpected ), expecting IDENTIFIER"),
        (r#"{a="b"} |~ ip(1)"#, "at line 1, col 15: syntax error: unexpected NUMBER, expecting STRING"),
        (r#"{a="b"} | ip(x)"#, "at line 1, col 11: syntax error: unexpected ip"),
        (r#"count_values("x", vector(1))"#, "at line 1, col 1: syntax error: unexpected IDENTIFIER"),
        (r#"{a="b"} | unwrap"#, "at line 1, col 11: syntax error: unexpected unwrap"),
        (r#"rate({a="b"}[5m][5m])"#, "at line 1, col 17: syntax error: unexpected RANGE, expecting )"),
    ] {
        assert_eq!(parse_query(query).unwrap_err().to_string(), format!("parse error {wanted}"), "{query}");
    }
}
