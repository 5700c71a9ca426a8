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
mod class;
mod lease;
mod shared;
mod waiting;

pub use class::{Bound, Class, Exhausted, SETTING};
pub use lease::{Growing, Lease};

use crate::tenant::TenantId;
use accounts::Accounts;
use shared::{Shared, State};
use std::sync::{Arc, Mutex};
use waiting::Waiters;

/// A budget without a bound has this many bytes: far above any machine, and sums of it do not overflow.
const UNLIMITED: usize = isize::MAX as usize >> 16;

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
