//! Which settings do the flags give? One flag per setting, made from the table.

use super::raw::{Origin, RawConfig};
use super::renamed;
use super::settings::{SETTINGS, Setting, flag};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags of every setting.
#[derive(Debug, Clone, Default)]
pub struct SettingFlags(Vec<(&'static str, String)>);

/// The flags of the settings that a command on a data directory at rest needs.
#[derive(Debug, Clone, Default)]
pub struct StorageFlags(Vec<(&'static str, String)>);

impl SettingFlags {
    /// Takes over the settings given as flags.
    pub fn add_to(&self, raw: &mut RawConfig) {
        add(&self.0, raw);
    }
}

impl From<StorageFlags> for SettingFlags {
    fn from(flags: StorageFlags) -> Self {
        Self(flags.0)
    }
}

fn add(given: &[(&'static str, String)], raw: &mut RawConfig) {
    for (name, text) in given {
        if let Some(named) = renamed::find(name) {
            raw.give_text(named, text, Origin::Flag(format!("--{}", flag(name))));
        }
    }
}

fn every(_: &&Setting) -> bool {
    true
}

fn storage_only(setting: &&Setting) -> bool {
    setting.name == "storage.data_dir"
}

fn augment(command: Command, wanted: fn(&&Setting) -> bool) -> Command {
    let default = super::Config::default();
    let command = SETTINGS.iter().filter(wanted).fold(command, |command, setting| {
        let mut arg = Arg::new(setting.name)
            .long(setting.flag())
            .alias(setting.name)
            .action(ArgAction::Set)
            .value_name(setting.kind)
            .help(format!("{} [default: {}]", setting.help, (setting.show)(&default)))
            .help_heading(format!("Settings: {}", setting.section()))
            // `-h` stays one screen; `--help` shows all.
            .hide_short_help(setting.alias.is_none());
        if let Some(alias) = setting.alias {
            arg = arg.visible_alias(alias);
        }
        command.arg(arg)
    });
    // Old names are read, not shown.
    let old = renamed::names().filter(|named| wanted(&named.setting)).filter_map(|named| named.old);
    old.fold(command, |command, old| {
        command.arg(Arg::new(old).long(flag(old)).alias(old).action(ArgAction::Set).hide(true))
    })
}

fn collect(matches: &ArgMatches, wanted: fn(&&Setting) -> bool) -> Vec<(&'static str, String)> {
    let value = |name: &'static str| Some((name, matches.get_one::<String>(name)?.clone()));
    renamed::names().filter(|named| wanted(&named.setting)).filter_map(|named| value(named.name())).collect()
}

/// clap's two traits for a set of flags that comes from the table.
macro_rules! from_table {
    ($type:ident, $wanted:ident) => {
        impl FromArgMatches for $type {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok(Self(collect(matches, $wanted)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                self.0.extend(collect(matches, $wanted));
                Ok(())
            }
        }

        impl Args for $type {
            fn augment_args(command: Command) -> Command {
                augment(command, $wanted)
            }

            fn augment_args_for_update(command: Command) -> Command {
                augment(command, $wanted)
            }
        }
    };
}

from_table!(SettingFlags, every);
from_table!(StorageFlags, storage_only);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<RawConfig, Error> {
        let command = SettingFlags::augment_args(Command::new("test"));
        let matches = command.try_get_matches_from(std::iter::once(&"test").chain(line))?;
        let mut raw = RawConfig::default();
        SettingFlags::from_arg_matches(&matches)?.add_to(&mut raw);
        Ok(raw)
    }

    #[test]
    fn long_short_and_underscored_flags_mean_the_same() {
        for flag in ["--storage.data-dir", "--storage.data_dir", "--data-dir"] {
            let raw = parse(&[flag, "/x"]).unwrap();
            assert_eq!(raw.given["storage.data_dir"].value, super::super::tree::Node::text("/x"), "{flag}");
            assert_eq!(raw.given["storage.data_dir"].origin.to_string(), "--storage.data-dir");
        }
        assert!(parse(&["--data-dir", "/x", "--storage.data-dir", "/y"]).is_err());
        assert!(parse(&["--storage.datadir", "/x"]).unwrap_err().to_string().contains("--storage.data-dir"));
        assert!(parse(&[]).unwrap().given.is_empty());
    }
}
