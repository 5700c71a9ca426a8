//! Which queries are asked? Random ones, of words that the data has.

use super::data::pick;
use crate::sim::Dice;

/// Labels with short texts: of streams, metadata and lines, and what a clash makes of them.
const NAMES: [&str; 16] = [
    "app",
    "env",
    "host",
    "level",
    "user",
    "msg",
    "trace_id",
    "pod",
    "level_extracted",
    "app_extracted",
    "host_extracted",
    "ip",
    "method",
    "path",
    "service_name",
    "nothing",
];
/// Labels with numbers, durations and sizes.
const NUMBERS: [&str; 4] = ["n", "total", "status", "http_status"];
const VALUES: [&str; 14] =
    ["web", "db", "prod", "dev", "h1", "info", "warn", "error", "ana", "zoë", "t1", "p0", "200", ""];
/// Labels with values that they have.
const PAIRS: [(&str, &str); 20] = [
    ("level", "info"),
    ("level", "warn"),
    ("level_extracted", "error"),
    ("user", "ana"),
    ("user", "zoë"),
    ("user", "bo"),
    ("app", "web"),
    ("app_extracted", "ana"),
    ("trace_id", "t1"),
    ("pod", "p0"),
    ("status", "200"),
    ("status", "none"),
    ("msg", "say \"ana\"\tnow"),
    ("host_extracted", "m1"),
    ("detected_level", "info"),
    ("method", "GET"),
    ("http_x_id_a", "bo"),
    ("ok", "true"),
    ("n", "2.50"),
    ("size", "big"),
];
const PATTERNS: [&str; 8] = ["info|warn", "a.+", "(?i)ERROR", ".*o.*", "h[12]", "[a-c].*", "t\\d", ".+"];

