//! Which fields do sampled lines have, and which values? Their structured metadata, what the query's own stages made of them,
//! and what `json` finds in them, or `logfmt` where they are no JSON.

use super::kind::{FieldKind, comparable};
use crate::error::QueryError;
use crate::result::{ResultEntry, ResultStream};
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeMap;
use strandline_logql::ast::Stage;
use strandline_logql::{Category, Needed, Patterns, Pipeline, Row, json_keys, row};
use strandline_model::Labels;

/// Labels that tell of errors, and no fields.
const HIDDEN: [&str; 3] = [row::ERROR, row::ERROR_DETAILS, "__preserve_error__"];
/// Memory of a field or a value beyond its text, roughly.
const OVERHEAD_BYTES: usize = 96;

/// What finds a field in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    /// `| json`
    Json,
    /// `| logfmt`
    Logfmt,
}

impl Parser {
    /// Its name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
        }
    }
}

/// A field that sampled lines have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The label that a query knows it by.
    pub label: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Distinct values in the sample.
    pub cardinality: usize,
    /// The parsers that find it in lines; none for structured metadata.
    pub parsers: Vec<Parser>,
    /// The keys that lead to it, if it was found in JSON.
    pub json_path: Vec<String>,
}

/// The fields of some lines.
#[derive(Debug)]
pub(super) struct Sample {
    json: Pipeline,
    logfmt: Pipeline,
    fields: BTreeMap<String, FieldValues>,
    /// Most fields.
    limit: usize,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct FieldValues {
    kind: FieldKind,
    /// Each value once, in the order of appearance.
    values: Vec<Box<str>>,
    known: HashSet<Box<str>>,
    parsers: Vec<Parser>,
    json_path: Vec<String>,
}

impl Sample {
    /// No lines yet; of more than `limit` fields those that come first are kept.
    pub(super) fn new(limit: usize, max_bytes: usize) -> Result<Self, QueryError> {
        let compile = |stage: Stage| Pipeline::compile(&[stage], &Needed::All, &mut Patterns::default());
        let logfmt = Stage::Logfmt { strict: false, keep_empty: false, extractions: Vec::new() };
        Ok(Self {
            json: compile(Stage::Json(Vec::new()))?,
            logfmt: compile(logfmt)?,
            fields: BTreeMap::new(),
            limit,
            bytes: 0,
            max_bytes,
        })
    }

    /// Takes the lines of a stream in, as long as there is no reason to `stop` with so many bytes held.
    pub(super) fn add(
        &mut self,
        stream: &ResultStream,
        stop: &dyn Fn(usize) -> Option<QueryError>,
    ) -> Result<(), QueryError> {
        // Stages may make names that no stream could have; they clash with nothing.
        let pairs: Vec<&(String, String)> =
            stream.labels.iter().filter(|(name, _)| strandline_model::labels::is_label_name(name)).collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let labels = Labels::from_pairs(&pairs).unwrap_or_default();
        for entry in &stream.entries {
            if let Some(error) = stop(self.bytes) {
                return Err(error);
            }
            self.add_entry(&labels, entry);
            if self.bytes > self.max_bytes {
                return Err(QueryError::TooLarge(self.max_bytes));
            }
        }
        Ok(())
    }

    fn add_entry(&mut self, labels: &Labels, entry: &ResultEntry) {
        for (name, value) in entry.metadata() {
            self.note(name, value, None);
        }
        let (parser, read) = self.parse(labels, entry);
        for (name, value) in entry.parsed() {
            self.note(name, value, parser);
        }
        for (name, value) in &read {
            self.note(name, value, parser);
        }
        if parser == Some(Parser::Json) {
            self.note_paths(labels, entry, &read);
        }
    }

    /// What the line's own parser finds in it, and which one that is.
    fn parse(&self, labels: &Labels, entry: &ResultEntry) -> (Option<Parser>, HashMap<String, String>) {
        let mut row = Row::new(entry.ts, entry.ts, &entry.line, labels, []);
        for (parser, pipeline) in [(Parser::Json, &self.json), (Parser::Logfmt, &self.logfmt)] {
            row.reset(entry.ts, &entry.line, labels, []);
            if pipeline.process(&mut row) && row.error().is_none() {
                let made = row.labels().filter(|label| label.category == Category::Parsed);
                return (Some(parser), made.map(|l| (l.name.to_owned(), l.value.to_owned())).collect());
            }
        }
        (None, HashMap::new())
    }

    fn note(&mut self, name: &str, value: &str, parser: Option<Parser>) {
        if HIDDEN.contains(&name) || (self.fields.len() >= self.limit && !self.fields.contains_key(name)) {
            return;
        }
        let kind = FieldKind::of(value);
        let field = match self.fields.get_mut(name) {
            Some(known) => known,
            None => {
                self.bytes += name.len() + OVERHEAD_BYTES;
                self.fields.entry(name.to_owned()).or_insert_with(|| FieldValues {
                    kind,
                    values: Vec::new(),
                    known: HashSet::new(),
                    parsers: Vec::new(),
                    json_path: Vec::new(),
                })
            }
        };
        // The last line's counts, as in Loki.
        field.kind = kind;
        if !field.known.contains(value) {
            field.known.insert(value.into());
            field.values.push(value.into());
            self.bytes += 2 * value.len() + OVERHEAD_BYTES;
        }
        if let Some(parser) = parser.filter(|parser| !field.parsers.contains(parser)) {
            field.parsers.push(parser);
        }
    }

