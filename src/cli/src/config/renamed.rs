//! Which settings had other names before? An old name is read as the new one, with a warning, so that a configuration file
//! outlives a rename.

use super::settings::{self, Setting};

/// Old names and what they are called now.
pub const RENAMED: &[(&str, &str)] = &[
    ("settle.enabled", "compaction.enabled"),
    ("settle.target_bytes", "compaction.target_bytes"),
    ("settle.zstd_level", "compaction.zstd_level"),
];

/// A setting and the name by which it was asked for.
#[derive(Clone, Copy)]
pub struct Named {
    /// The setting.
    pub setting: &'static Setting,
    /// The name that was used, if it is an old one.
    pub old: Option<&'static str>,
}

/// Every name that is read, new ones first.
pub fn names() -> impl Iterator<Item = Named> {
    let new = settings::SETTINGS.iter().map(|setting| Named { setting, old: None });
    let old =
        RENAMED.iter().filter_map(|(old, new)| Some(Named { setting: settings::find(new)?, old: Some(old) }));
    new.chain(old)
}

/// The setting that is or was called `name`.
pub fn find(name: &str) -> Option<Named> {
    names().find(|named| named.name() == name)
}

impl Named {
    /// The name that was used.
    pub fn name(&self) -> &'static str {
        self.old.unwrap_or(self.setting.name)
    }

    /// `section` of `section.key`.
    pub fn section(&self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(section, _)| section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_old_name_leads_to_a_setting_and_is_none_itself() {
        for (old, new) in RENAMED {
            assert!(settings::find(new).is_some(), "{new}");
            assert!(settings::find(old).is_none(), "{old}");
            assert_eq!(find(old).map(|named| named.setting.name), Some(*new));
        }
        assert!(find("wal.sync").is_some_and(|named| named.old.is_none()));
    }
}
