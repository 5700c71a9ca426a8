//! What do the stages of a query make of the entries that passed its line filters?

use super::best::{Hit, Shown};
use super::collected::LogSink;
use crate::error::QueryError;
use crate::request::Direction;
use crate::scope::{Gathering, Scope};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use strandline_logql::{Category, Label, Pipeline, Row};
use strandline_model::{Labels, Metadata};

/// Rows between two looks at whether the query is still wanted.
const ROWS_PER_CHECK: usize = 4;

/// An entry in front of the stages, with its metadata as `M` gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a, M> {
    pub(crate) key: i64,
    pub(crate) ts: i64,
    pub(crate) labels: &'a Arc<Labels>,
    pub(crate) arrival: u64,
    pub(crate) line: &'a [u8],
    pub(crate) metadata: M,
}

/// Runs the stages over `entries`, the better ones first, until as many as the sink takes have passed and no further one ties with the
/// last of them.
pub(super) fn run<'a, M>(
    scope: &Scope,
    entries: impl Iterator<Item = Entry<'a, M>>,
    sink: &LogSink,
) -> Vec<Hit>
where
    M: IntoIterator<Item = (&'a str, &'a str)> + Clone,
{
    let pipeline = scope.query.pipeline();
    let mut found: Vec<Hit> = Vec::new();
    let mut gathering = Gathering::new(scope);
    let mut bytes = 0;
    let mut row: Option<Row<'a>> = None;
    for (i, entry) in entries.enumerate() {
        let enough = found.len() >= sink.limit() && found.last().is_some_and(|last| last.key != entry.key);
        if enough || (i % ROWS_PER_CHECK == 0 && scope.is_over()) {
            break;
        }
        let metadata = entry.metadata.clone();
        let row = match &mut row {
            Some(row) => {
                row.reset(entry.ts, entry.line, entry.labels, metadata);
                row
            }
            none => none.insert(Row::new(entry.ts, scope.wall_ns, entry.line, entry.labels, metadata)),
        };
        if pipeline.process_until(row, &|| scope.is_over()) {
            let passed = passed(entry, row, pipeline.changes_line());
            bytes += passed.bytes();
            found.push(passed);
            if gathering.grown_to(bytes, sink.bytes()) {
                break;
            }
        }
    }
    found
}

/// Says whether labels pass stages that look at nothing else.
pub(super) struct Judge<'s> {
    scope: &'s Scope,
    stages: &'s Pipeline,
}

impl<'s> Judge<'s> {
    pub(super) fn new(scope: &'s Scope) -> Self {
        Self { scope, stages: scope.query.pipeline().decisive() }
    }

    pub(super) fn takes<'a>(
        &self,
        labels: &'a Labels,
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let mut row = Row::new(0, self.scope.wall_ns, &[], labels, metadata);
        self.stages.process_until(&mut row, &|| self.scope.is_over())
    }
}

/// Runs the stages over the entries of an answer, whether they keep all or their labels have been judged.
pub(crate) fn apply(scope: &Scope, found: &mut [Hit], direction: Direction) -> Result<(), QueryError> {
    let pipeline = scope.query.pipeline();
    let mut made = Vec::with_capacity(found.len());
    let mut row: Option<Row<'_>> = None;
    let mut bytes = found.iter().map(Hit::bytes).sum::<usize>();
    for found in found.iter() {
        if let Some(error) = scope.reason_to_give_up(bytes) {
            return Err(error);
        }
        let (ts, metadata) = (direction.ts(found.key), Metadata(&found.metadata));
        let row = match &mut row {
            Some(row) => {
                row.reset(ts, &found.line, &found.labels, metadata);
                row
            }
            none => none.insert(Row::new(ts, scope.wall_ns, &found.line, &found.labels, metadata)),
        };
        pipeline.process_until(row, &|| scope.is_over());
        let line: Option<Box<[u8]>> = row.stored_line().is_none().then(|| row.line().into());
        let shown = row.has_changed_labels().then(|| Box::new(shown(row)));
        bytes += line.as_ref().map_or(0, |line| line.len()) + shown.as_deref().map_or(0, Shown::bytes);
        made.push((line, shown));
    }
    drop(row);
    // The last row may have been left half done.
    if let Some(error) = scope.reason_to_give_up(bytes) {
        return Err(error);
    }
    for (found, (line, shown)) in found.iter_mut().zip(made) {
        if let Some(line) = line {
            found.line = line;
        }
        found.shown = shown;
    }
    Ok(())
}

/// Tells stored lines apart that are shown alike.
pub(crate) fn identity(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

/// An entry that passed, as the stages left it.
pub(crate) fn passed<'a, M>(entry: Entry<'a, M>, row: &Row<'_>, changes_line: bool) -> Hit
where
    M: IntoIterator<Item = (&'a str, &'a str)>,
{
    Hit {
        key: entry.key,
        labels: Arc::clone(entry.labels),
        arrival: entry.arrival,
        line: row.line().into(),
        metadata: packed(entry.metadata.into_iter()),
        identity: if changes_line { identity(entry.line) } else { 0 },
        shown: row.has_changed_labels().then(|| Box::new(shown(row))),
    }
}

fn packed<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Box<[u8]> {
    let mut out = Vec::new();
    Metadata::pack(&mut out, &mut pairs.collect());
    out.into()
}

fn shown(row: &Row<'_>) -> Shown {
    let mut labels: Vec<Label<'_>> = Vec::new();
    row.sorted_labels(&mut labels);
    let of = |category: Category| {
        let own = labels.iter().filter(|label| label.category == category);
        packed(own.map(|label| (label.name, label.value)))
    };
    Shown { stream: of(Category::Stream), metadata: of(Category::Metadata), parsed: of(Category::Parsed) }
}
