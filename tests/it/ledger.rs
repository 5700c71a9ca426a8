//! What was promised and what came back: the checker of every crash test.
//!
//! Writers own their ids; a line carries its writer, number and a hash of both, so that a mixed-up line shows. The
//! ledger lives outside the store. After every restart: acknowledged lines are there, nothing is there that was not
//! sent, nothing twice, nothing that was deleted, everything whole and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strandline_instrumented::deletes::Hiding;
use strandline_instrumented::head::{Head, HeadRows};
use strandline_instrumented::segment::{Columns, Segment};
use strandline_instrumented::{DeleteFilter, DeleteLanguage, Engine, StoreError};
use strandline_model::{Batch, BatchBuilder, Labels, Matcher, Metadata, Selector, TenantId, TimeRange};

/// Everything sent, and what of it was acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    attempted: BTreeMap<Key, Sent>,
    deletes: Vec<Erased>,
    next: u64,
    /// Counts what happens, from 1.
    now: u64,
}

/// What became of an entry; 0 is never.
#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    /// When it was sent for the last time, and when that was answered.
    sent: u64,
    answered: u64,
    /// Of the last time that it was acknowledged: when that was sent, and when the answer came.
    acknowledged: Option<(u64, u64)>,
}

/// A delete that was asked for.
#[derive(Debug)]
struct Erased {
    began: u64,
    /// When it was answered.
    done: u64,
    meaning: Meaning,
    answer: Answer,
}

/// What became of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken: what it means is gone for good.
    Taken,
    /// Nobody knows whether it holds (yet), or it was taken back: what it means may be there or not.
    Unknown,
}

/// Which lines a delete means: those of one stream, or of all, whose number leaves a remainder, in a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub stream: Option<u64>,
    pub modulus: u64,
    pub remainder: u64,
    pub range: (i64, i64),
}

impl Meaning {
    fn takes(&self, key: &Key) -> bool {
        let stream = self.stream.is_none_or(|s| key.0 == labels(s).to_string());
        stream && self.range.0 <= key.1 && key.1 <= self.range.1 && self.takes_line(&key.2)
    }

    fn takes_line(&self, line: &[u8]) -> bool {
        let text = String::from_utf8_lossy(line);
        let number = text.split(' ').find_map(|word| word.strip_prefix("n=")?.parse::<u64>().ok());
        number.is_some_and(|n| n % self.modulus == self.remainder)
    }

    /// In the words of [`Language`].
    pub fn query(&self) -> String {
        let stream = self.stream.map_or("*".to_owned(), |s| s.to_string());
        format!("{stream} {} {}", self.modulus, self.remainder)
    }
}

/// What the queries of deletes mean in these tests: stream, modulus, remainder.
#[derive(Debug)]
pub struct Language;

impl DeleteLanguage for Language {
    fn compile(&self, query: &str, _now_ns: i64) -> Result<Box<dyn DeleteFilter>, String> {
        let words: Vec<&str> = query.split(' ').collect();
        let [stream, modulus, remainder] = words[..] else { return Err("three words".to_owned()) };
        let number = |word: &str| word.parse::<u64>().map_err(|e| e.to_string());
        let meaning = Meaning {
            stream: number(stream).ok(),
            modulus: number(modulus)?,
            remainder: number(remainder)?,
            range: (i64::MIN, i64::MAX),
        };
        let mut selector = Selector::all();
        selector.matchers.extend(meaning.stream.map(|s| Matcher::equal("s", s.to_string())));
        Ok(Box::new(Filter { meaning, selector }))
    }
}

#[derive(Debug)]
struct Filter {
    meaning: Meaning,
    selector: Selector,
}

impl DeleteFilter for Filter {
    fn selector(&self) -> &Selector {
        &self.selector
    }

    fn takes_all(&self) -> bool {
        self.meaning.modulus == 1
    }

    fn takes(&self, _: &Labels, _: i64, line: &[u8], _: Metadata<'_>) -> bool {
        self.meaning.takes_line(line)
    }
}

/// Stream, timestamp, line.
pub type Key = (String, i64, Vec<u8>);

pub fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// A line that proves its own wholeness.
pub fn line(writer: u64, n: u64, padding: usize) -> Vec<u8> {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{writer}/{n}").as_bytes());
    format!("w={writer} n={n} h={hash:016x} {}", "pad ".repeat(padding)).into_bytes()
}

