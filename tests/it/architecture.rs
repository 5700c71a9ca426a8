//! Does the tree keep its own rules? Which crate may use which, what may appear where, how files begin and how long
//! they may grow.
//!
//! Each check is a plain function from text to findings, so that a test can show that it fails when it should. A
//! finding says how to mend it. A rule that is in the way is changed here, in the open, with its reason.

use crate::source;
use std::fs;
use std::path::{Path, PathBuf};

/// The arrows: which crates of `src/` a crate may use. A crate that is not listed fails, so a new one is placed deliberately.
const ARROWS: [(&str, &[&str]); 9] = [
    ("model", &[]),
    ("logql", &["model"]),
    ("store", &["model"]),
    ("ingest", &["model", "store"]),
    ("query", &["model", "logql", "store"]),
    ("sources", &["model", "ingest"]),
    ("alert", &["model", "query", "ingest"]),
    ("api", &["model", "query", "ingest", "alert"]),
    ("cli", &["model", "logql", "store", "ingest", "query", "sources", "alert", "api"]),
];

/// Crates that one of ours must not depend on, because of what it must never know.
const FORBIDDEN_CRATES: [(&str, &[&str]); 7] = [
    ("model", &["tokio", "serde", "serde_json", "sled", "tantivy", "axum", "tracing"]),
    ("logql", &["tokio", "sled", "tantivy", "axum", "rand"]),
    ("store", &["tokio", "axum", "hyper", "serde_json"]),
    ("ingest", &["axum", "hyper", "sled", "tantivy"]),
    ("query", &["axum", "hyper", "sled", "tantivy", "serde_json"]),
    ("api", &["sled", "tantivy"]),
    ("cli", &["axum", "sled", "tantivy"]),
];

