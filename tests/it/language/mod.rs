//! Does the server answer as a naive reading of the language does? Random data, random queries, two answers each.
//!
//! `STRANDLINE_LANGUAGE_SEED` asks the queries of one seed again, `STRANDLINE_LANGUAGE_QUERIES` how many.

mod answer;
mod binary;
mod data;
mod examples;
mod filters;
mod grammar;
mod grammar_metric;
mod json;
mod metric;
mod parsers;
mod row;
mod samples;
mod stages;

use crate::rig::Rig;
use crate::sim::Dice;
use answer::{Asked, LogRow, Points, log_difference, metric_difference};
use data::{Entry, LENGTH, SECOND, START};
use metric::Stop;
use row::Row;
use std::cell::RefCell;
use std::collections::HashMap;
use strandline_logql::ast::{Expr, LogExpr, MetricExpr};

/// Queries of one set of data.
const ROUND: u64 = 150;

/// The pattern, compiled once.
fn regex(pattern: &str) -> regex::Regex {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, regex::Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        known.entry(pattern.to_owned()).or_insert_with(|| regex::Regex::new(pattern).unwrap()).clone()
    })
}

/// A pattern of a query: its classes are those of ASCII, as in Go.
fn go_regex(pattern: &str) -> regex::Regex {
    let classes =
        [("\\w", "[0-9A-Za-z_]"), ("\\d", "[0-9]"), ("\\S", "[^\\t\\n\\f\\r ]"), ("\\b", "(?-u:\\b)")];
    regex(&classes.iter().fold(pattern.to_owned(), |text, (class, ascii)| text.replace(class, ascii)))
}

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// How the queries went.
#[derive(Debug, Default)]
struct Tally {
    queries: u64,
    /// Answers that hold something.
    telling: u64,
    /// Queries that fail as they must.
    failing: u64,
    /// Queries to which several answers are right.
    undecided: u64,
    faults: Vec<String>,
}

#[test]
fn answers_are_those_of_a_naive_evaluator() {
    let queries = number_from_env("STRANDLINE_LANGUAGE_QUERIES").unwrap_or(300);
    let first = number_from_env("STRANDLINE_LANGUAGE_SEED").unwrap_or(1);
    let mut tally = Tally::default();
    for seed in first.. {
        if tally.queries >= queries {
            break;
        }
        round(seed, ROUND.min(queries - tally.queries), &mut tally);
    }
    println!(
        "{} queries: {} told something, {} failed as they must, {} undecided",
        tally.queries, tally.telling, tally.failing, tally.undecided
    );
    let shown = tally.faults.len().min(20);
    assert!(
        tally.faults.is_empty(),
        "{} faults:\n{}",
        tally.faults.len(),
        tally.faults[..shown].join("\n\n")
    );
    assert!(tally.telling * 2 > tally.queries, "most queries must find something");
}

/// Pushes the data of `seed`, a part of it into segments, and asks.
fn round(seed: u64, queries: u64, tally: &mut Tally) {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("SEGMENT__BLOCK_BYTES", "4KiB"), ("STORAGE__MIN_FREE_BYTES", "1MiB")];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let entries = data::entries(seed);
    let (segments, head) = entries.split_at(entries.len() * 7 / 10);
    for part in segments.chunks(entries.len() / 3) {
        push(&rig, part);
        assert_eq!(rig.post("/flush", &[], b"").status, 204);
    }
    push(&rig, head);
    let stored = data::stored(&entries);
    let mut dice = data::dice(!seed);
    if dice.chance(30) {
        rig.kill();
        rig.start();
    }
    for _ in 0..queries {
        tally.queries += 1;
        let query =
            if dice.chance(45) { grammar::log(&mut dice) } else { grammar_metric::metric(&mut dice, 2) };
        let outcome = match strandline_logql::parse_query(&query) {
            Ok(Expr::Log(log)) => ask_log(&rig, &mut dice, &query, &log, &stored, tally),
            Ok(Expr::Metric(metric)) => ask_metric(&rig, &mut dice, &query, &metric, &stored, tally),
            Err(error) => Err(format!("is not read: {error:?}")),
        };
        if let Err(fault) = outcome {
            tally.faults.push(format!("STRANDLINE_LANGUAGE_SEED={seed}, {query}\n  {fault}"));
        }
    }
}

