//! Query text: what parses prints as text that means the same, in both layouts, and its stages compile or are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_logql::ast::{Expr, LogExpr, MetricExpr};
use strandline_logql::{MAX_QUERY_BYTES, Needed, Patterns, Pipeline, Unwrapped, compile_matchers, parse_query, pretty};

fuzz_target!(init: strandline_fuzz::seeds::plant("query"), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = parse_query(text);
    assert!(text.len() <= MAX_QUERY_BYTES || parsed.is_err(), "a query above the limit was taken");
    let Ok(query) = parsed else { return };

    let printed = query.to_string();
    // Escapes may make the printed text longer than what may be asked.
    if printed.len() <= MAX_QUERY_BYTES {
        let again = parse_query(&printed).unwrap_or_else(|e| panic!("{printed:?} does not parse: {e}"));
        // As text, for NaN equals nothing.
        let same = again == query || format!("{again:?}") == format!("{query:?}");
        assert!(same, "{printed:?} means something else: {query:?}, {again:?}");
        assert_eq!(again.to_string(), printed);
    }
    let laid_out = pretty(&query);
    if laid_out.len() <= MAX_QUERY_BYTES {
        let again = parse_query(&laid_out).unwrap_or_else(|e| panic!("{laid_out:?} does not parse: {e}"));
        // Sizes are rounded to what is shown of them, so it is the layout that must stay.
        assert_eq!(pretty(&again), laid_out);
        if !has_sizes(text) {
            assert_eq!(again.to_string(), printed);
        }
    }
    match &query {
        Expr::Log(log) => compile(log),
        Expr::Metric(metric) => each_log(metric, &mut |log| compile(log)),
    }
});

/// Whether there may be a size in bytes somewhere: a `b` behind a number, with or without a prefix.
fn has_sizes(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        (pair[0].is_ascii_digit() || b".kKmMgGtTpPeEiI".contains(&pair[0])) && matches!(pair[1], b'b' | b'B')
    })
}

fn compile(log: &LogExpr) {
    let _ = compile_matchers(&log.matchers, &mut Patterns::default());
    for needed in [Needed::All, Needed::Only(["a".to_owned()].into())] {
        if let Ok(pipeline) = Pipeline::compile(&log.stages, &needed, &mut Patterns::default()) {
            let _ = (pipeline.needle(), pipeline.label_needles(), pipeline.decisive(), pipeline.keeps_all());
        }
    }
}

fn each_log(metric: &MetricExpr, each: &mut dyn FnMut(&LogExpr)) {
    match metric {
        MetricExpr::Range(range) => {
            each(&range.log);
            if let Some(unwrap) = &range.unwrap {
                let _ = Unwrapped::compile(unwrap, &mut Patterns::default());
            }
        }
        MetricExpr::Vector(vector) => each_log(&vector.inner, each),
        MetricExpr::Binary(binary) => {
            each_log(&binary.left, each);
            each_log(&binary.right, each);
        }
        MetricExpr::LabelReplace(replace) => each_log(&replace.inner, each),
        MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
    }
}