/// A piece of code that belongs to one place.
struct Confined {
    /// What is looked for in code (not in comments or texts).
    code: &'static str,
    /// Path beginnings where it may stand.
    allowed: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const CONFINED: [Confined; 22] = [
    Confined {
        code: "tantivy::",
        allowed: &["src/store/src/text"],
        instead: "only store::text knows tantivy; give it a function that says what you need",
    },
    Confined {
        code: "sled::",
        allowed: &["src/store/src/labels"],
        instead: "only store::labels knows sled; give it a function that says what you need",
    },
    Confined {
        code: "axum::",
        allowed: &["src/api/src"],
        instead: "only the api crate knows axum; return plain data and let api make the response",
    },
    Confined {
        code: "std::fs",
        allowed: &["src/store/src/disk", "src/cli/src/config/load.rs"],
        instead: "go through store::disk, or the simulated disk of the crash tests does not see it",
    },
    Confined {
        code: "tokio::fs",
        allowed: &[],
        instead: "go through store::disk; the engine runs without tokio",
    },
    Confined { code: "Instant::now", allowed: CLOCKS, instead: CLOCK_ADVICE },
    Confined { code: "SystemTime::now", allowed: CLOCKS, instead: CLOCK_ADVICE },
    Confined { code: "Utc::now", allowed: CLOCKS, instead: CLOCK_ADVICE },
    Confined { code: "Local::now", allowed: CLOCKS, instead: CLOCK_ADVICE },
    Confined {
        code: "unbounded_channel",
        allowed: &[],
        instead: "use a bounded channel; a queue without a number fills the memory",
    },
    Confined { code: "mpsc::channel()", allowed: &[], instead: "use sync_channel with a bound" },
    Confined { code: "todo!", allowed: &[], instead: "finish it, or return a typed error" },
    Confined { code: "dbg!", allowed: &[], instead: "remove it, or log with tracing" },
    Confined {
        code: "println!",
        allowed: &[],
        instead: "log with tracing; a command writes with cli's output::to_stdout",
    },
    Confined { code: "eprint!", allowed: &[], instead: "log with tracing" },
    // Who may see what is decided in one place: a handler that made these itself would forget a scope or a filter.
    Confined { code: "Reader::granted", allowed: READERS, instead: ACCESS_ADVICE },
    Confined { code: "Reader::of", allowed: READERS, instead: ACCESS_ADVICE },
    Confined {
        code: "Intake::new",
        allowed: &["src/ingest/src"],
        instead: "give lines to ingest::Admission, which counts them, bounds them and answers when they are safe",
    },
    Confined {
        code: "Sender::new",
        allowed: &["src/ingest/src", "src/api/src/access", "src/sources/src"],
        instead: "take an access::PushAccess from the request; its sender knows the tenant, the limits and the label filter",
    },
    Confined { code: "Query::parse", allowed: QUERY, instead: RULES_ADVICE },
    Confined { code: "LogQuery::parse", allowed: QUERY, instead: RULES_ADVICE },
    Confined {
        code: "parse_selector",
        allowed: &["src/query/src", "src/cli/src/wiring.rs"],
        instead: RULES_ADVICE,
    },
];

/// Where a reader may be made.
const READERS: &[&str] = &["src/query/src/reader.rs", "src/api/src/access"];
const ACCESS_ADVICE: &str =
    "take an access::QueryAccess from the request; its reader knows tenants, limits and the label filter";
/// Where LogQL is read without a reader.
const QUERY: &[&str] = &["src/query/src"];
const RULES_ADVICE: &str =
    "ask the reader to read it (`query`, `log_query`, `selector`), so that the tenant's rules hold";

/// Where clocks may be read. Add a file only with its reason.
const CLOCKS: &[&str] = &[
    // The one that hands the time to everybody else.
    "src/model/src/clock.rs",
];
const CLOCK_ADVICE: &str = "take a strandline_model::Clock, so that a test can set the time";

/// Longest source file in lines.
const MAX_LINES: usize = 800;

#[test]
fn crates_use_only_crates_below_them() {
    let mut found = Vec::new();
    for manifest in paths_in("src", |path| path.ends_with("Cargo.toml")) {
        let member = manifest.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        found.extend(arrow_faults(&member, &read(&manifest)));
    }
    let main = "src/main.rs";
    let direct = ["model", "logql", "store", "ingest", "query", "sources", "alert", "api"];
    let code = source::code(&read(Path::new(main)));
    for member in direct.iter().filter(|member| code.contains(&format!("strandline_{member}"))) {
        found.push(format!("{main} uses crate {member}; it only hands over to cli"));
    }
    report(found);
}

#[test]
fn what_belongs_to_one_place_stays_there() {
    report(each_source(&["src"], confinement_faults));
}

#[test]
fn every_file_says_what_it_answers_and_is_not_too_long() {
    report(each_source(&["src", "tests", "benches"], shape_faults));
}

#[test]
fn no_test_rests_on_a_sleep() {
    report(each_source(&["src", "tests", "benches"], sleep_faults));
}

/// Where tests may sleep.
const SLEEPS: [(&str, &str); 3] = [
    ("tests/it/wait.rs", "waits for a condition"),
    ("src/api/src/tests/rig.rs", "waits for a condition"),
    ("benches/", "a bench lets time pass that it measures"),
];

/// Sleeps in code of tests.
fn sleep_faults(path: &str, text: &str) -> Vec<String> {
    let code = source::code(text);
    let shipped =
        if path.starts_with("src/") { source::without_tests(path, &code).lines().count() } else { 0 };
    let sleeps = |line: &str| ["sleep(", "sleep_until(", "sleep_ms("].iter().any(|call| names(line, call));
    let found = code.lines().enumerate().skip(shipped).filter(|(_, line)| sleeps(line));
    let fault = |number| {
        format!(
            "{path}:{}: a test that sleeps is slow on a fast machine and wrong on a slow one; wait for what is to come \
             about (tests/it/wait.rs), or yield until it has",
            number + 1
        )
    };
    match SLEEPS.iter().any(|(place, _)| path.starts_with(place)) {
        true => Vec::new(),
        false => found.map(|(number, _)| fault(number)).collect(),
    }
}

/// Faults of a crate's Cargo.toml.
fn arrow_faults(member: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member) else {
        return vec![format!(
            "src/{member} is a new crate; give it a row in ARROWS of tests/it/architecture.rs"
        )];
    };
    let forbidden =
        FORBIDDEN_CRATES.iter().find(|(name, _)| *name == member).map_or(&[][..], |(_, crates)| *crates);
    let mut faults = Vec::new();
    for dependency in dependencies(manifest) {
        match dependency.strip_prefix("strandline-") {
            Some(other) if !allowed.contains(&other) => faults.push(format!(
                "src/{member}/Cargo.toml uses crate {other}; {member} may use {allowed:?}. Move the code down into a crate \
                 that both may use, or define a trait in {member} that {other} implements"
            )),
            None if forbidden.contains(&dependency.as_str()) => faults.push(format!(
                "src/{member}/Cargo.toml depends on {dependency}, which {member} must not know; move that work to the \
                 crate that owns it"
            )),
            _ => {}
        }
    }
    faults
}

