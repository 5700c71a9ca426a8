//! Do the stages agree with plain models, whatever the line?

use super::*;
use std::collections::BTreeMap;
use strandline_model::Needle;

/// Text that is nearly what the parsers read.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let near_json = proptest::collection::vec(
        prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("[".to_owned()),
            Just("]".to_owned()),
            Just(",".to_owned()),
            Just(":".to_owned()),
            Just("\"".to_owned()),
            Just("\\".to_owned()),
            Just("\"a\":".to_owned()),
            Just("\"b\":".to_owned()),
            Just("\"x y\"".to_owned()),
            Just("\"\\u0061\"".to_owned()),
            Just("1".to_owned()),
            Just("null".to_owned()),
            Just("\"_entry\":\"a=1\"".to_owned()),
            Just(" ".to_owned()),
            Just("\"app\":\"in\"".to_owned()),
            Just("\u{e9}".to_owned()),
        ],
        0..24,
    )
    .prop_map(|parts| parts.concat().into_bytes());
    let near_logfmt = proptest::collection::vec(
        prop_oneof![
            Just("a=1"),
            Just("b=\"x y\""),
            Just("a="),
            Just("b"),
            Just("\""),
            Just("="),
            Just(" "),
            Just("a=\"\\u0061\""),
            Just("app=in"),
            Just("level=x"),
            Just("\\"),
            Just("10.0.0.1"),
            Just("a.b=2"),
        ],
        0..12,
    )
    .prop_map(|parts| parts.join(" ").into_bytes());
    let whole = json_value(3).prop_map(|value| {
        let mut out = String::from("{");
        write_json(&Json::Object(vec![("a".into(), value)]), &mut out);
        out[1..].to_owned().into_bytes()
    });
    prop_oneof![near_json, near_logfmt, whole, proptest::collection::vec(any::<u8>(), 0..48)]
}

const PIPELINES: [&str; 19] = [
    "json",
    "json a=a, b=b.a, c=a[1]",
    "logfmt",
    "strict",
    "keepempty",
    "logfmt a=a, z=b",
    "regexp (?P<a>[a-z]+)=(?P<b>.)",
    "pattern <a>=<b> <_>",
    "unpack",
    "unpack | logfmt",
    "json | logfmt",
    "logfmt | json | where a==1",
    "decolorize | json",
    "json | where a=1 | drop b",
    "json | keep a, b=x",
    "logfmt | rename c=a | label d={{.c}}",
    "json | line {{.a}} | json",
    "json | drop __error__ | where b!=",
    "json | where b=ip 10.0.0.0/8 or a=x y",
];

const NAMES: [&str; 12] = [
    "a",
    "b",
    "c",
    "d",
    "z",
    "a_a",
    "a_b",
    "app",
    "app_extracted",
    "level_extracted",
    "__error__",
    "__error_details__",
];

fn outcome(text: &str, line: &[u8], needed: &Needed) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let pipeline = Pipeline::compile(&stages(text), needed, &mut Patterns::default()).unwrap();
    let stream = Labels::parse(STREAM).unwrap();
    let mut row = Row::new(0, 0, b"before", &stream, Metadata(&[]));
    pipeline.process_all(&mut row);
    // As the second line of a row that was used already.
    row.reset(0, line, &stream, Metadata(&[]));
    let passes = pipeline.process_all(&mut row);
    passes.then(|| {
        (row.line().to_vec(), row.labels().map(|l| (l.name.to_owned(), l.value.to_owned())).collect())
    })
}

