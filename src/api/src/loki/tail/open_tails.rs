//! How many tails are open, and how do all of them end?

use crate::http::connections::client_network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use strandline_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// With a maximum below this, one client address may have all of them.
const LEAST_OF_ADDRESS: usize = 64;

/// The tails of all tenants that are open. A tail is no connection of the server's any more, so it has bounds of its own.
#[derive(Debug)]
pub(crate) struct OpenTails {
    max: u32,
    max_of_address: usize,
    slots: Arc<Semaphore>,
    by_tenant: Counts<TenantId>,
    by_address: Counts<IpAddr>,
    closing: watch::Sender<bool>,
}

/// How many tails each tenant, or each client address, has: those that have one.
type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// A tail's share of such a number; given back when dropped.
#[derive(Debug)]
pub(super) struct Share<K: Hash + Eq> {
    counts: Counts<K>,
    of: K,
}

/// One tail that is open; counted no more when dropped.
#[derive(Debug)]
pub(super) struct OpenTail {
    _permit: OwnedSemaphorePermit,
    _of_address: Share<IpAddr>,
}

/// Why a tail may not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("too many tails are open (server.max_tails is {0})")]
    All(u32),
    #[error(
        "too many tails of one client address are open ({of}; server.max_tails is {all}, of which one may have half)"
    )]
    Address { of: usize, all: u32 },
}

impl OpenTails {
    /// At most `max` tails, half of them for one client address.
    pub(crate) fn new(max: usize) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(1 << 20);
        Self {
            max,
            max_of_address: (max as usize).div_ceil(2).max(LEAST_OF_ADDRESS),
            slots: Arc::new(Semaphore::new(max as usize)),
            by_tenant: Counts::default(),
            by_address: Counts::default(),
            closing: watch::channel(false).0,
        }
    }

    /// Counts one more tail of this client, if it may have one.
    pub(super) fn enter(&self, address: IpAddr) -> Result<OpenTail, Full> {
        let full = Full::All(self.max);
        if *self.closing.borrow() {
            return Err(full);
        }
        let _permit = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| full)?;
        let _of_address = Share::of(&self.by_address, client_network(address), self.max_of_address)
            .map_err(|_| Full::Address { of: self.max_of_address, all: self.max })?;
        Ok(OpenTail { _permit, _of_address })
    }

    /// One more tail of `tenant`; with `max` of them open, an error with the number that it would have been.
    pub(super) fn count(&self, tenant: &TenantId, max: usize) -> Result<Share<TenantId>, usize> {
        Share::of(&self.by_tenant, tenant.clone(), max)
    }

    /// Becomes true when the server stops.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Asks all tails to end.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Tails that are open.
    pub(crate) fn open(&self) -> usize {
        (self.max as usize).saturating_sub(self.slots.available_permits())
    }

    /// Resolves when the last tail has ended.
    pub(crate) async fn emptied(&self) {
        // Fails only for a closed semaphore, which this one never is.
        let _ = self.slots.acquire_many(self.max).await;
    }
}

impl<K: Hash + Eq + Clone> Share<K> {
    /// One more of `of`; with `max` of them, an error with the number that it would have been.
    fn of(counts: &Counts<K>, of: K, max: usize) -> Result<Self, usize> {
        let mut table = counts.lock();
        let open = table.get(&of).copied().unwrap_or(0);
        if open >= max {
            return Err(open + 1);
        }
        table.insert(of.clone(), open + 1);
        Ok(Self { counts: Arc::clone(counts), of })
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(open) = counts.get_mut(&self.of) {
            *open -= 1;
            if *open == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn one_address_leaves_tails_for_others() {
        let tails = OpenTails::new(200);
        let mut greedy: Vec<OpenTail> = (0..100).map(|_| tails.enter(address(1)).unwrap()).collect();
        assert_eq!(tails.enter(address(1)).unwrap_err(), Full::Address { of: 100, all: 200 });
        let _other = tails.enter(address(2)).unwrap();
        greedy.pop();
        assert!(tails.enter(address(1)).is_ok());
        drop(greedy);
        assert_eq!((tails.open(), tails.by_address.lock().len()), (1, 1));
    }

    #[test]
    fn what_ended_is_counted_no_more() {
        let tails = OpenTails::new(2);
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let first = tails.enter(address(1)).unwrap();
        let _second = tails.enter(address(1)).unwrap();
        assert_eq!(tails.enter(address(1)).unwrap_err(), Full::All(2));
        assert_eq!(tails.open(), 2);
        drop(first);
        assert!(tails.enter(address(1)).is_ok());
        let share = tails.count(&a, 1).unwrap();
        assert_eq!(tails.count(&a, 1).unwrap_err(), 2);
        assert!(tails.count(&b, 1).is_ok());
        drop(share);
        assert!(tails.count(&a, 1).is_ok());
        assert!(tails.by_tenant.lock().is_empty());
        tails.close();
        assert!(tails.enter(address(1)).is_err(), "a server that stops opens no tail");
    }
}
