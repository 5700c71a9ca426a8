//! Does every tail get every line once?

use super::rig::{Rig, Row, labels, row, slot, tenant};
use crate::tail::{Delivery, Encoder, Lost, Tail, TailEntry};
use crate::{LabelFilter, LogQuery, ReadRules, Reader};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// Wakes the thread of the test.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// `n=<stream> <ts> <line>` a row.
fn write(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    let rows = entries.map(|entry| {
        let stream = entry.stream().get("n").unwrap_or("").to_owned();
        format!("{stream} {} {}\n", entry.ts(), String::from_utf8_lossy(entry.line()))
    });
    rows.collect::<String>().into_bytes()
}

const ENCODER: Encoder = Encoder { name: "test", write };

fn open(rig: &Rig, query: &str) -> Tail {
    open_as(rig, Reader::of(tenant()), query)
}

fn open_as(rig: &Rig, reader: Reader, query: &str) -> Tail {
    rig.query.tail(&reader, &LogQuery::parse(query).unwrap(), ENCODER)
}

fn text(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// The history of a tail, which then goes on behind it.
fn history(rig: &Rig, tail: &mut Tail, start: i64, limit: usize) -> Vec<String> {
    let history = rig.query.tail_history(&slot(&rig.query), tail, ENCODER, start, limit).unwrap();
    assert_eq!(history.warnings, [""; 0]);
    tail.begin_after(&history);
    history.frames.iter().flat_map(|frame| text(frame.bytes())).collect()
}

fn next(tail: &mut Tail) -> Delivery {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match tail.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(delivery) => return delivery,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(30)),
        }
    }
}

/// Live rows up to the one that ends with `last`.
fn live_until(tail: &mut Tail, last: &str) -> Vec<String> {
    let mut rows = Vec::new();
    while !rows.last().is_some_and(|row: &String| row.ends_with(last)) {
        match next(tail) {
            Delivery::Frame(frame) => rows.extend(text(frame.bytes())),
            other => panic!("{other:?}"),
        }
    }
    rows
}

