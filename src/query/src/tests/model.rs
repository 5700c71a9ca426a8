//! Is an answer what a plain look at all pushed lines gives, wherever these lie by now?

use super::rig::{Rig, Row, labels, shown, tenant};
use crate::{Direction, LogResult, ResultEntry, ResultStream};
use proptest::prelude::*;
use regex::bytes::Regex;
use std::collections::{BTreeMap, HashSet};
use strandline_model::TimeRange;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Push(Vec<Row>),
    /// An earlier push again.
    Repeat(usize),
    Seal,
    Flush,
    Compact,
    /// From here on the label index answers.
    Index,
    /// What was pushed so far, by selector, filter and range.
    Delete(usize, usize, TimeRange),
    /// Deleted lines leave the disk.
    Erase,
}

#[derive(Debug, Clone)]
struct Ask {
    selector: usize,
    filter: usize,
    range: TimeRange,
    limit: usize,
    direction: Direction,
}

/// Whether a stream is selected.
type Selects = fn(u8) -> bool;

const SELECTORS: [(&str, Selects); 4] = [
    (r#"{env=~".+"}"#, |_| true),
    (r#"{n="1"}"#, |n| n == 1),
    (r#"{env="even", n!="2"}"#, |n| n.is_multiple_of(2) && n != 2),
    (r#"{n="9"}"#, |n| n == 9),
];

/// Filters with the patterns of which all must match, and those of which none may.
const FILTERS: [(&str, &[&str], &[&str]); 11] = [
    ("", &[], &[]),
    (r#"|= "ab""#, &["ab"], &[]),
    (r#"|= "b c""#, &["b c"], &[]),
    (r#"!= "a""#, &[], &["a"]),
    (r#"|= "a" != "b""#, &["a"], &["b"]),
    (r#"|= "a" |= "d""#, &["a", "d"], &[]),
    (r#"|= "cc" or "dd""#, &["cc|dd"], &[]),
    (r#"|~ "[ab][^b]*d""#, &["[ab][^b]*d"], &[]),
    (r#"|~ "^b" !~ "d$""#, &["^b"], &["d$"]),
    (r#"|~ "(?i)A+B""#, &["(?i)A+B"], &[]),
    (r#"|~ "a.?c" |= "d""#, &["a.?c", "d"], &[]),
];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let day = 86_400_000_000_000i64;
    let ts = prop_oneof![6 => 0i64..12, 2 => (0i64..3).prop_map(move |d| d * day + 5), 1 => 0..3 * day];
    let line = prop_oneof![8 => "[a-d ]{0,12}", 1 => "[a-d\n]{0,6}"].prop_map(String::into_bytes);
    let line = prop_oneof![9 => line, 1 => proptest::collection::vec(any::<u8>(), 0..6)];
    let metadata = proptest::collection::vec(("m|n|n_extracted|detected_level", "[x-z]{1,2}"), 0..2);
    let row = (0u8..5, ts, line, metadata);
    let row = row.prop_map(|(stream, ts, line, metadata)| Row { stream, ts, line, metadata });
    proptest::collection::vec(row, 1..12)
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => rows().prop_map(Step::Push),
        2 => any::<usize>().prop_map(Step::Repeat),
        1 => Just(Step::Seal),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Index),
        1 => (0..SELECTORS.len(), 0..FILTERS.len(), ranges()).prop_map(|(s, f, r)| Step::Delete(s, f, r)),
        1 => Just(Step::Erase),
    ];
    proptest::collection::vec(step, 1..14)
}

fn ranges() -> impl Strategy<Value = TimeRange> {
    prop_oneof![
        2 => Just(TimeRange::ALL),
        1 => (0i64..12, 0i64..14).prop_map(|(start, len)| TimeRange::new(start, start + len))
    ]
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let range = ranges();
    let ask =
        (0..SELECTORS.len(), 0..FILTERS.len(), range, prop_oneof![1usize..8, 40usize..400], any::<bool>());
    let ask = ask.prop_map(|(selector, filter, range, limit, forward)| {
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        Ask { selector, filter, range, limit, direction }
    });
    proptest::collection::vec(ask, 1..8)
}

/// Labels and metadata.
fn merged(row: &Row) -> Vec<(String, String)> {
    let labels = labels(row.stream);
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    // The last of equal metadata names counts; a renamed one loses against one of that name.
    let own: BTreeMap<_, _> = row.metadata.iter().cloned().collect();
    for (name, value) in own {
        let name = if labels.get(&name).is_some() { format!("{name}_extracted") } else { name };
        all.entry(name).or_insert(value);
    }
    all.extend(labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
    all.into_iter().collect()
}

/// Whether a row is selected, and its line passes the filters.
fn matcher(selector: usize, filter: usize) -> impl Fn(&Row) -> bool {
    let (_, must, must_not) = FILTERS[filter];
    let regex = |p: &&str| Regex::new(p).unwrap();
    let (must, must_not): (Vec<Regex>, Vec<Regex>) =
        (must.iter().map(regex).collect(), must_not.iter().map(regex).collect());
    move |r| {
        SELECTORS[selector].1(r.stream)
            && must.iter().all(|p| p.is_match(&r.line))
            && !must_not.iter().any(|p| p.is_match(&r.line))
    }
}

/// The answer by a plain look at everything, in order of arrival.
fn naive(all: &[Row], ask: &Ask) -> Vec<ResultStream> {
    let matches = matcher(ask.selector, ask.filter);
    let mut seen = HashSet::new();
    let mut rows: Vec<&Row> = all.iter().collect();
    rows.retain(|r| {
        let metadata: BTreeMap<_, _> = r.metadata.iter().cloned().collect();
        seen.insert((r.stream, r.ts, r.line.clone(), metadata)) && ask.range.contains(r.ts) && matches(r)
    });
    if ask.direction == Direction::Backward {
        rows.reverse();
    }
    let key =
        |r: &Row| if ask.direction == Direction::Backward { -i128::from(r.ts) } else { i128::from(r.ts) };
    rows.sort_by_key(|r| (key(r), labels(r.stream)));
    let mut streams: BTreeMap<Vec<(String, String)>, ResultStream> = BTreeMap::new();
    for row in rows.into_iter().take(ask.limit) {
        let labels = merged(row);
        let stream = streams.entry(labels.clone()).or_insert(ResultStream { labels, entries: Vec::new() });
        let (line, packed_metadata) = (row.line.clone().into(), Box::default());
        stream.entries.push(ResultEntry { ts: row.ts, line, packed_metadata, packed_parsed: Box::default() });
    }
    streams.into_values().collect()
}

fn check(rig: &Rig, all: &[Row], ask: &Ask) -> Result<(), TestCaseError> {
    let query = format!("{} {}", SELECTORS[ask.selector].0, FILTERS[ask.filter].0);
    let found = rig.logs(&query, ask.range, ask.limit, ask.direction);
    prop_assert_eq!(&found.warnings, &Vec::<String>::new());
    let wanted = LogResult { streams: naive(all, ask), ..LogResult::default() };
    prop_assert_eq!(shown(&found), shown(&wanted), "{} {:?}", query, ask);
    prop_assert_eq!(found.streams, wanted.streams);
    Ok(())
}

/// Runs the steps; what was pushed and is not deleted, in order of arrival.
pub(super) fn live(rig: &Rig, steps: Vec<Step>) -> Vec<Row> {
    let mut pushes: Vec<Vec<Row>> = Vec::new();
    let mut all: Vec<Row> = Vec::new();
    for step in steps {
        match step {
            Step::Push(rows) => {
                rig.push(&rows);
                all.extend_from_slice(&rows);
                pushes.push(rows);
            }
            Step::Repeat(i) if !pushes.is_empty() => {
                let rows = &pushes[i % pushes.len()];
                rig.push(rows);
                all.extend_from_slice(rows);
            }
            Step::Repeat(_) => {}
            Step::Seal => rig.engine.seal(),
            Step::Flush => rig.engine.flush_all().unwrap(),
            Step::Compact => rig.compact(),
            Step::Index => rig.engine.rebuild_labels().unwrap(),
            Step::Delete(selector, filter, range) => {
                let query = format!("{} {}", SELECTORS[selector].0, FILTERS[filter].0);
                let (first, last) = (range.start, range.end.saturating_sub(1));
                rig.query.add_delete(&tenant(), &query, (first, last)).unwrap();
                let matches = matcher(selector, filter);
                all.retain(|row| !(range.contains(row.ts) && matches(row)));
            }
            Step::Erase => while rig.engine.erase_one(&mut || true).unwrap() {},
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_a_plain_look(steps in steps(), asks in asks()) {
        let rig = Rig::new();
        let all = live(&rig, steps);
        for ask in &asks {
            check(&rig, &all, ask)?;
        }
    }
}