/// Whether `line` is one that [`line`] made.
pub fn is_whole(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut words = text.split(' ');
    let mut number = |prefix: &str| words.next().and_then(|w| w.strip_prefix(prefix)?.parse::<u64>().ok());
    let (Some(writer), Some(n)) = (number("w="), number("n=")) else { return false };
    let padding = words.skip(1).filter(|w| *w == "pad").count();
    line(writer, n, padding) == bytes
}

impl Ledger {
    /// A new batch of `times.len()` lines in streams `s="0"`, `s="1"` ... chosen by `stream`.
    pub fn batch(
        &mut self,
        writer: u64,
        times: &[i64],
        stream: impl Fn(u64) -> u64,
        padding: usize,
    ) -> Batch {
        let mut rows: Vec<(u64, i64, Vec<u8>)> = Vec::new();
        for ts in times {
            self.next += 1;
            rows.push((stream(self.next), *ts, line(writer, self.next, padding)));
        }
        rows.sort_by_key(|r| r.0);
        let mut builder = BatchBuilder::new(tenant(), 0);
        let mut last = None;
        for (s, ts, line) in &rows {
            if last != Some(*s) {
                builder.begin_stream(Arc::new(labels(*s)));
                last = Some(*s);
            }
            assert!(builder.push(*ts, line, &mut vec![("detected_level", "info")]));
            self.attempted.entry((labels(*s).to_string(), *ts, line.clone())).or_default();
        }
        builder.finish()
    }

    /// The time now: what happens later has a later one.
    pub fn now(&self) -> u64 {
        self.now
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// Notes that the batch is about to be sent.
    pub fn send(&mut self, batch: &Batch) {
        let now = self.tick();
        self.each_of(batch, |sent| sent.sent = now);
    }

    /// Notes what the store said to the batch.
    pub fn answered(&mut self, batch: &Batch, acknowledged: bool) {
        let now = self.tick();
        self.each_of(batch, |sent| {
            sent.answered = now;
            if acknowledged {
                sent.acknowledged = Some((sent.sent, now));
            }
        });
    }

    fn each_of(&mut self, batch: &Batch, note: impl Fn(&mut Sent)) {
        for stream in &batch.streams {
            for entry in batch.stream_entries(stream) {
                let key = (stream.labels.to_string(), entry.ts, batch.line(entry).to_vec());
                note(self.attempted.entry(key).or_default());
            }
        }
    }

    /// Notes that a delete is about to be asked for. Returns its place, for the calls below.
    pub fn begin_delete(&mut self, meaning: Meaning) -> usize {
        let began = self.tick();
        self.deletes.push(Erased { began, done: u64::MAX, meaning, answer: Answer::Unknown });
        self.deletes.len() - 1
    }

    /// Notes what became of it.
    pub fn end_delete(&mut self, place: usize, answer: Answer) {
        let done = self.tick();
        let delete = &mut self.deletes[place];
        (delete.done, delete.answer) = (done, answer);
    }

    /// Notes that a delete may have been taken back.
    pub fn cancel(&mut self, place: usize) {
        self.deletes[place].answer = Answer::Unknown;
    }

    /// Compares with what was read from the store since the time `since`. Lines for which `may_be_gone` holds may have
    /// been deleted by retention.
    pub fn check(&self, held: &Held, since: u64, may_be_gone: impl Fn(i64) -> bool) -> Result<(), String> {
        for (key, times) in &held.entries {
            let deleted = |sent: &Sent| {
                let mut known = self.deletes.iter().filter(|d| d.answer == Answer::Taken && d.done <= since);
                sent.answered > sent.sent && known.any(|d| d.began > sent.answered && d.meaning.takes(key))
            };
            // A line that was pushed again behind a delete is there twice if that is taken back, until a merge.
            let taken_back = self.deletes.iter().any(|d| d.answer == Answer::Unknown && d.meaning.takes(key));
            match self.attempted.get(key) {
                None => return Err(format!("came back but was never sent: {key:?}")),
                Some(sent) if deleted(sent) => return Err(format!("deleted and back: {}", show(key))),
                Some(_) if *times > 1 && !taken_back => {
                    return Err(format!("doubled ({times} times): {}", show(key)));
                }
                Some(_) if !is_whole(&key.2) => return Err(format!("altered: {}", show(key))),
                Some(_) => {}
            }
        }
        for (key, sent) in self.attempted.iter().filter(|(key, _)| !may_be_gone(key.1)) {
            let Some((began, _)) = sent.acknowledged.filter(|(_, at)| *at <= since) else { continue };
            let deleted = || self.deletes.iter().any(|d| d.done > began && d.meaning.takes(key));
            if !held.entries.contains_key(key) && !deleted() {
                return Err(format!("acknowledged and lost: {}", show(key)));
            }
        }
        Ok(())
    }
}

impl Ledger {
    /// Whether a delete or retention means any line of the stream with these labels.
    pub fn may_vanish(&self, labels: &str, may_be_gone: impl Fn(i64) -> bool) -> bool {
        let mut keys = self.attempted.keys().filter(|key| key.0 == labels);
        keys.any(|key| may_be_gone(key.1) || self.deletes.iter().any(|delete| delete.meaning.takes(key)))
    }

