//! Which metric queries are asked?

use super::data::pick;
use super::grammar::{label_filter, line_filter, log, quoted, selector, some};
use crate::sim::Dice;

const GROUPS: [&str; 8] =
    ["app", "env", "host", "level", "service_name", "detected_level", "level_extracted", "nothing"];

pub fn metric(dice: &mut Dice, depth: u32) -> String {
    if depth == 0 {
        return range(dice);
    }
    match dice.roll(12) {
        0..4 => range(dice),
        4..8 => vector(dice, depth),
        8..11 => binary(dice, depth),
        _ => label_replace(dice, depth),
    }
}

fn grouping(dice: &mut Dice, names: &[&str]) -> String {
    match dice.roll(8) {
        0 => pick(dice, &["by ()", "without ()"]).to_owned(),
        1 | 2 => format!("without ({})", some(dice, 3, names).join(", ")),
        _ => format!("by ({})", some(dice, 3, names).join(", ")),
    }
}

/// A selector with stages; samples with errors are mostly kept from it.
fn lines(dice: &mut Dice) -> String {
    let mut lines = match dice.roll(4) {
        0 => selector(dice),
        1 => format!("{} {}", selector(dice), line_filter(dice)),
        _ => log(dice),
    };
    if lines.contains('|') && dice.chance(90) {
        lines +=
            pick(dice, &[" | __error__=\"\"", " | __error__=``", " | drop __error__, __error_details__"]);
    }
    lines
}

fn window(dice: &mut Dice) -> String {
    let range = pick(dice, &["30s", "1m", "2m", "5m", "10m", "45s", "1m30s", "1h"]);
    let offset = if dice.chance(20) { pick(dice, &[" offset 1m", " offset 90s", " offset -1m"]) } else { "" };
    format!("[{range}]{offset}")
}

/// The lines and their window, in one of the ways to write it.
fn range_argument(dice: &mut Dice, lines: &str, unwrap: &str) -> String {
    let window = window(dice);
    let (selector, stages) = lines.split_at(lines.find('}').map_or(0, |at| at + 1));
    match dice.roll(6) {
        0 => format!("{selector}{window}{stages}{unwrap}"),
        1 => format!("({selector}{stages}{unwrap}){window}"),
        _ => format!("{selector}{stages}{unwrap} {window}"),
    }
}

fn range(dice: &mut Dice) -> String {
    if dice.chance(50) {
        let lines = lines(dice);
        let argument = range_argument(dice, &lines, "");
        let op = pick(
            dice,
            &[
                "count_over_time",
                "rate",
                "bytes_over_time",
                "bytes_rate",
                "count_over_time",
                "rate",
                "absent_over_time",
            ],
        );
        return format!("{op}({argument})");
    }
    unwrapping(dice)
}

fn unwrapping(dice: &mut Dice) -> String {
    let parser = pick(dice, &["| json", "| logfmt", "| json | logfmt", "| unpack | logfmt", "| logfmt"]);
    let filter = if dice.chance(30) { format!(" | {}", label_filter(dice, 1)) } else { String::new() };
    let lines = format!("{} {parser}{filter}", selector(dice));
    let (label, read) = match dice.roll(8) {
        0..2 => ("dur", pick(dice, &["duration(dur)", "duration_seconds(dur)"])),
        2 => ("size", "bytes(size)"),
        3 => ("size", "size"),
        _ => {
            let label = pick(dice, &["n", "total", "status", "http_status"]);
            (label, label)
        }
    };
    let behind = match dice.roll(10) {
        0 => String::new(),
        1 => format!(" | {} > 1", label),
        2 => format!(" | __error__=\"\" | {}", label_filter(dice, 1)),
        _ => " | __error__=\"\"".to_owned(),
    };
    let argument = range_argument(dice, &lines, &format!(" | unwrap {read}{behind}"));
    let ungrouped = ["sum_over_time", "rate", "rate_counter", "absent_over_time"];
    let grouped = [
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "first_over_time",
        "last_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "quantile_over_time",
    ];
    if dice.chance(30) {
        return format!("{}({argument})", pick(dice, &ungrouped));
    }
    let op = pick(dice, &grouped);
    let parameter =
        if op == "quantile_over_time" { pick(dice, &["0.5, ", "0.9, ", "0, ", "1, ", "1.5, "]) } else { "" };
    let names = [&GROUPS[..], &[label][..]].concat();
    let grouping = if dice.chance(60) { grouping(dice, &names) } else { String::new() };
    format!("{op}({parameter}{argument}) {grouping}")
}

