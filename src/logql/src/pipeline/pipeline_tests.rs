//! Do the stages show a line as Loki shows it? Tables of stages, lines and answers, and properties over any line.

use super::*;
use crate::ast::*;
use proptest::prelude::*;
use strandline_model::{Labels, MatchOp, Metadata};

/// A few words for building stages: `json`, `json a=b.c`, `logfmt --strict`, `drop a, b=c`.
pub(super) fn stage(text: &str) -> Stage {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let pairs = || rest.split(", ").filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, p)));
    let extractions = || {
        let pair = |(n, e): (&str, &str)| Extraction { name: n.to_owned(), expression: e.to_owned() };
        pairs().map(pair).collect()
    };
    let choices = || {
        let choice = |p: &str| match p.split_once('=') {
            Some((n, v)) => LabelChoice { name: n.into(), condition: Some((MatchOp::Equal, v.into())) },
            None => LabelChoice { name: p.into(), condition: None },
        };
        rest.split(", ").map(choice).collect()
    };
    match word {
        "json" => Stage::Json(extractions()),
        "logfmt" => Stage::Logfmt { strict: false, keep_empty: false, extractions: extractions() },
        "strict" => Stage::Logfmt { strict: true, keep_empty: false, extractions: extractions() },
        "keepempty" => Stage::Logfmt { strict: false, keep_empty: true, extractions: extractions() },
        "regexp" => Stage::Regexp(rest.into()),
        "pattern" => Stage::Pattern(rest.into()),
        "unpack" => Stage::Unpack,
        "decolorize" => Stage::Decolorize,
        "line" => Stage::LineFormat(rest.into()),
        "drop" => Stage::Drop(choices()),
        "keep" => Stage::Keep(choices()),
        "rename" => Stage::LabelFormat(
            pairs()
                .map(|(name, from)| LabelFormatExpr {
                    name: name.into(),
                    value: LabelFormatValue::Label(from.into()),
                })
                .collect(),
        ),
        "label" => Stage::LabelFormat(
            pairs()
                .map(|(name, text)| LabelFormatExpr {
                    name: name.into(),
                    value: LabelFormatValue::Template(text.into()),
                })
                .collect(),
        ),
        "|=" => line_filter(LineFilterOp::Contains, rest),
        "!=" => line_filter(LineFilterOp::NotContains, rest),
        "|>" => line_filter(LineFilterOp::Pattern, rest),
        "where" => Stage::LabelFilter(condition(rest)),
        other => panic!("{other}"),
    }
}

fn line_filter(op: LineFilterOp, text: &str) -> Stage {
    let operand = match text.strip_prefix("ip ") {
        Some(range) => LineOperand::Ip(range.into()),
        None => LineOperand::Text(text.into()),
    };
    Stage::LineFilter(LineFilterExpr { op, operands: vec![operand] })
}

/// `a=x`, `a!=x`, `a=~x`, `a>1`, `a>1s`, `a>1KB`, `a=ip x`, with ` or ` and ` and ` (the right side first).
fn condition(text: &str) -> LabelFilterExpr {
    if let Some((left, right)) = text.split_once(" or ") {
        return LabelFilterExpr::Or(Box::new(condition(left)), Box::new(condition(right)));
    }
    if let Some((left, right)) = text.split_once(" and ") {
        return LabelFilterExpr::And(Box::new(condition(left)), Box::new(condition(right)));
    }
    if let Some((name, range)) = text.split_once("=ip ") {
        let negative = name.ends_with('!');
        return LabelFilterExpr::Ip {
            name: name.trim_end_matches('!').into(),
            negative,
            range: range.into(),
        };
    }
    for (sign, op) in [
        ("==", CompareOp::Equal),
        ("<>", CompareOp::NotEqual),
        (">=", CompareOp::GreaterEqual),
        (">", CompareOp::Greater),
        ("<", CompareOp::Less),
    ] {
        if let Some((name, value)) = text.split_once(sign) {
            let value = match (value.parse::<f64>(), units::parse_duration(value)) {
                (Ok(number), _) => Quantity::Number(number),
                (_, Ok(ns)) => Quantity::Duration(ns),
                _ => Quantity::Bytes(units::parse_bytes(value).unwrap()),
            };
            return LabelFilterExpr::Quantity { name: name.into(), op, value };
        }
    }
    let (name, op, value) = if let Some((name, value)) = text.split_once("!=") {
        (name, MatchOp::NotEqual, value)
    } else if let Some((name, value)) = text.split_once("=~") {
        (name, MatchOp::Regex, value)
    } else if let Some((name, value)) = text.split_once("!~") {
        (name, MatchOp::NotRegex, value)
    } else {
        let (name, value) = text.split_once('=').unwrap();
        (name, MatchOp::Equal, value)
    };
    LabelFilterExpr::Text(MatcherExpr { name: name.into(), op, value: value.into() })
}

