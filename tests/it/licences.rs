//! May we ship every crate that the binary is built from? Reads the licences that `cargo metadata` tells; `deny.toml`
//! holds the same list for those who have cargo-deny.

use std::path::Path;
use std::process::Command;

/// Licences that ask for no more than a notice. Adding one is a decision, not a formality.
const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn every_crate_has_a_licence_that_we_may_ship() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    // Only what this machine builds: crates of other systems are in the lock file, but never downloaded.
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    assert!(nodes.len() > 50, "only {} crates; is the graph whole?", nodes.len());
    let mut faults = Vec::new();
    for node in nodes {
        let package = packages.iter().find(|p| p["id"] == node["id"]).expect("each node is a package");
        let licence = package["license"].as_str().unwrap_or("");
        if !is_allowed(licence) {
            faults.push(format!("{} {}: \"{licence}\"", package["name"], package["version"]));
        }
    }
    assert!(
        faults.is_empty(),
        "licences outside the list; replace the crate, or decide on the licence in tests/it/licences.rs and \
         deny.toml:\n{}",
        faults.join("\n")
    );
}

#[test]
fn deny_toml_allows_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml");
    let list =
        text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("an allow list").0;
    let listed: Vec<&str> =
        list.split(',').map(|name| name.trim().trim_matches('"')).filter(|n| !n.is_empty()).collect();
    assert_eq!(listed, ALLOWED);
}

fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = Command::new(&cargo).args(["-vV"]).output().expect("cargo -vV");
    let host = String::from_utf8_lossy(&host.stdout);
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host line");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Whether an SPDX expression can be met with licences of the list: one side of an `OR`, both of an `AND`.
fn is_allowed(expression: &str) -> bool {
    let expression = strip_parentheses(expression.trim());
    if let Some((left, right)) = split(expression, " OR ").or_else(|| split(expression, "/")) {
        return is_allowed(left) || is_allowed(right);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return is_allowed(left) && is_allowed(right);
    }
    ALLOWED.contains(&expression)
}

/// Splits at the first operator outside parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0;
    for (at, c) in expression.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && expression[at..].starts_with(operator) => {
                return Some((&expression[..at], &expression[at + operator.len()..]));
            }
            _ => {}
        }
    }
    None
}

/// Takes off parentheses that hold the whole expression.
fn strip_parentheses(expression: &str) -> &str {
    let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return expression;
    };
    let mut depth = 0;
    for c in inner.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return expression,
            ')' => depth -= 1,
            _ => {}
        }
    }
    strip_parentheses(inner.trim())
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for (expression, allowed) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-2.0", false),
        ("GPL-2.0 OR (MIT AND ISC)", true),
        ("(GPL-2.0) OR (AGPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }
}