    /// Labels of the streams that must have lines: acknowledged before `since`, and meant by no delete.
    pub fn certain_streams(&self, since: u64, may_be_gone: impl Fn(i64) -> bool) -> BTreeSet<String> {
        let there = |(key, sent): &(&Key, &Sent)| {
            sent.acknowledged.is_some_and(|(_, at)| at <= since)
                && !may_be_gone(key.1)
                && !self.deletes.iter().any(|d| d.meaning.takes(key))
        };
        self.attempted.iter().filter(there).map(|(key, _)| key.0.clone()).collect()
    }
}

fn show(key: &Key) -> String {
    format!("{} {} {}", key.0, key.1, String::from_utf8_lossy(&key.2))
}

pub fn labels(n: u64) -> Labels {
    Labels::from_pairs(&[("app", "x"), ("s", n.to_string().as_str())]).unwrap()
}

/// What a store holds, read from its segments and heads as a query reads them.
#[derive(Debug, Default)]
pub struct Held {
    /// How often a query of everything would show each entry.
    pub entries: BTreeMap<Key, usize>,
    /// Labels of the streams that have entries, deleted ones included: the label index knows them until these are gone.
    pub streams: BTreeSet<String>,
    /// Entries that are deleted and still stored.
    pub hidden: usize,
}

impl Held {
    /// Reads everything of the ledger's tenant.
    pub fn read(engine: &Engine) -> Result<Self, String> {
        let mut held = Self::default();
        let view = engine.view(&tenant(), TimeRange::ALL);
        for handle in &view.segments {
            let segment = handle.open().map_err(|e| e.to_string())?;
            held.read_segment(&segment, &view.hidden_in(handle))?;
        }
        let visible = |head: &Arc<Head>| {
            let stored = head.select(&tenant(), TimeRange::ALL, &Selector::all());
            let mut streams = stored.clone();
            view.hide(head, &mut streams);
            (stored, streams)
        };
        let count = |streams: &[HeadRows]| streams.iter().map(HeadRows::len).sum::<usize>();
        for (at, head) in view.heads.iter().enumerate() {
            let (stored, mut streams) = visible(head);
            held.streams.extend(stored.iter().map(|rows| rows.labels.to_string()));
            held.hidden += count(&stored) - count(&streams);
            // The same as in `query::fresh`: what a segment or an earlier head shows already is not shown again.
            let _ = engine.drop_rows_of(&tenant(), &view.segments, &view.deletes, head, &mut streams);
            for earlier in &view.heads[..at] {
                for theirs in visible(earlier).1 {
                    let same = streams.iter_mut().filter(|rows| rows.labels == theirs.labels);
                    same.for_each(|rows| rows.drop_rows_of(&theirs));
                }
            }
            for rows in streams {
                for i in 0..rows.len() {
                    let key = (rows.labels.to_string(), rows.ts(i), rows.content(i).0.to_vec());
                    *held.entries.entry(key).or_insert(0) += 1;
                }
            }
        }
        Ok(held)
    }

    fn read_segment(&mut self, segment: &Segment, hiding: &Hiding) -> Result<(), String> {
        let damage = |e: StoreError| e.to_string();
        let streams = segment.streams().map_err(damage)?;
        for index in 0..segment.table().map_err(damage)?.blocks.len() {
            let block = segment.block(index, Columns::ALL).map_err(damage)?;
            for run in &block.runs {
                let labels = streams[run.stream as usize].labels.to_string();
                self.streams.insert(labels.clone());
                let rows = block.rows_of(run.stream);
                if !block.times[rows.clone()].is_sorted() {
                    return Err(format!("out of order in block {index}"));
                }
                let mut packed = Vec::new();
                for row in rows {
                    let key = (labels.clone(), block.times[row], block.line(row).to_vec());
                    let metadata = block.packed_metadata(row, &mut packed);
                    if hiding.hides(&streams[run.stream as usize].labels, key.1, &key.2, metadata) {
                        self.hidden += 1;
                        continue;
                    }
                    *self.entries.entry(key).or_insert(0) += 1;
                }
            }
        }
        Ok(())
    }
}