fn stages(text: &str) -> Vec<Stage> {
    text.split(" | ").filter(|s| !s.is_empty()).map(stage).collect()
}

const STREAM: &str = r#"{app="shop", level="info"}"#;

fn packed() -> Vec<u8> {
    let mut out = Vec::new();
    Metadata::pack(&mut out, &mut vec![("trace", "t1")]);
    out
}

/// The line and the labels that the stages show; those that the entry came with are left out.
fn run_with(text: &str, line: &[u8], needed: &Needed) -> String {
    let pipeline = Pipeline::compile(&stages(text), needed, &mut Patterns::default()).unwrap();
    let stream = Labels::parse(STREAM).unwrap();
    let metadata = packed();
    let mut row = Row::new(0, 0, line, &stream, Metadata(&metadata));
    if !pipeline.process_all(&mut row) {
        return "dropped".to_owned();
    }
    let mut out = if row.line() == line { String::new() } else { format!("[{}]", row.line().escape_ascii()) };
    let mut labels = Vec::new();
    row.sorted_labels(&mut labels);
    let given = [("app", "shop"), ("level", "info"), ("trace", "t1")];
    for (name, _) in given.iter().filter(|(name, _)| row.get(name).is_none()) {
        out.push_str(&format!(" -{name}"));
    }
    for label in labels.iter().filter(|l| l.name != row::ERROR_DETAILS && !given.contains(&(l.name, l.value)))
    {
        assert_eq!(row.get(label.name), Some(label.value));
        out.push_str(&format!(" {}={}", label.name, label.value));
    }
    out.trim().to_owned()
}

fn check(table: &[(&str, &str, &str)]) {
    for (text, line, wanted) in table {
        assert_eq!(run_with(text, line.as_bytes(), &Needed::All), *wanted, "{text} over {line}");
    }
}