/// A text as the language quotes it.
pub fn quoted(dice: &mut Dice, text: &str) -> String {
    if dice.chance(50) && !text.contains('`') {
        return format!("`{text}`");
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\u{1b}', "\\x1b");
    format!("\"{escaped}\"")
}

fn several(dice: &mut Dice, most: u64, between: &str, part: impl Fn(&mut Dice) -> String) -> String {
    (0..1 + dice.roll(most)).map(|_| part(dice)).collect::<Vec<_>>().join(between)
}

/// Different ones of the words.
pub fn some(dice: &mut Dice, most: u64, words: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = (0..1 + dice.roll(most)).map(|_| pick(dice, words).to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

pub fn selector(dice: &mut Dice) -> String {
    let first = pick(
        dice,
        &[
            "app=\"web\"",
            "app=~\"web|db\"",
            "env=\"prod\"",
            "app=~\".+\"",
            "app=~\".+\"",
            "app!=\"\"",
            "env=~\"prod|dev\"",
            "app=~\"(agent|proxy)\"",
            "service_name=\"edge\"",
            "host=~\"h.\"",
            "app=`db`",
        ],
    );
    let second = pick(
        dice,
        &[
            "",
            "",
            "",
            ", env!=\"dev\"",
            ", host=\"\"",
            ", host!~\"h[23]\"",
            ", level=~\"|warn\"",
            ", env=~\"p.*\"",
            ", app!=\"cron\"",
            ", app!~\"w.*\"",
        ],
    );
    format!("{{{first}{second}}}")
}

pub fn log(dice: &mut Dice) -> String {
    let mut stages: Vec<String> = (0..dice.roll(5)).map(|_| stage(dice)).collect();
    // `| drop a != "x"` is one stage.
    let chooses = |stage: &String| stage.starts_with("| drop") || stage.starts_with("| keep");
    while let Some(at) = stages.windows(2).position(|pair| chooses(&pair[0]) && pair[1].starts_with('!')) {
        stages.remove(at);
    }
    [vec![selector(dice)], stages].concat().join(" ")
}

fn stage(dice: &mut Dice) -> String {
    match dice.roll(12) {
        0..3 => line_filter(dice),
        3..6 => parser(dice),
        6..9 => format!("| {}", label_filter(dice, 2)),
        9 => format(dice),
        10 => drop_or_keep(dice),
        _ => pick(dice, &["| decolorize", "| unpack", "| __error__=\"\"", "| __error__!=\"\""]).to_owned(),
    }
}

pub fn line_filter(dice: &mut Dice) -> String {
    const TEXTS: [&str; 12] = [
        "error",
        "level=info",
        "\"status\":",
        "ana",
        "GET",
        "status",
        "ë",
        "\u{1b}[",
        "10.0.0.7",
        "nowhere",
        "o",
        "",
    ];
    const REGEXES: [&str; 9] = [
        "(?i)error",
        "level=(info|warn)",
        "^\\{",
        "\\d+ms",
        "us.r",
        "[0-9]{3}$",
        "GET|POST",
        "\\bana\\b",
        "^$",
    ];
    const SHAPES: [&str; 7] =
        ["<_>level=<_>", "level=<_>", "<_>ms", "<_> - <_> \"GET <_>", "{<_>}", "<_>", "\"<_>\":<_>"];
    const RANGES: [&str; 6] = [
        "10.0.0.0/24",
        "10.0.0.3-10.0.1.9",
        "192.168.0.0/16",
        "10.0.0.7",
        "fe80::/10",
        "2001:db8::1-2001:db8::4",
    ];
    match dice.roll(10) {
        0..5 => {
            let operand = |dice: &mut Dice| {
                if dice.chance(15) {
                    return format!("ip(\"{}\")", pick(dice, &RANGES));
                }
                let text = pick(dice, &TEXTS);
                quoted(dice, text)
            };
            format!("{} {}", pick(dice, &["|=", "|=", "!="]), several(dice, 2, " or ", operand))
        }
        5..8 => {
            let operand = |dice: &mut Dice| {
                let text = pick(dice, &REGEXES);
                quoted(dice, text)
            };
            format!("{} {}", pick(dice, &["|~", "|~", "!~"]), several(dice, 2, " or ", operand))
        }
        _ => {
            let operand = |dice: &mut Dice| {
                let text = pick(dice, &SHAPES);
                quoted(dice, text)
            };
            format!("{} {}", pick(dice, &["|>", "|>", "!>"]), several(dice, 2, " or ", operand))
        }
    }
}

fn parser(dice: &mut Dice) -> String {
    const PATHS: [&str; 10] = [
        "level",
        "n",
        "http.status",
        "http[\"x-id\"].a",
        "tags[0]",
        "tags[2].k[1]",
        "http",
        "tags",
        "none",
        "gone.too",
    ];
    const KEYS: [&str; 6] = ["level", "dur", "msg", "user", "http.status", "gone"];
    const REGEXPS: [&str; 4] = [
        "(?P<method>GET|POST) (?P<path>\\S+)",
        "user=(?<user>\\w+)",
        "(?P<a>\\d+)(?P<b>ms|KB)?",
        "^(?P<ip>[0-9.]+) ",
    ];
    const SHAPES: [&str; 5] = [
        "<ip> - <user> \"<method> <path> <_>\" <status> <total> <dur>",
        "<_>level=<level> <rest>",
        "<first> <_>",
        "{<inside>}",
        "<_>=<value>",
    ];
    let assignment = |name: String, dice: &mut Dice, from: &[&str]| {
        let text = pick(dice, from);
        format!("{name}={}", quoted(dice, text))
    };
    match dice.roll(12) {
        0..3 => "| json".to_owned(),
        3 => {
            let names = some(dice, 3, &["level", "a", "b", "app", "n", "status"]);
            let all: Vec<String> = names.into_iter().map(|name| assignment(name, dice, &PATHS)).collect();
            format!("| json {}", all.join(", "))
        }
        4..7 => "| logfmt".to_owned(),
        7 => format!("| logfmt {}", pick(dice, &["--strict", "--keep-empty", "--strict --keep-empty"])),
        8 => {
            let names = some(dice, 3, &["level", "a", "b", "app", "user"]);
            let all: Vec<String> = names.into_iter().map(|name| assignment(name, dice, &KEYS)).collect();
            format!("| logfmt {}{}", pick(dice, &["", "", "--strict "]), all.join(", "))
        }
        9 => {
            let text = pick(dice, &REGEXPS);
            format!("| regexp {}", quoted(dice, text))
        }
        10 => {
            let text = pick(dice, &SHAPES);
            format!("| pattern {}", quoted(dice, text))
        }
        _ => "| unpack".to_owned(),
    }
}

pub fn label_filter(dice: &mut Dice, depth: u32) -> String {
    if depth > 0 && dice.chance(35) {
        let (left, right) = (label_filter(dice, depth - 1), label_filter(dice, depth - 1));
        let between = pick(dice, &[" and ", " or ", ", ", " "]);
        let both = format!("{left}{between}{right}");
        return if dice.chance(40) { format!("({both})") } else { both };
    }
    let compare = pick(dice, &["=", "==", "!=", ">", ">=", "<", "<="]);
    match dice.roll(9) {
        0 => {
            let (name, value) = PAIRS[dice.roll(PAIRS.len() as u64) as usize];
            format!("{name}{}{}", pick(dice, &["=", "=", "!="]), quoted(dice, value))
        }
        1 => {
            let value = pick(dice, &VALUES);
            format!("{}{}{}", pick(dice, &NAMES), pick(dice, &["=", "!="]), quoted(dice, value))
        }
        2 => {
            let value = pick(dice, &PATTERNS);
            format!("{}{}{}", pick(dice, &NAMES), pick(dice, &["=~", "!~"]), quoted(dice, value))
        }
        3..5 => {
            format!(
                "{} {compare} {}",
                pick(dice, &NUMBERS),
                pick(dice, &["200", "404", "-3", "2.5", "0", "30"])
            )
        }
        5 => format!("dur {compare} {}", pick(dice, &["100ms", "1.5s", "1m", "500us", "1m30s"])),
        6 => format!("size {compare} {}", pick(dice, &["1KB", "1KiB", "500B", "2MB"])),
        7 => {
            let range = pick(
                dice,
                &["10.0.0.0/24", "10.0.0.3-10.0.1.9", "192.168.7.5", "fe80::/64", "fe80::3-fe80::9"],
            );
            format!("ip{}ip(\"{range}\")", pick(dice, &["=", "!="]))
        }
        _ => format!("{}=\"\"", pick(dice, &NAMES)),
    }
}

fn template(dice: &mut Dice) -> String {
    let part = |dice: &mut Dice| {
        if dice.chance(30) {
            return pick(dice, &["-", "x=", "level=", " msg "]).to_owned();
        }
        let names = if dice.chance(70) { &NAMES[..] } else { &NUMBERS[..] };
        match dice.roll(10) {
            0 => "{{__line__}}".to_owned(),
            1 => format!("{{{{ .{} | {} }}}}", pick(dice, names), pick(dice, &["upper", "lower"])),
            _ => format!("{{{{.{}}}}}", pick(dice, names)),
        }
    };
    several(dice, 4, " ", part)
}

fn format(dice: &mut Dice) -> String {
    if dice.chance(45) {
        let template = template(dice);
        return format!("| line_format {}", quoted(dice, &template));
    }
    let names = some(dice, 3, &["a", "level", "user", "x", "app", "new"]);
    let all: Vec<String> = names
        .into_iter()
        .map(|name| {
            if dice.chance(50) {
                return format!("{name}={}", pick(dice, &NAMES));
            }
            let template = template(dice);
            format!("{name}={}", quoted(dice, &template))
        })
        .collect();
    format!("| label_format {}", all.join(", "))
}

fn drop_or_keep(dice: &mut Dice) -> String {
    if dice.chance(15) {
        return "| drop __error__, __error_details__".to_owned();
    }
    let choice = |dice: &mut Dice| {
        let name = pick(dice, &NAMES);
        match dice.roll(4) {
            0 => {
                let value = pick(dice, &VALUES);
                format!("{name}{}{}", pick(dice, &["=", "!="]), quoted(dice, value))
            }
            1 => {
                let value = pick(dice, &PATTERNS);
                format!("{name}{}{}", pick(dice, &["=~", "!~"]), quoted(dice, value))
            }
            _ => name.to_owned(),
        }
    };
    format!("| {} {}", pick(dice, &["drop", "keep"]), several(dice, 4, ", ", choice))
}
