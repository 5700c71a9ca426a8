//! How does a decoded push become a batch? Stream by stream: labels looked up, entries checked, enriched, appended.
//!
//! Decoders drive an [`Intake`] with borrowed data; a line is copied once, into the batch.

mod accepted;
mod gather;
mod spans;
mod streams;

pub use accepted::{Accepted, IntakeError};

use crate::active::{ActiveStreams, Counting};
use crate::label_cache::{HashedAlready, KnownStream, LabelCache};
use crate::level;
use crate::metadata::{EntryMetadata, SharedMetadata, text_or_spaces};
use crate::push_memory::PushMemory;
use crate::refused_lines::{RANGE_BYTES, Refusal, RefusedLines};
use crate::rejections::{Reason, Rejections, shortened};
use crate::validate::{BrokenRule, check_entry};
use gather::gathered;
use spans::{SPAN_BYTES, StreamSpans};
use std::collections::HashSet;
use std::sync::Arc;
use strandline_model::metadata::DETECTED_LEVEL;
use strandline_model::{BatchBuilder, Limits, Selector, StreamId, TenantId};

/// Memory of a stream in a push beside its labels: its places in the batch and in the set of those that have begun.
const STREAM_BYTES: usize = 64;

/// Most streams that one answer names.
const MAX_NAMED: usize = 10;

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
    refused: RefusedLines,
    /// Kept where limits may refuse whole streams later.
    spans: Option<StreamSpans>,
    replaced_lines: u64,
    /// Which streams the sender may write, and how that is written.
    confined: Option<(&'c Selector, &'c str)>,
    /// Who counts the streams of the process.
    active: Option<Counting<'c>>,
    over_limit: Vec<String>,
    over_limit_lines: u64,
    memory: Option<PushMemory>,
    /// Bytes taken for the batch so far.
    batch_bytes: usize,
    /// Bytes of labels, of what is known of each stream and of lines that are refused, roughly.
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
            refused: RefusedLines::default(),
            spans: (limits.stream_rate > 0 || limits.max_active_streams > 0).then(StreamSpans::default),
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
    pub fn confined_to(mut self, selector: &'c Selector, text: &'c str) -> Self {
        self.confined = Some((selector, text));
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
                let broken = BrokenRule::NoTimestamp(&known.labels);
                self.rejected.add(broken.reason(), || broken.to_string());
                self.refuse(Refusal::Invalid(Reason::NoTimestamp))
            }
            Current::Refused { .. } | Current::OneTooMany => self.refuse_with_its_stream(),
        }
    }

    /// Drops a line of a stream that is refused.
    fn refuse_with_its_stream(&mut self) -> Result<(), IntakeError> {
        let why = match &self.stream {
            Some(Current::Refused { reason, message }) => {
                self.rejected.add(*reason, || message.clone());
                Refusal::Invalid(*reason)
            }
            _ => {
                self.over_limit_lines += 1;
                Refusal::OverLimit
            }
        };
        self.refuse(why)
    }

    /// Notes that the line counted last is refused.
    fn refuse(&mut self, why: Refusal) -> Result<(), IntakeError> {
        let line = self.last_line();
        if self.refused.add(line, why) {
            self.stream_bytes += RANGE_BYTES;
            let held = self.builder.memory_bytes_with(0) + self.stream_bytes;
            take(self.memory.as_ref(), &mut self.batch_bytes, held)?;
        }
        Ok(())
    }

    /// The number of the line counted last, from 0.
    fn last_line(&self) -> u32 {
        u32::try_from(self.lines.saturating_sub(1)).unwrap_or(u32::MAX)
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
            Current::Refused { .. } | Current::OneTooMany => return self.refuse_with_its_stream(),
        };
        if let Err(broken) = check_entry(&self.limits, self.now_ns, &known.labels, (ts, line), &self.metadata)
        {
            let reason = broken.reason();
            self.rejected.add(reason, || broken.to_string());
            return self.refuse(Refusal::Invalid(reason));
        }
        if self.last_begun != Some(known.id) {
            if let Some(active) = &mut self.active
                && !active.take(known)
            {
                if self.over_limit.len() < MAX_NAMED {
                    self.over_limit.push(one_too_many(known, active.max(), &self.tenant));
                }
                self.stream = Some(Current::OneTooMany);
                return self.refuse_with_its_stream();
            }
            self.scattered |= !self.begun.insert(known.id);
            self.last_begun = Some(known.id);
            self.stream_bytes += STREAM_BYTES + known.labels.memory_bytes();
            let line = u32::try_from(self.lines.saturating_sub(1)).unwrap_or(u32::MAX);
            if let Some(spans) = &mut self.spans {
                spans.begin(line, known.id);
                self.stream_bytes += SPAN_BYTES;
            }
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
        let mut spans = self.spans.unwrap_or_default();
        spans.end(u32::try_from(self.lines).unwrap_or(u32::MAX));
        Ok(Accepted {
            batch,
            rejected: self.rejected,
            refused: self.refused,
            spans,
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

#[cfg(test)]
mod tests;