fn vector(dice: &mut Dice, depth: u32) -> String {
    let inner = metric(dice, depth - 1);
    let op = pick(
        dice,
        &[
            "sum",
            "sum",
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "stddev",
            "stdvar",
            "topk",
            "bottomk",
            "sort",
            "sort_desc",
        ],
    );
    let parameter = if op.ends_with('k') { pick(dice, &["1, ", "2, ", "5, ", "100, "]) } else { "" };
    if op.starts_with("sort") || dice.chance(15) {
        return format!("{op}({parameter}{inner})");
    }
    let grouping = grouping(dice, &GROUPS);
    if dice.chance(50) {
        format!("{op} {grouping} ({parameter}{inner})")
    } else {
        format!("{op}({parameter}{inner}) {grouping}")
    }
}

/// Operands are mostly such that their series find each other.
fn binary(dice: &mut Dice, depth: u32) -> String {
    let arithmetic = ["+", "-", "*", "/", "%", "^"];
    let comparison = ["==", "!=", ">", ">=", "<", "<=", "> bool", "<= bool", "== bool"];
    if dice.chance(30) {
        let op = if dice.chance(50) { pick(dice, &arithmetic) } else { pick(dice, &comparison) };
        let inner = metric(dice, depth - 1);
        let number = pick(dice, &["1", "0", "2.5", "0.02", "10"]);
        return if dice.chance(70) {
            format!("({inner}) {op} {number}")
        } else {
            format!("{number} {op} ({inner})")
        };
    }
    if dice.chance(10) {
        let inner = metric(dice, depth - 1);
        return format!("sum({inner}) {} vector({})", pick(dice, &["or", "+", "> bool"]), dice.roll(3));
    }
    if dice.chance(20) {
        let op = pick(dice, &["or", "and", "unless", "+", ">"]);
        return format!("({}) {op} ({})", metric(dice, depth - 1), metric(dice, depth - 1));
    }
    let group = |dice: &mut Dice, names: &str| {
        let inner = metric(dice, depth - 1);
        format!("{} by ({names}) ({inner})", pick(dice, &["sum", "avg", "max", "count"]))
    };
    match dice.roll(5) {
        0 => {
            let op = pick(dice, &["or", "and", "unless"]);
            let matching = pick(dice, &["", "on (app)", "ignoring (env)", "on ()"]);
            format!("{} {op} {matching} {}", group(dice, "app, env"), group(dice, "app, env"))
        }
        1 => {
            let op = pick(dice, &arithmetic);
            format!("{} {op} on (app) group_left {}", group(dice, "app, env"), group(dice, "app"))
        }
        2 => {
            let op = pick(dice, &comparison);
            let left = group(dice, "app");
            format!("{left} {op} ignoring (env, host) group_right (app) {}", group(dice, "app, env, host"))
        }
        3 => {
            let op = pick(dice, &comparison);
            format!("{} {op} on (app) {}", group(dice, "app"), group(dice, "app, env"))
        }
        _ => {
            let op = if dice.chance(50) { pick(dice, &arithmetic) } else { pick(dice, &comparison) };
            let matching = pick(dice, &["", "on (app)", "ignoring (nothing)"]);
            format!("{} {op} {matching} {}", group(dice, "app"), group(dice, "app"))
        }
    }
}

fn label_replace(dice: &mut Dice, depth: u32) -> String {
    let inner = metric(dice, depth - 1);
    let destination = pick(dice, &["app", "first", "env", "nothing"]);
    let replacement = pick(dice, &["$1", "${1}-x", "", "fixed", "$0$0"]);
    let source = pick(dice, &["app", "env", "nothing"]);
    let regex = pick(dice, &["(.).*", "(w|d)(e?b)", "prod()", "()", "(.*)"]);
    let regex = quoted(dice, regex);
    format!("label_replace({inner}, \"{destination}\", \"{replacement}\", \"{source}\", {regex})")
}
