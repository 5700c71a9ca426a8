//! Copies the store's source: locks are those of `schedule`, the simulated disk is there, and so are the mutations.

#[allow(dead_code, reason = "tests read the rest")]
#[path = "src/mutations.rs"]
mod mutations;

use mutations::{MUTATIONS, Mutation};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The copies have the same places to each other as in the repository: the store names files of the migrations.
const SOURCE: &str = "src/store/src";
const MIGRATIONS: &str = "migrations";

/// Files by their path below a folder.
type Tree = BTreeMap<String, String>;

fn main() {
    let repository = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap()).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    for folder in [SOURCE, MIGRATIONS] {
        println!("cargo::rerun-if-changed={}", repository.join(folder).display());
    }
    println!("cargo::rerun-if-changed=src/mutations.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let mut migrations = Tree::new();
    read(&repository.join(MIGRATIONS), "", &mut migrations);
    write(&out.join(MIGRATIONS), &migrations);
    let mut tree = Tree::new();
    read(&repository.join(SOURCE), "", &mut tree);
    let stale: Vec<&str> = MUTATIONS.iter().filter(|m| !apply(&mut tree, m)).map(|m| m.name).collect();
    for text in tree.values_mut() {
        *text = text
            .replace("parking_lot::", "crate::schedule::")
            .replace("#[cfg(test)]\npub mod sim;", "pub mod sim;")
            // The store's own tests run where they are.
            .replace("#[cfg(test)]", "#[cfg(any())]");
    }
    let copy = out.join(SOURCE);
    write(&copy, &tree);
    fs::write(out.join("root.rs"), root(&copy, &tree)).unwrap();
    fs::write(out.join("stale.rs"), format!("&{stale:?}")).unwrap();
}

fn write(folder: &Path, tree: &Tree) {
    // A file that the source has no more must not be found.
    let _ = fs::remove_dir_all(folder);
    for (path, text) in tree {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
    }
}

fn read(folder: &Path, below: &str, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{name}/"), tree);
        } else if name.ends_with(".rs") {
            tree.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// False, and nothing is changed, when the source is not what the mutation was written for.
fn apply(tree: &mut Tree, mutation: &Mutation) -> bool {
    let mut changed = tree.clone();
    for edit in mutation.edits {
        let Some(text) = changed.get_mut(edit.file) else { return false };
        if text.matches(edit.find).count() != 1 {
            return false;
        }
        let asked = format!("crate::planted::is(\"{}\")", mutation.name);
        *text = text.replace(edit.find, &edit.replace.replace("PLANTED", &asked));
    }
    *tree = changed;
    true
}

/// The store's `lib.rs`, to be included: its modules lie in the copy.
fn root(out: &Path, tree: &Tree) -> String {
    let mut root = String::new();
    for line in tree["lib.rs"].lines().filter(|line| !line.starts_with("//!")) {
        let module = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|m| m.strip_suffix(';'));
        if let Some(module) = module {
            let file = [format!("{module}.rs"), format!("{module}/mod.rs")];
            let file = file.iter().find(|file| tree.contains_key(*file)).unwrap();
            root += &format!("#[path = {:?}]\n", out.join(file));
        }
        root += line;
        root.push('\n');
    }
    root
}
