//! What is known of one entry on its way through the stages? Its line, its labels by origin, and what went wrong.
//!
//! A row is used again for the next entry, so that the stages allocate nothing once the first lines are through.
//! Values are borrowed from the line as long as it is the stored one and valid UTF-8; all else lies in one arena.

mod labels;

use crate::pipeline::parsed::ParsedLabels;
pub(in crate::pipeline) use crate::pipeline::text::{Text, resolve};
use crate::pipeline::watch::Watch;
use regex::bytes::CaptureLocations;
use std::borrow::Cow;
use std::ops::Range;
use strandline_model::Labels;

/// The label under which an error shows.
pub const ERROR: &str = "__error__";
/// The label under which an error's details show.
pub const ERROR_DETAILS: &str = "__error_details__";
/// The error of values that a label filter cannot compare.
pub const FILTER_ERROR: &str = "LabelFilterErr";
/// What a name gets behind it when a label from elsewhere has it already.
pub const EXTRACTED: &str = "_extracted";
/// The first byte of U+FFFD, which few texts have.
const REPLACEMENT_START: u8 = 0xef;
/// Most bytes of names and values that stages make for one row, and how many times its line on top. The last one may lie
/// beyond.
const MAX_MADE_BYTES: usize = 4 << 20;
const MADE_OF_LINE: usize = 4;
/// The error of rows for which parsers would make more.
const TOO_LARGE_ERROR: &str = "LabelsTooLargeErr";
/// Labels that cost about as much as a piece of a line.
const LABELS_PER_WORK: usize = 4;
/// Most regexes whose capture positions are kept.
const MAX_LOCATIONS: usize = 16;

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The stream.
    Stream,
    /// The entry's structured metadata.
    Metadata,
    /// A stage of the query.
    Parsed,
}

/// One label of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'r> {
    /// Name as the query sees it.
    pub name: &'r str,
    /// Value.
    pub value: &'r str,
    /// Origin.
    pub category: Category,
}

/// A label that the entry came with.
#[derive(Debug)]
struct Given<'a> {
    name: &'a str,
    /// The name as the query sees it.
    shown: Text<'a>,
    value: &'a str,
    category: Category,
    hidden: bool,
}

/// The line as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Stored,
    Changed,
}

/// One entry on its way through the stages.
#[derive(Debug)]
pub struct Row<'a> {
    timestamp_ns: i64,
    now_ns: i64,
    stored: &'a [u8],
    current: Current,
    changed: Vec<u8>,
    stream: &'a Labels,
    given: Vec<Given<'a>>,
    /// How many of `given` are the stream's.
    stream_labels: usize,
    parsed: ParsedLabels<'a>,
    arena: String,
    /// So much of the arena is names of `given`.
    given_arena: usize,
    /// Whether a label was left out because the row holds too much.
    overfull: bool,
    error: Option<&'static str>,
    details: String,
    has_details: bool,
    /// Room for whatever a stage builds.
    pub(in crate::pipeline) scratch: Scratch,
}

/// Buffers that stages borrow while they work.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Scratch {
    pub(in crate::pipeline) bytes: Vec<u8>,
    pub(in crate::pipeline) name: String,
    pub(in crate::pipeline) ends: Vec<usize>,
    locations: Vec<(u64, CaptureLocations)>,
}