/// Names under every `[dependencies]`-like table but those for tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies") && !table.ends_with("dev-dependencies");
            // `[dependencies.name]`
            if let Some((_, name)) = table.split_once("dependencies.").filter(|_| !table.contains("dev-")) {
                names.push(name.to_owned());
            }
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.push(name.trim_matches('"').to_owned());
            }
        }
    }
    names
}

/// Code in a file where it does not belong.
fn confinement_faults(path: &str, text: &str) -> Vec<String> {
    let code = source::without_tests(path, &source::code(text));
    let mut faults = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for rule in CONFINED.iter().filter(|rule| names(line, rule.code)) {
            if !rule.allowed.iter().any(|place| path.starts_with(place)) {
                faults.push(format!("{path}:{}: `{}`: {}", number + 1, rule.code, rule.instead));
            }
        }
    }
    faults
}

/// Whether a line of code names `wanted`, not merely something that ends with it (`eprintln!` holds `println!`).
/// `use sled;` and `use std::{fs, io}` count too.
fn names(line: &str, wanted: &str) -> bool {
    let starts_word =
        |at: usize| !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if line.match_indices(wanted).any(|(at, _)| starts_word(at)) {
        return true;
    }
    let import = line.trim_start().strip_prefix("pub ").unwrap_or(line.trim_start());
    let Some(import) = import.strip_prefix("use ") else { return false };
    match wanted.split_once("::") {
        Some((root, "")) => import.trim_end_matches(';').split([' ', ':']).next() == Some(root),
        Some((root, item)) => import
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix("::{"))
            .is_some_and(|list| list.split([',', '{', '}', ';', ':', ' ']).any(|word| word == item)),
        None => false,
    }
}

/// Faults of a file's first line and length.
fn shape_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!("{path}:1: begin the file with `//! ` and the question that it answers"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults
            .push(format!("{path}: {lines} lines, at most {MAX_LINES}; one idea per file: split it by idea"));
    }
    faults
}

fn each_source(folders: &[&str], check: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = 0;
    // git keeps no empty folder: `benches` may be missing.
    for folder in folders.iter().filter(|folder| root().join(folder).is_dir()) {
        for path in paths_in(folder, |path| path.ends_with(".rs")) {
            files += 1;
            found.extend(check(&path.to_string_lossy(), &read(&path)));
        }
    }
    assert!(files > 10, "only {files} source files found; is the test looking at the right tree?");
    found
}