    /// Notes where JSON holds the fields that were not met in it before.
    fn note_paths(&mut self, labels: &Labels, entry: &ResultEntry, read: &HashMap<String, String>) {
        let lacks = |name: &String| self.fields.get(name).is_some_and(|field| field.json_path.is_empty());
        if !read.keys().any(lacks) {
            return;
        }
        let fields = &mut self.fields;
        let line = String::from_utf8_lossy(&entry.line);
        json_keys(&line, |name, keys| {
            let clashes = labels.get(name).is_some();
            let shown = if clashes { format!("{name}{}", row::EXTRACTED) } else { name.to_owned() };
            if let Some(field) = fields.get_mut(&shown).filter(|field| field.json_path.is_empty()) {
                field.json_path = keys.to_vec();
            }
        });
    }

    /// The fields, by name.
    pub(super) fn fields(self) -> Vec<Field> {
        let field = |(label, found): (String, FieldValues)| {
            let FieldValues { kind, values, known: _, parsers, json_path } = found;
            Field { label, kind, cardinality: values.len(), parsers, json_path }
        };
        self.fields.into_iter().map(field).collect()
    }

    /// The values of a field as filters can compare them, at most `limit`, in the order of appearance.
    pub(super) fn values_of(&self, name: &str, limit: usize) -> Vec<String> {
        let values = self.fields.get(name).map(|found| found.values.as_slice()).unwrap_or_default();
        let mut known = HashSet::new();
        let values = values.iter().map(|value| comparable(value)).filter(|value| known.insert(value.clone()));
        values.take(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_model::Metadata;

    fn entry(line: &str, metadata: &[(&str, &str)], parsed: &[(&str, &str)]) -> ResultEntry {
        let packed = |pairs: &[(&str, &str)]| {
            let mut out = Vec::new();
            Metadata::pack(&mut out, &mut pairs.to_vec());
            out.into_boxed_slice()
        };
        let (packed_metadata, packed_parsed) = (packed(metadata), packed(parsed));
        ResultEntry { ts: 1, line: line.as_bytes().into(), packed_metadata, packed_parsed }
    }

    fn sample(limit: usize, entries: Vec<ResultEntry>) -> Sample {
        let labels = vec![("app".to_owned(), "x".to_owned()), ("no name".to_owned(), "y".to_owned())];
        let mut sample = Sample::new(limit, 1 << 20).unwrap();
        sample.add(&ResultStream { labels, entries }, &|_| None).unwrap();
        sample
    }

    fn shown(sample: Sample) -> Vec<String> {
        let fields = sample.fields().into_iter();
        let line = |f: Field| {
            let parsers: Vec<&str> = f.parsers.iter().map(|parser| parser.name()).collect();
            format!(
                "{} {} {} {} {}",
                f.label,
                f.kind.name(),
                f.cardinality,
                parsers.join("+"),
                f.json_path.join("/")
            )
            .trim_end()
            .to_owned()
        };
        fields.map(line).collect()
    }

    #[test]
    fn metadata_json_and_logfmt() {
        let entries = vec![
            entry(r#"{"app":"y","req":{"x-id":"a"},"took":"5ms"}"#, &[("trace", "t1"), ("took", "1s")], &[]),
            entry("took=7ms size=5KiB", &[("trace", "t2")], &[]),
            entry("no pairs here", &[], &[("__error__", "JSONParserErr"), ("own", "1")]),
            entry(r#"{"cut":1,"#, &[], &[]),
        ];
        assert_eq!(
            shown(sample(100, entries)),
            [
                "app_extracted string 1 json app",
                "own int 1 logfmt",
                "req_x_id string 1 json req/x-id",
                "size bytes 1 logfmt",
                "took duration 3 json+logfmt took",
                "trace string 2",
            ]
        );
    }

    #[test]
    fn the_first_fields_stay_when_there_are_too_many() {
        let lines = vec![entry("a=1", &[], &[]), entry("b=2 c=3", &[], &[]), entry("a=4.5", &[], &[])];
        let found = sample(1, lines);
        assert_eq!(found.values_of("a", 10), ["1", "4.5"]);
        assert_eq!(found.values_of("b", 10), [""; 0]);
        assert_eq!(shown(found), ["a float 2 logfmt"]);
    }

    #[test]
    fn values_come_once_and_comparable() {
        let lines = ["s=10KB", "s=10kb", "s=7", "s=3MiB"].map(|line| entry(line, &[], &[]));
        let found = sample(9, lines.to_vec());
        assert_eq!(found.values_of("s", 9), ["10kB", "7", "3.1MB"]);
        assert_eq!(found.values_of("s", 2), ["10kB", "7"]);
    }

    #[test]
    fn lines_of_one_stream_are_not_read_on_when_time_is_over() {
        let mut found = Sample::new(9, 1 << 20).unwrap();
        let entries = (0..100).map(|i| entry(&format!("a={i}"), &[], &[])).collect();
        let looks = std::cell::Cell::new(0);
        let stop = |_| {
            looks.set(looks.get() + 1);
            (looks.get() > 3).then_some(QueryError::TimedOut)
        };
        let over = found.add(&ResultStream { labels: Vec::new(), entries }, &stop);
        assert!(matches!(over, Err(QueryError::TimedOut)));
        assert_eq!(found.values_of("a", 100), ["0", "1", "2"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut found = Sample::new(9, 1000).unwrap();
        let entries = (0..100).map(|i| entry(&format!("a={i}"), &[], &[])).collect();
        let error = found.add(&ResultStream { labels: Vec::new(), entries }, &|_| None).unwrap_err();
        assert!(matches!(error, QueryError::TooLarge(1000)));
    }
}