/// The text that a parser reads.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Input<'t, 'a> {
    pub(in crate::pipeline) text: &'t str,
    /// The same text, if it is the stored line.
    stored: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// A row that holds an entry; `now_ns` is the time that templates are told.
    pub fn new(
        timestamp_ns: i64,
        now_ns: i64,
        line: &'a [u8],
        stream: &'a Labels,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut row = Self {
            timestamp_ns,
            now_ns,
            stored: line,
            current: Current::Stored,
            changed: Vec::new(),
            stream,
            given: Vec::new(),
            stream_labels: 0,
            parsed: ParsedLabels::default(),
            arena: String::new(),
            given_arena: 0,
            overfull: false,
            error: None,
            details: String::new(),
            has_details: false,
            scratch: Scratch::default(),
        };
        row.take_stream(stream);
        row.take_metadata(metadata);
        row
    }

    /// Takes the next entry in, keeping the buffers.
    pub fn reset(
        &mut self,
        timestamp_ns: i64,
        line: &'a [u8],
        stream: &'a Labels,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        self.timestamp_ns = timestamp_ns;
        self.stored = line;
        self.current = Current::Stored;
        self.parsed.clear();
        self.overfull = false;
        self.arena.clear();
        self.clear_error();
        self.clear_details();
        self.given.truncate(self.stream_labels);
        if std::ptr::eq(self.stream, stream) {
            self.given.iter_mut().for_each(|given| given.hidden = false);
        } else {
            self.take_stream(stream);
        }
        self.take_metadata(metadata);
    }

    /// Undoes whatever stages did.
    pub(in crate::pipeline) fn restart(&mut self) {
        self.current = Current::Stored;
        self.parsed.clear();
        self.overfull = false;
        self.arena.truncate(self.given_arena);
        self.clear_error();
        self.clear_details();
        self.given.iter_mut().for_each(|given| given.hidden = false);
    }

    fn take_stream(&mut self, stream: &'a Labels) {
        self.stream = stream;
        self.given.clear();
        self.given.extend(stream.iter().map(|(name, value)| Given {
            name,
            shown: Text::Borrowed(name),
            value,
            category: Category::Stream,
            hidden: false,
        }));
        self.stream_labels = self.given.len();
    }

    fn take_metadata(&mut self, metadata: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in metadata {
            let clashes = self.given.iter().take(self.stream_labels).any(|given| given.name == name);
            let shown = if clashes { self.keep_extracted_name(name) } else { Text::Borrowed(name) };
            self.given.push(Given { name, shown, value, category: Category::Metadata, hidden: false });
        }
        self.given_arena = self.arena.len();
    }

    /// When the entry was logged.
    pub fn timestamp_ns(&self) -> i64 {
        self.timestamp_ns
    }

    /// The time that templates are told.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// The line as it is now; not necessarily UTF-8.
    pub fn line(&self) -> &[u8] {
        match self.current {
            Current::Stored => self.stored,
            Current::Changed => &self.changed,
        }
    }

    /// The line in the entry's own memory, unless a stage changed it.
    pub fn stored_line(&self) -> Option<&'a [u8]> {
        (self.current == Current::Stored).then_some(self.stored)
    }

    /// The stream's labels as stored.
    pub fn stream(&self) -> &'a Labels {
        self.stream
    }

    /// Whether any stage changed the labels (or set an error): if not, the stream's and the metadata are all.
    pub fn has_changed_labels(&self) -> bool {
        self.parsed.iter().next().is_some()
            || self.error.is_some()
            || self.has_details
            || self.given.iter().any(|given| given.hidden)
    }

    /// The value of the label `name`, wherever it comes from. Errors are found under [`ERROR`] and [`ERROR_DETAILS`].
    pub fn get(&self, name: &str) -> Option<&str> {
        if name.starts_with("__error") {
            match name {
                ERROR if self.error.is_some() => return self.error,
                ERROR_DETAILS if self.has_details => return Some(&self.details),
                _ => {}
            }
        }
        self.get_label(name)
    }

    /// The value of the label `name`, which is no error: one of that name stands in the line or came with it.
    pub(in crate::pipeline) fn get_label(&self, name: &str) -> Option<&str> {
        if let Some(value) = self.parsed.get(&self.arena, name) {
            return Some(self.text(value));
        }
        let given = self.given.iter().find(|given| !given.hidden && self.text(given.shown) == name)?;
        Some(given.value)
    }

    /// All labels, errors included, in no particular order.
    pub fn labels(&self) -> impl Iterator<Item = Label<'_>> {
        let error = self.error.map(|value| Label { name: ERROR, value, category: Category::Parsed });
        let details = self.has_details.then_some(Label {
            name: ERROR_DETAILS,
            value: &self.details,
            category: Category::Parsed,
        });
        // An error hides a label of that name that stood in the line.
        let shadowed = move |name: &str| {
            (name == ERROR && error.is_some()) || (name == ERROR_DETAILS && details.is_some())
        };
        self.plain_labels().filter(move |label| !shadowed(label.name)).chain(error).chain(details)
    }

    /// All labels by name, into a vector that may be used again.
    pub fn sorted_labels<'r>(&'r self, out: &mut Vec<Label<'r>>) {
        out.clear();
        out.extend(self.labels());
        out.sort_unstable_by_key(|label| label.name);
    }

    /// The labels without the errors.
    pub(in crate::pipeline) fn plain_labels(&self) -> impl Iterator<Item = Label<'_>> {
        let given = self.given.iter().filter(|given| !given.hidden).map(|given| Label {
            name: self.text(given.shown),
            value: given.value,
            category: given.category,
        });
        let parsed = self.parsed.iter().map(|parsed| Label {
            name: self.text(parsed.name),
            value: self.text(parsed.value),
            category: Category::Parsed,
        });
        given.chain(parsed)
    }

    /// What went wrong, if anything: `JSONParserErr` and the like.
    pub fn error(&self) -> Option<&str> {
        self.get(ERROR)
    }

    /// More about what went wrong.
    pub fn error_details(&self) -> Option<&str> {
        self.get(ERROR_DETAILS)
    }

    pub(in crate::pipeline) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    pub(in crate::pipeline) fn set_error(&mut self, error: &'static str) {
        self.error = Some(error);
    }

    pub(in crate::pipeline) fn set_details(&mut self, details: &str) {
        self.details.clear();
        self.details.push_str(details);
        self.has_details = true;
    }

    fn clear_error(&mut self) {
        self.error = None;
    }

    fn clear_details(&mut self) {
        self.has_details = false;
    }

    fn text<'r>(&'r self, text: Text<'a>) -> &'r str {
        resolve(&self.arena, text)
    }

    /// Copies `text` into the row.
    pub(in crate::pipeline) fn keep(&mut self, text: &str) -> Text<'a> {
        let start = self.arena.len();
        self.arena.push_str(text);
        Text::Arena(start, self.arena.len())
    }

    /// Copies bytes that should be text into the row.
    pub(in crate::pipeline) fn keep_bytes(&mut self, bytes: &[u8]) -> Text<'a> {
        let start = self.arena.len();
        self.arena.push_str(&String::from_utf8_lossy(bytes));
        Text::Arena(start, self.arena.len())
    }

    fn keep_extracted_name(&mut self, name: &str) -> Text<'a> {
        let start = self.arena.len();
        self.arena.push_str(name);
        self.arena.push_str(EXTRACTED);
        Text::Arena(start, self.arena.len())
    }

    /// The text with a blank for each U+FFFD, as Loki has extracted values: they stand for bytes that are no UTF-8.
    pub(in crate::pipeline) fn without_replacements(&mut self, text: Text<'a>) -> Text<'a> {
        let found = self.text(text);
        if memchr::memchr(REPLACEMENT_START, found.as_bytes()).is_none()
            || !found.contains(char::REPLACEMENT_CHARACTER)
        {
            return text;
        }
        let cleaned = found.replace(char::REPLACEMENT_CHARACTER, " ");
        self.keep(&cleaned)
    }

    /// Builds a text in the row; `None` takes it back.
    pub(in crate::pipeline) fn build(
        &mut self,
        write: impl FnOnce(&mut String) -> Option<()>,
    ) -> Option<Text<'a>> {
        let start = self.arena.len();
        let done = write(&mut self.arena);
        if done.is_none() {
            self.arena.truncate(start);
        }
        done.map(|()| Text::Arena(start, self.arena.len()))
    }

    /// How many bytes stages may still make.
    pub(in crate::pipeline) fn left(&self) -> usize {
        self.most().saturating_sub(self.arena.len().max(self.parsed.bytes()))
    }

    /// Most bytes of names and values.
    pub(in crate::pipeline) fn most(&self) -> usize {
        self.stored.len().saturating_mul(MADE_OF_LINE).saturating_add(MAX_MADE_BYTES)
    }

    /// Notes that a label was left out.
    pub(in crate::pipeline) fn note_overfull(&mut self) {
        self.overfull = true;
    }

    /// Marks the row if a label was left out of it: what is shown must not pass for all.
    pub(in crate::pipeline) fn mark_overfull(&mut self) {
        if std::mem::take(&mut self.overfull) {
            self.set_error(TOO_LARGE_ERROR);
            self.set_details(&format!("the labels of the line exceed {} bytes", self.most()));
        }
    }

    /// What it costs to run a stage over the row, for a [`Watch`].
    pub(in crate::pipeline) fn weight(&self) -> usize {
        Watch::work_of(self.line().len()) + self.parsed.len() / LABELS_PER_WORK
    }

    /// Lets `parse` read the line as text.
    pub(in crate::pipeline) fn read<R>(&mut self, parse: impl FnOnce(&mut Self, Input<'_, 'a>) -> R) -> R {
        if self.current == Current::Stored {
            let stored: &'a [u8] = self.stored;
            return match std::str::from_utf8(stored) {
                Ok(text) => parse(self, Input { text, stored: Some(text) }),
                Err(_) => parse(self, Input { text: &lossy(stored), stored: None }),
            };
        }
        let changed = std::mem::take(&mut self.changed);
        // Lent, not given: `parse` leaves the line alone.
        let result = parse(self, Input { text: &lossy(&changed), stored: None });
        self.changed = changed;
        result
    }

    /// Makes `bytes` the line, and gives the memory of the line before.
    pub(in crate::pipeline) fn change_line(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        self.current = Current::Changed;
        std::mem::replace(&mut self.changed, bytes)
    }

    /// Where the groups of the regex with this number lie; `make` is asked the first time.
    pub(in crate::pipeline) fn take_locations(
        &mut self,
        number: u64,
        make: impl FnOnce() -> CaptureLocations,
    ) -> CaptureLocations {
        match self.scratch.locations.iter().position(|(known, _)| *known == number) {
            Some(at) => self.scratch.locations.swap_remove(at).1,
            None => make(),
        }
    }

    /// Gives back what [`Self::take_locations`] lent.
    pub(in crate::pipeline) fn give_locations(&mut self, number: u64, locations: CaptureLocations) {
        if self.scratch.locations.len() >= MAX_LOCATIONS {
            self.scratch.locations.clear();
        }
        self.scratch.locations.push((number, locations));
    }
}

/// The bytes as text, with U+FFFD for each byte that is no UTF-8, as Go reads them.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

impl<'a> Input<'_, 'a> {
    /// A part of the text as a label's value.
    pub(in crate::pipeline) fn value(&self, row: &mut Row<'a>, range: Range<usize>) -> Text<'a> {
        let value = match self.stored {
            Some(stored) => Text::Borrowed(stored.get(range).unwrap_or("")),
            None => row.keep(self.text.get(range).unwrap_or("")),
        };
        row.without_replacements(value)
    }
}

#[cfg(test)]
#[path = "../row_tests.rs"]
mod tests;
