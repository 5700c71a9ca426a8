//! Segments that no engine lists: files of the same format, below a folder of any disk, for a tier of storage that keeps its
//! own list of them. They are read like an engine's, through handles in a [`View`](super::View), and never removed from here.

use super::SegmentHandle;
use super::catalog::OpenSegments;
use super::flush::drop_rows_in;
use crate::deletes::Delete;
use crate::disk::Disk;
use crate::error::StoreError;
use crate::head::{Head, HeadRows};
use crate::manifest::SegmentMeta;
use std::sync::Arc;

/// A disk with segments at the paths where an engine has them: `tenants/TENANT/DAY/ID.seg`.
#[derive(Debug)]
pub struct SegmentFolder {
    open: Arc<OpenSegments>,
}

impl SegmentFolder {
    /// Segments of `disk`. The tables of open ones may take `cache_bytes`; at most `max_files` files are open at once.
    pub fn new(disk: Arc<dyn Disk>, cache_bytes: usize, max_files: usize) -> Self {
        Self { open: OpenSegments::new(cache_bytes, &disk, max_files) }
    }

    /// The segment that `meta` describes, opened when it is first read. No delete is known to be done with in it, so views
    /// ask all pending ones of its tenant and log.
    pub fn segment(&self, meta: SegmentMeta) -> Arc<SegmentHandle> {
        SegmentHandle::new(meta, 0, &self.open)
    }

    /// Drops the rows of `head` that any of `segments` holds too, as [`Engine::drop_rows_of`](super::Engine::drop_rows_of)
    /// does for the engine's own: by a look into each segment that has the stream at that time.
    pub fn drop_rows_of(
        segments: &[Arc<SegmentHandle>],
        deletes: &[Arc<Delete>],
        head: &Head,
        streams: &mut [HeadRows],
    ) -> Result<(), StoreError> {
        let before: Vec<Arc<Delete>> = deletes.iter().filter(|d| !d.covers_head(head)).cloned().collect();
        let mut unread = Ok(());
        for handle in segments {
            let (first, last) = handle.meta().time;
            let overlaps = |s: &HeadRows| !s.is_empty() && s.ts(0) <= last && s.ts(s.len() - 1) >= first;
            let mut overlapping: Vec<&mut HeadRows> = streams.iter_mut().filter(|s| overlaps(s)).collect();
            unread = unread.and(drop_rows_in(handle, &before, &mut overlapping));
        }
        unread
    }
}
