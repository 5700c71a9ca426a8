//! Which lines of a push belong to which stream? For the limits that refuse whole streams once all has been read.

use std::collections::HashMap;
use std::ops::Range;
use strandline_model::StreamId;

/// Memory of one span.
pub(super) const SPAN_BYTES: usize = size_of::<(u32, StreamId)>();

/// Where in the order of lines each stream begins, as often as it does. Lines that were refused one by one may lie in
/// between; they belong to no stream or to that one, and are refused either way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamSpans {
    begins: Vec<(u32, StreamId)>,
    lines: u32,
}

impl StreamSpans {
    /// The stream of `line`, the next that is taken, and of those behind it.
    pub(super) fn begin(&mut self, line: u32, stream: StreamId) {
        self.begins.push((line, stream));
    }

    /// There are so many lines.
    pub(super) fn end(&mut self, lines: u32) {
        self.lines = lines;
    }

    /// The lines of `streams`, in order, each with what is said of its stream.
    pub(crate) fn of<'s, T: Copy>(
        &'s self,
        streams: &'s HashMap<StreamId, T>,
    ) -> impl Iterator<Item = (Range<u32>, T)> + 's {
        let ends = self.begins.iter().skip(1).map(|(line, _)| *line).chain([self.lines]);
        let spans = self.begins.iter().zip(ends);
        spans.filter_map(|((line, stream), end)| Some((*line..end, *streams.get(stream)?)))
    }
}
