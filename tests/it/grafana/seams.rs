//! Do the parts of a long range make up the whole? The browser cuts ranges into days and smaller pieces: logs end where the
//! next part begins, metrics one step before.

use super::{END, SECOND, Served, T0, ns, served};
use std::collections::BTreeMap;

/// Random numbers without a crate: a seed makes the same ones each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Cuts `0..n` into parts at random; always with a part of one step at its end.
fn cuts(dice: &mut Dice, n: i64) -> Vec<i64> {
    let mut cuts: Vec<i64> = (0..dice.below(6)).map(|_| 1 + dice.below(n as u64 - 1) as i64).collect();
    cuts.extend([0, n - 1, n]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

fn logs(served: &Served, from: i64, to: i64) -> Vec<(i64, String)> {
    let (start, end) = ((T0 + from).to_string(), (T0 + to).to_string());
    served.lines(&[
        ("query", r#"{app=~"web|ties"}"#),
        ("start", &start),
        ("end", &end),
        ("limit", "5000"),
        ("step", "15000ms"),
    ])
}

type Points = BTreeMap<String, Vec<(i64, String)>>;

fn points(served: &Served, query: &str, from: i64, to: i64, step: i64, into: &mut Points) {
    let step = format!("{}ms", step * 1000);
    let params = [("query", query), ("start", &ns(from)), ("end", &ns(to)), ("step", &*step)];
    for series in served.ok("query_range", &[], &params)["data"]["result"].as_array().unwrap() {
        let values = series["values"].as_array().unwrap().iter();
        let points = values.map(|p| (p[0].as_i64().unwrap(), p[1].as_str().unwrap().to_owned()));
        into.entry(series["metric"].to_string()).or_default().extend(points);
    }
}

#[test]
fn logs_of_parts_are_the_logs_of_the_whole() {
    let served = served();
    let mut whole = logs(&served, 0, END * SECOND);
    whole.sort();
    assert_eq!(whole.len(), 364);
    let mut dice = Dice(0x5eed);
    for round in 0..20 {
        // At whole steps, and anywhere: a bound may also be the very time of an entry.
        let unit = if round % 2 == 0 { 10 * SECOND } else { 1 };
        let parts = cuts(&mut dice, END * SECOND / unit);
        let mut found: Vec<(i64, String)> =
            parts.windows(2).flat_map(|part| logs(&served, part[0] * unit, part[1] * unit)).collect();
        found.sort();
        assert_eq!(found, whole, "{parts:?} of {unit} ns");
    }
}

#[test]
fn counts_of_parts_are_the_counts_of_the_whole() {
    let served = served();
    let mut dice = Dice(0xcafe);
    for step in [10, 60, 300] {
        for query in [
            format!(r#"sum by (detected_level) (count_over_time({{app="web"}} | drop __error__[{step}s]))"#),
            r#"count_over_time({app=~"web|ties"}[1m])"#.to_owned(),
        ] {
            let mut whole = Points::new();
            points(&served, &query, 0, END, step, &mut whole);
            assert!(whole.values().map(Vec::len).sum::<usize>() > 10);
            for _ in 0..4 {
                let parts = cuts(&mut dice, END / step);
                let mut found = Points::new();
                for (i, part) in parts.windows(2).enumerate() {
                    // The next part begins one step behind; the last one takes the end in.
                    let to = if i + 2 == parts.len() { part[1] } else { part[1] - 1 };
                    points(&served, &query, part[0] * step, to * step, step, &mut found);
                }
                assert_eq!(found, whole, "{query} {parts:?} of {step} s");
            }
        }
    }
}

/// Volumes add up as logs do: a bound belongs to the part that it begins.
#[test]
fn volumes_of_parts_add_up() {
    let served = served();
    let bytes = |from: i64, to: i64| {
        let (start, end) = ((T0 + from).to_string(), (T0 + to).to_string());
        let params = [("query", r#"{app="web"}"#), ("start", &*start), ("end", &*end)];
        served.ok("index/stats", &[], &params)["bytes"].as_u64().unwrap()
    };
    let whole = bytes(0, END * SECOND);
    let (start, end) = (ns(0), ns(END));
    let query = [("query", r#"{app="web"}"#), ("start", &*start), ("end", &*end), ("limit", "5000")];
    assert_eq!(whole, served.sent_bytes(&query) as u64);
    let mut dice = Dice(0xd1ce);
    for _ in 0..10 {
        let parts = cuts(&mut dice, END * SECOND / SECOND);
        let sum: u64 = parts.windows(2).map(|part| bytes(part[0] * SECOND, part[1] * SECOND)).sum();
        assert_eq!(sum, whole, "{parts:?}");
    }
}
