//! What do queries read? Everything that this crate knows of where entries lie goes through [`Storage`], so that an answer
//! can come from more than one engine, from another tier, or from what a test makes up.
//!
//! What it hands out are the store's own parts: heads, segments, rows. So a scan makes no dynamic call: only a view, a
//! lookup and the repeats of one head are asked for through the trait.

mod engine;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use strandline_model::{Clock, Labels, Selector, TenantId, TimeRange};
use strandline_store::engine::{CommitObserver, DeleteError, LabelSets};
use strandline_store::head::{Head, HeadRows};
use strandline_store::{DeleteRecord, LookupAnswer, LookupError, LookupLimits, StoreError, View};

/// Streams that a lookup is about.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// With entries in this range. Answers may be as coarse as whole days.
    pub range: TimeRange,
    /// Which of them.
    pub selector: &'a Selector,
    /// When to give up.
    pub limits: LookupLimits<'a>,
}

/// The answer of a lookup, with the segments that it could not look at; or why there is none.
pub type LookupResult<T> = Result<LookupAnswer<T>, LookupError>;

/// Where entries are found. Safe to be asked by many threads at once; what it returns stays readable whatever is written,
/// merged or removed meanwhile.
pub trait Storage: Debug + Send + Sync {
    /// The clock that queries go by.
    fn clock(&self) -> &Arc<dyn Clock>;

    /// All entries of `tenant` that may fall in `range`, those in memory too, as of one moment. What cannot be had is said
    /// in [`View::warnings`] and becomes a warning of the answer; a segment that turns out to be damaged, or whose disk does
    /// not answer, when it is read becomes one by itself.
    ///
    /// A tier that adds segments of its own to an engine's view answers for two things that the engine does for its own
    /// segments alone:
    ///
    /// - *Deletes*: [`View::deletes`] has those that are pending in the engine, which forgets a delete when its own segments
    ///   are free of it. A tier has to keep each delete that [`Self::add_delete`] passes through it for as long as a segment
    ///   of its own has lines that it means, and to put it into the view, or deleted lines come back.
    /// - *Repeats*: a flush leaves out what the engine's own segments have, not what a tier's have. Log queries show equal
    ///   entries of two segments once, counts and volumes count them twice. So a tier takes a day over whole, when nothing
    ///   of it is taken any more (`limits.reject_older_than`), or says in [`View::warnings`] that counts may be too high.
    fn view(&self, tenant: &TenantId, range: TimeRange) -> View;

    /// Takes out of `rows`, what a query selected in `head`, the entries that are in segments of `view` too: a client may
    /// have sent them again. A damaged segment has none; an error says that one could not be read for another reason, so
    /// that rows of it may be left.
    fn drop_stored_rows(
        &self,
        tenant: &TenantId,
        view: &View,
        head: &Head,
        rows: &mut [HeadRows],
    ) -> Result<(), StoreError>;

    /// What an answer about `tenant` over `range` lacks whatever it reads, as in [`View::warnings`]; for lookups.
    fn warnings(&self, tenant: &TenantId, range: TimeRange) -> Vec<String>;

    /// Names of the streams' labels.
    fn label_names(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<String>>;

    /// Values that the label `name` has in the streams.
    fn label_values(&self, streams: Selection<'_>, name: &str) -> LookupResult<BTreeSet<String>>;

    /// All values of each label of the streams.
    fn label_sets(&self, streams: Selection<'_>) -> LookupResult<LabelSets>;

    /// The streams.
    fn series(&self, streams: Selection<'_>) -> LookupResult<BTreeSet<Labels>>;

    /// The streams that segments have, if they are known without a look at the segments and at most `most`: then each is
    /// looked up in the segments, instead of all that these have.
    fn few_streams(&self, streams: Selection<'_>, most: usize) -> Option<Vec<Labels>>;

    /// How many groups of batches became searchable so far. Whoever was acknowledged before this is asked for is among
    /// them.
    fn commits(&self) -> u64;

    /// Tells `observer` of commits from now on. False: another one is told already, and stays.
    fn observe(&self, observer: Arc<dyn CommitObserver>) -> bool;

    /// Why nothing can be written at the moment, if so.
    fn read_only(&self) -> Option<String>;

    /// What fails in the background or is lost, in words that name no tenant.
    fn troubles(&self) -> Vec<String>;

    /// Hides the lines of `tenant` that `query` means, with timestamps in `range` (ns, both ends included) and acknowledged
    /// before this call. Returns the number of the delete.
    fn add_delete(&self, tenant: &TenantId, query: &str, range: (i64, i64)) -> Result<u64, DeleteError>;

    /// Takes a delete back that is not processed.
    fn cancel_delete(&self, tenant: &TenantId, number: u64) -> Result<(), DeleteError>;

    /// The deletes of a tenant, oldest first: all pending ones and the latest processed ones.
    fn deletes(&self, tenant: &TenantId) -> Vec<DeleteRecord>;
}
