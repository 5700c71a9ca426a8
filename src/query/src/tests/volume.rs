//! Are volumes what a plain count of all pushed lines gives, wherever these lie by now?

use super::model::{live, steps};
use super::rig::{Rig, Row, labels, row, slot, tenant};
use crate::selectors::parse_selector;
use crate::volume::{Count, Volume, VolumeBy};
use crate::{QueryError, Reader, VolumeRequest, VolumeResult};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use strandline_model::{BatchBuilder, Labels, Selector, TimeRange};
use strandline_simdisk::SimDisk;
use strandline_store::EncodedBatch;
use strandline_store::disk::Disk;

const DAY: i64 = 86_400_000_000_000;

#[derive(Debug, Clone)]
struct Ask {
    selector: usize,
    range: TimeRange,
    step: Option<i64>,
    by: VolumeBy,
    targets: Vec<String>,
}

/// A selector, which streams it selects, and which labels it names.
type Select = (&'static str, fn(u8) -> bool, &'static [&'static str]);

const SELECTORS: [Select; 4] = [
    ("{}", |_| true, &["n", "env"]),
    (r#"{n=~"[1-3]"}"#, |n| (1..4).contains(&n), &["n"]),
    (r#"{env="even", n!="2"}"#, |n| n.is_multiple_of(2) && n != 2, &["n", "env"]),
    (r#"{env="odd", gone=""}"#, |n| !n.is_multiple_of(2), &["env"]),
];

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let range = prop_oneof![
        2 => (0i64..12, 0i64..14).prop_map(|(start, len)| (start, start + len)),
        1 => (0..3 * DAY, 0..3 * DAY).prop_map(|(a, b)| (a.min(b), a.max(b))),
        1 => Just((0, 3 * DAY)),
    ];
    let steps =
        prop_oneof![2 => Just(None), 1 => (1i64..7).prop_map(Some), 1 => (DAY / 50..2 * DAY).prop_map(Some)];
    let by = prop_oneof![Just(VolumeBy::Series), Just(VolumeBy::Labels), Just(VolumeBy::Streams)];
    let targets =
        proptest::collection::vec(prop_oneof![4 => Just("n"), 4 => Just("env"), 1 => Just("gone")], 0..2);
    let ask = (0..SELECTORS.len(), range, steps, by, targets);
    let ask = ask.prop_map(|(selector, (start, end), step, by, targets)| {
        let step = step.filter(|step| (end - start) / step < 20_000);
        let targets = targets.into_iter().map(str::to_owned).collect();
        Ask { selector, range: TimeRange::new(start, end), step, by, targets }
    });
    proptest::collection::vec(ask, 1..10)
}

fn request(ask: &Ask) -> VolumeRequest {
    let text = SELECTORS[ask.selector].0;
    VolumeRequest {
        reader: Reader::of(tenant()),
        selector: if text == "{}" { Selector::all() } else { parse_selector(text).unwrap() },
        range: ask.range,
        step_ns: ask.step,
        by: ask.by,
        targets: ask.targets.clone(),
        max_series: 1000,
    }
}

/// The keys under which a stream counts.
fn keys(ask: &Ask, stream: u8) -> Vec<Vec<(String, String)>> {
    let labels = labels(stream);
    if ask.targets.iter().any(|target| labels.get(target).is_none()) {
        return Vec::new();
    }
    let named = SELECTORS[ask.selector].2;
    let kept = |name: &str| match (ask.targets.is_empty(), ask.by) {
        (false, _) => ask.targets.iter().any(|target| target == name),
        (true, VolumeBy::Series) => named.contains(&name),
        (true, _) => true,
    };
    let pairs = labels.iter().filter(|(name, _)| kept(name));
    let pairs: Vec<(String, String)> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    match ask.by {
        VolumeBy::Series | VolumeBy::Streams => vec![pairs],
        VolumeBy::Labels => pairs.into_iter().map(|(name, _)| vec![(name, String::new())]).collect(),
    }
}

fn naive(all: &[Row], ask: &Ask) -> Vec<Volume> {
    let (mut seen, mut volumes) = (HashSet::new(), BTreeMap::<_, Volume>::new());
    for row in all {
        let metadata: BTreeMap<_, _> = row.metadata.iter().cloned().collect();
        let is_new = seen.insert((row.stream, row.ts, row.line.clone(), metadata));
        if !is_new || !ask.range.contains(row.ts) || !SELECTORS[ask.selector].1(row.stream) {
            continue;
        }
        let (start, end) = (ask.range.start, ask.range.end);
        let until = ask.step.map_or(end, |step| end.min(start + ((row.ts - start) / step + 1) * step));
        let own: std::collections::BTreeMap<_, _> = row.metadata.iter().map(|(n, v)| (n, v)).collect();
        let own = own.into_iter().filter(|(name, _)| **name != "detected_level");
        let metadata: usize = own.map(|(name, value)| name.len() + value.len()).sum();
        let count = Count { entries: 1, bytes: (row.line.len() + metadata) as u64 };
        for labels in keys(ask, row.stream) {
            let empty = || Volume { labels: labels.clone(), total: Count::default(), buckets: Vec::new() };
            let volume = volumes.entry(labels.clone()).or_insert_with(empty);
            volume.total += count;
            match volume.buckets.iter_mut().find(|(end, _)| *end == until) {
                Some((_, known)) => *known += count,
                None => volume.buckets.push((until, count)),
            }
            volume.buckets.sort();
        }
    }
    let mut volumes: Vec<Volume> = volumes.into_values().collect();
    // Stable: equal ones stay by labels.
    volumes.sort_by_key(|volume| std::cmp::Reverse(volume.total.bytes));
    volumes
}

fn found(rig: &Rig, ask: &Ask) -> VolumeResult {
    let found = rig.query.volume(&slot(&rig.query), &request(ask)).unwrap();
    assert_eq!(found.warnings, [""; 0]);
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn volumes_are_those_of_a_plain_count(steps in steps(), asks in asks()) {
        let rig = Rig::new();
        let all = live(&rig, steps);
        for ask in &asks {
            let found = found(&rig, ask);
            prop_assert_eq!(&found.volumes, &naive(&all, ask), "{:?}", ask);
            prop_assert!(found.chunks > 0 || found.volumes.is_empty());
            let streams = naive(&all, &Ask { by: VolumeBy::Streams, targets: Vec::new(), ..ask.clone() });
            let VolumeRequest { reader, selector, range, .. } = request(ask);
            let stats = rig.query.stream_stats(&slot(&rig.query), &reader, &selector, range).unwrap();
            let mut total = Count::default();
            streams.iter().for_each(|volume| total += volume.total);
            prop_assert_eq!((stats.streams, stats.total), (streams.len() as u64, total), "{:?}", ask);
        }
    }
}

fn ask(range: TimeRange) -> Ask {
    Ask { selector: 0, range, step: None, by: VolumeBy::Streams, targets: Vec::new() }
}

fn spread() -> Rig {
    let rig = Rig::new();
    // Two streams of 400 bytes in blocks of 64.
    rig.push(&(0..80).map(|i| row(u8::from(i % 2 == 0), i, "ten bytes.")).collect::<Vec<_>>());
    rig.engine.flush_all().unwrap();
    rig
}

#[test]
fn a_whole_window_is_counted_without_a_look_at_blocks() {
    let rig = spread();
    let whole = found(&rig, &ask(TimeRange::new(0, 80)));
    let totals: Vec<u64> = whole.volumes.iter().map(|volume| volume.total.entries).collect();
    assert_eq!((totals, whole.stats.blocks), (vec![40, 40], 0));
    assert!(whole.chunks > 10, "{}", whole.chunks);
    let cut = found(&rig, &ask(TimeRange::new(1, 80)));
    assert_eq!(cut.volumes.iter().map(|volume| volume.total.entries).sum::<u64>(), 79);
    assert!((1..=2).contains(&cut.stats.blocks), "only what the edge cuts: {}", cut.stats.blocks);
    assert_eq!(cut.stats.bytes(), 0, "no line is looked at");
    let buckets = Ask { step: Some(20), ..ask(TimeRange::new(0, 80)) };
    let most = found(&rig, &buckets);
    assert!(most.stats.blocks < whole.chunks, "blocks of one stream in one bucket are not read");
    let none = found(&rig, &ask(TimeRange::new(100, 200)));
    assert_eq!((none.volumes.len(), none.chunks), (0, 0));
}

#[test]
fn too_many_label_sets_are_refused_and_those_outside_do_not_count() {
    let rig = spread();
    let limited =
        |range| rig.query.volume(&slot(&rig.query), &VolumeRequest { max_series: 1, ..request(&ask(range)) });
    let error = limited(TimeRange::new(0, 80)).unwrap_err();
    assert!(matches!(error, QueryError::TooManyVolumes(1)), "{error}");
    assert!(error.to_string().starts_with("the query hit the max number of series limit (limit: 1 series)"));
    assert_eq!(limited(TimeRange::new(7, 8)).unwrap().volumes.len(), 1);
}

#[test]
fn what_cannot_be_read_is_said() {
    let disk = SimDisk::new(7);
    let rig = Rig::on(&disk, Default::default());
    rig.push(&[row(1, 5, "five"), row(1, 9, "nine")]);
    rig.engine.flush_all().unwrap();
    let folder = "tenants/t/1970-01-01";
    let file = disk.open(&format!("{folder}/{}", disk.list(folder).unwrap()[0])).unwrap();
    let mut bytes = [0];
    file.read_at(&mut bytes, 3).unwrap();
    file.write_at(&[bytes[0] ^ 1], 3).unwrap();
    let whole = rig.query.volume(&slot(&rig.query), &request(&ask(TimeRange::new(0, 80)))).unwrap();
    assert_eq!((whole.volumes.len(), whole.warnings.len()), (1, 0), "the tables are sound");
    let cut = rig.query.volume(&slot(&rig.query), &request(&ask(TimeRange::new(6, 80)))).unwrap();
    assert_eq!((cut.volumes.len(), cut.warnings.len()), (0, 1), "{:?}", cut.warnings);
}

/// Single streams are looked up in a segment that has many, instead of going through its whole table.
#[test]
fn a_few_of_many_streams_are_looked_up() {
    let rig = Rig::new();
    let mut batch = BatchBuilder::new(tenant(), 0);
    for n in 0..700 {
        let labels = Labels::from_pairs(&[("n", format!("{n:03}"))]).unwrap();
        batch.begin_stream(Arc::new(labels));
        for ts in 0..3 {
            assert!(batch.push(ts, format!("line {ts} of {n}").as_bytes(), &mut Vec::new()));
        }
    }
    rig.engine.commit(&[EncodedBatch::new(batch.finish())]).unwrap();
    rig.engine.flush_all().unwrap();
    rig.engine.rebuild_labels().unwrap();
    for range in [TimeRange::new(0, 3), TimeRange::new(1, 2)] {
        let selector = parse_selector(r#"{n=~"004|5[13]0|69."}"#).unwrap();
        let few = rig.engine.select_few(&tenant(), range, &selector, 64);
        // Fewer would be looked up than there are chunks of 256 streams in the table, or not.
        assert_eq!(few.map(|few| few.len()), Some(13));
        for text in [r#"{n="004"}"#, r#"{n=~"004|699"}"#, r#"{n=~"004|5[13]0|69."}"#] {
            let selector = parse_selector(text).unwrap();
            let found =
                rig.query.stream_stats(&slot(&rig.query), &Reader::of(tenant()), &selector, range).unwrap();
            let streams = (0..700).filter(|n| selector.matches_pairs(&[("n", &format!("{n:03}"))]));
            let times = range.start..range.end;
            let lines =
                streams.clone().flat_map(|n| times.clone().map(move |ts| format!("line {ts} of {n}")));
            let wanted =
                Count { entries: lines.clone().count() as u64, bytes: lines.map(|l| l.len() as u64).sum() };
            assert_eq!((found.streams, found.total), (streams.count() as u64, wanted), "{text} {range:?}");
        }
    }
}
