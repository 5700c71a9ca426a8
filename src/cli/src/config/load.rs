//! What holds in the end? Flags win over the environment, the environment over the file, the file over defaults.

use super::flags::SettingFlags;
use super::raw::{Origin, RawConfig};
use super::settings::SETTINGS;
use super::{Config, check, environment, memory};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

/// Largest settings file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Every fault of the settings, one per line, each with its place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// The configuration and who set what.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Who gave each setting that has not its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What works, but should be written in another way, each with its place.
    pub warnings: Vec<String>,
}

/// Reads file (if one is named), environment and flags.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &SettingFlags,
) -> Result<Loaded, ConfigError> {
    let mut raw = RawConfig::default();
    if let Some(path) = file {
        match read_file(path) {
            Ok(text) => raw.add_file(&path.to_string_lossy(), &text),
            Err(why) => raw.faults.push(format!("{}: {why}", path.display())),
        }
    }
    environment::add(&mut raw, variables);
    flags.add_to(&mut raw);
    let machine = memory::of_machine(|path| String::from_utf8(std::fs::read(path).ok()?).ok());
    resolve(raw, machine)
}

/// Reads a file that a setting names, if it is no larger than files of settings are.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("{}: is larger than {MAX_FILE_BYTES} bytes", path.display()));
    }
    std::fs::read(path).map_err(failed)
}