#[test]
fn live_lines_go_through_the_stages_and_only_to_those_who_asked() {
    let rig = Rig::new();
    rig.push(&[row(1, 5, "before")]);
    let mut even = open(&rig, r#"{env="even"} |= "x" | logfmt | a>1 | line_format "{{.a}}!""#);
    let mut all = open(&rig, r#"{env=~".+"}"#);
    assert_eq!(history(&rig, &mut even, 0, 10), [""; 0]);
    assert_eq!(history(&rig, &mut all, 0, 10), ["1 5 before"]);
    rig.push(&[row(2, 9, "a=2 x"), row(2, 8, "a=3 x"), row(2, 7, "a=1 x"), row(2, 6, "a=5")]);
    rig.push(&[row(3, 10, "a=9 x"), row(4, 11, "a=4 x")]);
    assert_eq!(live_until(&mut even, "4!"), ["2 8 3!", "2 9 2!", "4 11 4!"]);
    let rows = live_until(&mut all, "a=4 x");
    assert_eq!(rows.len(), 6);
    // A stream that is known by now meets a matcher that is new, and one that has gone.
    drop(all);
    let mut odd = open(&rig, r#"{env="odd"}"#);
    assert_eq!(history(&rig, &mut odd, 7, 1), ["3 10 a=9 x"]);
    rig.push(&[row(2, 12, "a=7 x"), row(3, 12, "z")]);
    assert_eq!(live_until(&mut odd, "z"), ["3 12 z"]);
    assert_eq!(live_until(&mut even, "7!"), ["2 12 7!"]);
}

#[test]
fn errors_of_stages_are_labels_as_in_queries() {
    let rig = Rig::new();
    let mut tail = open(&rig, r#"{n="1"} | json"#);
    history(&rig, &mut tail, 0, 10);
    let metadata = vec![("env".to_owned(), "clash".to_owned()), ("k".to_owned(), "v".to_owned())];
    rig.push(&[Row { metadata, ..row(1, 5, "no json") }]);
    let Delivery::Frame(frame) = next(&mut tail) else { panic!("lost") };
    let entry = &frame.entries()[0];
    let joined: BTreeMap<_, _> = strandline_model::Metadata(&entry.labels())
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!((joined["env"].as_str(), joined["env_extracted"].as_str()), ("odd", "clash"));
    assert_eq!((joined["__error__"].as_str(), joined["k"].as_str()), ("JSONParserErr", "v"));
    let apart = entry.apart();
    let names = |packed: &[u8]| -> Vec<String> {
        strandline_model::Metadata(packed).iter().map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(names(&apart.stream), ["env", "n"]);
    assert_eq!(names(&apart.metadata), ["env_extracted", "k"]);
    assert!(names(&apart.parsed).contains(&"__error__".to_owned()));
}

#[test]
fn equal_tails_share_one_run_and_its_bytes() {
    let rig = Rig::new();
    let mut tails: Vec<Tail> = (0..20).map(|_| open(&rig, r#"{env="odd"} |= "x""#)).collect();
    tails.push(open(&rig, r#"{env="odd"}  |=  "x""#));
    rig.push(&[row(1, 5, "x")]);
    let frames: Vec<_> = tails
        .iter_mut()
        .map(|tail| match next(tail) {
            Delivery::Frame(frame) => frame,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(frames.iter().all(|frame| Arc::ptr_eq(frame, &frames[0])));
    assert_eq!(rig.query.hub().matchers(), 1);
    drop(tails);
    assert_eq!(rig.query.hub().matchers(), 0);
}

#[test]
fn a_tail_that_is_not_read_loses_its_oldest_lines_and_is_told() {
    let rig = Rig::new();
    let mut slow = open(&rig, r#"{env="odd"}"#);
    let mut quick = open(&rig, r#"{env="odd"}"#);
    history(&rig, &mut slow, 0, 10);
    history(&rig, &mut quick, 0, 10);
    let long = "y".repeat(50_000);
    for n in 0..100 {
        rig.push(&[row(1, n, &long)]);
        assert_eq!(live_until(&mut quick, "y").len(), 1, "one that is read loses nothing");
    }
    let Delivery::Lost(Lost { count, named }) = next(&mut slow) else { panic!("nothing was lost") };
    assert!((50..100).contains(&count), "{count}");
    let lost: Vec<i64> = named.iter().map(|(ts, _)| *ts).collect();
    assert_eq!(lost, (0..count as i64).collect::<Vec<_>>(), "the oldest, in order");
    assert_eq!(named[0].1.as_deref(), Some(&labels(1)));
    let mut kept = Vec::new();
    while kept.len() < 100 - count as usize {
        let Delivery::Frame(frame) = next(&mut slow) else { panic!("lost twice") };
        kept.extend(frame.entries().iter().map(TailEntry::ts));
    }
    assert_eq!(kept, (count as i64..100).collect::<Vec<_>>());
}

/// Rows without two that are the same entry.
fn distinct(rows: Vec<(u8, i64, u8)>) -> Vec<Row> {
    let mut seen = std::collections::BTreeSet::new();
    let rows = rows.into_iter().filter(|row| seen.insert(*row));
    rows.map(|(stream, ts, line)| row(stream, ts, &format!("a={line}"))).collect()
}

fn shown(rows: &[Row], change: fn(&str) -> String) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let line = change(std::str::from_utf8(&row.line).unwrap());
        *counts.entry(format!("{} {} {line}", row.stream, row.ts)).or_default() += 1;
    }
    counts
}

fn counted(rows: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += 1);
    counts
}

/// A query, and what it makes of a line.
type Shown = (&'static str, fn(&str) -> String);

/// Stages that leave lines alone, that make lines alike before and behind the search for the newest.
const QUERIES: [Shown; 4] = [
    (r#"{env=~".+"}"#, str::to_owned),
    (r#"{env=~".+"} | line_format "same""#, |_| "same".to_owned()),
    (r#"{env=~".+"} | logfmt | a>=0 | line_format "same""#, |_| "same".to_owned()),
    (r#"{env=~".+"} |= "a" | drop n, env"#, str::to_owned),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is committed before, between and behind: history is the newest of what was there, and everything that
    /// was committed after the tail was opened comes exactly once, by one way or the other.
    #[test]
    fn history_and_live_lines_meet_without_gap_or_double(
        rows in proptest::collection::vec((0u8..3, 0i64..4, 0u8..3), 1..60),
        cuts in proptest::array::uniform3(0usize..60),
        limit in 1usize..12,
        batch in 1usize..6,
        start in 0i64..3,
        flush in any::<bool>(),
        query in 0usize..QUERIES.len(),
    ) {
        let (query, change) = QUERIES[query];
        let rows = distinct(rows);
        let mut cuts = cuts.map(|cut| cut.min(rows.len()));
        cuts.sort_unstable();
        let [before, seam, flushed] = cuts;
        let rig = Rig::new();
        // With another tail open, what was committed before may still be on its way when this one opens.
        let _other = open(&rig, r#"{env="odd"} | logfmt"#);
        let push = |rows: &[Row]| rows.chunks(batch).for_each(|rows| rig.push(rows));
        push(&rows[..before]);
        let mut tail = open(&rig, query);
        push(&rows[before..seam]);
        if flush {
            rig.engine.flush_all().unwrap();
        }
        let history = history(&rig, &mut tail, start, limit);
        push(&rows[seam..flushed]);
        push(&rows[flushed..]);
        rig.push(&[row(9, 100, "a=9 end")]);
        let end = change("a=9 end");
        let mut live = live_until(&mut tail, &format!("9 100 {end}"));
        live.pop();

        prop_assert!(history.len() <= limit);
        // History: as many as there are, and nothing newer left out.
        let there = rows[..seam].iter().filter(|row| row.ts >= start);
        let mut times: Vec<i64> = there.map(|row| row.ts).collect();
        times.sort_unstable();
        let newest = times.split_off(times.len().saturating_sub(limit));
        let ts = |row: &String| row.split(' ').nth(1).unwrap().parse::<i64>().unwrap();
        prop_assert_eq!(history.iter().map(ts).collect::<Vec<_>>(), newest);
        // What came after the tail comes once, what came before at most once, and then in the history.
        let (old, new) = (shown(&rows[..before], change), shown(&rows[before..], change));
        let (in_history, all) = (counted(&history), counted(&[history.clone(), live.clone()].concat()));
        for (row, n) in &new {
            let of_old = old.get(row).copied().unwrap_or(0);
            let found = all.get(row).copied().unwrap_or(0);
            prop_assert!(found >= *n && found <= n + of_old, "{} {} {} of {:?} {:?}", row, n, found, history, live);
        }
        for (row, n) in counted(&live) {
            prop_assert!(n <= new.get(&row).copied().unwrap_or(0), "{} is not new", row);
        }
        for row in all.keys() {
            prop_assert!(new.contains_key(row) || in_history.contains_key(row));
        }
    }
}

#[test]
fn the_seam_holds_while_lines_come_in() {
    for round in 0..30 {
        let rig = Rig::new();
        let total = 400;
        let opened = std::thread::scope(|scope| {
            let pusher = scope.spawn(|| {
                for n in 0..total {
                    rig.push(&[row((n % 3) as u8, n / 7, &format!("line {n} end"))]);
                }
            });
            let mut tails = Vec::new();
            while !pusher.is_finished() {
                let mut tail = open(&rig, r#"{env=~".+"}"#);
                let rows = history(&rig, &mut tail, 0, 10_000);
                tails.push((tail, rows));
                // Some lines come in between two tails.
                let next = rig.engine.commits() + 4;
                while rig.engine.commits() < next && !pusher.is_finished() {
                    std::thread::yield_now();
                }
            }
            tails
        });
        rig.push(&[row(0, 1_000_000, "the last end")]);
        for (mut tail, mut rows) in opened {
            if !rows.last().is_some_and(|row| row.ends_with("last end")) {
                rows.extend(live_until(&mut tail, "the last end"));
            }
            let counts = counted(&rows);
            assert_eq!(counts.len(), total as usize + 1, "round {round}: a gap");
            assert!(counts.values().all(|n| *n == 1), "round {round}: something twice");
        }
    }
}

/// Labels and line of an entry.
fn write_labels(entries: &mut dyn Iterator<Item = &TailEntry>) -> Vec<u8> {
    let rows = entries.map(|entry| {
        let labels: Vec<String> = entry.stream().iter().map(|(n, v)| format!("{n}={v}")).collect();
        format!("{} {}\n", labels.join(","), String::from_utf8_lossy(entry.line()))
    });
    rows.collect::<String>().into_bytes()
}

#[test]
fn a_tail_shows_what_its_reader_may_see_and_tells_tenants_apart() {
    let rig = Rig::new();
    let other = strandline_model::TenantId::new("u").unwrap();
    let both = vec![tenant(), other.clone()];
    let reader = |tenants: &[_], filter: Option<&str>| {
        let filter = filter.map(|text| Arc::new(LabelFilter::parse(text).unwrap()));
        Reader::granted(tenants.to_vec(), filter, ReadRules::default())
    };
    // All ask the same; who asks makes the difference.
    let mut tails = [
        reader(&both, None),
        reader(&both, Some(r#"{n="1"}"#)),
        reader(&[tenant()], Some(r#"{n="1"}"#)),
        reader(&[tenant()], None),
        reader(std::slice::from_ref(&other), None),
    ]
    .map(|reader| {
        rig.query.tail(
            &reader,
            &LogQuery::parse(r#"{n=~".+"}"#).unwrap(),
            Encoder { name: "labels", write: write_labels },
        )
    });
    rig.push(&[row(1, 5, "a"), row(2, 6, "b"), row(1, 9, "end")]);
    rig.push_as(other, &[row(1, 7, "c"), row(2, 8, "d"), row(1, 10, "end")]);
    let wanted: [&[&str]; 5] = [
        &[
            "__tenant_id__=t,env=odd,n=1 a",
            "__tenant_id__=t,env=even,n=2 b",
            "__tenant_id__=u,env=odd,n=1 c",
            "__tenant_id__=u,env=even,n=2 d",
        ],
        &["__tenant_id__=t,env=odd,n=1 a", "__tenant_id__=u,env=odd,n=1 c"],
        &["env=odd,n=1 a"],
        &["env=odd,n=1 a", "env=even,n=2 b"],
        &["env=odd,n=1 c", "env=even,n=2 d"],
    ];
    for (tail, wanted) in tails.iter_mut().zip(wanted) {
        let ends = if wanted[0].starts_with("__") { 2 } else { 1 };
        let mut found = Vec::new();
        while found.iter().filter(|line: &&String| line.ends_with(" end")).count() < ends {
            match next(tail) {
                Delivery::Frame(frame) => found.extend(text(frame.bytes())),
                other => panic!("{other:?}"),
            }
        }
        found.retain(|line| !line.ends_with(" end"));
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_query_that_was_too_slow_ends_its_tails_and_can_be_asked_anew() {
    let rig = Rig::new();
    let mut slow = open(&rig, "{n=\"1\"}");
    slow.fail_as_slow();
    assert!(matches!(next(&mut slow), Delivery::Failed(_)));
    let mut again = open(&rig, "{n=\"1\"}");
    rig.push(&[row(1, 5, "x")]);
    assert!(matches!(next(&mut again), Delivery::Frame(frame) if text(frame.bytes()) == ["1 5 x"]));
    drop(slow);
    rig.push(&[row(1, 6, "y")]);
    assert!(matches!(next(&mut again), Delivery::Frame(frame) if text(frame.bytes()) == ["1 6 y"]));
    drop(again);
    assert_eq!(rig.query.hub().matchers(), 0);
}
