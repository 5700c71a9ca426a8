//! Who runs next? A bounded number of queries run, each in a slot; the others wait in the order they came, a queue for each
//! tenant.
//!
//! Free slots go round the tenants (round robin), so that a tenant with a hundred queries in the queue delays another's by one of them, not
//! by all. A tenant of which nothing runs may start one query though the slots are taken, up to a second bound: else a few
//! long queries of one tenant would keep the short ones of all others out until they end. Waiting is a future without a
//! runtime of its own: it holds no thread.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use strandline_model::TenantId;

/// How many run and wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotBounds {
    /// Most that run at once; at least 1.
    pub(crate) running: usize,
    /// As many may run when each above `running` is the only one of its tenant.
    pub(crate) running_of_idle_tenants: usize,
    /// Most that wait for one tenant.
    pub(crate) waiting_of_tenant: usize,
    /// Most that wait in all.
    pub(crate) waiting: usize,
}

/// The queue of a tenant, or that of all tenants, is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many may wait.
    pub(crate) bound: usize,
}

/// Slots for queries, and who waits for them. Clones are the same slots.
#[derive(Debug, Clone)]
pub(crate) struct FairSlots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: SlotBounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    tenants: HashMap<TenantId, Tenant>,
    /// The tenants that have something waiting; the first is next.
    order: VecDeque<TenantId>,
    waiting: usize,
    /// Those that wait without being in a queue.
    apart: usize,
    next_ticket: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    waiting: VecDeque<Arc<Waiter>>,
    /// Those that wait without being in the queue: they get no slot.
    apart: usize,
}

/// One query in a queue. Its lock is taken inside that of the state, if both are.
#[derive(Debug)]
struct Waiter {
    number: u64,
    state: Mutex<WaiterState>,
}

#[derive(Debug)]
enum WaiterState {
    Waiting(Option<Waker>),
    /// Counted as running already.
    Granted,
}

/// A query in the queue; resolves when it has a slot. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    slots: FairSlots,
    tenant: TenantId,
    waiter: Option<Arc<Waiter>>,
}

/// Counts as waiting, without being in a queue, while it lives: a request that waits for another one's answer.
#[derive(Debug)]
pub struct CountedWait {
    slots: FairSlots,
    tenant: TenantId,
}

/// Held while a query runs.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: FairSlots,
    tenant: TenantId,
}

impl FairSlots {
    pub(crate) fn new(rules: SlotBounds) -> Self {
        let running = rules.running.max(1);
        let rules = SlotBounds {
            running,
            running_of_idle_tenants: rules.running_of_idle_tenants.max(running),
            ..rules
        };
        Self(Arc::new(Shared { rules, state: Mutex::default() }))
    }

    /// Enters the queue of `tenant`.
    pub(crate) fn enter(&self, tenant: &TenantId) -> Result<Ticket, Full> {
        let rules = &self.0.rules;
        let mut state = self.0.state.lock();
        let number = state.next_ticket;
        state.next_ticket += 1;
        let waits = state.tenants.get(tenant).map_or(0, |tenant| tenant.waiting.len());
        let at_once = waits == 0 && state.may_run(tenant, rules);
        if !at_once {
            state.check_room(tenant, rules)?;
        }
        let entry = state.tenants.entry(tenant.clone()).or_default();
        let granted = if at_once { WaiterState::Granted } else { WaiterState::Waiting(None) };
        let waiter = Arc::new(Waiter { number, state: Mutex::new(granted) });
        if at_once {
            entry.running += 1;
            state.running += 1;
        } else {
            entry.waiting.push_back(Arc::clone(&waiter));
            state.waiting += 1;
            if waits == 0 {
                state.order.push_back(tenant.clone());
            }
        }
        Ok(Ticket { slots: self.clone(), tenant: tenant.clone(), waiter: Some(waiter) })
    }

