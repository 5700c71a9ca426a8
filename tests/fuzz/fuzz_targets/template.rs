//! Templates: any text is refused or compiled, and what it makes of a line and its labels is bounded and repeatable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::{Parts, SAMPLE};
use strandline_logql::ast::{LabelFormatExpr, LabelFormatValue, Stage};
use strandline_logql::{Needed, Patterns, Pipeline, Row};
use strandline_model::Labels;

/// What a template may write at most.
const MAX_OUTPUT: usize = 1 << 20;
/// When the entry was logged, and when it is looked at.
const TIMES: (i64, i64) = (1_700_000_000_123_456_789, 1_700_000_100_000_000_000);

fuzz_target!(init: strandline_fuzz::seeds::plant("template"), |data: &[u8]| {
    // The template, then the line, then the value of a label, with a byte 0xff between them.
    let mut parts = Parts::new(data);
    let template = String::from_utf8_lossy(parts.next()).into_owned();
    let line = parts.next();
    let value = String::from_utf8_lossy(parts.next()).into_owned();
    let stream = Labels::parse(SAMPLE).unwrap();
    let metadata = [("trace_id", "1f0a"), ("user", value.as_str())];

    let stages = [Stage::LineFormat(template.clone())];
    let Ok(pipeline) = Pipeline::compile(&stages, &Needed::All, &mut Patterns::default()) else { return };
    let mut row = Row::new(TIMES.0, TIMES.1, line, &stream, metadata);
    assert!(pipeline.process_all(&mut row), "a format drops nothing");
    let first = row.line().to_vec();
    assert!(first.len() <= MAX_OUTPUT.max(line.len()), "{} bytes", first.len());
    let failed = row.error().is_some();
    if failed {
        assert_eq!(first, line, "a template that fails leaves the line");
    }
    row.reset(TIMES.0, line, &stream, metadata);
    assert!(pipeline.process_all(&mut row));
    assert_eq!((row.line(), row.error().is_some()), (first.as_slice(), failed));

    // As a label it makes the same text, as far as it is one.
    let format = LabelFormatExpr { name: "made".into(), value: LabelFormatValue::Template(template) };
    let Ok(pipeline) = Pipeline::compile(&[Stage::LabelFormat(vec![format])], &Needed::All, &mut Patterns::default()) else {
        panic!("a template for a line is one for a label");
    };
    row.reset(TIMES.0, line, &stream, metadata);
    assert!(pipeline.process_all(&mut row));
    assert_eq!(row.error().is_some(), failed);
    if let (false, Ok(text)) = (failed, std::str::from_utf8(&first)) {
        assert_eq!(row.get("made").unwrap_or(""), text);
    }
});
