//! How does a decoded push become a batch? Stream by stream: labels looked up, entries checked, enriched, appended.
//!
//! Decoders drive an [`Intake`] with borrowed data; a line is copied once, into the batch.

use crate::active::{ActiveStreams, Counting, NewStreams};
use crate::label_cache::{HashedAlready, KnownStream, LabelCache};
use crate::level;
use crate::metadata::{EntryMetadata, SharedMetadata, text_or_spaces};
use crate::push_memory::PushMemory;
use crate::rejections::{Reason, Rejections, shortened};
use crate::validate::{Refusal, check_entry, check_labels};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_model::{
    Batch, BatchBuilder, Exhausted, LabelError, Labels, Limits, Selector, StreamId, TenantId,
};

/// Longest label text that is parsed at all: far above what the label limits leave, and far below what would cost
/// memory.
const MAX_LABEL_TEXT_BYTES: usize = 1 << 20;

/// Memory of a stream in a push beside its labels: its places in the batch and in the set of those that have begun.
const STREAM_BYTES: usize = 64;

/// Most streams that one answer names.
const MAX_NAMED: usize = 10;

/// Why a whole push is refused. Nothing of it is stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IntakeError {
    /// A stream's labels are not a label set.
    #[error("couldn't parse labels: {0}")]
    Labels(#[from] LabelError),
    /// More streams than a push may have.
    #[error("push has more than {0} streams (limits.max_streams_per_push)")]
    TooManyStreams(usize),
    /// More lines than a push may have.
    #[error("push has more than {0} lines (limits.max_lines_per_push)")]
    TooManyLines(usize),
    /// An entry before the first stream: the decoder's mistake.
    #[error("entry without a stream")]
    NoStream,
    /// The batch would pass 4 GiB, or what [`Intake::limit_bytes`] set.
    #[error(
        "push is too large: its lines and metadata take more than {0} bytes (server.max_decompressed_bytes)"
    )]
    TooLarge(usize),
    /// There is no memory for it at the moment, or there never is.
    #[error("push needs more memory than there is: {0}")]
    NoMemory(#[from] Exhausted),
}

/// What is left of a push: the lines to store, and the refused ones to tell the client about.
#[derive(Debug)]
pub struct Accepted {
    /// The lines to store.
    pub batch: Batch,
    /// What was refused.
    pub rejected: Rejections,
    /// Lines in which bytes that are not UTF-8 had to be replaced.
    pub replaced_lines: u64,
    /// Why streams have to wait, a line each, some of them; the client is to send these again.
    pub over_limit: Vec<String>,
    /// Lines of such streams.
    pub over_limit_lines: u64,
    /// Streams that this push was the first to bring, if they are counted: for [`ActiveStreams::keep`].
    pub new_streams: Option<NewStreams>,
    /// The memory that the batch holds, if any was given.
    pub memory: Option<PushMemory>,
}

/// A push on its way in.
#[derive(Debug)]
pub struct Intake<'c> {
    tenant: TenantId,
    limits: Limits,
    now_ns: i64,
    cache: &'c LabelCache,
    cache_seed: u64,
    builder: BatchBuilder,
    stream: Option<Current>,
    begun: HashSet<StreamId, HashedAlready>,
    last_begun: Option<StreamId>,
    /// Some stream stands in the batch more than once.
    scattered: bool,
    streams: usize,
    lines: usize,
    max_bytes: usize,
    metadata: EntryMetadata,
    /// Room for an entry's pairs, kept from entry to entry.
    pairs: Vec<(&'static str, &'static str)>,
    key: Vec<u8>,
    rejected: Rejections,
    replaced_lines: u64,
    /// Which streams the sender may write, and how that is written.
    confined: Option<(Selector, String)>,
    /// Who counts the streams of the process.
    active: Option<Counting<'c>>,
    over_limit: Vec<String>,
    over_limit_lines: u64,
    memory: Option<PushMemory>,
    /// Bytes taken for the batch so far.
    batch_bytes: usize,
    /// Bytes of labels and of what is known of each stream, roughly.
    stream_bytes: usize,
}

/// The stream whose entries are being read.
#[derive(Debug)]
enum Current {
    Open(Arc<KnownStream>),
    Refused {
        reason: Reason,
        message: String,
    },
    /// New, and there are too many: to be sent again.
    OneTooMany,
}

