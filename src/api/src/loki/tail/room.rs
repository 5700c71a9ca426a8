//! How many tails are open, and how do all of them end?

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use strandline_model::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Room for the tails of all tenants.
#[derive(Debug)]
pub(crate) struct TailRoom {
    max: u32,
    places: Arc<Semaphore>,
    by_tenant: Arc<Mutex<HashMap<TenantId, usize>>>,
    closing: watch::Sender<bool>,
}

/// A tail's share of its tenant's number; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    by_tenant: Arc<Mutex<HashMap<TenantId, usize>>>,
    tenant: TenantId,
}

impl TailRoom {
    /// Room for `max` tails.
    pub(crate) fn new(max: usize) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(1 << 20);
        Self {
            max,
            places: Arc::new(Semaphore::new(max as usize)),
            by_tenant: Arc::default(),
            closing: watch::channel(false).0,
        }
    }

    /// A place for a tail, if there is one.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if *self.closing.borrow() {
            return None;
        }
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// One more tail of `tenant`; with `max` of them open, an error with the number that it would have been.
    pub(super) fn count(&self, tenant: &TenantId, max: usize) -> Result<Share, usize> {
        let mut by_tenant = self.by_tenant.lock();
        let open = by_tenant.get(tenant).copied().unwrap_or(0);
        if open >= max {
            return Err(open + 1);
        }
        by_tenant.insert(tenant.clone(), open + 1);
        Ok(Share { by_tenant: Arc::clone(&self.by_tenant), tenant: tenant.clone() })
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
        (self.max as usize).saturating_sub(self.places.available_permits())
    }

    /// Resolves when the last tail has ended.
    pub(crate) async fn emptied(&self) {
        // Fails only for a closed semaphore, which this one never is.
        let _ = self.places.acquire_many(self.max).await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut by_tenant = self.by_tenant.lock();
        if let Some(open) = by_tenant.get_mut(&self.tenant) {
            *open -= 1;
            if *open == 0 {
                by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_shares_come_back() {
        let room = TailRoom::new(2);
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let first = room.enter().unwrap();
        let _second = room.enter().unwrap();
        assert!(room.enter().is_none());
        assert_eq!(room.open(), 2);
        drop(first);
        assert!(room.enter().is_some());
        let share = room.count(&a, 1).unwrap();
        assert_eq!(room.count(&a, 1).unwrap_err(), 2);
        assert!(room.count(&b, 1).is_ok());
        drop(share);
        assert!(room.count(&a, 1).is_ok());
        assert!(room.by_tenant.lock().is_empty());
        room.close();
        assert!(room.enter().is_none(), "a server that stops opens no tail");
    }
}
