//! Does the README say what is so? Each of its examples is run here, or in the test that the list names.

use crate::clients::is_there;
use crate::rig::Rig;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const README: &str = include_str!("../../README.md");

/// The address in the examples.
const ADDRESS: &str = "127.0.0.1:3100";
/// The data directory in the examples.
const DATA_DIR: &str = "/var/lib/strandline";

/// How each example begins, and the test that runs it.
const EXAMPLES: [(&str, &str); 13] = [
    ("cargo run --release -- serve ", "the_two_commands_are_those_that_ci_runs"),
    ("curl -sS -H 'Content-Type: application/json' ", "the_first_screen"),
    ("curl -sS -G http://127.0.0.1:3100/loki/api/v1/query_range", "the_first_screen"),
    ("target/release/strandline query ", "the_first_screen"),
    ("docker compose -f data/grafana/compose.yaml up ", "bundle"),
    ("strandline serve --storage.data-dir ", "settings_in_all_three_ways"),
    ("# strandline.yaml", "settings_in_all_three_ways"),
    ("strandline.yaml:2:3: unknown key ", "a_wrong_key_is_told_as_shown"),
    ("overrides:", "limits_of_single_tenants"),
    ("{app=\"demo\"} |= \"beach\" | json ", "the unit tests of src/cli/src/explain.rs"),
    ("strandline token new ci ", "credentials"),
    ("auth:", "credentials"),
    ("strandline-data/", "the_data_directory"),
];

/// The examples, without their fences.
fn examples() -> Vec<&'static str> {
    let inside = README.split("\n```").skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').map_or("", |(_, text)| text)).collect()
}

/// The example that begins so.
fn example(begins: &str) -> &'static str {
    let found = examples().into_iter().find(|text| text.starts_with(begins));
    found.unwrap_or_else(|| panic!("the README has no example that begins with {begins:?}"))
}

#[test]
fn every_example_has_its_test() {
    let found = examples();
    for text in &found {
        let first = text.lines().next().unwrap_or_default();
        let known = EXAMPLES.iter().any(|(begins, _)| text.starts_with(begins));
        assert!(known, "no test runs the example {first:?}; write one and name it in EXAMPLES");
    }
    assert_eq!(found.len(), EXAMPLES.len(), "EXAMPLES names more than the README has");
}

/// Runs a script in `folder` as a person would, with `strandline` being the one of this build.
fn shell(script: &str, folder: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_strandline");
    let script = script.replace("target/release/strandline", "strandline");
    let script = format!("set -e\nstrandline() {{ '{program}' \"$@\"; }}\n{script}");
    Command::new("sh").arg("-c").arg(script).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// What a script that must succeed wrote.
fn output(script: &str, folder: &Path) -> String {
    let output = shell(script, folder);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}\n{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_two_commands_are_those_that_ci_runs() {
    let ci = include_str!("../../.ci/run");
    let commands: Vec<&str> =
        example(EXAMPLES[0].0).lines().map(|line| line.split('#').next().unwrap_or(line).trim()).collect();
    assert_eq!(commands, ["cargo run --release -- serve", "cargo test"]);
    assert!(ci.contains("cargo test --locked"), "CI runs the command of the README");
}

#[test]
fn the_first_screen() {
    if !is_there(Path::new("/usr/bin/curl")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&folder.path().join("data"), &[]);
    rig.start();
    let here = |begins: &str| example(begins).replace(ADDRESS, rig.url("").trim_start_matches("http://"));
    assert_eq!(output(&here(EXAMPLES[1].0), folder.path()), "", "204 has no body");
    let answer = output(&here(EXAMPLES[2].0), folder.path());
    assert!(answer.contains("hello from the beach"), "{answer}");
    let lines: Vec<&str> = example(EXAMPLES[3].0).lines().collect();
    let [query, tail] = lines[..] else { panic!("two commands, not {lines:?}") };
    let url = format!("export STRANDLINE_URL={}\n", rig.url(""));
    assert!(output(&format!("{url}{query}"), folder.path()).contains("hello from the beach"));
    // A tail does not end by itself.
    let arguments =
        tail.split('#').next().unwrap().trim().strip_prefix("target/release/strandline tail ").unwrap();
    let mut tail = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["tail", arguments.trim_matches('\''), "--url", &rig.url("")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut first).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(first.contains("hello from the beach"), "{first}");
}

#[test]
fn settings_in_all_three_ways() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("strandline.yaml"), example("# strandline.yaml")).unwrap();
    let ways = example("strandline serve --storage.data-dir ");
    assert_eq!(ways.lines().count(), 3);
    for way in ways.lines() {
        // `config` reads the settings as `serve` does, and ends.
        let shown = output(&way.replace("strandline serve", "strandline config"), folder.path());
        assert!(shown.contains(DATA_DIR), "{way}\n{shown}");
    }
}

#[test]
fn a_wrong_key_is_told_as_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("strandline.yaml"), "storage:\n  datadir: /x\n").unwrap();
    let refused = shell("strandline config --config strandline.yaml", folder.path());
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&refused.stderr).trim(), example("strandline.yaml:2:3: ").trim());
}

#[test]
fn limits_of_single_tenants() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overrides.yaml");
    std::fs::write(&file, example("overrides:")).unwrap();
    let settings = [("AUTH__ENABLED", "true"), ("LIMITS__OVERRIDES_FILE", file.to_str().unwrap())];
    let mut rig = Rig::new(&folder.path().join("data"), &settings);
    rig.start();
    let limits = |tenant: &str| {
        rig.get_with("/loki/api/v1/drilldown-limits", &[("X-Scope-OrgID", tenant)], &[]).json()["limits"]
            .clone()
    };
    assert_eq!(limits("team-a")["max_query_length"], "30d");
    assert_eq!(limits("team-b")["max_line_size"], 1 << 20);
    assert_eq!(limits("team-b")["max_query_length"], limits("another")["max_query_length"]);
}

#[test]
fn credentials() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "correct horse battery staple\n").unwrap();
    let made = output(example("strandline token new ci "), folder.path());
    assert_eq!(made.matches("auth:").count(), 2, "{made}");
    std::fs::write(folder.path().join("auth.yaml"), example("auth:")).unwrap();
    let shown = output("strandline config --config auth.yaml", folder.path());
    for name in ["ci", "ops", "web", "ann"] {
        assert!(shown.contains(name), "{shown}");
    }
    assert!(!shown.contains("argon2id"), "{shown}");
}

#[test]
fn the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut rig = Rig::new(&data, &[]);
    rig.start();
    let body =
        serde_json::json!({"streams": [{"stream": {"app": "a"}, "values": [["1700000000000000000", "x"]]}]});
    assert_eq!(rig.push_json(&body), Some(204));
    assert!(rig.stop().success());
    let described: BTreeSet<&str> = example("strandline-data/")
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .map(|name| name.trim_end_matches('/'))
        .collect();
    for entry in std::fs::read_dir(&data).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_named =
            described.contains(&*name) || example("strandline-data/").contains(&format!("{name}/ "));
        assert!(is_named, "the README does not say what {name} is");
    }
}
