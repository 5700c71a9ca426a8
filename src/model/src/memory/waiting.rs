//! Who waits for memory, and who is next when some comes back?

use super::accounts::Accounts;
use super::{Bound, Class};
use crate::tenant::TenantId;
use std::collections::{HashSet, VecDeque};
use std::task::Waker;

/// Most growths that wait at once, in all classes; more are refused. As many as there are connections by default.
const MAX_WAITERS: usize = 1024;

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

    /// Whether one of this class and tenant waits already, so that the next one queues behind it.
    pub(super) fn is_waiting(&self, class: Class, tenant: &TenantId) -> bool {
        self.queue.iter().any(|w| !w.granted && w.class == class && w.tenant == *tenant)
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

    /// Grants what fits now, in the order of asking; a tenant's later growths wait for its first, those of others do not.
    /// The wakers are to be called without the lock.
    pub(super) fn grant(&mut self, accounts: &mut Accounts) -> Vec<Waker> {
        let mut woken = Vec::new();
        let mut behind: HashSet<(Class, &TenantId)> = HashSet::new();
        for waiter in &mut self.queue {
            if waiter.granted || behind.contains(&(waiter.class, &waiter.tenant)) {
                continue;
            }
            if accounts.take(waiter.class, &waiter.tenant, waiter.bytes).is_ok() {
                waiter.granted = true;
                woken.push(waiter.waker.clone());
            } else {
                behind.insert((waiter.class, &waiter.tenant));
            }
        }
        woken
    }
}
