//! How much memory do the pushes under way hold? Counted, so that a burst is refused before it fills the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of all pushes under way, with an upper bound.
#[derive(Debug, Clone)]
pub(crate) struct Inflight {
    max: usize,
    used: Arc<AtomicUsize>,
}

/// The bytes of one push; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    inflight: Inflight,
    bytes: usize,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Inflight {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: Arc::default() }
    }

    /// Nothing yet.
    pub(crate) fn begin(&self) -> Reserved {
        Reserved { inflight: self.clone(), bytes: 0 }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reserved {
    /// Changes the push's share to `bytes`; growing may fail, and then the share stays as it is.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Full> {
        let used = &self.inflight.used;
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let before = used.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > self.inflight.max {
                used.fetch_sub(more, Ordering::Relaxed);
                return Err(Full);
            }
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.inflight.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_shrink_and_come_back() {
        let inflight = Inflight::new(100);
        let (mut a, mut b) = (inflight.begin(), inflight.begin());
        assert_eq!(a.set(60), Ok(()));
        assert_eq!(b.set(50), Err(Full));
        assert_eq!(b.set(40), Ok(()));
        assert_eq!(a.set(10), Ok(()));
        assert_eq!(b.set(90), Ok(()));
        assert_eq!(inflight.bytes(), 100);
        drop(b);
        drop(a);
        assert_eq!(inflight.bytes(), 0);
    }
}
