//! How much memory may the requests of this process hold together, and who may have how much of it?
//!
//! One [`MemoryBudget`] for the process. Work that takes memory by what clients send or ask holds a [`Lease`] of its
//! class and tenant, grows it before it allocates, and gives it back on drop. What is decided at the start and does not
//! depend on requests (heads, caches, the label index) is no part of it: the caller leaves it out of the total.
//!
//! - A class has a guaranteed floor; what is above all floors is shared by who comes first. Reads can therefore never
//!   take what pushes need, nor the other way round.
//! - Within a class a tenant may hold at most three times what is left free by its next growth (dynamic thresholds:
//!   A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998). One
//!   tenant alone gets three quarters of the class, two get three sevenths each; the next one always finds something.
//! - What does not fit is refused at once ([`Lease::try_grow`]) or waits in the order of asking, tenant by tenant
//!   ([`Lease::grow`], [`Lease::grow_blocking`]).

mod accounts;
mod lease;
mod waiting;

pub use lease::{Growing, Lease};

use crate::tenant::TenantId;
use accounts::Accounts;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use waiting::Waiters;

/// The setting that moves the bound, for texts of errors.
pub const SETTING: &str = "server.max_memory";

/// A budget without a bound has this many bytes: far above any machine, and sums of it do not overflow.
const UNLIMITED: usize = isize::MAX as usize >> 16;

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

    fn at(self) -> usize {
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

/// What a class holds, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The class.
    pub class: Class,
    /// Bytes that leases hold.
    pub used: usize,
    /// Most bytes that they held at once since the start.
    pub peak: usize,
    /// Bytes that no other class can take.
    pub floor: usize,
    /// Growths that were refused since the start.
    pub refused: u64,
    /// Growths that wait.
    pub waiting: usize,
}

/// The memory that requests of all tenants share. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    floors: [usize; Class::ALL.len()],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    accounts: Accounts,
    waiters: Waiters,
    refused: [u64; Class::ALL.len()],
}

impl Shared {
    /// Taken for a few additions, once per step of a lease.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryBudget {
    /// A budget of `total` bytes of which each class is sure of its floor. Floors that come to more than the total are
    /// scaled down to it.
    pub fn new(total: usize, floors: &[(Class, usize)]) -> Self {
        let total = total.min(UNLIMITED);
        let mut by_class = [0; Class::ALL.len()];
        for (class, floor) in floors {
            if let Some(place) = by_class.get_mut(class.at()) {
                *place = (*floor).min(total);
            }
        }
        let sum: usize = by_class.iter().sum();
        if sum > total {
            for floor in &mut by_class {
                *floor = (*floor as u128 * total as u128 / sum as u128) as usize;
            }
        }
        let state = State {
            accounts: Accounts::new(total, by_class),
            waiters: Waiters::default(),
            refused: [0; Class::ALL.len()],
        };
        Self { shared: Arc::new(Shared { total, floors: by_class, state: Mutex::new(state) }) }
    }

    /// A budget that never refuses, for tools and tests.
    pub fn unlimited() -> Self {
        Self::new(UNLIMITED, &[])
    }

    /// An empty lease.
    pub fn lease(&self, class: Class, tenant: &TenantId) -> Lease {
        Lease::new(Arc::clone(&self.shared), class, tenant.clone())
    }

    /// Bytes of all classes together.
    pub fn total(&self) -> usize {
        self.shared.total
    }

    /// The most that one tenant can ever hold of `class`: nothing larger fits, however idle the process is.
    pub fn most(&self, class: Class) -> usize {
        accounts::share_of(self.shared.lock().accounts.capacity(class))
    }

    /// What each class holds at the moment.
    pub fn usage(&self) -> [Usage; Class::ALL.len()] {
        let state = self.shared.lock();
        Class::ALL.map(|class| Usage {
            class,
            used: state.accounts.used(class),
            peak: state.accounts.peak(class),
            floor: self.shared.floors.get(class.at()).copied().unwrap_or(0),
            refused: state.refused.get(class.at()).copied().unwrap_or(0),
            waiting: state.waiters.count(class),
        })
    }
}

#[cfg(test)]
mod tests;