impl<'c> Intake<'c> {
    /// An empty push of `tenant`, received at `now_ns`.
    pub fn new(tenant: TenantId, limits: &Limits, now_ns: i64, cache: &'c LabelCache) -> Self {
        Self {
            builder: BatchBuilder::new(tenant.clone(), 0),
            cache_seed: cache.seed(&tenant),
            tenant,
            limits: limits.clone(),
            now_ns,
            cache,
            stream: None,
            begun: HashSet::default(),
            last_begun: None,
            scattered: false,
            streams: 0,
            lines: 0,
            max_bytes: u32::MAX as usize,
            metadata: EntryMetadata::default(),
            pairs: Vec::new(),
            key: Vec::new(),
            rejected: Rejections::default(),
            replaced_lines: 0,
            confined: None,
            active: None,
            over_limit: Vec::new(),
            over_limit_lines: 0,
            memory: None,
            batch_bytes: 0,
            stream_bytes: 0,
        }
    }

    /// Takes memory for all that the push becomes; without it, nothing is counted.
    #[must_use]
    pub fn with_memory(mut self, memory: PushMemory) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Refuses new streams where `active` has too many.
    #[must_use]
    pub fn counted_by(mut self, active: &'c ActiveStreams) -> Self {
        self.active = Some(Counting::new(active, self.tenant.clone()));
        self
    }

    /// The memory of the push, for what decoders hold beside the batch.
    pub fn memory(&self) -> Option<&PushMemory> {
        self.memory.as_ref()
    }

    /// Lets in only streams that `selector` selects, whose text is shown for the others.
    #[must_use]
    pub fn confined_to(mut self, selector: Selector, text: &str) -> Self {
        self.confined = Some((selector, text.to_owned()));
        self
    }

    /// Makes room for a push whose decoded body has `bytes`; called before the first entry.
    pub fn expect_bytes(&mut self, bytes: usize) -> Result<(), IntakeError> {
        if self.builder.is_empty() {
            take(self.memory.as_ref(), &mut self.batch_bytes, bytes)?;
            self.builder = BatchBuilder::new(self.tenant.clone(), bytes);
        }
        Ok(())
    }

    /// Bounds the batch: for formats whose lines share metadata, so that a small body can become a large batch.
    pub fn limit_bytes(&mut self, bytes: usize) {
        self.max_bytes = bytes.min(u32::MAX as usize);
    }

