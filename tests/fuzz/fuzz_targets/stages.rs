//! Stages over any line: repeatable, the same values whichever labels are asked for, and needles that are really there.
//!
//! The properties are those of `src/logql/src/pipeline/property_tests.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use strandline_fuzz::{PIPELINES, Parts, SAMPLE};
use strandline_logql::ast::{Expr, MetricExpr, Stage, Unwrap};
use strandline_logql::{Needed, Patterns, Pipeline, Row, Unwrapped, parse_query};
use strandline_model::{Labels, Metadata, Needle};

/// Labels that a pipeline may be asked for.
const NAMES: [&str; 16] = [
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
    "trace_id",
    "user",
    "b_extracted",
    "msg",
];

/// Compiling costs more than running, so each pipeline is asked for so many sets of names.
const MASKS: usize = 24;

/// A pipeline, asked for everything and for some labels.
struct Chain {
    all: Pipeline,
    few: Vec<(BTreeSet<String>, Pipeline)>,
    unwrap: Option<Unwrapped>,
}

impl Chain {
    fn new(stages: &[Stage], unwrap: Option<Unwrap>) -> Self {
        let unwrap = unwrap.map(|unwrap| Unwrapped::compile(&unwrap, &mut Patterns::default()).unwrap());
        let few = (0..MASKS).map(|i| {
            // None, each single one in turn, and mixtures.
            let mask = if i == 0 {
                0
            } else if i < NAMES.len() {
                1 << i
            } else {
                i * 0x9e37 >> 1
            };
            let chosen = NAMES.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
            let asked: BTreeSet<String> = chosen.map(|(_, name)| (*name).to_owned()).collect();
            // The number's own labels are needed, as the query engine asks for them.
            let mut wanted = asked.clone();
            wanted.extend(unwrap.iter().flat_map(|unwrap| unwrap.reads().iter().cloned()));
            (asked, Pipeline::compile(stages, &Needed::Only(wanted), &mut Patterns::default()).unwrap())
        });
        Self { all: Pipeline::compile(stages, &Needed::All, &mut Patterns::default()).unwrap(), few: few.collect(), unwrap }
    }
}

static CHAINS: LazyLock<Vec<Chain>> = LazyLock::new(|| {
    PIPELINES
        .iter()
        .map(|text| {
            let (log, unwrap) = match parse_query(text).unwrap_or_else(|e| panic!("{text}: {e}")) {
                Expr::Log(log) => (log, None),
                Expr::Metric(MetricExpr::Range(range)) => (range.log, range.unwrap),
                Expr::Metric(_) => panic!("{text}"),
            };
            Chain::new(&log.stages, unwrap)
        })
        .collect()
});

static STREAM: LazyLock<Labels> = LazyLock::new(|| Labels::parse(SAMPLE).unwrap());
static OTHER: LazyLock<Labels> = LazyLock::new(|| Labels::parse(r#"{z="1"}"#).unwrap());

/// Line, labels and the number that it stands for (as bits) of a row that passes.
type Outcome = Option<(Vec<u8>, BTreeMap<String, String>, Option<u64>)>;

fuzz_target!(init: strandline_fuzz::seeds::plant("stages"), |data: &[u8]| {
    let [choice, mask, bare] = data.first_chunk::<3>().copied().unwrap_or_default();
    let chain = &CHAINS[choice as usize % CHAINS.len()];
    let mut parts = Parts::new(data.get(3..).unwrap_or_default());
    let value = String::from_utf8_lossy(parts.next()).into_owned();
    // The rest is the line, with whatever bytes.
    let line = parts.rest();
    // A stream and metadata that have the labels, or ones that do not.
    let (stream, metadata) = if bare & 1 == 1 { (&*OTHER, Vec::new()) } else { (&*STREAM, pack(&value)) };

    let all = outcome(&chain.all, chain.unwrap.as_ref(), line, stream, &metadata, false);
    let again = outcome(&chain.all, chain.unwrap.as_ref(), line, stream, &metadata, true);
    assert_eq!(all, again, "a row that was used before shows something else");

    if all.is_some() {
        assert!(contains(line, Metadata(&metadata), &chain.all.needle()), "{:?}", chain.all.needle());
        for needle in chain.all.label_needles() {
            if stream.get(&needle.label).is_none() {
                assert!(contains(line, Metadata(&metadata), &needle.entry()), "{needle:?}");
            }
        }
    }
    // What decides alone drops the same rows.
    let decided = outcome(chain.all.decisive(), None, line, stream, &metadata, false);
    let passes = chain.all.line_filters().is_match(line) && decided.is_some();
    assert_eq!(passes, all.is_some(), "the deciding stages decide something else");

    let (asked, few) = &chain.few[mask as usize % MASKS];
    let few = outcome(few, chain.unwrap.as_ref(), line, stream, &metadata, false);
    assert_eq!(all.is_some(), few.is_some(), "fewer labels drop other rows");
    if let (Some((all_line, all, all_number)), Some((few_line, few, few_number))) = (all, few) {
        assert_eq!((all_line, all_number), (few_line, few_number));
        for name in asked {
            assert_eq!(all.get(name), few.get(name), "{name}");
        }
    }
});

fn pack(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Metadata::pack(&mut out, &mut vec![("trace_id", "1f0a"), ("user", value), ("b", "meta"), ("app", "m")]);
    out
}

fn outcome(
    pipeline: &Pipeline,
    unwrap: Option<&Unwrapped>,
    line: &[u8],
    stream: &Labels,
    metadata: &[u8],
    used: bool,
) -> Outcome {
    let before: &[u8] = br#"{"a":"before","b":{"c":2},"_entry":"x"}"#;
    let mut row = Row::new(5, 7, if used { before } else { line }, stream, Metadata(metadata));
    if used {
        pipeline.process_all(&mut row);
        row.reset(5, line, stream, Metadata(metadata));
    }
    if !pipeline.process_all(&mut row) {
        return None;
    }
    let number = unwrap.and_then(|unwrap| unwrap.sample(&mut row, false)).map(f64::to_bits);
    let labels: BTreeMap<_, _> = row.labels().map(|l| (l.name.to_owned(), l.value.to_owned())).collect();
    for (name, value) in &labels {
        assert_eq!(row.get(name), Some(value.as_str()), "{name}");
    }
    Some((row.line().to_vec(), labels, number))
}

fn contains(line: &[u8], metadata: Metadata<'_>, needle: &Needle) -> bool {
    match needle {
        Needle::Any => true,
        Needle::Literal(text) => memchr::memmem::find(line, text).is_some(),
        Needle::Metadata { name, value } => metadata.get(name) == Some(value),
        Needle::All(all) => all.iter().all(|needle| contains(line, metadata, needle)),
        Needle::OneOf(all) => all.iter().any(|needle| contains(line, metadata, needle)),
        // Folding is the index's affair: here it is enough that it is a text.
        Needle::LiteralFolded(text) => {
            let fold = |text: &str| text.to_lowercase();
            fold(&String::from_utf8_lossy(line)).contains(&fold(text)) || !text.is_ascii() || !line.is_ascii()
        }
    }
}
