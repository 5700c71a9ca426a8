//! Does a row show its labels as Loki does, and can it be used again?

use super::*;
use strandline_model::Metadata;

fn packed(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    Metadata::pack(&mut out, &mut pairs.to_vec());
    out
}

fn shown(row: &Row<'_>) -> String {
    let mut labels = Vec::new();
    row.sorted_labels(&mut labels);
    labels
        .iter()
        .map(|l| format!("{}={}{}", l.name, l.value, &format!("{:?}", l.category)[..1]))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn clashing_names_and_all_ways_to_change_them() {
    let stream = Labels::parse(r#"{app="a", env="e"}"#).unwrap();
    let metadata = packed(&[("app", "m"), ("zone", "z")]);
    let other = Labels::parse(r#"{b="c"}"#).unwrap();
    let line = b"third".to_vec();
    let mut row = Row::new(1, 2, b"line", &stream, Metadata(&metadata));
    assert_eq!(shown(&row), "app=aS app_extracted=mM env=eS zone=zM");
    assert!(!row.has_changed_labels());
    // If all three have the name, the parsed one is shown.
    let value = row.keep("p");
    row.push("app_extracted", value);
    assert_eq!(shown(&row), "app=aS app_extracted=pP env=eS zone=zM");
    row.remove("app_extracted");
    assert_eq!(row.get("app_extracted"), None);
    let value = row.value_of("app").unwrap();
    row.set("env", value);
    row.remove("app");
    assert_eq!(shown(&row), "env=aP zone=zM");
    row.set_error("JSONParserErr");
    row.set_details("d");
    row.retain(|name, _| name == "zone");
    assert_eq!(shown(&row), "__error__=JSONParserErrP __error_details__=dP zone=zM");
    row.remove(ERROR);
    assert_eq!((row.error(), row.error_details()), (None, Some("d")));
    assert!(row.has_changed_labels());

    row.reset(5, b"next", &stream, Metadata(&[]));
    assert_eq!((shown(&row).as_str(), row.line(), row.timestamp_ns()), ("app=aS env=eS", &b"next"[..], 5));
    let old = row.change_line(b"changed".to_vec());
    assert_eq!((old.len(), row.line(), row.stored_line()), (0, &b"changed"[..], None));

    row.reset(6, &line, &other, Metadata(&metadata));
    assert_eq!((shown(&row).as_str(), row.line(), row.now_ns()), ("app=mM b=cS zone=zM", &line[..], 2));
}
