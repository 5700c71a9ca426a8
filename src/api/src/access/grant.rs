//! What does a token or a user stand for?

use std::sync::Arc;
use strandline_model::TenantId;
use strandline_query::LabelFilter;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Sending logs.
    Push,
    /// Reading them.
    Query,
    /// Deleting lines of one's own tenants.
    Delete,
    /// Changing rules of one's own tenants. There are none yet.
    Rules,
    /// Running the server: flushing, stopping, its settings and its log. Only for those who are not confined to tenants or
    /// streams, for it touches all of them.
    Operate,
    /// Reading the server's metrics. Only for those who are not confined: metrics name all tenants.
    Metrics,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Push, Self::Query, Self::Delete, Self::Rules, Self::Operate, Self::Metrics];
    /// What `admin` in older settings stands for.
    pub const ADMIN: [Self; 4] = [Self::Delete, Self::Rules, Self::Operate, Self::Metrics];

    /// The word for it in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Query => "query",
            Self::Delete => "delete",
            Self::Rules => "rules",
            Self::Operate => "operate",
            Self::Metrics => "metrics",
        }
    }

    /// Whether it reaches beyond tenants and streams, so that nobody may have it who is confined to some.
    pub fn is_of_the_process(self) -> bool {
        matches!(self, Self::Operate | Self::Metrics)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | 1 << scope as u8))
    }
}

/// What whoever holds a token or knows a password may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What it is called in the settings; a user's name.
    pub name: String,
    /// Kinds of requests.
    pub scopes: Scopes,
    /// Whose data; `None` is everybody's.
    pub tenants: Option<Vec<TenantId>>,
    /// Which streams of it.
    pub filter: Option<Arc<LabelFilter>>,
}

impl Grant {
    /// What everybody may do where there are no credentials.
    pub(super) fn open() -> Self {
        Self { name: "anybody".to_owned(), scopes: Scopes::all(), tenants: None, filter: None }
    }
}
