//! Does the naive evaluator itself know what Loki answers? Examples of its documentation, and answers of a real one.

use super::data::{Entry, Labels, labels};
use super::metric::{Vector, evaluate};
use super::stages;
use strandline_logql::ast::Expr;

fn entry(line: &str) -> Entry {
    let labels = labels(&[("app", "a"), ("level", "info")]);
    Entry { ts: 0, line: line.to_owned(), labels, metadata: Labels::new() }
}

/// The line and labels that `stages` make of `line`, without those of its stream.
fn after(stages: &str, line: &str) -> Option<(String, Vec<(String, String)>)> {
    let Ok(Expr::Log(log)) = strandline_logql::parse_query(&format!("{{app=\"a\"}} {stages}")) else {
        panic!("{stages}")
    };
    let rows = stages::rows(&log, &[entry(line)]);
    let known = |(name, value): &(String, String)| (name == "app" && value == "a") || name == "level";
    rows.into_iter()
        .next()
        .map(|row| (row.line.clone(), row.all().into_iter().filter(|l| !known(l)).collect()))
}

#[test]
fn stages_do_what_the_reference_says() {
    for (stages, line, wanted) in [
        (
            "| json",
            r#"{"a":{"b":"x\n"},"l":[1],"n":1.50,"z":null,"level":"e"}"#,
            "a_b=x\n level_extracted=e n=1.50",
        ),
        ("| json", "plain", "__error__=JSONParserErr __error_details__=..."),
        ("| json x=\"a.b[1]\", y=\"gone\"", r#"{"a":{"b":[0,{"c":1}]}}"#, "x={\"c\":1} y="),
        ("| logfmt", "a=1 a=2 b= c d.e=\"x y\"", "a=1 d_e=x y"),
        ("| logfmt --keep-empty", "b= c", "b= c="),
        ("| logfmt --strict", "a=1 b=c=d e=2", "__error__=LogfmtParserErr __error_details__=... a=1"),
        ("| logfmt x=\"a\", y=\"z\"", "a=1 a=2", "x=2 y="),
        ("| regexp `(?P<x>\\d+)(?P<y>z)?`", "a 12", "x=12 y="),
        ("| pattern `<a> <_> <b>;<c>`", "1 2 3 4", "a=1 b=3 4"),
        ("| pattern `x<a>`", "yx1", ""),
        ("| label_format b=app, c=`{{.app}}`", "", "b=a c="),
        ("| label_format c=`{{.app}}`, b=app", "", "b=a c=a"),
        ("| logfmt | a > 1", "a=z", "__error__=LabelFilterErr __error_details__=... a=z"),
    ] {
        let text = |labels: Vec<(String, String)>| {
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            after(stages, line).map(|(_, labels)| text(labels)).as_deref(),
            Some(wanted),
            "{stages} {line}"
        );
    }
    for (stages, line, wanted) in [
        ("| unpack", r#"{"_entry":"in","x":"1"}"#, Some("in")),
        ("| unpack", r#"{"entry":"in"}"#, Some(r#"{"entry":"in"}"#)),
        ("| decolorize", "\u{1b}[31mred\u{1b}[0m", Some("red")),
        ("| line_format `<{{.app}}{{.gone}}>` |= `<a>`", "x", Some("<a>")),
        ("|> `foo <_> baz`", "xx foo bar baz", Some("xx foo bar baz")),
        ("|> `foo <_> baz`", "foo bar baz!", None),
        ("|= ip(\"10.0.0.0/8\")", "from 10.1.2.3:80.", Some("from 10.1.2.3:80.")),
        ("!= `a` or `b`", "b", None),
        ("| gone != 5", "x", None),
        ("| logfmt | a=1 or b=2, c=3", "a=1", Some("a=1")),
        ("| logfmt | a=1, b=2 or c=3", "c=3 a=2", None),
        ("| logfmt | a=1 and b=2 or c=3", "c=3 a=2", Some("c=3 a=2")),
        ("| logfmt | d > 100ms and s <= 2KB", "d=1.5s s=2KB", Some("d=1.5s s=2KB")),
    ] {
        assert_eq!(after(stages, line).map(|(line, _)| line).as_deref(), wanted, "{stages} {line}");
    }
}

#[test]
fn numbers_are_what_the_reference_says() {
    let entries: Vec<Entry> = ["n=1", "n=3", "n=8"]
        .iter()
        .zip(0..)
        .map(|(line, i)| Entry { ts: i * 1_000_000_000, ..entry(line) })
        .collect();
    let value = |query: &str| -> Vector {
        let Ok(Expr::Metric(metric)) = strandline_logql::parse_query(query) else { panic!("{query}") };
        evaluate(&metric, &entries, &[2_000_000_000]).ok().unwrap().vectors(&[0]).remove(0)
    };
    for (query, wanted) in [
        ("sum(rate({app=\"a\"} [10s]))", Some(0.3)),
        ("count_over_time({app=\"a\"} [2s])", Some(2.0)),
        ("sum(bytes_over_time({app=\"a\"} [1s] offset 1s))", Some(3.0)),
        ("sum_over_time({app=\"a\"} | logfmt | unwrap n [10s])", Some(12.0)),
        ("quantile_over_time(0.5, {app=\"a\"} | logfmt | unwrap n [10s])", Some(3.0)),
        ("stddev_over_time({app=\"a\"} | logfmt | unwrap n [2s])", Some(2.5)),
        ("last_over_time({app=\"a\"} | logfmt | unwrap n [10s])", Some(8.0)),
        ("absent_over_time({app=\"b\"} [10s])", Some(1.0)),
        ("sum(count_over_time({app=\"a\"} [10s])) > 5", None),
        ("5 < bool sum(count_over_time({app=\"a\"} [10s]))", Some(0.0)),
        ("2 ^ 3 ^ 2 + 0 * vector(1)", Some(512.0)),
    ] {
        assert_eq!(value(query).first().map(|(_, value)| *value), wanted, "{query}");
    }
}
