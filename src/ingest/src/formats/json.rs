//! Which streams and entries does a push in JSON hold? Loki's form, and the one before it.
//!
//! `{"streams":[{"stream":{"app":"x"},"values":[["<ns>","line",{"meta":"text"}]]}]}`
//! `{"streams":[{"labels":"{app=\"x\"}","entries":[{"ts":"<RFC 3339>","line":"line"}]}]}`
//!
//! Lenient where nothing can be misunderstood: keys in any order, numbers and booleans as label and metadata values,
//! nested metadata, elements that nobody knows. Strict about time and text of a line, as Loki is.

use super::error::DecodeError;
use super::json_reader::{JsonError, Reader};
use crate::intake::Intake;
use chrono::DateTime;
use std::borrow::Cow;

/// Most labels that are collected of one stream, whatever the limits say: each costs memory before it is checked.
const MAX_LABEL_PAIRS: usize = 4096;
/// Deepest nesting of metadata.
const MAX_METADATA_DEPTH: usize = 8;

/// Feeds all streams of a push.
pub(super) fn read_push(body: &[u8], intake: &mut Intake<'_>) -> Result<(), DecodeError> {
    let mut push = Push { reader: Reader::new(body), intake, pairs: Vec::new(), path: String::new() };
    if !push.reader.null()? {
        push.request()?;
    }
    Ok(push.reader.end()?)
}

struct Push<'a, 'i, 'c> {
    reader: Reader<'a>,
    intake: &'i mut Intake<'c>,
    /// The labels of the stream being read.
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The name of the metadata being read, from its parents on.
    path: String,
}

impl<'a> Push<'a, '_, '_> {
    fn request(&mut self) -> Result<(), DecodeError> {
        self.reader.expect(b'{', "expected an object")?;
        let mut first = true;
        while let Some(key) = self.reader.next_key(&mut first)? {
            if key == "streams" {
                self.each_element("expected an array of streams", Self::stream)?;
            } else {
                self.reader.skip()?;
            }
        }
        Ok(())
    }