/// Files below a folder, as paths from the root of the repository.
pub fn paths_in(folder: &str, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(root().join(&folder)).unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("a file type").is_dir() {
                // What the fuzz targets are built to is nobody's source.
                if entry.file_name() != "target" {
                    folders.push(path);
                }
            } else if wanted(&path.to_string_lossy()) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn report(found: Vec<String>) {
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

mod each_check_can_fail {
    use super::*;

    #[test]
    fn arrows_up_across_and_into_the_unknown() {
        let manifest = |line: &str| format!("[package]\nname = \"x\"\n\n[dependencies]\n{line}\n");
        for (member, line, says) in [
            ("logql", "strandline-store.workspace = true", "uses crate store"),
            ("api", "strandline-store = { workspace = true }", "uses crate store"),
            ("store", "strandline-query = { path = \"../query\" }", "uses crate query"),
            ("model", "serde.workspace = true", "must not know"),
            ("cellar", "", "is a new crate"),
        ] {
            let faults = arrow_faults(member, &manifest(line));
            assert!(faults.len() == 1 && faults[0].contains(says), "{member} {line}: {faults:?}");
        }
        assert_eq!(
            arrow_faults("query", &manifest("strandline-store.workspace = true\nregex = \"1\"")),
            [""; 0]
        );
        // A crate's tests may look further.
        let tests = "[dev-dependencies]\nstrandline-store.workspace = true\n";
        assert_eq!(arrow_faults("logql", tests), [""; 0]);
    }

    #[test]
    fn every_way_to_write_a_dependency_is_seen() {
        let manifest = "[dependencies]\na.workspace = true\n# no = \"1\"\nb = \"1\"\nc={path=\"c\"}\n\n\
                        [dependencies.d]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies]\ne = \"1\"\n\
                        [build-dependencies]\nf = \"1\"\n[dev-dependencies]\ng = \"1\"\n[dev-dependencies.h]\n[lints]\ni = 1\n";
        assert_eq!(dependencies(manifest), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn code_out_of_its_place() {
        for (path, code, says) in [
            ("src/store/src/segment/a.rs", "use tantivy::Index;", "store::text"),
            ("src/store/src/head.rs", "use sled;", "store::labels"),
            ("src/query/src/a.rs", "let db: sled::Db;", "store::labels"),
            ("src/cli/src/a.rs", "use axum::Router;", "api crate"),
            ("src/store/src/wal/a.rs", "std::fs::write(a, b)", "store::disk"),
            ("src/store/src/wal/a.rs", "use std::{fs, io};", "store::disk"),
            ("src/cli/src/serve.rs", "std::fs::create_dir(a)", "store::disk"),
            ("src/api/src/a.rs", "tokio::fs::read(a)", "store::disk"),
            ("src/store/src/a.rs", "let t = std::time::Instant::now();", "Clock"),
            ("src/ingest/src/a.rs", "SystemTime::now()", "Clock"),
            ("src/api/src/a.rs", "mpsc::unbounded_channel()", "bounded"),
            ("src/api/src/a.rs", "todo!()", "finish it"),
            ("src/api/src/a.rs", "dbg!(x)", "remove it"),
            ("src/api/src/a.rs", "println!(\"x\")", "tracing"),
            ("src/api/src/loki/a.rs", "Reader::granted(vec![tenant], None, rules)", "access::QueryAccess"),
            ("src/api/src/loki/a.rs", "let reader = Reader::of(tenant);", "access::QueryAccess"),
            ("src/api/src/loki/a.rs", "let query = LogQuery::parse(text)?;", "ask the reader"),
            ("src/api/src/otlp/a.rs", "Sender::new(tenant, limits)", "access::PushAccess"),
            ("src/api/src/access/a.rs", "Intake::new(tenant, limits, 0, cache)", "ingest::Admission"),
        ] {
            let faults = confinement_faults(path, code);
            assert!(faults.len() == 1 && faults[0].contains(says), "{path} {code}: {faults:?}");
        }
    }

    #[test]
    fn the_same_code_in_its_place_or_not_code_at_all() {
        for (path, code) in [
            ("src/store/src/text/a.rs", "use tantivy::Index;"),
            ("src/store/src/labels/a.rs", "use sled::Db;"),
            ("src/store/src/disk/real.rs", "use std::fs::File;"),
            ("src/model/src/clock.rs", "Instant::now()"),
            ("src/store/src/a.rs", "// std::fs would be wrong here"),
            ("src/store/src/a.rs", "/* dbg! */ let a = \"todo!\";"),
            ("src/store/src/a.rs", "use std::{fmt, io};"),
            ("src/store/src/a.rs", "let my_todo!x;"),
            ("src/store/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n"),
            ("src/store/src/wal/tests.rs", "std::fs::write(a, b)"),
        ] {
            assert_eq!(confinement_faults(path, code), [""; 0], "{path}");
        }
    }

    #[test]
    fn sleeps_of_tests() {
        let inside = "fn a() { thread::sleep(REST) }\n#[cfg(test)]\nmod tests {\n fn b() { std::thread::sleep(X); }\n}\n";
        assert!(matches!(&sleep_faults("src/api/src/a.rs", inside)[..], [one] if one.contains("a.rs:4")));
        for path in ["tests/it/a.rs", "src/api/src/tests/a.rs", "src/api/src/a_tests.rs"] {
            assert_eq!(sleep_faults(path, "fn a() { thread::sleep(X) }\n").len(), 1, "{path}");
        }
        assert_eq!(sleep_faults("tests/it/wait.rs", "thread::sleep(X)"), [""; 0]);
        assert_eq!(sleep_faults("tests/it/a.rs", "// thread::sleep(X)"), [""; 0]);
    }

    #[test]
    fn nameless_and_endless_files() {
        assert!(shape_faults("a.rs", "fn main() {}\n")[0].contains("the question"));
        assert!(shape_faults("a.rs", "//!\n")[0].contains("the question"));
        assert!(shape_faults("a.rs", &format!("//! A.\n{}", "\n".repeat(MAX_LINES)))[0].contains("split"));
        assert_eq!(shape_faults("a.rs", "//! A.\n"), [""; 0]);
    }
}
