//! Which entries in memory count? Those that no segment and no earlier head holds too: a client may have sent them again.

use crate::scope::Scope;
use std::sync::Arc;
use strandline_store::head::{Head, HeadRows};

/// The selected streams' entries of a head, which is the `source`-th part of the view, behind all segments; by label order,
/// each entry once in the whole view, without what is deleted.
pub(crate) fn select(scope: &Scope, source: usize, head: &Arc<Head>) -> Vec<HeadRows> {
    let view = &scope.view;
    let mut streams = scope.select(head, scope.range);
    // Rows of what cannot be read now are missing there, so they are shown from the head.
    if let Err(error) = scope.storage.drop_stored_rows(&scope.part.tenant, view, head, &mut streams) {
        scope.damage.tell(format!("lines that were sent again may be shown or counted twice: {error}"));
    }
    let earlier = source.saturating_sub(view.segments.len());
    for head in view.heads.iter().take(earlier) {
        let theirs = scope.select(head, scope.range);
        let mut theirs = theirs.iter().peekable();
        // Both sides are sorted by labels.
        for rows in &mut streams {
            while theirs.next_if(|their| their.labels < rows.labels).is_some() {}
            if let Some(their) = theirs.next_if(|their| their.labels == rows.labels) {
                rows.drop_rows_of(their);
            }
        }
    }
    // Not before: repeats are found by the labels that are stored.
    for rows in &mut streams {
        rows.labels = scope.part.shown(Arc::clone(&rows.labels));
    }
    streams
}
