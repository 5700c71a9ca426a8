//! Does a push come out as the batch that the rules promise?

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use strandline_model::Batch;

const NOW: i64 = 1_795_219_723_000_000_000;

fn with_intake(limits: &Limits, feed: impl FnOnce(&mut Intake<'_>)) -> Accepted {
    let cache = LabelCache::default();
    let mut intake = Intake::new(TenantId::default_tenant(), limits, NOW, &cache);
    feed(&mut intake);
    intake.finish().unwrap()
}

/// The batch as `labels -> [(ts, line, metadata)]`.
type Content = BTreeMap<String, Vec<(i64, String, String)>>;

fn content(batch: &Batch) -> Content {
    let mut out = Content::new();
    for stream in &batch.streams {
        let entries = batch.stream_entries(stream).iter().map(|e| {
            let metadata: Vec<String> = batch.metadata(e).iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert!(batch.metadata(e).is_valid());
            (e.ts, String::from_utf8_lossy(batch.line(e)).into_owned(), metadata.join(","))
        });
        assert_eq!(stream.id, stream.labels.stream_id());
        assert!(
            out.insert(stream.labels.to_string(), entries.collect()).is_none(),
            "each stream stands once"
        );
    }
    out
}

fn entries(batch: &Batch) -> Vec<(i64, String, String)> {
    content(batch).into_values().flatten().collect()
}

#[test]
fn an_entry_is_enriched() {
    let accepted = with_intake(&Limits::default(), |intake| {
        intake.begin_stream(r#"{app="p"}"#).unwrap();
        intake.metadata("trace.id", "t1");
        intake.metadata("empty", "");
        intake.entry(4, b"an error").unwrap();
        intake.entry(5, b"plain").unwrap();
        intake.metadata("detected_level", "Warning");
        intake.metadata_bytes(b"k", b"a\xffb");
        intake.entry(6, b"an error").unwrap();
    });
    assert!(accepted.rejected.is_empty());
    assert_eq!(
        content(&accepted.batch),
        Content::from([(
            r#"{app="p", service_name="p"}"#.to_owned(),
            vec![
                (4, "an error".to_owned(), "detected_level=error,trace_id=t1".to_owned()),
                (5, "plain".to_owned(), "detected_level=unknown".to_owned()),
                (6, "an error".to_owned(), "detected_level=warn,k=a b".to_owned()),
            ]
        )])
    );
}

#[test]
fn pairs_and_text_name_the_same_stream_and_the_last_of_equal_names_wins() {
    let accepted = with_intake(&Limits::default(), |intake| {
        intake.begin_stream("").unwrap();
        intake.entry(1, b"a").unwrap();
        intake.begin_stream(r#"{app="x", b="", level="ERR"}"#).unwrap();
        intake.entry(2, b"b").unwrap();
        intake.begin_stream(r#"{no="entries"}"#).unwrap();
        intake.begin_stream_pairs(&[("level", "ERR"), ("app", "y"), ("app", "x")]).unwrap();
        intake.entry(3, b"c").unwrap();
        intake.begin_stream_pairs::<&str, &str>(&[]).unwrap();
        intake.entry(4, b"d").unwrap();
    });
    let wanted = [
        (r#"{app="x", level="ERR", service_name="x"}"#, vec![(2, "b", "error"), (3, "c", "error")]),
        (r#"{service_name="unknown_service"}"#, vec![(1, "a", "unknown"), (4, "d", "unknown")]),
    ];
    let wanted = wanted.map(|(labels, entries)| {
        let entries = entries
            .into_iter()
            .map(|(ts, line, level)| (ts, line.to_owned(), format!("detected_level={level}")));
        (labels.to_owned(), entries.collect())
    });
    assert_eq!(content(&accepted.batch), Content::from(wanted));
}

#[test]
fn labels_that_do_not_parse_refuse_the_push() {
    let cache = LabelCache::default();
    let mut intake = Intake::new(TenantId::default_tenant(), &Limits::default(), NOW, &cache);
    assert_eq!(intake.entry(1, b"x"), Err(IntakeError::NoStream));
    for bad in ["{a", "{a.b=\"1\"}", "{a=~\"1\"}", "x{", "{é=\"1\"}"] {
        let error = intake.begin_stream(bad).unwrap_err();
        assert!(error.to_string().starts_with("couldn't parse labels: 1:"), "{error}");
    }
    let error = intake.begin_stream_pairs(&[("a b", "1")]).unwrap_err();
    assert_eq!(error.to_string(), "couldn't parse labels: invalid label name \"a b\"");
    assert_eq!(intake.streams(), 6);
}

/// Feeds one good entry and one that breaks `limits`; returns the refusal.
fn refusal(
    limits: &Limits,
    labels: &str,
    ts: i64,
    line: &str,
    metadata: &[(&str, &str)],
) -> (Reason, String) {
    let accepted = with_intake(limits, |intake| {
        intake.begin_stream("{ok=\"1\"}").unwrap();
        intake.entry(NOW, b"fine").unwrap();
        intake.begin_stream(labels).unwrap();
        for (name, value) in metadata {
            intake.metadata(name, value);
        }
        intake.entry(ts, line.as_bytes()).unwrap();
        intake.begin_stream("{ok=\"1\"}").unwrap();
        intake.entry(NOW, b"fine").unwrap();
    });
    assert_eq!(entries(&accepted.batch).len(), 2, "the good entries stay");
    let counts: Vec<_> = accepted.rejected.counts().collect();
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 1);
    (counts[0].0, accepted.rejected.text())
}

#[test]
fn every_limit_refuses_its_entry_with_lokis_words_and_our_setting() {
    let all = Limits::default;
    let none: &[(&str, &str)] = &[];
    const STREAM: &str = r#"{a="1", service_name="unknown_service"}"#;
    #[rustfmt::skip]
    let table = [
        (Limits { max_label_names: 2, ..all() }, "{a=\"1\",b=\"2\",c=\"3\"}", NOW, "x", none, Reason::MaxLabelNames,
         "entry for stream '{a=\"1\", b=\"2\", c=\"3\", service_name=\"unknown_service\"}' has 3 label names; limit 2 \
          (limits.max_label_names)"),
        (Limits { max_label_name_bytes: 6, ..all() }, "{abcdefg=\"1\"}", NOW, "x", none, Reason::LabelNameTooLong,
         "stream '{abcdefg=\"1\", service_name=\"unknown_service\"}' has label name too long: 'abcdefg' \
          (limits.max_label_name_bytes is 6)"),
        (Limits { max_label_value_bytes: 15, ..all() }, "{a=\"1234567890123456\"}", NOW, "x", none,
         Reason::LabelValueTooLong,
         "stream '{a=\"1234567890123456\", service_name=\"unknown_service\"}' has label value too long: \
          '1234567890123456' (limits.max_label_value_bytes is 15)"),
        (all(), "{a=\"1\",a=\"2\"}", NOW, "x", none, Reason::DuplicateLabelName,
         "stream '{a=\"1\",a=\"2\"}' has duplicate label name: 'a'"),
        (Limits { reject_older_than_ns: 1_000_000_000, ..all() }, "{a=\"1\"}", NOW - 1_000_000_001, "x", none,
         Reason::TooOld,
         "entry for stream 'STREAM' has timestamp too old: 2026-11-21T00:08:41Z, oldest acceptable timestamp is: \
          2026-11-21T00:08:42Z (limits.reject_older_than)"),
        (Limits { reject_newer_than_ns: 1_000_000_000, ..all() }, "{a=\"1\"}", NOW + 1_000_000_001, "x", none,
         Reason::TooNew,
         "entry for stream 'STREAM' has timestamp too new: 2026-11-21T00:08:44Z (limits.reject_newer_than)"),
        (Limits { max_line_bytes: 4, ..all() }, "{a=\"1\"}", NOW, "12345", none, Reason::LineTooLong,
         "max entry size '4' bytes exceeded for stream 'STREAM' while adding an entry with length '5' bytes \
          (limits.max_line_bytes)"),
        (Limits { max_metadata_bytes: 3, ..all() }, "{a=\"1\"}", NOW, "x", &[("ab", "12")], Reason::MetadataTooLarge,
         "stream 'STREAM' has structured metadata too large: '4' bytes, limit: '3' bytes \
          (limits.max_metadata_bytes; Loki: limits_config.max_structured_metadata_size)"),
        (Limits { max_metadata_pairs: 1, ..all() }, "{a=\"1\"}", NOW, "x", &[("a", "1"), ("b", "2")],
         Reason::MetadataTooMany,
         "stream 'STREAM' has too many structured metadata labels: '2', limit: '1' \
          (limits.max_metadata_pairs; Loki: limits_config.max_structured_metadata_entries_count)"),
        (all(), "{a=\"1\"}", NOW, "x", &[("ü", "1")], Reason::MetadataName,
         "stream 'STREAM' has an entry with structured metadata of no usable name: 'ü'"),
    ];
    for (limits, labels, ts, line, metadata, reason, message) in table {
        assert_eq!(refusal(&limits, labels, ts, line, metadata), (reason, message.replace("STREAM", STREAM)));
    }
}

#[test]
fn what_just_fits_is_taken() {
    let limits = Limits {
        max_label_names: 1,
        max_label_name_bytes: 1,
        max_label_value_bytes: 15,
        max_line_bytes: 2,
        max_metadata_bytes: 4,
        max_metadata_pairs: 2,
        reject_older_than_ns: 5,
        reject_newer_than_ns: 5,
        ..Limits::default()
    };
    let accepted = with_intake(&limits, |intake| {
        intake.begin_stream("{a=\"1\"}").unwrap();
        for ts in [NOW - 5, NOW + 5] {
            intake.metadata("a", "1");
            intake.metadata("b", "2");
            intake.metadata("empty", "");
            intake.entry(ts, b"12").unwrap();
        }
    });
    assert_eq!(accepted.rejected.text(), "");
    assert_eq!(accepted.batch.entries.len(), 2);
}

#[test]
fn any_time_of_a_log_is_taken_unless_a_limit_is_set() {
    let accepted = with_intake(&Limits::default(), |intake| {
        intake.begin_stream("{}").unwrap();
        for ts in [i64::MIN, -1, 0, 1, i64::MAX] {
            intake.entry(ts, b"").unwrap();
        }
        intake.entry_without_time().unwrap();
    });
    let times: Vec<i64> = accepted.batch.entries.iter().map(|e| e.ts).collect();
    assert_eq!(times, [1, i64::MAX], "a clock that was never set tells no time");
    assert_eq!(accepted.rejected.counts().collect::<Vec<_>>(), [(Reason::NoTimestamp, 4)]);
}

#[test]
fn limits_of_a_push_refuse_it_whole() {
    let limits = Limits { max_streams_per_push: 2, max_lines_per_push: 3, ..Limits::default() };
    with_intake(&limits, |intake| {
        intake.begin_stream("{}").unwrap();
        intake.begin_stream("{}").unwrap();
        assert_eq!(intake.begin_stream("{}"), Err(IntakeError::TooManyStreams(2)));
        for _ in 0..3 {
            intake.entry(0, b"").unwrap();
        }
        assert_eq!(intake.entry(0, b""), Err(IntakeError::TooManyLines(3)));
    });
}

#[test]
fn a_refused_stream_without_entries_stays_unmentioned_and_huge_labels_cost_nothing() {
    let huge = format!("{{a=\"{}\"}}", "x".repeat(2 << 20));
    let accepted = with_intake(&Limits::default(), |intake| {
        intake.begin_stream("{a=\"1\",a=\"2\"}").unwrap();
        intake.begin_stream(&huge).unwrap();
        for _ in 0..10_000 {
            intake.entry(0, b"x").unwrap();
        }
        intake.begin_stream_pairs(&[("a", &huge)]).unwrap();
        intake.entry(0, b"x").unwrap();
    });
    assert!(accepted.batch.entries.is_empty());
    assert_eq!(accepted.rejected.counts().collect::<Vec<_>>(), [(Reason::MaxLabelNames, 10_001)]);
    assert!(accepted.rejected.text().len() < 5000);
}

proptest! {
    #[test]
    fn streams_in_any_order_are_gathered(order in proptest::collection::vec((0u8..6, 0usize..4), 0..40)) {
        let mut wanted = Content::new();
        let mut ts = 0;
        let accepted = with_intake(&Limits::default(), |intake| {
            for (stream, entries) in &order {
                intake.begin_stream(&format!("{{service_name=\"{stream}\"}}")).unwrap();
                for _ in 0..*entries {
                    ts += 1;
                    intake.metadata("n", &ts.to_string());
                    intake.entry(ts, ts.to_string().as_bytes()).unwrap();
                    let entry = (ts, ts.to_string(), format!("detected_level=unknown,n={ts}"));
                    wanted.entry(format!("{{service_name=\"{stream}\"}}")).or_default().push(entry);
                }
            }
        });
        prop_assert_eq!(content(&accepted.batch), wanted);
        // Entries of all streams, stream after stream, without holes.
        let mut next = 0;
        for stream in &accepted.batch.streams {
            prop_assert_eq!(stream.entries.start, next);
            next = stream.entries.end;
        }
        prop_assert_eq!(next as usize, accepted.batch.entries.len());
    }
}

#[test]
fn streams_above_the_bound_of_the_process_wait_and_the_others_are_taken() {
    let (cache, active) = (LabelCache::default(), ActiveStreams::new(2));
    let push = |streams: &[&str]| {
        let tenant = TenantId::default_tenant();
        let mut intake = Intake::new(tenant, &Limits::default(), NOW, &cache).counted_by(&active);
        for stream in streams {
            intake.begin_stream(stream).unwrap();
            intake.entry(NOW, b"x").unwrap();
            intake.entry(NOW, b"y").unwrap();
        }
        let accepted = intake.finish().unwrap();
        (accepted.batch.streams.len(), accepted.over_limit, accepted.over_limit_lines)
    };
    let (taken, over, lines) = push(&["{a=\"1\"}", "{a=\"2\"}", "{a=\"3\"}", "{a=\"1\"}"]);
    assert_eq!((taken, over.len(), lines), (2, 1, 2));
    assert!(
        over[0].starts_with("maximum active stream limit exceeded when trying to create stream {a=\"3\"")
    );
    assert!(over[0].contains("server.max_active_streams"), "{}", over[0]);
    assert_eq!(push(&["{a=\"2\"}"]).0, 1);
}

#[test]
fn a_push_takes_memory_before_it_grows_and_keeps_what_its_batch_holds() {
    let cache = LabelCache::default();
    let clock: Arc<dyn strandline_model::Clock> = Arc::new(strandline_model::ManualClock::at(0));
    let budget = strandline_model::MemoryBudget::new(4 << 20, &[]);
    let tenant = TenantId::default_tenant();
    let take_in = |lines: usize| {
        let lease = budget.lease(strandline_model::MemoryClass::Decode, &tenant);
        let memory = PushMemory::new(lease, Arc::clone(&clock), 0);
        let mut intake = Intake::new(tenant.clone(), &Limits::default(), NOW, &cache).with_memory(memory);
        for n in 0..lines {
            // Streams as many as lines: what they cost beside their bytes counts too.
            intake.begin_stream(&format!("{{n=\"{n}\"}}"))?;
            intake.entry(NOW, b"x")?;
        }
        intake.finish()
    };
    let accepted = take_in(2000).unwrap();
    let held = accepted.memory.as_ref().unwrap().bytes();
    assert!(held >= accepted.batch.memory_bytes() && held < 1 << 20, "{held}");
    assert!(matches!(take_in(200_000), Err(IntakeError::NoMemory(_))));
    drop(accepted);
    assert!(budget.usage().iter().all(|usage| usage.used == 0));
}