fn push(rig: &Rig, entries: &[Entry]) {
    for part in entries.chunks(40) {
        let streams: Vec<_> = part
            .iter()
            .map(|entry| {
                let value = serde_json::json!([entry.ts.to_string(), entry.line, entry.metadata]);
                serde_json::json!({"stream": entry.labels, "values": [value]})
            })
            .collect();
        assert_eq!(rig.push_json(&serde_json::json!({"streams": streams})), Some(204), "{}", rig.log_tail());
    }
}

/// A part of the time that the entries span, to the second.
fn some_time(dice: &mut Dice) -> (i64, i64) {
    if dice.chance(60) {
        return (START, START + LENGTH);
    }
    let start = START + dice.roll(400) as i64 * SECOND;
    (start, start + (10 + dice.roll(300) as i64) * SECOND)
}

fn ask_log(
    rig: &Rig,
    dice: &mut Dice,
    query: &str,
    log: &LogExpr,
    entries: &[Entry],
    tally: &mut Tally,
) -> Result<(), String> {
    let (start, end) = some_time(dice);
    let asked = Asked {
        forward: dice.chance(50),
        limit: if dice.chance(60) { 10_000 } else { 1 + dice.roll(30) as usize },
        interval: if dice.chance(85) { 0 } else { [1, 7, 30][dice.roll(3) as usize] * SECOND },
    };
    // With this header the answer tells where labels come from.
    let categorized = dice.chance(50);
    let header = [("X-Loki-Response-Encoding-Flags", "categorize-labels")];
    let answer = rig.get_with(
        "/loki/api/v1/query_range",
        if categorized { &header } else { &[] },
        &[
            ("query", query),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
            ("limit", &asked.limit.to_string()),
            ("interval", &format!("{}s", asked.interval / SECOND)),
            ("direction", if asked.forward { "forward" } else { "backward" }),
        ],
    );
    let among: Vec<Entry> = entries.iter().filter(|e| start <= e.ts && e.ts < end).cloned().collect();
    let labels = |row: &Row| if categorized { row.categorized() } else { row.all() };
    let rows = stages::rows(log, &among).into_iter();
    let mut wanted: Vec<LogRow> = rows.map(|row| (row.ts, row.line.clone(), labels(&row))).collect();
    wanted.sort();
    tally.telling += u64::from(!wanted.is_empty());
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text()));
    }
    log_difference(&answer.json(), &wanted, &asked)
        .map_err(|fault| format!("start={start} end={end} {asked:?} categorized={categorized}: {fault}"))
}

fn ask_metric(
    rig: &Rig,
    dice: &mut Dice,
    query: &str,
    metric: &MetricExpr,
    entries: &[Entry],
    tally: &mut Tally,
) -> Result<(), String> {
    let (start, end) = some_time(dice);
    let instant = dice.chance(30);
    let step = SECOND * [7, 10, 30, 60, 300][dice.roll(5) as usize];
    let (answer, times) = if instant {
        (rig.get("/loki/api/v1/query", &[("query", query), ("time", &end.to_string())]), vec![end])
    } else {
        let parameters = [
            ("query", query),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
            ("step", &format!("{}s", step / SECOND)),
        ];
        // The moments are multiples of the step.
        let times = (start / step..=(end + step - 1) / step).map(|n| n * step).collect();
        (rig.get("/loki/api/v1/query_range", &parameters), times)
    };
    let at = format!("instant={instant} start={start} end={end} step={}s", step / SECOND);
    let wanted = metric::evaluate(metric, entries, &times);
    match wanted {
        Err(Stop::Undecided) => {
            tally.undecided += 1;
            Ok(())
        }
        Err(stop) => {
            tally.failing += 1;
            let text = answer.text();
            let known = text.contains("pipeline error") && answer.status == 400
                || text.contains("match") && answer.status == 500;
            if known { Ok(()) } else { Err(format!("{at}: wanted {stop:?}, got {}: {text}", answer.status)) }
        }
        Ok(value) => {
            let wanted = Points::of(&value.vectors(&times), &times);
            tally.telling += u64::from(!wanted.0.is_empty());
            if answer.status != 200 {
                return Err(format!("{at}: {}: {}", answer.status, answer.text()));
            }
            metric_difference(&answer.json(), &wanted, metric).map_err(|fault| format!("{at}: {fault}"))
        }
    }
}
