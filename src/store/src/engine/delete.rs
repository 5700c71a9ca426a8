//! Deleting by request: what is meant is hidden as soon as the manifest has the request, and goes from the disk later
//! (`erase`).

use super::Engine;
use crate::deletes::{self, Delete, DeleteLanguage};
use crate::error::StoreError;
use crate::manifest::{DeleteChanges, DeleteRecord, Deletes, Edit, Manifest};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strandline_model::TenantId;

/// Most pending deletes of one tenant: each costs every query of its time a look.
pub const MAX_PENDING_DELETES: usize = 500;
/// Longest query of a delete.
const MAX_QUERY_BYTES: usize = 16 << 10;

/// Why a delete is not taken or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The query is not understood.
    #[error("{0}")]
    Query(String),
    /// The query is too long.
    #[error("the query of a delete may have at most {MAX_QUERY_BYTES} bytes")]
    TooLong,
    /// The tenant has too many pending ones.
    #[error("{MAX_PENDING_DELETES} deletes are pending already; retry when some of them are processed")]
    TooMany,
    /// The tenant has no delete with this number.
    #[error("could not find delete request with given id")]
    Unknown,
    /// Its lines are gone.
    #[error("deletion of request which is in process or already processed is not allowed")]
    Processed,
    /// The store failed; whether the delete holds is not known before the next start, unless it is asked for again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The pending ones of `deletes`; those that are among `known` already are not compiled again.
pub(super) fn pending(
    deletes: &Deletes,
    known: &[Arc<Delete>],
    language: Option<&Arc<dyn DeleteLanguage>>,
) -> Vec<Arc<Delete>> {
    let again = |record: &DeleteRecord| known.iter().find(|d| d.record() == record).cloned();
    let all = deletes.records().filter(|record| !record.processed);
    all.map(|record| again(record).unwrap_or_else(|| Delete::new(record.clone(), language))).collect()
}

impl Engine {
    /// Deletes the lines of `tenant` that `query` means, with timestamps in `range` (ns, both ends included) and
    /// acknowledged before this call: on return no reader sees them any more, whatever happens. Returns the number of
    /// the delete.
    pub fn add_delete(&self, tenant: &TenantId, query: &str, range: (i64, i64)) -> Result<u64, DeleteError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(DeleteError::TooLong);
        }
        let created_ns = self.clock.now_ns();
        deletes::compile(self.config.delete_language.as_ref(), query, created_ns)
            .map_err(DeleteError::Query)?;
        let mut manifest = self.manifest.lock();
        let records = manifest.deletes().records();
        if records.filter(|r| !r.processed && r.tenant == *tenant).count() >= MAX_PENDING_DELETES {
            return Err(DeleteError::TooMany);
        }
        // With the manifest locked, no flush can publish what came after `seq` before the delete is known to all.
        let seq = self.seal_for_delete()?;
        let number = manifest.deletes().next_number();
        let (tenant, query) = (tenant.clone(), query.to_owned());
        let record = DeleteRecord { number, tenant, query, range, created_ns, seq, processed: false };
        let deletes = DeleteChanges { add: vec![record], ..DeleteChanges::default() };
        self.publish_to(&mut manifest, &Edit { deletes, ..Edit::default() }, None, |_| (), |_| ())?;
        // Answers that were begun before are not those of questions asked from now on.
        self.commits.fetch_add(1, Ordering::Release);
        Ok(number)
    }

    /// Seals the head and begins a new log file, so that what came before lies apart. Returns its last sequence.
    fn seal_for_delete(&self) -> Result<u64, StoreError> {
        let mut wal = self.wal.lock();
        let seq = wal.scrub().inspect_err(|e| self.note_write_error(e))?;
        self.seal_locked();
        Ok(seq)
    }

    /// Takes a pending delete back. What of its lines is still there is seen again.
    pub fn cancel_delete(&self, tenant: &TenantId, number: u64) -> Result<(), DeleteError> {
        let mut manifest = self.manifest.lock();
        let own = manifest.deletes().records().find(|r| r.number == number && r.tenant == *tenant);
        match own.map(|record| record.processed) {
            None => return Err(DeleteError::Unknown),
            Some(true) => return Err(DeleteError::Processed),
            Some(false) => {}
        }
        let deletes = DeleteChanges { cancel: vec![number], ..DeleteChanges::default() };
        self.publish_to(&mut manifest, &Edit { deletes, ..Edit::default() }, None, |_| (), |_| ())?;
        self.commits.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The deletes of a tenant, oldest first: all pending ones and the latest processed ones.
    pub fn deletes(&self, tenant: &TenantId) -> Vec<DeleteRecord> {
        self.manifest.lock().deletes().records().filter(|r| r.tenant == *tenant).cloned().collect()
    }

    /// The pending deletes that a manifest names, for readers.
    pub(super) fn pending_deletes(&self, manifest: &Manifest) -> Vec<Arc<Delete>> {
        let known = Arc::clone(&self.state.read().deletes);
        let deletes = pending(manifest.deletes(), &known, self.config.delete_language.as_ref());
        metrics::gauge!("strandline_deletes_pending").set(deletes.len() as f64);
        deletes
    }
}