    /// Calls `read` before each element of an array that is not `null`; `null` in its place is an empty one.
    fn each_element(
        &mut self,
        what: &'static str,
        read: fn(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.reader.null()? {
            return Ok(());
        }
        self.reader.expect(b'[', what)?;
        let mut first = true;
        while self.reader.next_element(&mut first)? {
            if !self.reader.null()? {
                read(self)?;
            }
        }
        Ok(())
    }

    fn stream(&mut self) -> Result<(), DecodeError> {
        self.reader.expect(b'{', "expected a stream object")?;
        let mut begun = false;
        // Lines that stand before their labels are read once these are known.
        let mut waiting = None;
        let mut first = true;
        while let Some(key) = self.reader.next_key(&mut first)? {
            match &*key {
                "stream" if !begun => {
                    self.label_object()?;
                    begun = true;
                }
                "labels" if !begun => {
                    let labels = self.reader.string("expected label text")?;
                    self.intake.begin_stream(&labels.text)?;
                    begun = true;
                }
                "values" | "entries" if begun => self.lines(&key)?,
                "values" | "entries" if waiting.is_none() => {
                    waiting = Some((key, self.reader));
                    self.reader.skip()?;
                }
                _ => {
                    self.reader.skip()?;
                }
            }
        }
        if !begun {
            self.intake.begin_stream("")?;
        }
        if let Some((key, place)) = waiting {
            let end = std::mem::replace(&mut self.reader, place);
            self.lines(&key)?;
            self.reader = end;
        }
        Ok(())
    }

    fn lines(&mut self, key: &str) -> Result<(), DecodeError> {
        match key {
            "values" => self.each_element("expected an array of values", Self::value),
            _ => self.each_element("expected an array of entries", Self::legacy_entry),
        }
    }

    fn label_object(&mut self) -> Result<(), DecodeError> {
        self.pairs.clear();
        if !self.reader.null()? {
            self.reader.expect(b'{', "expected an object of labels")?;
            let mut first = true;
            while let Some(name) = self.reader.next_key(&mut first)? {
                if self.pairs.len() == MAX_LABEL_PAIRS {
                    return Err(self.reader.error("too many labels").into());
                }
                let value = match self.reader.peek() {
                    b'"' => self.reader.string("expected a label value")?.text,
                    // Numbers, booleans and null are taken as they are written, as in Loki.
                    _ => Cow::Borrowed(self.reader.scalar()?),
                };
                self.pairs.push((name, value));
            }
        }
        Ok(self.intake.begin_stream_pairs(&self.pairs)?)
    }

    /// `["<ns>", "line", {metadata}, ...]`
    fn value(&mut self) -> Result<(), DecodeError> {
        self.reader.expect(b'[', "expected [timestamp, line]")?;
        let mut first = true;
        self.element(&mut first)?;
        let ts = self.nanoseconds()?;
        self.element(&mut first)?;
        let line = self.reader.string("expected a line")?;
        if self.reader.next_element(&mut first)? {
            self.metadata()?;
            while self.reader.next_element(&mut first)? {
                self.reader.skip()?;
            }
        }
        if line.replaced {
            self.intake.count_replaced_line();
        }
        Ok(self.intake.entry(ts, line.text.as_bytes())?)
    }

    fn element(&mut self, first: &mut bool) -> Result<(), JsonError> {
        if self.reader.next_element(first)? {
            Ok(())
        } else {
            Err(self.reader.error("expected [timestamp, line]"))
        }
    }

    /// A string of integer nanoseconds. A bare number is refused, as in Loki: many a language has rounded it already.
    fn nanoseconds(&mut self) -> Result<i64, JsonError> {
        const WANTED: &str = "expected a timestamp: a string of integer nanoseconds";
        let place = self.reader;
        let text = self.reader.string(WANTED)?;
        text.text.parse().map_err(|_| place.error(WANTED))
    }

    /// The third element of a value: an object. Anything else is passed over rather than cost the line.
    fn metadata(&mut self) -> Result<(), DecodeError> {
        if self.reader.peek() == b'{' {
            self.path.clear();
            self.metadata_object(0)
        } else {
            self.reader.skip()?;
            Ok(())
        }
    }

    fn metadata_object(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth == MAX_METADATA_DEPTH {
            return Err(self.reader.error("metadata is nested too deeply").into());
        }
        self.reader.expect(b'{', "expected an object of metadata")?;
        let parent = self.path.len();
        let mut first = true;
        while let Some(name) = self.reader.next_key(&mut first)? {
            self.path.push_str(&name);
            self.metadata_value(depth)?;
            self.path.truncate(parent);
        }
        Ok(())
    }

    fn metadata_value(&mut self, depth: usize) -> Result<(), DecodeError> {
        match self.reader.peek() {
            b'"' => {
                let value = self.reader.string("expected a metadata value")?;
                self.intake.metadata(&self.path, &value.text);
            }
            b'{' => {
                self.path.push('_');
                self.metadata_object(depth + 1)?;
            }
            b'[' => {
                let list = self.reader.skip()?;
                self.intake.metadata_bytes(self.path.as_bytes(), list);
            }
            _ => match self.reader.scalar()? {
                "null" => {}
                value => self.intake.metadata(&self.path, value),
            },
        }
        Ok(())
    }

    /// `{"ts": "<RFC 3339>", "line": "line"}`
    fn legacy_entry(&mut self) -> Result<(), DecodeError> {
        self.reader.expect(b'{', "expected an entry object")?;
        let (mut ts, mut line) = (None, None);
        let mut first = true;
        while let Some(key) = self.reader.next_key(&mut first)? {
            match &*key {
                "ts" => ts = self.rfc3339()?,
                "line" => line = Some(self.reader.string("expected a line")?),
                _ => {
                    self.reader.skip()?;
                }
            }
        }
        let (text, replaced) = line.map_or((Cow::Borrowed(""), false), |line| (line.text, line.replaced));
        if replaced {
            self.intake.count_replaced_line();
        }
        match ts {
            Some(ts) => self.intake.entry(ts, text.as_bytes())?,
            None => self.intake.entry_without_time()?,
        }
        Ok(())
    }

    /// Nanoseconds of a time in RFC 3339; `None` outside of what 64 bits can say.
    fn rfc3339(&mut self) -> Result<Option<i64>, JsonError> {
        const WANTED: &str = "expected a timestamp in RFC 3339";
        let place = self.reader;
        let text = self.reader.string(WANTED)?;
        let time = DateTime::parse_from_rfc3339(&text.text).map_err(|_| place.error(WANTED))?;
        Ok(time.timestamp_nanos_opt())
    }
}