    /// Counts one more as waiting for `tenant`, that will not enter its queue.
    pub(crate) fn count_waiting(&self, tenant: &TenantId) -> Result<CountedWait, Full> {
        let mut state = self.0.state.lock();
        state.check_room(tenant, &self.0.rules)?;
        state.apart += 1;
        state.tenants.entry(tenant.clone()).or_default().apart += 1;
        Ok(CountedWait { slots: self.clone(), tenant: tenant.clone() })
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// Gives back the slot of one that ran, and lets others in.
    fn leave(&self, tenant: &TenantId) {
        let mut state = self.0.state.lock();
        state.running -= 1;
        if let Some(entry) = state.tenants.get_mut(tenant) {
            entry.running -= 1;
        }
        state.forget_if_unused(tenant);
        let woken = state.admit(&self.0.rules);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn may_run(&self, tenant: &TenantId, rules: &SlotBounds) -> bool {
        let idle = || self.tenants.get(tenant).is_none_or(|tenant| tenant.running == 0);
        self.running < rules.running || (self.running < rules.running_of_idle_tenants && idle())
    }

    /// Whether one more may wait for `tenant`.
    fn check_room(&self, tenant: &TenantId, rules: &SlotBounds) -> Result<(), Full> {
        let waiting = self.tenants.get(tenant).map_or(0, |tenant| tenant.waiting.len() + tenant.apart);
        for (waiting, bound) in
            [(waiting, rules.waiting_of_tenant), (self.waiting + self.apart, rules.waiting)]
        {
            if waiting >= bound {
                return Err(Full { bound });
            }
        }
        Ok(())
    }

    /// Lets in as many as may run, tenant by tenant. Returns who is to be woken once the lock is free.
    fn admit(&mut self, rules: &SlotBounds) -> Vec<Waker> {
        let mut woken = Vec::new();
        let mut looked_at = 0;
        while looked_at < self.order.len() && self.running < rules.running_of_idle_tenants {
            let Some(tenant) = self.order.pop_front() else { break };
            if !self.may_run(&tenant, rules) {
                self.order.push_back(tenant);
                looked_at += 1;
                continue;
            }
            let Some(entry) = self.tenants.get_mut(&tenant) else { continue };
            if let Some(waiter) = entry.waiting.pop_front() {
                entry.running += 1;
                self.running += 1;
                self.waiting -= 1;
                let before = std::mem::replace(&mut *waiter.state.lock(), WaiterState::Granted);
                if let WaiterState::Waiting(Some(waker)) = before {
                    woken.push(waker);
                }
            }
            if !entry.waiting.is_empty() {
                self.order.push_back(tenant);
            }
            looked_at = 0;
        }
        woken
    }

    /// Tenants are as many as clients care to name: none is kept that has nothing here.
    fn forget_if_unused(&mut self, tenant: &TenantId) {
        let unused = |tenant: &Tenant| tenant.running == 0 && tenant.waiting.is_empty() && tenant.apart == 0;
        if self.tenants.get(tenant).is_some_and(unused) {
            self.tenants.remove(tenant);
        }
    }
}

impl Future for Ticket {
    type Output = Permit;

    /// Not to be polled again once it has resolved; it stays pending then.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let Some(waiter) = &self.waiter else { return Poll::Pending };
        match &mut *waiter.state.lock() {
            WaiterState::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            WaiterState::Granted => {}
        }
        self.waiter = None;
        Poll::Ready(Permit { slots: self.slots.clone(), tenant: self.tenant.clone() })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        let mut state = self.slots.0.state.lock();
        if matches!(*waiter.state.lock(), WaiterState::Granted) {
            drop(state);
            self.slots.leave(&self.tenant);
            return;
        }
        let mut emptied = false;
        if let Some(entry) = state.tenants.get_mut(&self.tenant) {
            entry.waiting.retain(|other| other.number != waiter.number);
            emptied = entry.waiting.is_empty();
        }
        state.waiting -= 1;
        if emptied {
            state.order.retain(|tenant| *tenant != self.tenant);
            state.forget_if_unused(&self.tenant);
        }
    }
}

impl Drop for CountedWait {
    fn drop(&mut self) {
        let mut state = self.slots.0.state.lock();
        state.apart -= 1;
        if let Some(entry) = state.tenants.get_mut(&self.tenant) {
            entry.apart -= 1;
        }
        state.forget_if_unused(&self.tenant);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots.leave(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::pin;

    const RULES: SlotBounds =
        SlotBounds { running: 2, running_of_idle_tenants: 4, waiting_of_tenant: 100, waiting: 300 };

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn polled(ticket: &mut Ticket) -> Option<Permit> {
        match pin!(ticket).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_hundred_queries_of_one_tenant_delay_another_tenants_by_one() {
        let slots = FairSlots::new(SlotBounds { running_of_idle_tenants: 2, ..RULES });
        let (a, b) = (tenant("a"), tenant("b"));
        let mut heavy: Vec<Ticket> = (0..100).map(|_| slots.enter(&a).unwrap()).collect();
        let mut running: Vec<Permit> = heavy.iter_mut().filter_map(polled).collect();
        assert_eq!(running.len(), 2);
        let mut light = slots.enter(&b).unwrap();
        assert!(polled(&mut light).is_none());
        running.pop();
        // One of the first tenant's may be before it, as it was there first.
        let next: Vec<Permit> = heavy.iter_mut().filter_map(polled).collect();
        let mine = polled(&mut light);
        assert_eq!((next.len(), mine.is_some()), (1, false));
        drop(next);
        assert!(polled(&mut light).is_some(), "it was next in the round of tenants");
    }

    #[test]
    fn a_tenant_of_which_nothing_runs_does_not_wait_for_long_queries_of_others() {
        let slots = FairSlots::new(RULES);
        let mut heavy: Vec<Ticket> = (0..10).map(|_| slots.enter(&tenant("a")).unwrap()).collect();
        let running: Vec<Permit> = heavy.iter_mut().filter_map(polled).collect();
        assert_eq!(running.len(), 2);
        let mut others: Vec<Ticket> = ["b", "c", "d"].map(|name| slots.enter(&tenant(name)).unwrap()).into();
        let theirs: Vec<Permit> = others.iter_mut().filter_map(polled).collect();
        assert_eq!(theirs.len(), 2, "up to the second bound");
        let mut second = slots.enter(&tenant("b")).unwrap();
        assert!(polled(&mut second).is_none(), "one beyond the first bound is all that a tenant gets");
        drop(theirs);
        assert!(polled(&mut others[2]).is_some());
    }

    #[test]
    fn queues_are_bounded_by_tenant_and_in_all_and_the_bound_is_told() {
        let rules = SlotBounds { running: 1, running_of_idle_tenants: 1, waiting_of_tenant: 2, waiting: 3 };
        let slots = FairSlots::new(rules);
        let all: Vec<_> = (0..3).map(|_| slots.enter(&tenant("a")).unwrap()).collect();
        assert_eq!(slots.enter(&tenant("a")).unwrap_err(), Full { bound: 2 });
        let other = slots.enter(&tenant("b")).unwrap();
        assert_eq!(slots.enter(&tenant("c")).unwrap_err(), Full { bound: 3 });
        drop(other);
        assert!(slots.enter(&tenant("c")).is_ok(), "who leaves makes room");
        let apart = slots.count_waiting(&tenant("c")).unwrap();
        assert_eq!(slots.enter(&tenant("d")).unwrap_err(), Full { bound: 3 }, "they count");
        assert_eq!(slots.count_waiting(&tenant("a")).unwrap_err(), Full { bound: 2 });
        drop(apart);
        assert!(slots.enter(&tenant("d")).is_ok());
        drop(all);
        assert!(slots.0.state.lock().tenants.is_empty(), "tenants that are gone are forgotten");
    }

    proptest! {
        /// Whatever comes and goes in whatever order: the bounds hold, nobody is left waiting beside a free slot, and
        /// nothing stays behind.
        #[test]
        fn slots_are_neither_lost_nor_doubled(steps in prop::collection::vec((0usize..4, any::<prop::sample::Index>()), 1..200)) {
            let slots = FairSlots::new(RULES);
            let (mut tickets, mut permits) = (Vec::<Ticket>::new(), Vec::<Permit>::new());
            for (step, which) in steps {
                match step {
                    0 | 1 => tickets.push(slots.enter(&tenant(["a", "b", "c"][which.index(3)])).unwrap()),
                    2 if !tickets.is_empty() => drop(tickets.swap_remove(which.index(tickets.len()))),
                    3 if !permits.is_empty() => drop(permits.swap_remove(which.index(permits.len()))),
                    _ => {}
                }
                if step != 1 {
                    permits.extend(tickets.iter_mut().filter_map(polled));
                    tickets.retain(|ticket| ticket.waiter.is_some());
                }
                let state = slots.0.state.lock();
                prop_assert!(state.running <= RULES.running_of_idle_tenants);
                prop_assert!(state.running >= RULES.running || state.waiting == 0);
                let waiting: usize = state.tenants.values().map(|tenant| tenant.waiting.len()).sum();
                prop_assert_eq!(state.waiting, waiting);
            }
            drop((tickets, permits));
            let state = slots.0.state.lock();
            prop_assert!(state.tenants.is_empty() && state.order.is_empty());
            prop_assert_eq!((state.running, state.waiting), (0, 0));
        }
    }
}
