//! Which settings does the environment give? `STRANDLINE_SECTION__KEY`.

use super::raw::{Origin, RawConfig, suggestion};
use super::renamed;
use super::settings::{ENV_PREFIX, SETTINGS, env_name};
use std::ffi::OsString;

/// Takes over the settings of the environment's variables.
///
/// A variable with our prefix and a double underscore is meant for us: an unknown one is a fault. Others with our
/// prefix are left alone, because container platforms make some up (`STRANDLINE_SERVICE_HOST`), except where only an
/// underscore is missing.
pub fn add(raw: &mut RawConfig, variables: impl IntoIterator<Item = (OsString, OsString)>) {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
        let known = renamed::names().find(|named| env_name(named.name()) == name);
        let origin = Origin::Environment(name.to_owned());
        match (known, value.to_str()) {
            (Some(named), Some(text)) => raw.give_text(named, text, origin),
            (Some(_), None) => raw.faults.push(format!("{name}: is not valid UTF-8")),
            (None, _) => raw.faults.extend(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> Option<String> {
    let squeezed = |text: &str| text.replace('_', "").to_ascii_uppercase();
    let slip = SETTINGS.iter().find(|setting| squeezed(&setting.env_name()) == squeezed(name));
    if let Some(setting) = slip {
        return Some(format!("{name}: unknown variable; did you mean \"{}\"?", setting.env_name()));
    }
    let rest = name.strip_prefix(ENV_PREFIX)?;
    let (section, key) = rest.split_once("__")?;
    let typed = format!("{section}.{key}").to_ascii_lowercase();
    Some(format!("{name}: unknown key \"{typed}\"; {}", suggestion(&typed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn read(name: &str, value: &str) -> RawConfig {
        let mut raw = RawConfig::default();
        add(&mut raw, [(name.into(), value.into())]);
        raw
    }

    #[test]
    fn known_variables_give_values() {
        let raw = read("STRANDLINE_STORAGE__DATA_DIR", "/x");
        assert_eq!(raw.given["storage.data_dir"].value, super::super::tree::Node::text("/x"));
        assert!(raw.faults.is_empty());
    }

    #[test]
    fn unknown_ones_of_ours_are_faults_and_others_are_not() {
        for (name, said) in [
            ("STRANDLINE_STORAGE__DATADIR", "did you mean \"STRANDLINE_STORAGE__DATA_DIR\"?"),
            ("STRANDLINE_STORAGE_DATA_DIR", "did you mean \"STRANDLINE_STORAGE__DATA_DIR\"?"),
            ("STRANDLINE_WAL__SNYC", "unknown key \"wal.snyc\"; did you mean \"wal.sync\"?"),
            ("STRANDLINE_A__B", "`strandline config --docs` lists every key"),
        ] {
            let faults = read(name, "x").faults;
            assert!(faults.len() == 1 && faults[0].contains(said), "{name} gave {faults:?}");
        }
        for name in ["STRANDLINE_SERVICE_HOST", "STRANDLINE_PORT", "STRANDLINE_CONFIG", "PATH", "X__Y"] {
            let raw = read(name, "x");
            assert!(raw.faults.is_empty() && raw.given.is_empty(), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_a_fault_not_a_panic() {
        let mut raw = RawConfig::default();
        add(&mut raw, [("STRANDLINE_WAL__SYNC".into(), OsString::from_vec(vec![0xff]))]);
        assert_eq!(raw.faults, ["STRANDLINE_WAL__SYNC: is not valid UTF-8"]);
    }
}
