//! Does the binary that users get hold anything that is there for tests alone? And is it shipped small, with its debug
//! information beside it?

use crate::architecture::paths_in;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Texts of code for tests: the simulated disk's errors, a planted bug's name, the exploration's complaint.
const MARKS: [&str; 3] = ["(simulated disk)", "ack-before-sync", "deadlock: no thread of the exploration"];

/// Packages that are for tests alone.
const TEST_PACKAGES: [&str; 2] = ["strandline-simdisk", "strandline-instrumented"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn holds(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    memchr::memmem::find(&bytes, text.as_bytes()).is_some()
}

/// The binary that cargo builds for tests has the features that tests ask for: if even that one holds nothing, the
/// released one does not.
#[test]
fn the_binary_holds_no_code_for_tests() {
    let binary = Path::new(env!("CARGO_BIN_EXE_strandline"));
    let tests = std::env::current_exe().unwrap();
    for mark in MARKS {
        assert!(holds(&tests, mark), "{mark:?} is not even in the tests: this search proves nothing");
        assert!(!holds(binary, mark), "{mark:?} is in {}", binary.display());
    }
}

fn tree(edges: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--locked", "-p", "strandline", "-e", edges, "--prefix", "none"]);
    let output = command.args(["-f", "{p} [{f}]"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Faults of a list of packages with their features.
fn graph_faults(tree: &str) -> Vec<String> {
    let own = |line: &&str| line.starts_with("strandline-");
    let fault = |line: &str| {
        let for_tests = TEST_PACKAGES.iter().any(|name| line.split(' ').next() == Some(name));
        let features = line.rsplit_once('[').map_or("", |(_, features)| features);
        for_tests || features.trim_end_matches(" (*)") != "]"
    };
    tree.lines().filter(own).filter(|line| fault(line)).map(str::to_owned).collect()
}

#[test]
fn what_the_binary_is_built_from_has_no_features_for_tests() {
    let shipped = tree("normal,build");
    assert!(shipped.contains("strandline-store"), "{shipped}");
    assert_eq!(graph_faults(&shipped), [""; 0]);
    // With the tests' dependencies beside it, which cargo builds together with the binary.
    let unified = tree("normal,build,dev");
    let packages = |line: &&String| !TEST_PACKAGES.iter().any(|name| line.starts_with(&format!("{name} ")));
    let faults = graph_faults(&unified);
    assert_eq!(faults.iter().filter(packages).collect::<Vec<_>>(), [""; 0]);
    assert!(TEST_PACKAGES.iter().any(|name| unified.contains(name)), "{unified}");
}

#[test]
fn a_package_for_tests_and_a_feature_are_found() {
    for line in [
        "strandline-simdisk v0.1.0 (/x) []",
        "strandline-instrumented v0.1.0 (/x) [] (*)",
        "strandline-store v0.1.0 (/x) [fuzzing]",
    ] {
        assert_eq!(graph_faults(line), [line]);
    }
    assert_eq!(graph_faults("strandline-store v0.1.0 (/x) []\nstrandline-api v0.1.0 (/x) [] (*)"), [""; 0]);
}

/// Code that is another one under test is not what was tested.
#[test]
fn no_size_or_branch_of_the_source_depends_on_the_build_being_a_test() {
    let mut faults = Vec::new();
    for path in paths_in("src", |path| path.ends_with(".rs")) {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        let code = crate::source::without_tests(&path.to_string_lossy(), &crate::source::code(&text));
        for (number, line) in code.lines().enumerate().filter(|(_, line)| depends_on_test(line)) {
            faults.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
        }
    }
    assert!(faults.is_empty(), "make it a setting that tests set:\n{}", faults.join("\n"));
}

fn depends_on_test(line: &str) -> bool {
    line.contains("cfg!(test)") || line.contains("not(test)") || line.contains("cfg_attr(test")
}

#[test]
fn branches_on_tests_are_found() {
    for code in [
        "const N: usize = if cfg!(test) { 1 } else { 2 };",
        "#[cfg(not(test))]",
        "#[cfg(not(any(not(test))))]",
    ] {
        assert!(depends_on_test(code), "{code}");
    }
    assert!(!depends_on_test("#[cfg(test)]"));
}

/// The copy of the store is built from the same crates.
#[test]
fn the_instrumented_store_has_the_same_dependencies() {
    let dependencies = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let (_, rest) = text.split_once("\n[dependencies]\n").unwrap();
        rest.split("\n[").next().unwrap().trim().to_owned()
    };
    assert_eq!(dependencies("tests/instrumented/Cargo.toml"), dependencies("src/store/Cargo.toml"));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn sections(file: &Path) -> String {
    run(Command::new("objdump").args(["-h", "-w"]).arg(file))
}

/// `.ci/split-debug` is what makes the shipped file of a build.
#[test]
fn the_shipped_binary_is_stripped_and_finds_its_debug_file() {
    let folder = tempfile::tempdir().unwrap();
    let built = PathBuf::from(env!("CARGO_BIN_EXE_strandline"));
    run(Command::new("bash").arg(root().join(".ci/split-debug")).arg(&built).arg(folder.path()));
    let (shipped, debug) = (folder.path().join("strandline"), folder.path().join("strandline.debug"));
    let (has, has_not) = (sections(&shipped), [".debug_line", ".symtab"]);
    assert!(has.contains(".gnu_debuglink") && !has_not.iter().any(|name| has.contains(name)), "{has}");
    assert!(sections(&debug).contains(".debug_line"));
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&shipped) < size(&built) / 2, "{} of {}", size(&shipped), size(&built));
    assert!(run(Command::new(&shipped).arg("--version")).starts_with("strandline "));
    let docker = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    assert!(docker.contains(".ci/split-debug"), "the image ships what the script makes");
}
