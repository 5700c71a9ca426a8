//! Which entries are asked about? Lines of every kind that the stages know, over a few streams, from a seed.

use crate::sim::Dice;
use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

/// One line, as it is pushed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub ts: i64,
    pub line: String,
    pub labels: Labels,
    pub metadata: Labels,
}

pub const SECOND: i64 = 1_000_000_000;
/// The entries begin five minutes before midnight: two days have a part in them.
pub const START: i64 = 20_000 * 86_400 * SECOND - 300 * SECOND;
/// And end ten minutes later.
pub const LENGTH: i64 = 600 * SECOND;

/// The dice of a seed, which have nothing in common with those of the next.
pub fn dice(seed: u64) -> Dice {
    Dice::new(Dice::new(seed).roll(u64::MAX))
}

pub fn pick<'a, T: ?Sized>(dice: &mut Dice, all: &[&'a T]) -> &'a T {
    all[dice.roll(all.len() as u64) as usize]
}

#[derive(Clone, Copy)]
enum Kind {
    Logfmt,
    Json,
    Access,
    Words,
    Packed,
}

const KINDS: [Kind; 5] = [Kind::Logfmt, Kind::Json, Kind::Access, Kind::Words, Kind::Packed];

/// Labels of the streams, and the kind of most of their lines. The server would add a `service_name` of its own.
fn streams() -> Vec<(Labels, Kind)> {
    [
        (&[("app", "web"), ("env", "prod"), ("host", "h1"), ("service_name", "web")][..], Kind::Logfmt),
        (&[("app", "web"), ("env", "dev"), ("host", "h2"), ("service_name", "web")], Kind::Json),
        (&[("app", "db"), ("env", "prod"), ("host", "h1"), ("service_name", "db")], Kind::Json),
        (&[("app", "db"), ("env", "dev"), ("level", "warn"), ("service_name", "db")], Kind::Logfmt),
        (&[("app", "proxy"), ("env", "prod"), ("service_name", "edge")], Kind::Access),
        (&[("app", "agent"), ("host", "h3"), ("service_name", "edge")], Kind::Packed),
        (&[("app", "cron"), ("env", "prod"), ("host", "h2"), ("service_name", "cron")], Kind::Words),
    ]
    .map(|(labels, kind)| (self::labels(labels), kind))
    .to_vec()
}

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The entries in the order in which they arrive, which is not that of their times; some are sent twice.
pub fn entries(seed: u64) -> Vec<Entry> {
    let mut dice = self::dice(seed);
    let streams = streams();
    let mut all: Vec<Entry> = Vec::new();
    for _ in 0..100 + dice.roll(300) {
        let (labels, kind) = &streams[dice.roll(streams.len() as u64) as usize];
        let ts = match all.last() {
            Some(last) if dice.chance(10) => last.ts,
            _ if dice.chance(10) => START + dice.roll(600) as i64 * SECOND,
            _ => START + dice.roll(LENGTH as u64) as i64,
        };
        let kind = if dice.chance(85) { *kind } else { KINDS[dice.roll(5) as usize] };
        let metadata = metadata(&mut dice);
        all.push(Entry { ts, line: line(&mut dice, kind), labels: labels.clone(), metadata });
        if dice.chance(3) {
            let again = all[dice.roll(all.len() as u64) as usize].clone();
            all.push(again);
        }
    }
    all
}

