//! Who waits for memory, and who is next when some comes back?

use super::accounts::Accounts;
use super::class::{Bound, Class};
use crate::tenant::TenantId;
use std::collections::{HashSet, VecDeque};
use std::task::Waker;

/// Most growths that wait at once, in all classes; more are refused. As many as there are connections by default.
const MAX_WAITERS: usize = 1024;

/// A growth of up to this many bytes does not wait for larger ones of its tenant: a small push must not wait until a large one
/// has its memory or has waited long enough. It is too little to keep the large one from its own.
pub(super) const SMALL_GROWTH: usize = 64 << 10;

/// Those who wait, in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next_ticket: u64,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    class: Class,
    tenant: TenantId,
    bytes: usize,
    /// The bytes are taken for it; it only has to notice.
    granted: bool,
    waker: Waker,
}

impl Waiters {
    /// How many wait for `class`.
    pub(super) fn count(&self, class: Class) -> usize {
        self.queue.iter().filter(|w| w.class == class && !w.granted).count()
    }

    /// Whose growths wait for `class`; a tenant with several comes as often.
    pub(super) fn tenants(&self, class: Class) -> impl Iterator<Item = &TenantId> {
        self.queue.iter().filter(move |w| w.class == class && !w.granted).map(|w| &w.tenant)
    }

    /// Whether a growth of this class and tenant queues behind one that waits already.
    pub(super) fn must_wait(&self, class: Class, tenant: &TenantId, bytes: usize) -> bool {
        let is_before = |w: &Waiter| !w.granted && w.class == class && w.tenant == *tenant;
        self.queue.iter().any(|w| is_before(w) && (bytes > SMALL_GROWTH || w.bytes <= SMALL_GROWTH))
    }

    /// Queues a growth; its ticket.
    pub(super) fn enter(
        &mut self,
        class: Class,
        tenant: &TenantId,
        bytes: usize,
        waker: Waker,
    ) -> Result<u64, Bound> {
        if self.queue.len() >= MAX_WAITERS {
            return Err(Bound::Waiters);
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.queue.push_back(Waiter { ticket, class, tenant: tenant.clone(), bytes, granted: false, waker });
        Ok(ticket)
    }

    /// Whether the growth was granted; if not, `waker` is called when it is.
    pub(super) fn poll(&mut self, ticket: u64, waker: &Waker) -> bool {
        let Some(at) = self.queue.iter().position(|w| w.ticket == ticket) else { return true };
        let granted = self.queue.get(at).is_some_and(|w| w.granted);
        if granted {
            self.queue.remove(at);
        } else if let Some(waiter) = self.queue.get_mut(at) {
            waiter.waker.clone_from(waker);
        }
        granted
    }

    /// Takes a growth out of the queue, whatever has become of it: whether it had been granted.
    pub(super) fn leave(&mut self, ticket: u64) -> bool {
        let Some(at) = self.queue.iter().position(|w| w.ticket == ticket) else { return false };
        self.queue.remove(at).is_some_and(|w| w.granted)
    }

    /// Grants what fits now, in the order of asking; a tenant's later growths wait for its first, those of others do not, and
    /// its small ones only for small ones.
    /// The wakers are to be called without the lock.
    pub(super) fn grant(&mut self, accounts: &mut Accounts) -> Vec<Waker> {
        let mut woken = Vec::new();
        let mut behind: HashSet<(Class, &TenantId, bool)> = HashSet::new();
        for waiter in &mut self.queue {
            let is_small = waiter.bytes <= SMALL_GROWTH;
            let is_behind = |small| behind.contains(&(waiter.class, &waiter.tenant, small));
            if waiter.granted || is_behind(true) || (!is_small && is_behind(false)) {
                continue;
            }
            if accounts.take(waiter.class, &waiter.tenant, waiter.bytes).is_ok() {
                waiter.granted = true;
                woken.push(waiter.waker.clone());
            } else {
                behind.insert((waiter.class, &waiter.tenant, is_small));
            }
        }
        woken
    }
}
