//! Which files of a crate need each other in a circle? The compiler keeps the crates apart; inside of one, files that lean
//! on each other can only be read, tested and moved together.
//!
//! A file depends on another where it names something that is defined there. Imports are looked through, whoever passes
//! them on: `crate::Engine` is a use of the file that defines `Engine`, not of `lib.rs`. Tests do not count. A circle is a
//! strongly connected component of more than one file (Tarjan 1972).

use crate::architecture::paths_in;
use crate::source;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

/// Crates and the files that may stand in circles there. A number may only fall.
const FILES_IN_CIRCLES: [(&str, usize); 7] =
    [("model", 0), ("logql", 0), ("store", 13), ("ingest", 0), ("query", 0), ("api", 0), ("cli", 0)];

#[test]
fn files_do_not_need_each_other_in_circles() {
    let mut faults = Vec::new();
    for (name, allowed) in FILES_IN_CIRCLES {
        let circles = Crate::read(name).circles();
        let files: usize = circles.iter().map(Vec::len).sum();
        if files != allowed {
            let listed: Vec<String> =
                circles.iter().map(|circle| format!("  {}", circle.join(" "))).collect();
            faults.push(format!(
                "src/{name}: {files} files in {} circles, {allowed} are expected. More: move what they share into a file \
                 below them. Fewer: lower the number here\n{}",
                circles.len(),
                listed.join("\n")
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// How often an import may lead to another one.
const MAX_IMPORTS: usize = 16;

/// Names of a module from the crate's root: `["disk", "real"]`.
type ModulePath = Vec<String>;

/// One file.
#[derive(Default)]
struct Module {
    /// The file, from the crate's `src`.
    file: String,
    tokens: Vec<String>,
    /// Items that stand in it.
    defined: HashSet<String>,
    /// What its imports are called, and what they mean.
    imports: HashMap<String, Vec<String>>,
    /// Modules and types of which it imports all.
    globs: Vec<Vec<String>>,
}

/// The files of one crate.
struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

impl Crate {
    fn read(name: &str) -> Self {
        let folder = format!("src/{name}/src");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = paths_in(&folder, |path| path.ends_with(".rs")).into_iter().map(|path| {
            let text =
                fs::read_to_string(root.join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let file =
                path.strip_prefix(&folder).expect("a file of the folder").to_string_lossy().into_owned();
            (file, text)
        });
        Self::of(files)
    }

    fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = HashSet::new();
        for (file, text) in files {
            let code = source::code(&text);
            let path = module_path(&file);
            tests.extend(test_modules(&code).into_iter().map(|name| child(&path, &name)));
            let code = source::without_tests(&format!("src/{file}"), &code);
            modules.insert(path, Module::of(file, &code));
        }
        modules.retain(|path, _| !(1..=path.len()).any(|to| tests.contains(&path[..to])));
        Self { modules }
    }

    /// The files of each circle.
    fn circles(&self) -> Vec<Vec<String>> {
        let uses: BTreeMap<&str, BTreeSet<&str>> =
            self.modules.iter().map(|(path, module)| (&*module.file, self.uses(path, module))).collect();
        components(&uses)
            .into_iter()
            .filter(|files| files.len() > 1)
            .map(|files| files.into_iter().map(str::to_owned).collect())
            .collect()
    }

    /// The files that a module depends on.
    fn uses(&self, path: &ModulePath, module: &Module) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for named in paths(&module.tokens) {
            if let Some(file) = self.file_of(path, module, &named).filter(|file| *file != module.file) {
                found.insert(file);
            }
        }
        found
    }

    /// Where what a path of `module` names is defined, if in this crate.
    fn file_of(&self, path: &ModulePath, module: &Module, named: &[String]) -> Option<&str> {
        let (first, rest) = named.split_first()?;
        let own =
            matches!(&**first, "crate" | "self" | "super") || self.modules.contains_key(&child(path, first));
        let absolute = match module.imports.get(first) {
            // A name that was imported by itself: `Engine`, `Engine::open`, `disk::real`.
            Some(import) if !own => self.absolute(path, &[import, rest].concat())?,
            _ if own => self.absolute(path, named)?,
            _ => return None,
        };
        self.definition(absolute, MAX_IMPORTS)
    }

    /// A path from the crate's root; `None` for what is another crate's.
    fn absolute(&self, from: &ModulePath, named: &[String]) -> Option<Vec<String>> {
        let mut at = from.clone();
        let mut rest = named;
        match &**named.first()? {
            "crate" => (at, rest) = (Vec::new(), &named[1..]),
            "self" => rest = &named[1..],
            "super" => {}
            first if self.modules.contains_key(&child(from, first)) => {}
            _ => return None,
        }
        while let Some("super") = rest.first().map(|name| &**name) {
            at.pop()?;
            rest = &rest[1..];
        }
        at.extend(rest.iter().cloned());
        Some(at)
    }

    /// The file that defines what an absolute path names. A path that ends at a module names no item: what is used of
    /// it stands elsewhere.
    fn definition(&self, path: Vec<String>, imports_left: usize) -> Option<&str> {
        let inside = (0..=path.len()).rev().find(|to| self.modules.contains_key(&path[..*to]))?;
        let (at, item) = (path[..inside].to_vec(), path.get(inside)?);
        let module = &self.modules[&at];
        if module.defined.contains(item) || imports_left == 0 {
            return Some(&module.file);
        }
        if let Some(import) = module.imports.get(item) {
            let absolute = self.absolute(&at, &[import, &path[inside + 1..]].concat())?;
            return self.definition(absolute, imports_left - 1);
        }
        for glob in &module.globs {
            let absolute = self.absolute(&at, glob)?;
            let named = [&absolute[..], &path[inside..]].concat();
            if self.modules.get(&absolute).is_some_and(|module| module.defined.contains(item)) {
                return self.definition(named, imports_left - 1);
            }
        }
        Some(&module.file)
    }
}

impl Module {
    fn of(file: String, code: &str) -> Self {
        let mut module = Self { file, tokens: from_the_file(&tokens(code)), ..Self::default() };
        const ITEMS: [&str; 9] =
            ["struct", "enum", "trait", "fn", "type", "const", "static", "union", "macro_rules"];
        for (at, pair) in module.tokens.windows(2).enumerate() {
            // `&'static Rule` defines nothing.
            let is_lifetime = at > 0 && module.tokens[at - 1] == "'";
            if ITEMS.contains(&&*pair[0]) && !is_lifetime {
                module.defined.insert(pair[1].clone());
            }
        }
        let mut at = 0;
        while let Some(start) = module.tokens[at..].iter().position(|token| token == "use").map(|n| at + n) {
            let end = module.tokens[start..]
                .iter()
                .position(|token| token == ";")
                .map_or(module.tokens.len(), |n| start + n);
            let mut list = Imports::default();
            list.read(&mut module.tokens[start + 1..end].iter().map(String::as_str).peekable(), &[]);
            module.imports.extend(list.named);
            module.globs.extend(list.globs);
            // What is imported counts where it is used; what is imported and not used is passed on.
            module.tokens.drain(start..end.min(module.tokens.len()));
            at = start;
        }
        module
    }
}

/// The leaves of a `use` tree.
#[derive(Default)]
struct Imports {
    named: Vec<(String, Vec<String>)>,
    globs: Vec<Vec<String>>,
}

impl Imports {
    fn read<'t>(
        &mut self,
        tokens: &mut std::iter::Peekable<impl Iterator<Item = &'t str>>,
        before: &[String],
    ) {
        let mut path = before.to_vec();
        let mut name = None;
        while let Some(token) = tokens.next() {
            match token {
                "::" => {}
                "{" => {
                    loop {
                        self.read(tokens, &path);
                        if tokens.next() != Some(",") {
                            break;
                        }
                    }
                    return;
                }
                "*" => return self.globs.push(path),
                "as" => name = tokens.next().map(str::to_owned),
                "self" if path.len() > before.len() || !before.is_empty() => {}
                word => path.push(word.to_owned()),
            }
            if matches!(tokens.peek(), None | Some(&("," | "}"))) {
                break;
            }
        }
        if let Some(last) = path.last() {
            self.named.push((name.unwrap_or_else(|| last.clone()), path));
        }
    }
}

/// The module that a file is.
fn module_path(file: &str) -> ModulePath {
    let mut names: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(names.last().map(|name| &**name), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

fn child(path: &[String], name: &str) -> ModulePath {
    [path, &[name.to_owned()]].concat()
}

/// Modules that are compiled for tests alone.
fn test_modules(code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_for_tests = |line: &str| line.starts_with("#[cfg(") && line.contains("test");
    let declared = |line: &&str| {
        let name = line.rsplit_once("mod ")?.1.strip_suffix(';')?;
        Some(name.to_owned())
    };
    lines.windows(2).filter(|pair| is_for_tests(pair[0])).filter_map(|pair| declared(&pair[1])).collect()
}

/// Words and the signs that make paths; everything else is one sign a character.
fn tokens(code: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            found.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            found.push("::".to_owned());
        } else if !c.is_whitespace() {
            found.push(c.to_string());
        }
    }
    found
}

/// Paths of a module that stands inside of a file (`mod size { .. }`), as if they stood in the file itself.
fn from_the_file(tokens: &[String]) -> Vec<String> {
    let (mut found, mut braces, mut modules): (Vec<String>, usize, Vec<usize>) = Default::default();
    let mut at = 0;
    while at < tokens.len() {
        match &*tokens[at] {
            "{" => {
                braces += 1;
                if matches!(&tokens[..at], [.., keyword, _] if keyword == "mod") {
                    modules.push(braces);
                }
            }
            "}" => {
                modules.pop_if(|depth| *depth == braces);
                braces = braces.saturating_sub(1);
            }
            "super" if !modules.is_empty() => {
                let is_super = |at: usize| tokens.get(at).is_some_and(|token| token == "super");
                let upward = (0..).take_while(|n| is_super(at + 2 * n)).count();
                let outside = upward.saturating_sub(modules.len());
                found.push(if outside == 0 { "self" } else { "super" }.to_owned());
                found.extend((1..outside).flat_map(|_| ["::".to_owned(), "super".to_owned()]));
                at += 2 * upward - 1;
                continue;
            }
            _ => {}
        }
        found.push(tokens[at].clone());
        at += 1;
    }
    found
}

/// The paths of code, single words included.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let is_word = |token: &String| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = is_word(&tokens[at]) && (at == 0 || !matches!(&*tokens[at - 1], "." | "::" | "'"));
        if !begins {
            at += 1;
            continue;
        }
        let mut path = vec![tokens[at].clone()];
        at += 1;
        while at + 1 < tokens.len() && tokens[at] == "::" && is_word(&tokens[at + 1]) {
            path.push(tokens[at + 1].clone());
            at += 2;
        }
        found.push(path);
    }
    found
}

/// Tarjan's algorithm.
fn components<'f>(uses: &BTreeMap<&'f str, BTreeSet<&'f str>>) -> Vec<Vec<&'f str>> {
    struct Search<'s, 'f> {
        uses: &'s BTreeMap<&'f str, BTreeSet<&'f str>>,
        /// Order of the first visit, and the earliest that can be reached.
        seen: HashMap<&'f str, (usize, usize)>,
        stack: Vec<&'f str>,
        found: Vec<Vec<&'f str>>,
    }
    impl<'f> Search<'_, 'f> {
        fn visit(&mut self, file: &'f str) -> usize {
            let order = self.seen.len();
            self.seen.insert(file, (order, order));
            self.stack.push(file);
            let mut lowest = order;
            for next in self.uses.get(file).into_iter().flatten() {
                match self.seen.get(next) {
                    None => lowest = lowest.min(self.visit(next)),
                    Some((order, _)) if self.stack.contains(next) => lowest = lowest.min(*order),
                    Some(_) => {}
                }
            }
            if lowest == order {
                let from = self.stack.iter().position(|other| *other == file).expect("it was pushed");
                let mut component = self.stack.split_off(from);
                component.sort_unstable();
                self.found.push(component);
            }
            self.seen.insert(file, (order, lowest));
            lowest
        }
    }
    let mut search = Search { uses, seen: HashMap::new(), stack: Vec::new(), found: Vec::new() };
    for file in uses.keys() {
        if !search.seen.contains_key(file) {
            search.visit(file);
        }
    }
    search.found.sort();
    search.found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        Crate::of(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))).circles()
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        let found = |a: &str, b: &str, rest: &[(&str, &str)]| {
            let mut files = vec![("a.rs", a), ("b.rs", b)];
            files.extend(rest);
            circles(&files)
        };
        let circle = [["a.rs", "b.rs"]];
        let a = "use crate::b::B; pub struct A(B);";
        assert_eq!(found(a, "use crate::a::A; pub struct B(A);", &[]), circle);
        assert_eq!(found(a, "pub struct B(crate::a::A);", &[]), circle);
        assert_eq!(found(a, "use super::a; pub struct B(a::A);", &[]), circle);
        assert_eq!(found(a, "use crate::{c::C, a::{self, A as X}}; pub struct B(X);", &[]), circle);
        assert_eq!(found(a, "mod c { use super::super::a::A; pub struct B(A); } use c::B;", &[]), circle);
        // Through what another file passes on.
        let lib = ("lib.rs", "pub use a::A; pub use b::*; mod a; mod b;");
        assert_eq!(found(a, "use crate::A; pub struct B(A);", &[lib]), circle);
        assert_eq!(found("use crate::B; pub struct A(B);", "use crate::A; pub struct B(A);", &[lib]), circle);
    }

    #[test]
    fn a_parent_that_needs_its_child_and_is_needed_by_it_is_a_circle() {
        let child = "use super::Rule; pub struct Log(Rule);";
        let parent = "mod log; use log::Log; pub struct Rule; fn open(log: Log) {}";
        assert_eq!(
            circles(&[("disk/mod.rs", parent), ("disk/log.rs", child)]),
            [["disk/log.rs", "disk/mod.rs"]]
        );
        // It only passes the child on.
        let parent = "mod log; pub use log::Log; pub struct Rule;";
        assert_eq!(circles(&[("disk/mod.rs", parent), ("disk/log.rs", child)]), [[""; 0]; 0]);
    }

    #[test]
    fn arrows_one_way_and_tests_are_none() {
        let a = "use crate::b::B; pub struct A(B);";
        for b in [
            "pub struct B;",
            "use other::a::A; pub struct B(A);",
            "use crate::a::A; pub struct B;",
            "pub struct B; mod a { pub struct A; } mod c { use super::a::A; fn f(a: A, b: super::B) {} }",
            "// crate::a::A\npub struct B(\"crate::a::A\");",
            "pub struct B;\n#[cfg(test)]\nmod tests {\n use crate::a::A; fn f(a: A) {}\n}\n",
        ] {
            assert_eq!(circles(&[("a.rs", a), ("b.rs", b)]), [[""; 0]; 0], "{b}");
        }
        let tests = ("b/model.rs", "use crate::a::A; pub fn f(a: A) -> super::B {}");
        let b = "pub struct B;\n#[cfg(test)]\nmod model;\nfn f() { model::f() }\n";
        assert_eq!(circles(&[("a.rs", a), ("b/mod.rs", b), tests]), [[""; 0]; 0]);
    }
}
