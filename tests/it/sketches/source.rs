//! A source without HTTP: reads lines of a file, hands them over, waits until they are safe, and only then says how far it
//! has come. Lines that can never be stored go to the dead letters, with the reason; what was merely too much comes again.

use std::collections::VecDeque;
use std::sync::Arc;
use strandline_ingest::{Admission, AdmissionConfig, Intake, Outcome, PushError, Refusal, Sender, Submitter};
use strandline_model::{Clock, Limits, ManualClock, TenantId, time};
use strandline_store::disk::RealDisk;
use strandline_store::{Engine, EngineConfig, Runtime};

/// Lines that are handed over at a time: few enough that each refused one is named.
const BATCH: usize = 4;

/// A line and where the next one begins.
#[derive(Clone)]
struct Line {
    text: String,
    end: u64,
    /// When it was read first. It stays, so that a line that is given again is the same line.
    at_ns: i64,
}

struct Source {
    admission: Admission,
    sender: Sender,
    clock: Arc<ManualClock>,
    /// Everything before this offset is stored or among the dead letters. To be a document in the store.
    checkpoint: u64,
    dead: Vec<(String, String)>,
    waits: usize,
}

impl Source {
    async fn run(&mut self, file: &str) {
        let ends = file.char_indices().filter(|(_, c)| *c == '\n').map(|(at, _)| at as u64 + 1);
        // Not the same time for all: equal entries count once.
        let now_ns = self.clock.now_ns();
        let lines: Vec<Line> = file
            .lines()
            .zip(ends)
            .map(|(text, end)| Line { text: text.to_owned(), end, at_ns: now_ns + end as i64 })
            .collect();
        let from = lines.partition_point(|line| line.end <= self.checkpoint);
        for batch in lines[from..].chunks(BATCH) {
            self.hand_over(batch.to_vec()).await;
            self.checkpoint = batch.last().map_or(self.checkpoint, |line| line.end);
        }
    }

    /// Returns once each line is on the disk or a dead letter.
    async fn hand_over(&mut self, lines: Vec<Line>) {
        let mut waiting = VecDeque::from([lines]);
        while let Some(lines) = waiting.pop_front() {
            let given = Arc::new(lines);
            let alone = |line: &Line| vec![line.clone()];
            match self.push(&given).await {
                Ok(outcome) => {
                    assert_eq!(outcome.refused.open_from(), None, "each line of so few is told about");
                    let mut again = Vec::new();
                    for (number, why) in outcome.refused.iter() {
                        let line = &given[number as usize];
                        match why {
                            Refusal::OverLimit => again.push(line.clone()),
                            Refusal::TooMuchAtOnce if given.len() > 1 => waiting.push_back(alone(line)),
                            Refusal::TooMuchAtOnce => self.set_aside(line, "stream_burst"),
                            Refusal::Invalid(why) => self.set_aside(line, why.as_str()),
                        }
                    }
                    if !again.is_empty() {
                        self.wait(1);
                        waiting.push_front(again);
                    }
                }
                Err(error) => match error.retry_after_s() {
                    Some(seconds) => {
                        self.wait(seconds);
                        waiting.push_front(given.to_vec());
                    }
                    None if given.len() > 1 => waiting.extend(given.iter().map(alone)),
                    None => self.set_aside(&given[0], &error.to_string()),
                },
            }
        }
    }

    async fn push(&self, lines: &Arc<Vec<Line>>) -> Result<Outcome, PushError> {
        let bytes = lines.iter().map(|line| line.text.len()).sum();
        let given = Arc::clone(lines);
        let feed = move |intake: &mut Intake<'_>| {
            for line in given.iter() {
                let app = if line.text.starts_with('!') { "alarm" } else { "plain" };
                intake.begin_stream_pairs(&[("app", app)])?;
                intake.entry(line.at_ns, line.text.as_bytes())?;
            }
            Ok(())
        };
        self.admission.push_entries(&self.sender, bytes, feed).await
    }

    fn set_aside(&mut self, line: &Line, why: &str) {
        self.dead.push((line.text.clone(), why.to_owned()));
    }

    /// The clock is the test's: time passes because it is waited for.
    fn wait(&mut self, seconds: u64) {
        self.waits += 1;
        assert!(self.waits < 100, "what fits into a burst is taken some day");
        self.clock.advance(seconds as i64 * time::SECOND_NS);
    }
}

#[test]
fn a_source_acknowledges_what_is_safe_sets_aside_what_cannot_be_and_repeats_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(20_000 * time::DAY_NS));
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    let config = EngineConfig { min_free_bytes: 0, ..EngineConfig::default() };
    let (engine, _) = Engine::open(disk, Arc::clone(&clock) as Arc<dyn Clock>, config).unwrap();
    let runtime = Arc::new(Runtime::start(engine).unwrap());
    let admission = Admission::new(Submitter::new(Arc::clone(&runtime)), AdmissionConfig::default());
    let limits = Limits {
        max_line_bytes: 40,
        // A batch of one stream fits, two at once do not.
        stream_rate: 60,
        stream_burst: 200,
        ingestion_rate: 120,
        ingestion_burst: 300,
        ..Limits::default()
    };
    let sender = Sender::new(TenantId::new("files").unwrap(), Arc::new(limits));
    let mut source = Source { admission, sender, clock, checkpoint: 0, dead: Vec::new(), waits: 0 };
    let mut file: String =
        (0..20).map(|n| format!("{}line {n}\n", if n % 5 == 0 { "!" } else { "" })).collect();
    file.push_str(&"too long ".repeat(9));
    file.push_str("\nhalf a li");
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(source.run(&file));
    let whole = file.len() - "half a li".len();
    assert_eq!(source.checkpoint, whole as u64, "a line that is still being written comes later");
    assert_eq!(source.dead, [("too long ".repeat(9), "line_too_long".to_owned())]);
    assert!(source.waits > 0, "the limits were met");
    // What was acknowledged is there, once, also where it came again.
    runtime.flush().unwrap();
    let rows: u64 = runtime.engine().partition_stats().iter().map(|partition| partition.rows).sum();
    assert_eq!(rows, 20);
    runtime.stop().unwrap();
}