#[test]
#[rustfmt::skip]
fn json_as_loki_reads_it() {
    check(&[
        ("json", r#"{"a":1,"b":"x","c":true,"d":null,"e":[1,"]"],"f":{"g":{"h":-1.50}}}"#, "a=1 b=x c=true f_g_h=-1.50"),
        ("json", r#"{"a":1,"a":2,"A":3}"#, "A=3 a=1"),
        ("json", r#"  {"n":8,"pad":"yes"}  "#, "n=8 pad=yes"),
        ("json", r#"{"n":7} trailing"#, "n=7"),
        ("json", r#"{"n":3,"broken":"#, "__error__=JSONParserErr n=3"),
        ("json", r#"{"x":1,"user":{"id":6,"name":"Fa"#, "__error__=JSONParserErr x=1"),
        ("json", r#"{"x":1,"user":{"id":6,"y":?},"z":1}"#, "__error__=JSONParserErr user_id=6 x=1"),
        ("json", r#"{"a":{"x":1,"b":{"y":2,"c":"#, "__error__=JSONParserErr"),
        ("json", "plain", "__error__=JSONParserErr"), ("json", "", "__error__=JSONParserErr"),
        ("json", "[1]", "__error__=JSONParserErr"), ("json", r#""s""#, "__error__=JSONParserErr"), ("json", "{}", ""),
        ("json", r#"{"u":"\u00e9\ud83d\ude80","s":"\/"}"#, "s=/ u=\u{e9}\u{1f680}"),
        ("json", r#"{"a_b":1,"a":{"b":2},"a.b":3,"a-b":4}"#, "a_b=1"),
        ("json", r#"{"x":"","y":" ","1z":"0","é":2}"#, "_=2 _1z=0 x= y="),
        ("json", r#"{"app":"inner","level":"x","trace":"y"}"#, "app_extracted=inner level_extracted=x trace_extracted=y"),
        ("json", r#"{"__error__":"x","a":1}"#, "__error__=x a=1"),
        ("json", r#"{"a":1,}"#, "a=1"), ("json", r#"{"a" 1}"#, "__error__=JSONParserErr"), ("json", r#"{"a":tru}"#, "__error__=JSONParserErr"),
        ("json", r#"{"\u0061b":1}"#, "ab=1"), ("json", r#"{"":1," ":2}"#, ""),
        ("json", "{\"a\":\"b\tc\"}", "a=b\tc"),
    ]);
}

#[test]
#[rustfmt::skip]
fn json_expressions_as_loki_reads_them() {
    check(&[
        ("json n=user.name", r#"{"user":{"name":"Ana"}}"#, "n=Ana"),
        ("json t=user.tags[0], u=user.tags[5]", r#"{"user":{"tags":["vip","eu"]}}"#, "t=vip u="),
        ("json u=user", r#"{"user": {"id":1, "t":["a"]} }"#, r#"u={"id":1, "t":["a"]}"#),
        (r#"json r=h["x-id"]"#, r#"{"h":{"x-id":"r1"}}"#, "r=r1"),
        ("json a=m, b=a", r#"{"m":"GET"}"#, "a=GET b="),
        ("json a=a, b=b", r#"{"a":null,"b":false}"#, "a= b=false"),
        ("json y=y, z=z[0], x=x", r#"{"x":{},"y":[],"z":[{}]}"#, "x={} y=[] z={}"),
        ("json n=user.name", r#"{"user":{"id":6,"name":"Fa"#, "__error__=JSONParserErr n="),
        ("json n=user.tags[0]", r#"{"user":{"id":6,"name":"Fa"#, "n="), ("json who=who", r#"{"n":3,"broken":"#, "who="),
        ("json who=who", "plain", "__error__=JSONParserErr"), ("json who=who", r#""a string""#, "who="), ("json w=w", "", ""),
        ("json first=[0]", r#"["array",4]"#, "first=array"), ("json app=app", r#"{"app":"x"}"#, "app_extracted=x"),
        ("json app=app", r#"{"b":"x"}"#, ""), ("json | json s=u.id", r#"{"s":1,"u":{"id":2}}"#, "s=2 u_id=2"),
        ("json s=u | json s=v", r#"{"u":1}"#, "s=1"), ("json a=x, b=x, c=x.y", r#"{"x":{"y":1}}"#, r#"a={"y":1} b={"y":1} c=1"#),
        ("json a=x[1].y, b=x[0]", r#"{"x":[[1,2],{"y":"q"}]}"#, "a=q b=[1,2]"),
    ]);
}

#[test]
#[rustfmt::skip]
fn logfmt_as_loki_reads_it() {
    check(&[
        ("logfmt", r#"a=1 msg="two words" b"#, "a=1 msg=two words"), ("keepempty", r#"a= b c="""#, "a= b= c="),
        ("logfmt", "a=1 a=2", "a=1"), ("logfmt", "a.b=1 a-b=2 1a=3 a/b=4 \u{e9}=5", "_=5 _1a=3 a_b=1"),
        ("keepempty", "=x y= z", "y= z="), ("logfmt", r#"a="esc \" q" b="tab\tx" d="u\u00e9""#, "a=esc \" q b=tab\tx d=u\u{e9}"),
        ("logfmt", r#"a=b"c d"=e f="g"h"#, "f=g"), ("logfmt", r#"a="  p  " b= c"#, "a=  p"), ("logfmt", "a=1\tb=2,c=3;d=4", "a=1"),
        ("logfmt", r#"x={"a":1} y=[1,2]"#, "y=[1,2]"), ("logfmt", r#"n=6 who="unterminated"#, "n=6"),
        ("strict", r#"n=6 who="unterminated"#, "__error__=LogfmtParserErr n=6"), ("strict", r#"{"n":0}"#, "__error__=LogfmtParserErr"),
        ("strict", "just words 2", ""), ("keepempty", "just words 2", "_2= just= words="), ("keepempty", r#"{"n":7} trailing"#, "trailing="),
        ("logfmt", "level=warn", "level_extracted=warn"), ("logfmt d=dup", "dup=1 dup=2", "d=2"), ("logfmt no=no", "a=1", "no="),
        ("logfmt level=level", "level=warn", "level_extracted=warn"), ("logfmt level=level", "a=1", ""),
        ("logfmt a=b", "a=1", "a=1"), ("logfmt x=a_b", "a.b=1", "x=1"), ("strict o=o", r#"o=1 b="x"#, "__error__=LogfmtParserErr o=1"),
        ("json | logfmt", "n=11 level=x", "__error__=JSONParserErr level_extracted=x n=11"),
        ("logfmt | json", r#"{"n":3,"broken":"#, "__error__=JSONParserErr n=3"),
    ]);
}

/// What is no text, and what stands for it, is a blank in a label.
#[test]
fn replacement_characters_become_blanks() {
    for (text, line, wanted) in [
        ("logfmt", &b"a=x\xffy \xff=2"[..], "a=x y"),
        ("logfmt", b"a=\"x\\t\xe2\x82y\" b=\xef\xbf\xbd", "a=x\t  y b="),
        ("logfmt z=a", "a=x\u{fffd}".as_bytes(), "z=x"),
        ("json", "{\"a\":\"x\u{fffd}y\",\"b\":\"\\n\u{fffd}z\"}".as_bytes(), "a=x y b=\n z"),
        ("json", b"{\"a\":\"x\xff\xffy\"}", "a=x  y"),
        ("json z=a", "{\"a\":[\"\u{fffd}\"]}".as_bytes(), "z=[\" \"]"),
        ("regexp (?P<a>.*)$", "x\u{fffd}y".as_bytes(), "a=x y"),
        ("pattern <a>,", b"x\xffy,", "a=x y"),
        ("unpack", "{\"_entry\":\"l\u{fffd}\",\"p\":\"\u{fffd}q\"}".as_bytes(), "[l ] p= q"),
        ("logfmt | where a=x y", b"a=x\xffy", "a=x y"),
        ("json | where a=x y", b"{\"a\":\"x\xffy\"}", "a=x y"),
    ] {
        assert_eq!(run_with(text, line, &Needed::All), wanted, "{text} over {}", line.escape_ascii());
    }
}

#[test]
fn details_of_json_faults_are_those_of_loki() {
    const OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
    const ARRAY: &str = "Value is array, but can't find closing ']' symbol";
    const STRING: &str = "Value is string, but can't find closing '\"' symbol";
    const MALFORMED: &str = "Malformed JSON error";
    let stream = Labels::parse(STREAM).unwrap();
    for (text, line, wanted) in [
        ("json", "x", OBJECT),
        ("json", "", OBJECT),
        ("json", "{", MALFORMED),
        ("json", "{x", OBJECT),
        ("json", r#"{"a"#, MALFORMED),
        ("json", r#"{"a" 1}"#, MALFORMED),
        ("json", r#"{"a":"#, MALFORMED),
        ("json", r#"{"a":1"#, ARRAY),
        ("json", r#"{"a":1,"#, ARRAY),
        ("json", r#"{"a":1 "b":2}"#, OBJECT),
        ("json", r#"{"a":1,2}"#, OBJECT),
        ("json", r#"{"a":"x"#, STRING),
        ("json", r#"{"a":[1"#, ARRAY),
        ("json", r#"{"a":{"b":1,"#, OBJECT),
        ("json", r#"{"a":{"b" 1}}"#, MALFORMED),
        ("json", r#"{"a":tru}"#, "Unknown value type"),
        ("json", r#"{"a\x":1}"#, "Encountered an invalid escape sequence in a string"),
        ("unpack", r#"{"_entry":"l""#, ARRAY),
        ("unpack", r#"{"_entry":"l","\x":"1"}"#, "Encountered an invalid escape sequence in a string"),
    ] {
        let pipeline = Pipeline::compile(&stages(text), &Needed::All, &mut Patterns::default()).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        assert!(pipeline.process_all(&mut row));
        assert_eq!(row.error_details(), Some(wanted), "{text} over {line}");
    }
}

/// A metric query that groups sees a fault of a parser unless it names no labels, or all that it names were found before.
#[test]
fn faults_count_as_far_as_a_grouped_query_reads() {
    let fails = |names: &[&str], text: &str, line: &str| {
        let names = Needed::Grouped(names.iter().map(|name| (*name).to_owned()).collect());
        let pipeline = Pipeline::compile(&stages(text), &names, &mut Patterns::default()).unwrap();
        let stream = Labels::parse(STREAM).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        pipeline.process_all(&mut row).then(|| row.error().is_some())
    };
    let (broken, inner) = (r#"{"a":1,"b":2,broken"#, r#"{"x":{"a":1,broken"#);
    for (names, text, line, wanted) in [
        // Without a name no parser does anything.
        (&[][..], "json", broken, Some(false)),
        (&[], "unpack", "plain", Some(false)),
        (&[], "json y=x", "plain", Some(false)),
        (&[], "strict", "a=b=c", Some(false)),
        // A filter names a label, whatever it comes from.
        (&[], "json | where app=shop", broken, Some(true)),
        (&[], "unpack | where app=shop", "plain", Some(true)),
        (&[], "json y=x | where app=shop", "plain", Some(true)),
        (&[], "strict | where app=shop", "a=b=c", Some(true)),
        (&[], "json | where app=other", broken, None),
        (&[], "json | where no=", "plain", Some(true)),
        // What was found before the fault is enough.
        (&["a"], "json", broken, Some(false)),
        (&["a"], "json | where b=2", broken, Some(false)),
        (&["a", "c"], "json", broken, Some(true)),
        (&["x_a"], "json", inner, Some(true)),
        (&["a"], "strict", "a=1 b=c=d", Some(false)),
        (&["b"], "strict", "a=1 b=c=d", Some(true)),
        (&["app"], "json", broken, Some(true)),
        (&["a"], "json | drop __error__", "plain", Some(false)),
    ] {
        assert_eq!(fails(names, text, line), wanted, "{names:?} {text} over {line}");
    }
}

#[test]
fn filters_take_several_texts_and_ranges() {
    let takes = |query: &str, line: &str| {
        let log = crate::parse(&format!("{{a=\"b\"}} {query}")).unwrap();
        let pipeline = Pipeline::compile(&log.stages, &Needed::All, &mut Patterns::default());
        pipeline.map(|pipeline| pipeline.line_filters().is_match(line.as_bytes())).map_err(|e| e.to_string())
    };
    assert_eq!(takes(r#"|= ip("") or "x""#, "x"), Ok(true));
    assert_eq!(takes(r#"|= "x" or ip("")"#, "y 1.1.1.1"), Ok(false));
    assert_eq!(takes(r#"!= "x" or "y""#, "ay"), Ok(false));
    assert_eq!(takes(r#"|~ "(?P<x>a)(?P<x>b)""#, "ab"), Ok(true));
    let error = |cause: &str| Err(format!("parse error : stage {cause}"));
    assert_eq!(takes(r#"|= ip("")"#, "x"), error(r#"'|= ip("")' : ip: invalid pattern: """#));
    assert_eq!(takes(r#"!~ ip("1.1.1.1")"#, "x"), error(r#"'!~ ip("1.1.1.1")' : ip: invalid operation"#));
    assert_eq!(
        takes(r#"|= ip("10.0.0.1 - 10.0.0.9")"#, "x"),
        error(r#"'|= ip("10.0.0.1 - 10.0.0.9")' : ip: invalid pattern: "10.0.0.1 - 10.0.0.9""#)
    );
}

#[test]
fn templates_read_what_the_renames_before_them_left() {
    let shown = |formats: &str, line: &str| {
        let log = crate::parse(&format!("{{a=\"b\"}} | logfmt {formats}")).unwrap();
        let pipeline = Pipeline::compile(&log.stages, &Needed::All, &mut Patterns::default()).unwrap();
        let stream = Labels::parse("{}").unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        if !pipeline.process_all(&mut row) {
            return "dropped".to_owned();
        }
        let mut labels = Vec::new();
        row.sorted_labels(&mut labels);
        let shown =
            labels.iter().filter(|l| l.name != row::ERROR_DETAILS).map(|l| format!("{}={}", l.name, l.value));
        shown.collect::<Vec<_>>().join(" ")
    };
    for (formats, line, wanted) in [
        ("| label_format foo=bar, x=`{{.bar}}`", "bar=1", "foo=1 x="),
        ("| label_format foo=bar, x=`{{.foo}}`", "bar=1", "foo=1 x=1"),
        ("| label_format x=`{{.bar}}`, foo=bar", "bar=1", "foo=1 x=1"),
        // Later ones do not count.
        ("| label_format x=`{{.bar}}`, foo=bar, y=`{{.foo}}{{.bar}}{{.x}}`", "bar=1", "foo=1 x=1 y=1"),
        ("| label_format a=b, c=a, x=`{{.a}}{{.b}}{{.c}}`", "b=1", "c=1 x=1"),
        // An error is no label that could be moved, or compared as a number.
        ("--strict | label_format x=__error__", "a=b=c", "__error__=LogfmtParserErr"),
        (
            "--strict | label_format x=`{{.__error__}}`",
            "a=b=c",
            "__error__=LogfmtParserErr x=LogfmtParserErr",
        ),
        ("--strict | __error__ > 1", "a=b=c", "dropped"),
        ("--strict | __error_details__ != 1KB", "a=b=c", "dropped"),
        ("--strict | __error__ != 1s or __error__=~`Log.*`", "a=b=c", "__error__=LogfmtParserErr"),
        ("| x > 0x1p-1", "x=0x1.8p-1", "x=0x1.8p-1"),
    ] {
        assert_eq!(shown(formats, line), wanted, "{formats}");
    }
}

#[test]
#[rustfmt::skip]
fn the_other_parsers() {
    check(&[
        (r"regexp o=(?P<o>\d+)( z=(?<z>\d+))?", "x o=12 q", "o=12 z="), (r"regexp (?P<o>\d+)", "none", ""),
        ("regexp (?P<c>EUR) | regexp (?P<c>GBP)", "GBP EUR", "c=EUR"),
        ("pattern <ip> - <_> [<t>]", "10.0.0.1 - bob [now] x", "ip=10.0.0.1 t=now"), ("pattern <_>GET <p> <rest>", "POST /c 5", ""),
        ("pattern <a> no <b>", "GET /a", "a=GET /a"), ("pattern x <a>", "y x 1", ""), ("pattern <x>", "", ""),
        ("pattern <app>", "z", "app_extracted=z"), ("pattern <a> <b>", "1 2 3", "a=1 b=2 3"),
        ("unpack", r#"{"_entry":"li\"ne","pod":"p","n":5}"#, "[li\\\"ne] pod=p"), ("unpack", r#"{"pod":"p"}"#, ""),
        ("unpack", r#"{"_entry":"bad","pod":"#, "__error__=JSONParserErr"), ("unpack", "plain", "__error__=JSONParserErr"),
        ("unpack", r#"{"_entry":"","app":"q"}"#, "[] app_extracted=q"), ("unpack | |= in", r#"{"_entry":"line"}"#, "[line]"),
        ("unpack | |= _entry", r#"{"_entry":"line"}"#, "dropped"), ("json | unpack", r#"{"_entry":"l","p":"1"}"#, "[l] _entry=l p=1"),
        ("unpack | logfmt", r#"{"_entry":"a=1 b=\"x y\""}"#, r#"[a=1 b=\"x y\"] a=1 b=x y"#),
        ("decolorize", "\u{1b}[31mred\u{1b}[0m", "[red]"), ("decolorize | pattern <a>", "\u{1b}[1mx", "[x] a=x"),
    ]);
}

#[test]
#[rustfmt::skip]
fn conditions_on_labels() {
    let line = "n=5 d=1500ms b=3KB w=abc e=x1 ip=10.0.0.9 nan=NaN";
    for (filter, wanted) in [
        ("n=5", true), ("n!=5", false), ("no=", true), ("no!=x", true), ("no!=", false), ("w=~a.c", true), ("w=~b", false), ("w=~", true),
        ("w!~", false), ("w!~b", true), ("n==5", true), ("n<>5", false), ("n>4", true), ("n>=6", false), ("no>1", false), ("no<>1", false),
        ("d>1s", true), ("d<1s", false), ("b>2KB", true), ("b<1KiB", false), ("nan<>1", true), ("nan==1", false), ("level=info", true),
        ("trace=t1", true), ("app=ip 10.0.0.0/8", false), ("ip=ip 10.0.0.0/8", true), ("ip!=ip 10.0.0.0/8", false), ("w!=ip 10.0.0.0/8", true),
        ("no!=ip 10.0.0.0/8", false), ("n==4 or w=abc", true), ("n==4 and w=abc", false), ("__error__=", true),
    ] {
        let text = format!("logfmt | where {filter} | keep n");
        let answer = run_with(&text, line.as_bytes(), &Needed::All);
        assert_eq!(answer, if wanted { "-app -level -trace n=5" } else { "dropped" }, "{filter}");
    }
    let marked = |filter: &str| {
        run_with(&format!("logfmt | where {filter} | keep n"), line.as_bytes(), &Needed::All).contains("LabelFilterErr")
    };
    for (filter, wanted) in [
        ("w>1", true), ("w<>1", true), ("d>1", true), ("n>1s", true), ("w>1KB", true), ("w>1 or n>4", true), ("n>4 or w>1", false),
        ("n>4 and w>1", true), ("w>1 and n>4", true), ("w>1 and n>5", false),
    ] {
        assert_eq!(marked(filter), wanted, "{filter}");
    }
    check(&[
        // An error is not overwritten, and lets addresses pass.
        ("json | where app>1", "x", "__error__=JSONParserErr"), ("json | where no=ip 1.1.1.1", "x", "__error__=JSONParserErr"),
        ("json | where __error__=", "x", "dropped"), ("json | where __error__!=", "x", "__error__=JSONParserErr"),
        ("json | where app>1 | where __error__=LabelFilterErr", "{}", "__error__=LabelFilterErr"),
    ]);
}

#[test]
#[rustfmt::skip]
fn labels_and_lines_are_formatted_dropped_and_kept() {
    check(&[
        ("line x {{.app}}", "l", "[x shop]"), ("line {{.no}}", "l", "[]"), ("line {{div 1 0}}", "l", "__error__=TemplateFormatErr"),
        ("logfmt | line {{.a}} | logfmt", r#"a="b=1""#, "[b=1] a=b=1 b=1"), ("line {{.app}} | |= shop", "l", "[shop]"),
        ("line x{{__line__}} | line y{{__line__}}", "l", "[yxl]"),
        ("logfmt | rename m=a", "a=1", "m=1"), ("rename m=no", "l", ""), ("rename m=app", "l", "-app m=shop"),
        ("logfmt | rename a=a", "a=1", ""), ("rename app=level, level=app", "l", "-app"), ("label app=x", "l", "app=x"),
        ("label a=1, b={{.a}}{{.app}}", "l", "a=1 b=shop"), ("label a={{div 1 0}}, b=2", "l", "__error__=TemplateFormatErr b=2"),
        ("logfmt | label a={{.a}}{{.a}} | where a==11", "a=1", "a=11"), ("json | label e={{.__error__}} | drop __error__", "x", "e=JSONParserErr"),
        ("json | drop a", r#"{"a":1,"b":2}"#, "b=2"), ("json | drop a=1, b=1", r#"{"a":1,"b":2}"#, "b=2"), ("drop app", "l", "-app"),
        ("drop trace", "l", "-trace"), ("drop app | json", r#"{"app":1}"#, "-app app_extracted=1"),
        ("json | drop __error__=JSONParserErr", "x", ""), ("json | drop __error__, __error_details__", "x", ""),
        ("json | keep b", r#"{"a":1,"b":2}"#, "-app -level -trace b=2"), ("json | keep a=2, app", r#"{"a":1}"#, "-level -trace"),
        ("json | keep n", "x", "-app -level -trace __error__=JSONParserErr"),
        ("|= b | json | != c", r#"{"b":1}"#, "b=1"), ("json | != b", r#"{"b":1}"#, "dropped"), ("|> a<_>", "xab", ""), ("|> a<_>", "xa", "dropped"),
        ("|= ip 10.0.0.0/8", "at 10.1.1.1", ""), ("!= ip 10.0.0.0/8", "at 10.1.1.1", "dropped"),
    ]);
}

#[test]
fn mistakes_name_their_stage() {
    for text in [
        "json a=.",
        "regexp x",
        "regexp (",
        "pattern x",
        "|> <a>",
        "|= ip 1.2",
        "line {{",
        "label __error__=x",
        "label a=1, a=2",
        "where a=ip x",
        "where a=~(",
        "drop a",
        "logfmt a==",
    ] {
        let outcome = Pipeline::compile(&stages(text), &Needed::All, &mut Patterns::default());
        match outcome {
            Ok(_) => assert_eq!(text, "drop a"),
            Err(e) => assert!(e.to_string().starts_with("parse error : stage '"), "{e}"),
        }
    }
}

#[test]
fn the_planner_learns_what_is_read() {
    let only = |names: &[&str]| Needed::Only(names.iter().map(|n| (*n).to_owned()).collect());
    let facts = |text: &str, needed: &[&str]| {
        let pipeline = Pipeline::compile(&stages(text), &only(needed), &mut Patterns::default()).unwrap();
        let Needed::Only(reads) = pipeline.reads() else { return ("all".to_owned(), pipeline.needs_line()) };
        (reads.iter().cloned().collect::<Vec<_>>().join(" "), pipeline.needs_line())
    };
    assert_eq!(facts("where detected_level=error", &[]), ("detected_level".to_owned(), false));
    assert_eq!(facts("|= x | drop __error__", &["app"]), ("app".to_owned(), false));
    assert_eq!(facts("json | drop __error__, __error_details__", &["__error__"]), (String::new(), false));
    assert_eq!(facts("json | where a=1 | keep b", &["b", "c"]), ("a b".to_owned(), true));
    assert_eq!(facts("json", &["a_extracted"]), ("a a_extracted".to_owned(), true));
    assert_eq!(facts("rename a=b", &["a"]), ("a b".to_owned(), false));
    assert!(Pipeline::compile(&[], &Needed::All, &mut Patterns::default()).unwrap().is_empty());
}

#[test]
fn labels_ask_lines_for_their_values() {
    let needles = |text: &str| {
        let pipeline = Pipeline::compile(&stages(text), &Needed::All, &mut Patterns::default()).unwrap();
        let all = pipeline.label_needles().iter();
        all.map(|n| format!("{}: {:?}", n.label, n.line.as_ref()?).replace("Literal", "").into())
            .collect::<Option<Vec<String>>>()
            .unwrap_or_default()
    };
    let bytes = |text: &str| format!("({:?})", text.as_bytes());
    let (ana, u) = (bytes("ana"), bytes("\\u"));
    assert_eq!(needles("json | where user=ana"), [format!("user: OneOf([{ana}, {u}])")]);
    assert_eq!(needles(r"regexp xy=(?P<u>\d+) | where u!="), [format!("u: {}", bytes("xy="))]);
    assert_eq!(needles("pattern x=<u>. | where u=ana"), [format!("u: All([{ana}, {}])", bytes("x="))]);
    let entry = |text: &str| {
        let pipeline = Pipeline::compile(&stages(text), &Needed::All, &mut Patterns::default()).unwrap();
        pipeline.label_needles().iter().map(LabelNeedle::entry).collect::<Vec<_>>()
    };
    let metadata = Needle::Metadata { name: "user".to_owned(), value: "ana".to_owned() };
    let literal = |text: &str| Needle::Literal(text.as_bytes().to_vec());
    assert_eq!(entry("where user=ana"), std::slice::from_ref(&metadata));
    assert_eq!(
        entry("json | where user=ana"),
        [Needle::OneOf(vec![metadata, Needle::OneOf(vec![literal("ana"), literal("\\u")])])]
    );
    for text in [
        "where user=ana",
        "json | where user=",
        "json | where user!=ana",
        "json | where a=ana or b=ana",
        "line x | json | where a=ana",
        "json | rename user=b | where user=ana",
        "json | where a_extracted=ana",
        "json | where a=a\"b",
        "json | where __error__=ana",
    ] {
        assert_eq!(needles(text), [""; 0], "{text}");
    }
}

#[test]
fn samples_of_rows() {
    let sample = |label: &str, conversion, filters: &[&str], line: &str| {
        let unwrap = Unwrap {
            label: label.to_owned(),
            conversion,
            filters: filters.iter().map(|f| condition(f)).collect(),
        };
        let unwrapped = Unwrapped::compile(&unwrap, &mut Patterns::default()).unwrap();
        let needed = unwrapped.reads().iter().cloned().chain(["__error__".to_owned()]).collect();
        let pipeline =
            Pipeline::compile(&stages("logfmt"), &Needed::Only(needed), &mut Patterns::default()).unwrap();
        let stream = Labels::parse(STREAM).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        assert!(pipeline.process(&mut row));
        let value = unwrapped.sample(&mut row, false)?;
        assert_eq!(row.get(label), None);
        Some((value, row.error().map(str::to_owned)))
    };
    assert_eq!(sample("v", None, &[], "v=1_000"), Some((1000.0, None)));
    assert_eq!(sample("v", Some(Conversion::Duration), &[], "v=1.5s"), Some((1.5, None)));
    assert_eq!(sample("v", Some(Conversion::Bytes), &[], "v=5KiB"), Some((5120.0, None)));
    assert_eq!(sample("v", None, &[], "v=x"), Some((0.0, Some("SampleExtractionErr".to_owned()))));
    assert_eq!(sample("v", None, &["__error__="], "v=x"), None);
    assert_eq!(sample("v", None, &["v>10"], "v=9"), None);
    assert_eq!(sample("v", None, &["v>10"], "v=11"), Some((11.0, None)));
    assert_eq!(sample("v", None, &[], "w=1"), None);
}

#[path = "property_tests.rs"]
mod properties;
