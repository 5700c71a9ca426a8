//! Which values were given, by whom? The first stage: text with its place, nothing interpreted.

use super::nearest::nearest;
use super::renamed::{self, Named};
use super::settings::{self, SETTINGS, Setting, env_name, flag};
use super::tree::{self, Node, Position, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The settings file, with the place of the key.
    File {
        /// The file as named by the user.
        path: String,
        /// Where the key stands.
        at: Position,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl Origin {
    /// Where a fault at `at` inside this value is to be found.
    pub fn place(&self, at: Position) -> String {
        match self {
            Self::File { path, .. } => format!("{path}:{}:{}", at.line, at.column),
            Self::Environment(name) => name.clone(),
            Self::Flag(flag) => flag.clone(),
        }
    }

    /// How a setting's name is written where this value came from.
    fn written(&self, name: &str) -> String {
        match self {
            Self::File { .. } => format!("\"{name}\""),
            Self::Environment(_) => env_name(name),
            Self::Flag(_) => format!("--{}", flag(name)),
        }
    }

    /// Whether both came from a file, from the environment or from flags.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, at } => write!(f, "{path}:{}:{}", at.line, at.column),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as given.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The value.
    pub value: Node,
    /// Who gave it.
    pub origin: Origin,
}

/// All values given, one per setting; the faults met on the way are gathered, not thrown, so that a user sees
/// all of them at once.
#[derive(Debug, Default)]
pub struct RawConfig {
    /// By setting name.
    pub given: BTreeMap<&'static str, Given>,
    /// What could not be understood, each with its place.
    pub faults: Vec<String>,
    /// What was understood, but should be written in another way, each with its place.
    pub warnings: Vec<String>,
}

impl RawConfig {
    /// Gives a setting a value; a later kind of origin wins over an earlier one.
    fn give(&mut self, named: Named, value: Node, origin: Origin) {
        let Named { setting, old } = named;
        if let Some(old) = old {
            let (old, new) = (origin.written(old), origin.written(setting.name));
            self.warnings.push(format!("{origin}: {old} is now called {new}; the old name is still read"));
        }
        let earlier = self.given.insert(setting.name, Given { value, origin: origin.clone() });
        // One file, environment or command line gives a setting twice only by its old name and its new one.
        if let Some(earlier) = earlier.filter(|earlier| earlier.origin.is_like(&origin)) {
            let fault = format!("{origin}: {} is given twice, first in {}", setting.name, earlier.origin);
            self.faults.push(format!("{fault}; remove the one with the old name"));
        }
    }

    /// Gives a setting a value that was written as one text, outside the file.
    pub fn give_text(&mut self, named: Named, text: &str, origin: Origin) {
        let setting = named.setting;
        let value = if setting.structured { tree::parse(text) } else { Ok(Node::text(text)) };
        match value {
            Ok(value) => self.give(named, value, origin),
            Err(fault) => self.faults.push(format!("{origin}: {}: {}", setting.name, fault.message)),
        }
    }

    /// Takes over the settings of a file.
    pub fn add_file(&mut self, path: &str, text: &str) {
        let root = match tree::parse(text) {
            Ok(root) => root,
            Err(fault) => return self.faults.push(format!("{path}:{fault}")),
        };
        match root.value {
            Value::Null => {}
            Value::Map(sections) => {
                for (section, body) in sections {
                    self.add_section(path, &section, body);
                }
            }
            _ => self.fault_in_file(path, root.at, format!("takes sections, not {}", root.kind())),
        }
    }

    fn add_section(&mut self, path: &str, section: &tree::Key, body: Node) {
        if !renamed::names().any(|named| named.section() == section.name) {
            return self.unknown_section(path, section);
        }
        let kind = body.kind();
        match body.value {
            // A section with every key commented out.
            Value::Null => {}
            Value::Map(entries) => {
                for (key, value) in entries {
                    let name = format!("{}.{}", section.name, key.name);
                    match renamed::find(&name) {
                        Some(named) => {
                            let origin = Origin::File { path: path.to_owned(), at: key.at };
                            self.give(named, value, origin);
                        }
                        None => {
                            let message = format!("unknown key \"{name}\"; {}", suggestion(&name));
                            self.fault_in_file(path, key.at, message);
                        }
                    }
                }
            }
            _ => {
                let message = format!("section \"{}\" takes keys, not {kind}", section.name);
                self.fault_in_file(path, body.at, message);
            }
        }
    }

    fn unknown_section(&mut self, path: &str, section: &tree::Key) {
        let message = match settings::find(&section.name) {
            Some(setting) => format!(
                "write \"{}\" as key \"{}\" inside section \"{}\"",
                setting.name,
                setting.key(),
                setting.section()
            ),
            None => {
                let sections = SETTINGS.iter().map(Setting::section);
                let hint = match nearest(&section.name, sections.clone()) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => {
                        let mut known: Vec<&str> = sections.collect();
                        known.dedup();
                        format!("known are {}", known.join(", "))
                    }
                };
                format!("unknown key \"{}\"; {hint}", section.name)
            }
        };
        self.fault_in_file(path, section.at, message);
    }

    fn fault_in_file(&mut self, path: &str, at: Position, message: String) {
        self.faults.push(format!("{path}:{}:{}: {message}", at.line, at.column));
    }
}

/// What to tell someone who wrote an unknown `section.key`.
pub fn suggestion(name: &str) -> String {
    let key = name.split_once('.').map_or(name, |(_, key)| key);
    let by_name = nearest(name, SETTINGS.iter().map(|setting| setting.name));
    // The right key in the wrong section.
    let by_key = || SETTINGS.iter().find(|setting| setting.key() == key).map(|setting| setting.name);
    match by_name.or_else(by_key) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => "`strandline config --docs` lists every key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut raw = RawConfig::default();
        raw.add_file("config.yaml", text);
        raw.faults
    }

    #[test]
    fn unknown_keys_name_their_place_and_the_nearest_known_key() {
        let text = "# settings\nwal:\n  sync: always\n\n\nstorage:\n  datadir: /x\nstorag:\n  data_dir: /y\n";
        assert_eq!(
            faults(text),
            [
                "config.yaml:7:3: unknown key \"storage.datadir\"; did you mean \"storage.data_dir\"?",
                "config.yaml:8:1: unknown key \"storag\"; did you mean \"storage\"?",
            ]
        );
    }

    #[test]
    fn other_slips_have_their_own_hint() {
        for (text, said) in [
            (
                "storage.data_dir: /x\n",
                "1:1: write \"storage.data_dir\" as key \"data_dir\" inside section \"storage\"",
            ),
            ("server:\n  data_dir: /x\n", "did you mean \"storage.data_dir\"?"),
            ("server:\n  zzzzzzzz: 1\n", "`strandline config --docs` lists every key"),
            ("nonsense: 1\n", "known are server, tls, storage, wal"),
            ("storage: /x\n", "1:10: section \"storage\" takes keys, not a plain value"),
            ("- a\n", "1:1: takes sections, not a list"),
            ("a: b: c\n", "config.yaml:1:"),
        ] {
            let found = faults(text);
            assert!(found.len() == 1 && found[0].contains(said), "{text:?} gave {found:?}");
        }
        assert!(faults("").is_empty());
        assert!(faults("storage:\n").is_empty());
    }

    #[test]
    fn structured_settings_are_yaml_outside_the_file() {
        let mut raw = RawConfig::default();
        let setting = renamed::find("retention.tenants").unwrap();
        raw.give_text(setting, "{a: {max_age: 1d}}", Origin::Flag("--retention.tenants".into()));
        assert!(raw.faults.is_empty() && raw.given.contains_key("retention.tenants"));
        raw.give_text(setting, "{a: ", Origin::Flag("--retention.tenants".into()));
        assert!(raw.faults[0].starts_with("--retention.tenants: retention.tenants: "), "{:?}", raw.faults);
    }
}