    /// The limits of the push.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// When the push was received.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Begins the stream with these labels (`{name="value", ...}`); the entries that follow are its own. An error
    /// means that the whole push is to be refused.
    pub fn begin_stream(&mut self, labels: &str) -> Result<(), IntakeError> {
        self.count_stream()?;
        if labels.len() > MAX_LABEL_TEXT_BYTES {
            let message = format!("stream '{labels}' has labels of {} bytes", labels.len());
            self.refuse_stream(Reason::MaxLabelNames, message);
            return Ok(());
        }
        // Loki takes an empty text for an empty label set.
        let parse = || if labels.is_empty() { Labels::parse("{}") } else { Labels::parse(labels) };
        match self.cache.get_or_parse(self.cache_seed, labels.as_bytes(), parse) {
            Ok(known) => self.open(known),
            // In Loki a name given twice costs the stream, not the push.
            Err(LabelError::Duplicate(name)) => {
                let message = format!("stream '{labels}' has duplicate label name: '{name}'");
                self.refuse_stream(Reason::DuplicateLabelName, message);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// As [`Self::begin_stream`] for labels that come as pairs; the last of equal names wins.
    pub fn begin_stream_pairs<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        pairs: &[(N, V)],
    ) -> Result<(), IntakeError> {
        self.count_stream()?;
        self.key.clear();
        for piece in pairs.iter().flat_map(|(n, v)| [n.as_ref(), v.as_ref()]) {
            // Lengths first, so that no two sets of pairs share a key.
            self.key.extend_from_slice(&piece.len().to_le_bytes());
            self.key.extend_from_slice(piece.as_bytes());
        }
        if self.key.len() > MAX_LABEL_TEXT_BYTES {
            let message = format!("a stream has labels of {} bytes", self.key.len());
            self.refuse_stream(Reason::MaxLabelNames, message);
            return Ok(());
        }
        let last_of_equal = || {
            let by_name: HashMap<&str, &str> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
            Labels::from_pairs(&by_name.into_iter().collect::<Vec<_>>())
        };
        // A seed of their own keeps these keys apart from the label texts.
        let seed = self.cache_seed.wrapping_add(1);
        let known = self.cache.get_or_parse(seed, &self.key, last_of_equal)?;
        self.open(known);
        Ok(())
    }

    fn count_stream(&mut self) -> Result<(), IntakeError> {
        self.streams += 1;
        if self.streams > self.limits.max_streams_per_push {
            return Err(IntakeError::TooManyStreams(self.limits.max_streams_per_push));
        }
        Ok(())
    }

    fn open(&mut self, known: Arc<KnownStream>) {
        if let Some((selector, text)) = &self.confined
            && !selector.matches(&known.labels)
        {
            let message = format!(
                "stream '{}' is outside of what these credentials may write: {text} (auth.tokens, auth.users: filter)",
                known.labels
            );
            return self.refuse_stream(Reason::LabelFilter, message);
        }
        match check_labels(&known.labels, &self.limits) {
            Ok(()) => self.stream = Some(Current::Open(known)),
            Err(refusal) => self.refuse_stream(refusal.reason(), refusal.to_string()),
        }
    }

    /// Lets the entries that follow be dropped and told about; a stream without entries stays unmentioned.
    fn refuse_stream(&mut self, reason: Reason, message: String) {
        self.stream = Some(Current::Refused { reason, message: shortened(message) });
    }

    /// Adds structured metadata to the entry that comes next.
    pub fn metadata(&mut self, name: &str, value: &str) {
        self.metadata.add(name, value, self.limits.max_metadata_bytes);
    }

    /// As [`Self::metadata`] for bytes that need not be UTF-8; what is not becomes spaces.
    pub fn metadata_bytes(&mut self, name: &[u8], value: &[u8]) {
        self.metadata(&text_or_spaces(name), &text_or_spaces(value));
    }

    /// Adds metadata that other entries have too.
    pub fn shared_metadata(&mut self, shared: &SharedMetadata) {
        self.metadata.append(shared.pairs(), &self.limits);
    }

    /// Adds an entry with the metadata given since the last one to the stream begun last. An entry that breaks a limit
    /// is dropped and told about in [`Accepted::rejected`]; an error refuses the whole push.
    pub fn entry(&mut self, ts: i64, line: &[u8]) -> Result<(), IntakeError> {
        let outcome = self.count_line().and_then(|()| self.append(ts, line));
        self.metadata.clear();
        outcome
    }

    /// An entry that came without a usable timestamp: dropped and told about.
    pub fn entry_without_time(&mut self) -> Result<(), IntakeError> {
        self.metadata.clear();
        self.count_line()?;
        match self.stream.as_ref().ok_or(IntakeError::NoStream)? {
            Current::Open(known) => {
                let refusal = Refusal::NoTimestamp(&known.labels);
                self.rejected.add(refusal.reason(), || refusal.to_string());
            }
            Current::Refused { reason, message } => self.rejected.add(*reason, || message.clone()),
            Current::OneTooMany => self.over_limit_lines += 1,
        }
        Ok(())
    }

    /// Counts a line in which bytes were replaced.
    pub fn count_replaced_line(&mut self) {
        self.replaced_lines += 1;
    }

    fn count_line(&mut self) -> Result<(), IntakeError> {
        self.lines += 1;
        if self.lines > self.limits.max_lines_per_push {
            return Err(IntakeError::TooManyLines(self.limits.max_lines_per_push));
        }
        Ok(())
    }

    fn append(&mut self, ts: i64, line: &[u8]) -> Result<(), IntakeError> {
        let known = match self.stream.as_ref().ok_or(IntakeError::NoStream)? {
            Current::Open(known) => known,
            Current::Refused { reason, message } => {
                self.rejected.add(*reason, || message.clone());
                return Ok(());
            }
            Current::OneTooMany => {
                self.over_limit_lines += 1;
                return Ok(());
            }
        };
        if let Err(refusal) =
            check_entry(&self.limits, self.now_ns, &known.labels, (ts, line), &self.metadata)
        {
            self.rejected.add(refusal.reason(), || refusal.to_string());
            return Ok(());
        }
        if self.last_begun != Some(known.id) {
            if let Some(active) = &mut self.active
                && !active.take(known)
            {
                if self.over_limit.len() < MAX_NAMED {
                    self.over_limit.push(one_too_many(known, active.max(), &self.tenant));
                }
                self.over_limit_lines += 1;
                self.stream = Some(Current::OneTooMany);
                return Ok(());
            }
            self.scattered |= !self.begun.insert(known.id);
            self.last_begun = Some(known.id);
            self.stream_bytes += STREAM_BYTES + known.labels.memory_bytes();
            self.builder.begin_known_stream(known.id, known.labels.clone());
        }
        let held = self.builder.memory_bytes_with(line.len()) + self.stream_bytes;
        take(self.memory.as_ref(), &mut self.batch_bytes, held)?;
        let level = level::of_entry(known.level.as_deref(), self.metadata.iter(), line);
        let mut pairs = emptied(std::mem::take(&mut self.pairs));
        pairs.extend(self.metadata.iter());
        // Last, so that it replaces the client's own `detected_level`.
        pairs.push((DETECTED_LEVEL, level));
        let room = self.builder.push(ts, line, &mut pairs);
        self.pairs = emptied(pairs);
        if room && self.builder.bytes() <= self.max_bytes {
            Ok(())
        } else {
            Err(IntakeError::TooLarge(self.max_bytes))
        }
    }

    /// Streams begun so far, with or without entries.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// Ends the push. Fails when there is no memory to put streams together that came in pieces.
    pub fn finish(self) -> Result<Accepted, IntakeError> {
        let mut batch = self.builder.finish();
        if self.scattered {
            if let Some(memory) = &self.memory {
                memory.take(batch.memory_bytes())?;
            }
            batch = gathered(batch);
        }
        if let Some(memory) = &self.memory {
            memory.keep(batch.memory_bytes() + self.stream_bytes);
        }
        Ok(Accepted {
            batch,
            rejected: self.rejected,
            replaced_lines: self.replaced_lines,
            over_limit: self.over_limit,
            over_limit_lines: self.over_limit_lines,
            new_streams: self.active.map(Counting::finish),
            memory: self.memory,
        })
    }
}

/// In the words of Loki's limit on the streams of a tenant.
fn one_too_many(stream: &KnownStream, max: usize, tenant: &TenantId) -> String {
    shortened(format!(
        "maximum active stream limit exceeded when trying to create stream {}, reduce the number of active streams (reduce \
         labels or reduce label values) or raise server.max_active_streams (it is {max} for all tenants together), user: \
         '{tenant}'",
        stream.labels
    ))
}

/// Takes memory for `wanted` bytes where `have` are taken already.
fn take(memory: Option<&PushMemory>, have: &mut usize, wanted: usize) -> Result<(), IntakeError> {
    if let Some(memory) = memory
        && wanted > *have
    {
        memory.take(wanted - *have)?;
        *have = wanted;
    }
    Ok(())
}

/// The same empty vector for borrows of another lifetime; the standard library keeps its memory.
fn emptied<'a>(mut pairs: Vec<(&str, &str)>) -> Vec<(&'a str, &'a str)> {
    pairs.clear();
    pairs.into_iter().map(|_| ("", "")).collect()
}

/// `batch` with each stream standing once, its entries in the order they came. Clients that send a stream per line
/// make this necessary; all others do not pay for it.
fn gathered(batch: Batch) -> Batch {
    let mut first: HashMap<StreamId, usize, HashedAlready> = HashMap::default();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(batch.streams.len());
    for (i, stream) in batch.streams.iter().enumerate() {
        order.push((*first.entry(stream.id).or_insert(i), i));
    }
    order.sort_unstable();
    let mut builder = BatchBuilder::new(batch.tenant.clone(), batch.bytes.len());
    for (first, i) in order {
        let Some(stream) = batch.streams.get(i) else { continue };
        if first == i {
            builder.begin_known_stream(stream.id, stream.labels.clone());
        }
        for entry in batch.stream_entries(stream) {
            // Never refused: the new batch is as large as the old one.
            builder.push_packed(entry.ts, batch.line(entry), batch.metadata(entry));
        }
    }
    builder.finish()
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