fn contains(line: &[u8], needle: &Needle) -> bool {
    match needle {
        Needle::Any => true,
        Needle::Literal(text) => memchr::memmem::find(line, text).is_some(),
        Needle::All(all) => all.iter().all(|needle| contains(line, needle)),
        Needle::OneOf(all) => all.iter().any(|needle| contains(line, needle)),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn fewer_labels_are_the_same_labels(
        line in line(),
        pipeline in proptest::sample::select(&PIPELINES[..]),
        names in proptest::sample::subsequence(&NAMES[..], 0..=NAMES.len()),
    ) {
        let all = outcome(pipeline, &line, &Needed::All);
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        let few = outcome(pipeline, &line, &Needed::Only(names.clone()));
        prop_assert_eq!(all.is_some(), few.is_some());
        if let (Some((all_line, all)), Some((few_line, few))) = (all, few) {
            prop_assert_eq!(all_line, few_line);
            for name in names {
                prop_assert_eq!(all.get(&name), few.get(&name), "{}", name);
            }
        }
    }

    #[test]
    fn lines_that_pass_hold_the_needle(
        line in line(),
        parser in proptest::sample::select(&["json", "logfmt", "json a=b, b=a", "unpack", "regexp (?P<a>[a-z]+)=(?P<b>.)", "pattern <a>=<b> <_>", "json | logfmt"][..]),
        filter in proptest::sample::select(&["a=1", "a!=", "b=x y", "b=~x|y", "a==1", "a=x and b=1", "a=a", "a=", "b=~.+", "a=a/b", "a=x", "a=~x|y|12"][..]),
    ) {
        let pipeline = Pipeline::compile(&stages(&format!("{parser} | where {filter}")), &Needed::All, &mut Patterns::default()).unwrap();
        let stream = Labels::parse("{z=\"1\"}").unwrap();
        let mut row = Row::new(0, 0, &line, &stream, Metadata(&[]));
        // Nothing that is looked at beforehand changes what the steps themselves say.
        let mut again = Row::new(0, 0, &line, &stream, Metadata(&[]));
        let by_steps = pipeline.line_filters().is_match(&line) && pipeline.steps.iter().all(|step| step.run(&mut again, &Watch::new(&|| false)));
        prop_assert_eq!(pipeline.process_all(&mut row), by_steps);
        if by_steps {
            prop_assert!(contains(&line, &pipeline.needle()));
            for needle in pipeline.label_needles() {
                let line_needle = needle.line.as_ref().unwrap_or(&Needle::Any);
                prop_assert!(contains(&line, line_needle), "{:?}", needle);
            }
        }
    }

    #[test]
    fn json_that_is_json_gives_its_leaves(value in json_value(4)) {
        let object = Json::Object(vec![("a".into(), value.clone()), ("b".into(), value)]);
        let mut line = String::new();
        write_json(&object, &mut line);
        let mut leaves = BTreeMap::new();
        flatten("", &object, &mut leaves);
        let stream = Labels::parse("{}").unwrap();
        let pipeline = Pipeline::compile(&stages("json"), &Needed::All, &mut Patterns::default()).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        prop_assert!(pipeline.process_all(&mut row));
        let found: BTreeMap<_, _> = row.labels().map(|l| (l.name.to_owned(), l.value.to_owned())).collect();
        prop_assert_eq!(found, leaves, "{}", line);
        // Each leaf can be asked for by its path, too.
        let extraction = Extraction { name: "b".into(), expression: "b".into() };
        let pipeline = Pipeline::compile(&[Stage::Json(vec![extraction])], &Needed::All, &mut Patterns::default()).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        prop_assert!(pipeline.process_all(&mut row));
        let mut whole = String::new();
        let Json::Object(fields) = &object else { unreachable!() };
        match &fields[1].1 {
            Json::Text(text) => whole.clone_from(text),
            Json::Null => {}
            other => write_json(other, &mut whole),
        }
        let whole = whole.replace(char::REPLACEMENT_CHARACTER, " ");
        prop_assert_eq!(row.get("b"), Some(whole.as_str()));
    }

    #[test]
    fn logfmt_that_is_logfmt_gives_its_pairs(
        pairs in proptest::collection::vec(("[a-c]{1,2}", prop_oneof!["[!#-<>-~]{1,6}", ".{0,8}"]), 0..6)
    ) {
        let quote = |text: &str| {
            let escaped: String = text.chars().map(|c| match c {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                c if c.is_control() => format!("\\u{:04x}", c as u32),
                c => c.to_string(),
            }).collect();
            format!("\"{escaped}\"")
        };
        let line: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={}", quote(v))).collect();
        let mut model = BTreeMap::new();
        for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            model.entry(key.clone()).or_insert_with(|| value.replace(char::REPLACEMENT_CHARACTER, " "));
        }
        let (_, mut found) = outcome("strict", line.join(" ").as_bytes(), &Needed::All).unwrap();
        found.retain(|name, _| name != "app" && name != "level");
        prop_assert_eq!(found, model);
    }

    #[test]
    fn patterns_cut_as_a_plain_search_does(line in "[ab ]{0,12}", first in "[ab ]{0,2}", between in "[ab ]{1,2}") {
        let wanted = line.strip_prefix(&first).filter(|_| !line.is_empty()).map(|rest| match rest.split_once(&between) {
            Some((x, y)) => (x.to_owned(), Some(y.to_owned())),
            None => (rest.to_owned(), None),
        });
        let stage = Stage::Pattern(format!("{first}<x>{between}<y>"));
        let stream = Labels::parse("{}").unwrap();
        let pipeline = Pipeline::compile(&[stage], &Needed::All, &mut Patterns::default()).unwrap();
        let mut row = Row::new(0, 0, line.as_bytes(), &stream, Metadata(&[]));
        prop_assert!(pipeline.process_all(&mut row));
        prop_assert_eq!(row.get("x").map(str::to_owned), wanted.clone().map(|(x, _)| x));
        prop_assert_eq!(row.get("y").map(str::to_owned), wanted.and_then(|(_, y)| y));
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let run = |line: &str, text: &str| outcome(text, line.as_bytes(), &Needed::All).unwrap().1;
    assert!(!run(&deep(100), "json").contains_key("__error__"));
    assert_eq!(run(&deep(200_000), "json")["__error__"], "JSONParserErr");
    assert_eq!(run(&"[".repeat(200_000), "json x=[0][0]")["x"], "");
    assert_eq!(run(&format!("{{\"a\":{}", "[".repeat(200_000)), "json")["__error__"], "JSONParserErr");
    run(&deep(200_000), "json x=a.a.a");
    run(&"{\"a\":".repeat(100_000), "unpack");
}

#[derive(Debug, Clone)]
enum Json {
    Null,
    Bool(bool),
    Number(i32),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

fn json_value(depth: u32) -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i32>().prop_map(Json::Number),
        any::<String>().prop_map(Json::Text),
        "[a-z\"\\\\{}\\[\\],:]{0,20}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            proptest::collection::vec(("[a-b.]{1,2}", inner), 0..4).prop_map(Json::Object),
        ]
    })
}

