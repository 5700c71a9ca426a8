//! Is what one row can cost bounded, and does who waits no more end it?

use super::tests::stage;
use super::*;
use std::cell::Cell;
use std::fmt::Write;
use strandline_model::Labels;

fn pipeline(stages: &[&str]) -> Pipeline {
    let stages: Vec<Stage> = stages.iter().map(|text| stage(text)).collect();
    Pipeline::compile(&stages, &Needed::All, &mut Patterns::default()).unwrap()
}

/// Bytes of labels and line behind the stages, and the error.
fn made(stages: &[&str], line: &str) -> (usize, Option<String>) {
    let stream = Labels::parse(r#"{app="a"}"#).unwrap();
    let mut row = Row::new(0, 0, line.as_bytes(), &stream, []);
    assert!(pipeline(stages).process(&mut row));
    let labels: usize = row.labels().map(|label| label.name.len() + label.value.len()).sum();
    (labels + row.line().len(), row.error().map(str::to_owned))
}

/// An object of many fields in another one with a long name.
fn nested(fields: usize, prefix: usize) -> String {
    let mut line = format!("{{\"{}\":{{", "p".repeat(prefix));
    for i in 0..fields {
        write!(line, "{}\"{i}\":1", if i > 0 { "," } else { "" }).unwrap();
    }
    line + "}}"
}

#[test]
fn what_stages_make_of_one_row_is_bounded() {
    let labels: Vec<String> = (0..40).map(|i| format!("l{i}={{{{repeat 1000000 `x`}}}}")).collect();
    let one_stage = format!("label {}", labels.join(", "));
    let many_stages: Vec<String> = labels.iter().map(|label| format!("label {label}")).collect();
    let places = format!("json {}", (0..60).map(|i| format!("l{i}=a")).collect::<Vec<_>>().join(", "));
    let groups =
        format!("regexp {}.*{}", (0..40).map(|i| format!("(?P<g{i}>")).collect::<String>(), ")".repeat(40));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(250_000));
    let many_stages: Vec<&str> = many_stages.iter().map(String::as_str).collect();
    for (stages, line, error) in [
        (vec![one_stage.as_str()], "x", "TemplateFormatErr"),
        (many_stages, "x", "TemplateFormatErr"),
        (vec!["json"], nested(5_000, 100_000).as_str(), "LabelsTooLargeErr"),
        (vec![places.as_str()], &long, "LabelsTooLargeErr"),
        (vec![groups.as_str()], &long, "LabelsTooLargeErr"),
    ] {
        let (bytes, found) = made(&stages, line);
        assert_eq!(found.as_deref(), Some(error), "{}", &stages[0][..20.min(stages[0].len())]);
        assert!(bytes < (6 << 20) + 4 * line.len(), "{bytes}");
    }
    let (bytes, error) = made(&["json"], &nested(5_000, 50));
    assert!(bytes > 250_000 && error.is_none());
}

#[test]
fn stages_end_when_nobody_waits_for_the_row_and_ask_so_only_where_rows_are_much_work() {
    let stream = Labels::parse(r#"{app="a"}"#).unwrap();
    let labels: Vec<String> = (0..500).map(|i| format!("l{i}={{{{.app}}}}")).collect();
    let line = nested(5_000, 50);
    let json = vec!["json"; 500];
    let asked = |stages: &[&str], line: &str, patience: usize| {
        let questions = Cell::new(0);
        let stop = || {
            questions.set(questions.get() + 1);
            questions.get() > patience
        };
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, []);
        (pipeline(stages).process_until(&mut row, &stop), questions.get())
    };
    assert_eq!(asked(&json, &line, 3), (false, 4));
    assert_eq!(asked(&[&format!("label {}", labels.join(", ")), "line x"], "x", 3), (false, 4));
    assert!(asked(&json, &line, usize::MAX).0);
    let usual = ["json", "where a>1", "line {{.a}} {{.b}}", "label c={{.a}}, d={{.b}}", "drop a"];
    assert_eq!(asked(&usual, r#"{"a":5,"b":"x"}"#, 0), (true, 0));
}