/// What is stored of them: each once.
pub fn stored(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The server would add a `detected_level` of its own. Some names clash with labels of streams and fields of lines.
fn metadata(dice: &mut Dice) -> Labels {
    let mut all = labels(&[("detected_level", pick(dice, &["info", "error"]))]);
    if dice.chance(30) {
        all.insert("trace_id".to_owned(), format!("t{}", dice.roll(5)));
    }
    if dice.chance(15) {
        all.insert("level".to_owned(), pick(dice, &["info", "debug"]).to_owned());
    }
    if dice.chance(10) {
        all.insert("host".to_owned(), pick(dice, &["m1", "m2"]).to_owned());
    }
    if dice.chance(10) {
        all.insert("status".to_owned(), pick(dice, &["200", "teapot"]).to_owned());
    }
    all
}

fn line(dice: &mut Dice, kind: Kind) -> String {
    if dice.chance(3) {
        return String::new();
    }
    let line = match kind {
        Kind::Logfmt => logfmt(dice),
        Kind::Json => json(dice),
        Kind::Access => access(dice),
        Kind::Words => words(dice),
        Kind::Packed => packed(dice),
    };
    if dice.chance(8) { format!("\u{1b}[{}m{line}\u{1b}[0m", 31 + dice.roll(6)) } else { line }
}

fn level(dice: &mut Dice) -> &'static str {
    pick(dice, &["info", "warn", "error", "debug"])
}

fn duration(dice: &mut Dice) -> String {
    let number = dice.roll(900);
    match dice.roll(6) {
        0 => format!("{number}us"),
        1 => format!("{}.{}s", number % 10, number % 7),
        2 => format!("{}m{}s", number % 3, number % 60),
        3 if dice.chance(30) => "soon".to_owned(),
        _ => format!("{number}ms"),
    }
}

fn size(dice: &mut Dice) -> String {
    let number = dice.roll(2000);
    let unit = pick(dice, &["B", "KB", "KiB", "kb", "MB", ""]);
    if dice.chance(5) { "big".to_owned() } else { format!("{number}{unit}") }
}

fn status(dice: &mut Dice) -> &'static str {
    pick(dice, &["200", "200", "200", "404", "500", "503", "none"])
}

fn user(dice: &mut Dice) -> &'static str {
    pick(dice, &["ana", "bo", "cy", "dora", "zoë"])
}

/// The text with its first letter written as a number.
fn escaped(text: &str) -> String {
    format!("\\u{:04x}{}", text.as_bytes()[0], &text[1..])
}

fn ip(dice: &mut Dice) -> String {
    if dice.chance(10) {
        return format!("fe80::{:x}", dice.roll(20));
    }
    let net = pick(dice, &["10.0.0", "10.0.1", "192.168.7"]);
    format!("{net}.{}", dice.roll(20))
}

fn words(dice: &mut Dice) -> String {
    const WORDS: [&str; 14] = [
        "error", "job", "done", "Error:", "timeout", "retry", "in", "12ms", "user", "ana", "naïve", "a.b",
        "GET", "level",
    ];
    let mut all: Vec<String> = (0..1 + dice.roll(7)).map(|_| pick(dice, &WORDS).to_owned()).collect();
    if dice.chance(25) {
        all.push(format!("from {}:{}", ip(dice), 1000 + dice.roll(9000)));
    }
    if dice.chance(10) {
        all.push(format!("({})", ip(dice)));
    }
    if dice.chance(5) {
        all.push(format!("[{}]:443 at ::1, 2001:db8::{}.", ip(dice), dice.roll(9)));
    }
    all.join(" ")
}

fn logfmt(dice: &mut Dice) -> String {
    let mut pairs = Vec::new();
    for _ in 0..1 + dice.roll(8) {
        pairs.push(match dice.roll(15) {
            0 | 1 => format!("level={}", level(dice)),
            2 => format!("dur={}", duration(dice)),
            3 => format!("size={}", size(dice)),
            4 => format!("status={}", status(dice)),
            5 if dice.chance(20) => format!("user=\"{}\"", escaped(user(dice))),
            5 => format!("user={}", user(dice)),
            6 => format!("ip={}", ip(dice)),
            7 => format!("msg=\"{}\"", words(dice)),
            8 => format!("msg=\"say \\\"{}\\\"\\tnow\"", user(dice)),
            9 => format!("n={}.{}", dice.roll(40), dice.roll(4) * 25),
            10 => format!("app={}", user(dice)),
            11 => format!("total={}", dice.roll(1000)),
            12 => "user=".to_owned(),
            13 => pick(dice, &["flag", "http.status=200", "1st=yes", "msg=\"\""]).to_owned(),
            _ if dice.chance(30) => pick(dice, &["=oops", "bad\"key=1", "a=b=c"]).to_owned(),
            _ => format!("dur={} n={}", duration(dice), dice.roll(100)),
        });
    }
    pairs.join(" ")
}