fn write_json(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(&value.to_string()),
        Json::Number(value) => out.push_str(&value.to_string()),
        Json::Text(text) => {
            out.push('"');
            for c in text.chars() {
                match c {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
        Json::Array(all) => {
            out.push('[');
            for (i, value) in all.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(value, out);
            }
            out.push(']');
        }
        Json::Object(all) => {
            out.push('{');
            for (i, (key, value)) in all.iter().enumerate() {
                out.push_str(if i > 0 { ", \"" } else { "\"" });
                out.push_str(key);
                out.push_str("\": ");
                write_json(value, out);
            }
            out.push('}');
        }
    }
}

fn flatten(prefix: &str, value: &Json, out: &mut BTreeMap<String, String>) {
    let text = match value {
        Json::Null | Json::Array(_) => return,
        Json::Bool(value) => value.to_string(),
        Json::Number(value) => value.to_string(),
        Json::Text(text) => text.replace(char::REPLACEMENT_CHARACTER, " "),
        Json::Object(all) => {
            for (key, value) in all {
                let key = key.replace('.', "_");
                let name = if prefix.is_empty() { key } else { format!("{prefix}_{key}") };
                flatten(&name, value, out);
            }
            return;
        }
    };
    out.entry(prefix.to_owned()).or_insert(text);
}
