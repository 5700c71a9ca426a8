//! How much room do documents take, and whose are they? So that none fills the room of all others.

use super::collection::Owner;
use super::error::{Bound, DocumentError};
use std::collections::BTreeMap;

/// Bounds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of one document.
    pub max_document_bytes: u64,
    /// Documents of one owner and kind.
    pub max_collection_documents: u64,
    /// Bytes of the files of one owner, the process or a tenant.
    pub max_owner_bytes: u64,
    /// Documents of all tenants together. Their names and versions are in memory: some 300 bytes each, and some 1,500 bytes
    /// for each collection.
    pub max_total_documents: u64,
    /// Bytes of the files of all tenants together. They are read at start.
    pub max_total_bytes: u64,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            max_document_bytes: 1 << 20,
            max_collection_documents: 1000,
            max_owner_bytes: 16 << 20,
            max_total_documents: 20_000,
            max_total_bytes: 256 << 20,
        }
    }
}

/// What is stored.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) documents: u64,
    pub(super) bytes: u64,
}

/// What all owners have stored. The process' own documents count for nobody else.
#[derive(Debug, Default)]
pub(super) struct Usage {
    owners: BTreeMap<Owner, Used>,
    tenants: Used,
}

impl Usage {
    /// Takes the room for a document of `after` bytes in the place of one of `before` bytes. What grows nothing is always
    /// taken, also when bounds have been lowered.
    pub(super) fn take(
        &mut self,
        limits: &DocumentLimits,
        owner: &Owner,
        before: Option<u64>,
        after: u64,
    ) -> Result<(), DocumentError> {
        let own = self.of(owner);
        let grows_to = |bytes: u64| bytes.saturating_sub(before.unwrap_or(0)).saturating_add(after);
        let refuse = |bound, limit| Err(DocumentError::TooMuch { bound, limit });
        let grows = after > before.unwrap_or(0);
        if grows && grows_to(own.bytes) > limits.max_owner_bytes {
            return refuse(Bound::OwnerBytes, limits.max_owner_bytes);
        }
        if matches!(owner, Owner::Tenant(_)) {
            if before.is_none() && self.tenants.documents >= limits.max_total_documents {
                return refuse(Bound::TotalDocuments, limits.max_total_documents);
            }
            if grows && grows_to(self.tenants.bytes) > limits.max_total_bytes {
                return refuse(Bound::TotalBytes, limits.max_total_bytes);
            }
        }
        self.replace(owner, before, Some(after));
        Ok(())
    }

    /// Notes that a file of so many bytes, if any, is one of so many bytes now, if any.
    pub(super) fn replace(&mut self, owner: &Owner, before: Option<u64>, after: Option<u64>) {
        let change = |used: &mut Used| {
            used.bytes = used.bytes.saturating_sub(before.unwrap_or(0)).saturating_add(after.unwrap_or(0));
            let documents = used.documents.saturating_add(u64::from(after.is_some()));
            used.documents = documents.saturating_sub(u64::from(before.is_some()));
        };
        let own = self.owners.entry(owner.clone()).or_default();
        change(own);
        if own.documents == 0 {
            self.owners.remove(owner);
        }
        if matches!(owner, Owner::Tenant(_)) {
            change(&mut self.tenants);
        }
    }

    /// What one owner has stored.
    pub(super) fn of(&self, owner: &Owner) -> Used {
        self.owners.get(owner).copied().unwrap_or_default()
    }
}