fn json(dice: &mut Dice) -> String {
    let mut fields = BTreeMap::new();
    for _ in 0..1 + dice.roll(8) {
        let (name, value) = match dice.roll(15) {
            0 | 1 => ("level", format!("\"{}\"", level(dice))),
            2 => ("dur", format!("\"{}\"", duration(dice))),
            3 => ("size", format!("\"{}\"", size(dice))),
            4 => ("status", status(dice).parse::<u32>().map_or("\"none\"".to_owned(), |n| n.to_string())),
            5 if dice.chance(20) => ("user", format!("\"{}\"", escaped(user(dice)))),
            5 => ("user", format!("\"{}\"", user(dice))),
            6 => ("ip", format!("\"{}\"", ip(dice))),
            7 => ("msg", serde_json::json!(format!("{} \"q\"\n{}", words(dice), user(dice))).to_string()),
            8 => ("n", pick(dice, &["1", "2.50", "1e3", "-7", "0"]).to_owned()),
            9 => ("app", format!("\"{}\"", user(dice))),
            10 => ("total", dice.roll(1000).to_string()),
            11 => {
                ("http", format!("{{\"status\":{}, \"x-id\":{{\"a\":\"{}\"}}}}", dice.roll(600), user(dice)))
            }
            13 if dice.chance(20) => ("\\u0075ser", format!("\"{}\"", user(dice))),
            13 if dice.chance(30) => ("path", format!("\"\\/api\\/{}\"", user(dice))),
            12 => ("tags", format!("[\"{}\", {}, {{\"k\": [1,2]}}]", user(dice), dice.roll(9))),
            _ => (pick(dice, &["ok", "none", "ütf"]), pick(dice, &["true", "false", "null"]).to_owned()),
        };
        // One name is enough.
        if !(name.ends_with("ser") && fields.keys().any(|known: &&str| known.ends_with("ser"))) {
            fields.insert(name, value);
        }
    }
    // The order of the fields is that of their names; now and then the line ends too early.
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    match dice.roll(30) {
        0 => format!("{{{}, \"msg\":\"cut o", fields[..1].join(",")),
        1 => format!("[{{{}}}]", fields.join(",")),
        2 => format!("{{{}}} and more", fields.join(",")),
        3 => format!("{{ {} }}", fields.join(" , ")),
        _ => format!("{{{}}}", fields.join(",")),
    }
}

fn access(dice: &mut Dice) -> String {
    let method = pick(dice, &["GET", "POST"]);
    let path = pick(dice, &["/", "/api/items", "/api/items?level=low", "/login"]);
    let (ip, user, status) = (ip(dice), user(dice), status(dice));
    format!("{ip} - {user} \"{method} {path} HTTP/1.1\" {status} {} {}", dice.roll(5000), duration(dice))
}

fn packed(dice: &mut Dice) -> String {
    let inner = if dice.chance(50) { logfmt(dice) } else { words(dice) };
    let entry = serde_json::Value::String(inner).to_string();
    let pod = dice.roll(3);
    match dice.roll(8) {
        0 => format!("{{\"pod\":\"p{pod}\",\"level\":\"info\"}}"),
        1 => format!("{{\"pod\":\"p{pod}\",\"n\":{pod},\"_entry\":{entry},\"app\":\"inner\"}}"),
        _ => format!("{{\"_entry\":{entry},\"pod\":\"p{pod}\",\"level\":\"{}\"}}", level(dice)),
    }
}
