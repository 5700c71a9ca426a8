//! What memory is taken for, and why more of it was refused.

/// The setting that moves the bound, for texts of errors.
pub const SETTING: &str = "server.max_memory";

/// What memory is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Bodies of pushes, from their first byte until they are decoded.
    Ingest,
    /// What bodies unpack to, and the batches they become, until the log has them. Apart from the bodies, so that those
    /// which wait for their decoding never hold what it needs.
    Decode,
    /// What queries hold while they run.
    Query,
    /// Answers on their way to the client.
    Answer,
    /// Queues of live tails.
    Tail,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Decode, Self::Query, Self::Answer, Self::Tail];

    /// The name in metrics and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Decode => "decode",
            Self::Query => "query",
            Self::Answer => "answer",
            Self::Tail => "tail",
        }
    }

    pub(super) fn at(self) -> usize {
        self as usize
    }
}

/// Why a lease could not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory: {} bytes more for {}, {}; {SETTING} sets the bound", wanted, class.name(), self.why())]
pub struct Exhausted {
    /// The class that was asked for.
    pub class: Class,
    /// The bytes that did not fit.
    pub wanted: usize,
    /// Which bound was met.
    pub bound: Bound,
}

/// The bound that a lease ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Others hold the memory; a retry may succeed.
    Class,
    /// The tenant's own requests hold its share; a retry may succeed.
    Tenant,
    /// A lease of this size fits never, however idle the process is.
    Never,
    /// Too many wait already.
    Waiters,
}

impl Exhausted {
    /// Whether the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.bound != Bound::Never
    }

    fn why(&self) -> &'static str {
        match self.bound {
            Bound::Class => "all of it is in use",
            Bound::Tenant => "the tenant's share is in use",
            Bound::Never => "more than one request can have",
            Bound::Waiters => "too many requests wait for some",
        }
    }
}