fn read_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes; is it the settings file?"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// The second stage: gives meaning to what was typed and checks it as a whole.
fn resolve(raw: RawConfig, machine: u64) -> Result<Loaded, ConfigError> {
    let mut faults = raw.faults;
    let mut config = Config::default();
    for setting in SETTINGS {
        let Some(given) = raw.given.get(setting.name) else { continue };
        if let Err(fault) = (setting.apply)(&mut config, &given.value) {
            let place = given.origin.place(fault.at);
            faults.push(format!("{place}: {}: {}", setting.name, fault.message));
        }
    }
    let origins: BTreeMap<_, _> = raw.given.into_iter().map(|(name, given)| (name, given.origin)).collect();
    // What was misread still has its default here, so nothing is reported twice.
    let mut wrong = check::check(&config);
    if wrong.is_empty() {
        wrong = memory::divide(&mut config, |name| origins.contains_key(name), machine);
    }
    for (name, message) in wrong {
        let place = origins.get(name).map_or_else(|| "default".to_owned(), Origin::to_string);
        faults.push(format!("{place}: {name}: {message}"));
    }
    if config.query.threads == 0 {
        config.query.threads = std::thread::available_parallelism().map_or(1, usize::from);
    }
    if faults.is_empty() {
        Ok(Loaded { config, origins, warnings: raw.warnings })
    } else {
        Err(ConfigError(faults))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WalSync;
    use clap::{Args, FromArgMatches};
    use std::time::Duration;

    fn flags(line: &[&str]) -> SettingFlags {
        let command = SettingFlags::augment_args(clap::Command::new("test"));
        let matches = command.try_get_matches_from(std::iter::once(&"test").chain(line)).unwrap();
        SettingFlags::from_arg_matches(&matches).unwrap()
    }

    fn from(file: &str, variables: &[(&str, &str)], line: &[&str]) -> Result<Loaded, ConfigError> {
        let mut raw = RawConfig::default();
        raw.add_file("c.yaml", file);
        environment::add(&mut raw, variables.iter().map(|(name, value)| (name.into(), value.into())));
        flags(line).add_to(&mut raw);
        resolve(raw, 8 << 30)
    }

    #[test]
    fn nothing_given_is_the_defaults() {
        let loaded = from("", &[], &[]).unwrap();
        assert_eq!(loaded.config.server.http_listen.to_string(), "127.0.0.1:3100");
        assert!(loaded.config.server.http_listen.ip().is_loopback());
        assert_eq!(loaded.config.wal.sync, WalSync::Always);
        assert!(loaded.config.query.threads >= 1);
        assert!(loaded.origins.is_empty());
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = "wal:\n  sync: off\nhead:\n  max_bytes: 1MiB\n  max_age: 1m\n  idle: 1s\n";
        let variables = [("STRANDLINE_HEAD__MAX_BYTES", "2MiB"), ("STRANDLINE_HEAD__MAX_AGE", "2m")];
        let loaded = from(file, &variables, &["--head.max-bytes", "3MiB"]).unwrap();
        assert_eq!(loaded.config.head.max_bytes, 3 << 20);
        assert_eq!(loaded.config.head.max_age, Duration::from_secs(120));
        assert_eq!(loaded.config.head.idle, Duration::from_secs(1));
        assert_eq!(loaded.config.wal.sync, WalSync::Off);
        assert_eq!(loaded.origins["head.max_bytes"].to_string(), "--head.max-bytes");
        assert_eq!(loaded.origins["head.max_age"].to_string(), "STRANDLINE_HEAD__MAX_AGE");
        assert_eq!(loaded.origins["head.idle"].to_string(), "c.yaml:6:3");
    }

    #[test]
    fn all_faults_come_at_once_each_with_its_place() {
        let file = "storage:\n  datadir: x\nwal:\n  sync: never\nretention:\n  tenants:\n    a:\n      max_age: soon\n";
        let error =
            from(file, &[("STRANDLINE_HEAD__IDLE", "5")], &["--segment.block-bytes", "1"]).unwrap_err();
        assert_eq!(
            error.0,
            [
                "c.yaml:2:3: unknown key \"storage.datadir\"; did you mean \"storage.data_dir\"?",
                "c.yaml:4:9: wal.sync: \"never\" is none of always, interval, off",
                "STRANDLINE_HEAD__IDLE: head.idle: \"5\" is not a duration; write 250ms, 5m, 1h30m, 30d or 1y",
                "c.yaml:8:16: retention.tenants: \"soon\" is not a duration; write 250ms, 5m, 1h30m, 30d or 1y",
                "--segment.block-bytes: segment.block_bytes: must lie between 4KiB and 16MiB",
            ]
        );
    }

    #[test]
    fn old_names_are_read_with_a_warning() {
        let file = "settle:\n  enabled: false\n  target_bytes: 64MiB\n";
        let variables = [("STRANDLINE_SETTLE__TARGET_BYTES", "32MiB")];
        let loaded = from(file, &variables, &["--settle.zstd-level", "3"]).unwrap();
        let compaction = &loaded.config.compaction;
        assert_eq!(
            (compaction.enabled, compaction.target_bytes, compaction.zstd_level),
            (false, 32 << 20, 3)
        );
        assert_eq!(loaded.origins["compaction.enabled"].to_string(), "c.yaml:2:3");
        assert_eq!(
            loaded.warnings,
            [
                "c.yaml:2:3: \"settle.enabled\" is now called \"compaction.enabled\"; the old name is still read",
                "c.yaml:3:3: \"settle.target_bytes\" is now called \"compaction.target_bytes\"; the old name is still read",
                "STRANDLINE_SETTLE__TARGET_BYTES: STRANDLINE_SETTLE__TARGET_BYTES is now called \
                 STRANDLINE_COMPACTION__TARGET_BYTES; the old name is still read",
                "--settle.zstd-level: --settle.zstd-level is now called --compaction.zstd-level; the old name is still read",
            ]
        );
        // The new name of a stronger origin wins, as ever; within one origin nobody knows which is meant.
        let both = from(file, &[("STRANDLINE_COMPACTION__ENABLED", "true")], &[]).unwrap();
        assert!(both.config.compaction.enabled);
        let twice = from("settle:\n  enabled: true\ncompaction:\n  enabled: false\n", &[], &[]).unwrap_err();
        assert_eq!(
            twice.0,
            [
                "c.yaml:4:3: compaction.enabled is given twice, first in c.yaml:2:3; remove the one with the old name"
            ]
        );
    }

    #[test]
    fn a_missing_file_says_which() {
        let error = load(Some(Path::new("/nonexistent/c.yaml")), [], &SettingFlags::default()).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/c.yaml: "), "{error}");
    }
}
