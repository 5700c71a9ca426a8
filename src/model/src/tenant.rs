//! Who owns the data: a tenant name that is always safe as a folder name.

use std::fmt;
use std::sync::Arc;

/// The tenant of all requests while authentication is off (as Loki).
pub const DEFAULT_TENANT: &str = "fake";
const MAX_BYTES: usize = 150;

/// A checked tenant name: ASCII letters, digits and `!-_.*'()`, 1 to 150 bytes, not `.` or `..`:
/// what Loki takes in `X-Scope-OrgID`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TenantError {
    /// The name is empty.
    #[error("no org id")]
    Empty,
    /// The name is longer than 150 bytes.
    #[error("tenant ID is too long: max {MAX_BYTES} characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error("tenant ID '{name}' contains unsupported character '{found}'")]
    Character {
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// `.` and `..` would leave the tenant's folder.
    #[error("tenant ID is '.' or '..'")]
    Dots,
}

impl TenantId {
    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, TenantError> {
        if name.is_empty() {
            return Err(TenantError::Empty);
        }
        if name.len() > MAX_BYTES {
            return Err(TenantError::TooLong);
        }
        if name == "." || name == ".." {
            return Err(TenantError::Dots);
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c)) {
            Some(found) => Err(TenantError::Character { name: name.to_owned(), found }),
            None => Ok(Self(name.into())),
        }
    }

    /// The tenant that owns everything while authentication is off.
    pub fn default_tenant() -> Self {
        Self(DEFAULT_TENANT.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a\0b", "a b", "é", "a|b", "%2f"] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        assert!(TenantId::new(&"x".repeat(151)).is_err());
        for good in ["fake", "team-a_1", "...", "a*b'(c)!", &"x".repeat(150)] {
            assert_eq!(TenantId::new(good).unwrap().as_str(), good);
        }
    }

    proptest! {
        /// Whatever is taken for a name is one step down, and no two names are one folder.
        #[test]
        fn a_tenant_stays_in_a_folder_of_its_own(
            name in prop_oneof![
                "[a-z.!*'()_-]{0,8}",
                r"(\.|/|\\|%2e|%2f|a|\x00|\||~|:| ){0,6}",
                any::<String>(),
                "[a.]{140,160}",
            ],
            other in "[a-cA-C.]{1,3}",
        ) {
            if let Ok(tenant) = TenantId::new(&name) {
                prop_assert_eq!(tenant.as_str(), &name);
                prop_assert!(name.is_ascii() && name.len() <= MAX_BYTES);
                prop_assert!(!name.contains(['/', '\\', '\0', '|', ':', '%', '~', ' ']));
                let below = Path::new("/data/tenants").join(tenant.as_str());
                let steps: Vec<Component<'_>> = below.components().collect();
                prop_assert_eq!(steps.len(), 4);
                prop_assert!(matches!(steps[3], Component::Normal(step) if step == name.as_str()));
                if let Ok(second) = TenantId::new(&other) {
                    prop_assert_eq!(below == Path::new("/data/tenants").join(second.as_str()), tenant == second);
                }
            }
        }
    }
}
