//! How do the settings look to a person: the effective ones as YAML, all of them as a table of documentation.

use super::settings::{SETTINGS, Setting};
use super::{Config, Loaded};
use std::fmt::Write;

/// What stands in place of a secret.
const MASK: &str = "********";

/// The effective configuration as a settings file that means the same, each value with its origin.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in SETTINGS {
        if setting.section() != section {
            section = setting.section();
            text.push_str(&format!("{section}:\n"));
        }
        let origin =
            loaded.origins.get(setting.name).map_or_else(|| "default".to_owned(), ToString::to_string);
        // A line break in a file name must not end the comment.
        let origin = crate::terminal::escape(&origin);
        let value = shown(setting, &loaded.config);
        // A String takes every write.
        let _ = writeln!(text, "  {}: {value} # {origin}", setting.key());
    }
    text
}

fn shown(setting: &Setting, config: &Config) -> String {
    let value = (setting.show)(config);
    match (setting.secret && !value.is_empty(), setting.structured) {
        (true, _) => format!("\"{MASK}\""),
        (false, true) => value,
        (false, false) => scalar(&value),
    }
}

/// A YAML scalar: bare when nothing in it can be misread.
fn scalar(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_./:+-".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '/')
        && text.chars().all(bare)
        && !text.ends_with(':')
        && text != "null";
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// Every setting as a Markdown table.
pub fn documentation() -> String {
    let default = Config::default();
    let mut text =
        String::from("| key | kind | default | meaning | variable | flag |\n|---|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let alias = setting.alias.map(|alias| format!(", `--{alias}`")).unwrap_or_default();
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {} | `{}` | {} | `{}` | `--{}`{alias} |",
            setting.name,
            cell(setting.kind),
            cell(&(setting.show)(&default)),
            cell(setting.help),
            setting.env_name(),
            setting.flag(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::flags::SettingFlags;
    use super::super::raw::RawConfig;
    use super::super::{load, memory};
    use super::*;
    use proptest::prelude::*;

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        load(None, variables, &SettingFlags::default()).unwrap()
    }

    #[test]
    fn the_printed_config_reads_back_to_the_same() {
        let before = loaded(&[
            ("STRANDLINE_STORAGE__DATA_DIR", "/a b: #\"\u{e9}"),
            ("STRANDLINE_RETENTION__STREAMS", "[{selector: '{a=\"b\"}', max_age: 3d}]"),
            ("STRANDLINE_LOG__LEVEL", "info,strandline_store=debug"),
        ]);
        let text = effective(&before);
        let mut raw = RawConfig::default();
        raw.add_file("printed.yaml", &text);
        assert!(raw.faults.is_empty(), "{:?}\n{text}", raw.faults);
        let mut after = Config::default();
        for setting in SETTINGS {
            (setting.apply)(&mut after, &raw.given[setting.name].value).unwrap();
        }
        // How the memory is divided is no setting: the same settings come to the same.
        assert_eq!(memory::divide(&mut after, |_| true, 0), []);
        assert_eq!(after, before.config);
        assert!(text.contains("# STRANDLINE_STORAGE__DATA_DIR"), "{text}");
        assert!(text.contains("http_listen: 127.0.0.1:3100 # default"), "{text}");
    }

    #[test]
    fn secrets_are_masked() {
        let secret = Setting {
            name: "test.password",
            kind: "text",
            help: "a secret",
            alias: None,
            secret: true,
            structured: false,
            apply: |_, _| Ok(()),
            show: |_| "s3cr3t-1".to_owned(),
        };
        assert_eq!(shown(&secret, &Config::default()), "\"********\"");
        let unset = Setting { show: |_| String::new(), ..secret };
        assert_eq!(shown(&unset, &Config::default()), "\"\"");
    }

    #[test]
    fn the_documentation_names_every_setting() {
        let text = documentation();
        assert_eq!(text.lines().count(), SETTINGS.len() + 2);
        assert!(
            text.contains("| `storage.data_dir` | path | `./strandline-data` | the data directory |"),
            "{text}"
        );
        assert!(text.contains("`--storage.data-dir`, `--data-dir` |"));
        assert!(text.contains("always\\|interval\\|off"));
    }

    proptest! {
        #[test]
        fn every_scalar_reads_back(text in "[ -~\u{e9}\n\t]{1,30}") {
            let root = super::super::tree::parse(&format!("a: {} # x", scalar(&text))).unwrap();
            let super::super::tree::Value::Map(entries) = root.value else { panic!("no map") };
            prop_assert_eq!(&entries[0].1.value, &super::super::tree::Value::Text(text));
        }
    }
}
