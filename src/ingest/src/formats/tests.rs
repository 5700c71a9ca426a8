//! Does a push arrive as it was sent, and is everything else refused with the status that clients expect?

use super::encoder::{
    self, Entry, Pushed, Stream, deflate, field, gzip, int_field, json, lz4, protobuf, snappy, zlib, zstd,
};
use super::error::Fault::{self, NoStreams, TooLarge, Undecodable};
use super::*;
use crate::intake::Accepted;
use crate::label_cache::LabelCache;
use proptest::prelude::*;
use strandline_model::{Limits, TenantId};

const PROTOBUF: Option<&str> = Some("application/x-protobuf");
const JSON: Option<&str> = Some("application/json");

fn decode_with(
    limits: &UnpackLimits,
    content_type: Option<&str>,
    encoding: Option<&str>,
    body: &[u8],
) -> Result<Accepted, DecodeError> {
    let cache = LabelCache::default();
    let mut intake = Intake::new(TenantId::default_tenant(), &Limits::default(), 0, &cache);
    decode_push(content_type, encoding, body, limits, &mut intake)?;
    Ok(intake.finish()?)
}

fn decode(content_type: Option<&str>, encoding: Option<&str>, body: &[u8]) -> Result<Accepted, DecodeError> {
    decode_with(&UnpackLimits::default(), content_type, encoding, body)
}

/// Status and message of a refused push.
fn refusal(content_type: Option<&str>, encoding: Option<&str>, body: &[u8]) -> (Fault, String) {
    let error = decode(content_type, encoding, body).unwrap_err();
    assert!(!error.message().contains('\n'));
    (error.fault(), error.message())
}

/// Entries as `labels | ts | line | metadata`, sorted by stream.
fn shown(accepted: &Accepted) -> Vec<String> {
    let batch = &accepted.batch;
    let mut out = Vec::new();
    for stream in &batch.streams {
        for entry in batch.stream_entries(stream) {
            let metadata: Vec<String> = batch
                .metadata(entry)
                .iter()
                .filter(|(n, _)| *n != "detected_level")
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            let line = String::from_utf8_lossy(batch.line(entry)).into_owned();
            out.push(format!("{}|{}|{line}|{}", stream.labels, entry.ts, metadata.join(",")));
        }
    }
    out
}

fn json_push(text: &str) -> Vec<String> {
    shown(&decode(JSON, None, text.as_bytes()).unwrap())
}

fn hello() -> Vec<u8> {
    let entry = Entry { ts: 5, line: b"hello".to_vec(), metadata: vec![("k.d".into(), "v".into())] };
    protobuf(&[Stream { labels: "{app=\"p\"}".into(), entries: vec![entry] }])
}

const HELLO: &str = "{app=\"p\", service_name=\"p\"}|5|hello|k_d=v";
const HELLO_JSON: &str = r#"{"streams":[{"stream":{"app":"p"},"values":[["5","hello",{"k.d":"v"}]]}]}"#;

#[test]
fn every_packing_that_loki_takes() {
    let message = snappy(&hello());
    let gzipped = gzip(&message);
    let twice: Vec<u8> = [gzip(&message[..4]), gzip(&message[4..])].concat();
    for (encoding, body) in [
        (None, &message),
        (Some(""), &message),
        (Some("snappy"), &message),
        (Some("identity"), &message),
        (Some("gzip"), &gzipped),
        (Some("GZIP"), &gzipped),
        (Some("gzip"), &twice),
        (Some("deflate"), &deflate(&message)),
        (Some("deflate"), &zlib(&message)),
        (Some("zstd"), &zstd(&message)),
        (Some("lz4"), &lz4(&message)),
    ] {
        for content_type in
            ["application/x-protobuf", "text/plain", "application/x-snappy; q=1", "x", "", " ; x=y"]
        {
            let accepted = decode(Some(content_type), encoding, body).unwrap();
            assert_eq!(shown(&accepted), [HELLO], "{encoding:?} {content_type}");
        }
        assert_eq!(shown(&decode(None, encoding, body).unwrap()), [HELLO], "{encoding:?}");
    }
    for (encoding, body) in [
        (None, HELLO_JSON.as_bytes().to_vec()),
        (Some("snappy"), HELLO_JSON.as_bytes().to_vec()),
        (Some("gzip"), gzip(HELLO_JSON.as_bytes())),
        (Some("deflate"), deflate(HELLO_JSON.as_bytes())),
        (Some("zstd"), zstd(HELLO_JSON.as_bytes())),
    ] {
        // Under a type that somebody's library chose.
        for content_type in [None, Some("application/x-www-form-urlencoded"), Some("text/plain")] {
            assert_eq!(shown(&decode(content_type, encoding, &body).unwrap()), [HELLO]);
        }
        for content_type in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(shown(&decode(Some(content_type), encoding, &body).unwrap()), [HELLO]);
        }
    }
}

#[test]
fn headers_and_bodies_that_are_refused() {
    let corrupt = (Undecodable, "snappy: corrupt input".to_owned());
    let no_stream = (NoStreams, "error at least one valid stream is required for ingestion".to_owned());
    let message = snappy(&hello());
    let media_type = (Undecodable, "mime: unexpected content after media subtype".to_owned());
    assert_eq!(refusal(Some("a/b/c; ="), None, &message), media_type);
    assert_eq!(
        refusal(PROTOBUF, Some("br"), &message),
        (Undecodable, "Content-Encoding \"br\" not supported".to_owned())
    );
    assert_eq!(refusal(PROTOBUF, None, b""), corrupt);
    assert_eq!(refusal(PROTOBUF, None, &hello()), corrupt);
    assert_eq!(refusal(PROTOBUF, None, &message[..message.len() - 1]), corrupt);
    assert_eq!(refusal(PROTOBUF, None, &snappy(b"")), no_stream);
    assert_eq!(
        refusal(PROTOBUF, None, &snappy(b"\x08garbage inside")),
        (Undecodable, "proto: wrong wireType = 0 for field Streams".to_owned())
    );
    assert_eq!(refusal(JSON, None, b"null"), no_stream);
    assert_eq!(refusal(JSON, None, b"{}"), no_stream);
    assert_eq!(refusal(JSON, None, br#"{"streams":null}"#), no_stream);
    assert_eq!(refusal(JSON, None, br#"{"streams":[null]}"#), no_stream);
    assert_eq!(
        refusal(JSON, None, b"hello"),
        (Undecodable, "invalid JSON at byte 0: expected an object".to_owned())
    );
    assert_eq!(refusal(JSON, None, &gzip(HELLO_JSON.as_bytes())).0, Undecodable);
    for encoding in ["gzip", "deflate"] {
        let packed = if encoding == "gzip" { gzip(&message) } else { deflate(&message) };
        for cut in 0..packed.len() {
            let (status, text) = refusal(PROTOBUF, Some(encoding), &packed[..cut]);
            assert_eq!(status, Undecodable, "{encoding} cut at {cut}: {text}");
        }
        assert_eq!(refusal(PROTOBUF, Some(encoding), &[0xff; 40]).0, Undecodable);
    }
    let zlibbed = zlib(&message);
    assert_eq!(
        refusal(PROTOBUF, Some("deflate"), &zlibbed[..zlibbed.len() - 5]),
        (Undecodable, "flate: unexpected EOF".to_owned())
    );
}

#[test]
fn bombs_end_at_the_limit() {
    let zeros = vec![0u8; 8 << 20];
    let small = UnpackLimits { max_decompressed: 1 << 20, max_ratio: 400 };
    let ratio = UnpackLimits { max_decompressed: 64 << 20, max_ratio: 400 };
    for limits in [&small, &ratio] {
        for (encoding, body) in
            [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros)), ("deflate", zlib(&zeros))]
        {
            let error = decode_with(limits, JSON, Some(encoding), &body).unwrap_err();
            assert_eq!(error.fault(), TooLarge, "{error}");
            let bomb = matches!(error, DecodeError::Bomb(400));
            assert_eq!(bomb, limits == &ratio, "{error}");
            assert_eq!(bomb, !error.to_string().contains("server.max_decompressed_bytes"), "{error}");
        }
    }
    assert_eq!(decode_with(&small, PROTOBUF, None, &snappy(&zeros)).unwrap_err().fault(), TooLarge);
    assert_eq!(decode_with(&small, JSON, None, &zeros).unwrap_err().fault(), TooLarge);
    // A few bytes that claim four gigabytes must not be believed, whatever the limits.
    let generous = UnpackLimits { max_decompressed: usize::MAX, max_ratio: usize::MAX };
    for claim in [&[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..], &[0x80, 0x80, 0x80, 0x20, 1, 2, 3]] {
        let error = decode_with(&generous, PROTOBUF, None, claim).unwrap_err();
        assert_eq!((error.fault(), error.to_string().as_str()), (Undecodable, "snappy: corrupt input"));
    }
    // What just fits, fits.
    let exact = UnpackLimits { max_decompressed: HELLO_JSON.len(), max_ratio: 400 };
    for (encoding, body) in
        [("gzip", gzip(HELLO_JSON.as_bytes())), ("deflate", deflate(HELLO_JSON.as_bytes()))]
    {
        assert_eq!(shown(&decode_with(&exact, JSON, Some(encoding), &body).unwrap()), [HELLO]);
        let tight = UnpackLimits { max_decompressed: HELLO_JSON.len() - 1, max_ratio: 400 };
        assert_eq!(decode_with(&tight, JSON, Some(encoding), &body).unwrap_err().fault(), TooLarge);
    }
}

#[test]
fn labels_that_do_not_parse_refuse_the_push() {
    for labels in ["{a=~\"1\"}", "{a!=\"1\"}", "{a=1}", "{a.b=\"1\"}", "{1a=\"1\"}", "{a=\"1\"", "x{"] {
        let fine = Stream { labels: "{app=\"other\"}".into(), entries: vec![Entry::default()] };
        let bad = Stream { labels: labels.into(), entries: vec![Entry::default()] };
        let (status, text) = refusal(PROTOBUF, None, &snappy(&protobuf(&[fine, bad])));
        assert_eq!(status, Undecodable);
        assert!(text.starts_with("couldn't parse labels: 1:"), "{text}");
    }
    let mut stream = Vec::new();
    field(&mut stream, 1, b"{app=\"a\xffb\"}");
    let mut push = Vec::new();
    field(&mut push, 1, &stream);
    assert_eq!(
        refusal(PROTOBUF, None, &snappy(&push)),
        (Undecodable, "couldn't parse labels: 1:8: parse error: invalid UTF-8 rune".to_owned())
    );
    let (status, text) = refusal(JSON, None, br#"{"streams":[{"stream":{"a b":"1"},"values":[["1","x"]]}]}"#);
    assert_eq!((status, text.as_str()), (Undecodable, "couldn't parse labels: invalid label name \"a b\""));
}

#[test]
fn protobuf_in_unusual_order_and_with_strange_fields() {
    let mut time = Vec::new();
    int_field(&mut time, 1, 1);
    int_field(&mut time, 2, u64::MAX);
    int_field(&mut time, 9, 1);
    let mut entry = Vec::new();
    field(&mut entry, 2, b"a\xffb");
    field(&mut entry, 4, b"parsed, ignored");
    field(&mut entry, 1, &time);
    entry.extend([0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut stream = Vec::new();
    field(&mut stream, 2, &entry);
    field(&mut stream, 1, b"{a=\"old\"}");
    field(&mut stream, 1, b"{a=\"new\"}");
    let mut push = Vec::new();
    field(&mut push, 1, &stream);
    field(&mut push, 100, b"unknown");
    let accepted = decode(PROTOBUF, None, &snappy(&push)).unwrap();
    assert_eq!(shown(&accepted), ["{a=\"new\", service_name=\"unknown_service\"}|999999999|a\u{fffd}b|"]);
    assert_eq!(accepted.batch.line(&accepted.batch.entries[0]), b"a\xffb");
}

#[test]
fn times_at_the_ends_and_beyond() {
    let entry = |seconds: Option<i64>, nanos: u64| {
        let mut entry = Vec::new();
        if let Some(seconds) = seconds {
            let mut time = Vec::new();
            int_field(&mut time, 1, seconds as u64);
            int_field(&mut time, 2, nanos);
            field(&mut entry, 1, &time);
        }
        entry
    };
    let mut stream = Vec::new();
    field(&mut stream, 2, &entry(Some(9_223_372_036), 854_775_807));
    field(&mut stream, 2, &entry(Some(-9_223_372_037), 145_224_192));
    field(&mut stream, 2, &entry(Some(0), 0));
    field(&mut stream, 2, &entry(Some(0), 1));
    field(&mut stream, 2, &entry(Some(9_223_372_036), 854_775_808));
    field(&mut stream, 2, &entry(Some(i64::MAX), 0));
    field(&mut stream, 2, &entry(None, 0));
    let mut push = Vec::new();
    field(&mut push, 1, &stream);
    let accepted = decode(PROTOBUF, None, &snappy(&push)).unwrap();
    let times: Vec<i64> = accepted.batch.entries.iter().map(|e| e.ts).collect();
    assert_eq!(times, [i64::MAX, 1]);
    assert_eq!(accepted.rejected.total(), 5);
    let no_time = "entry for stream '{service_name=\"unknown_service\"}' has no usable timestamp";
    let told: Vec<&str> = accepted.rejected.messages().iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            &*format!("{no_time}: 1677-09-21T00:12:43Z is no time of a log"),
            &*format!("{no_time}: 1970-01-01T00:00:00Z is no time of a log"),
            no_time,
        ]
    );
}

#[test]
fn json_is_lenient_where_nothing_can_be_misunderstood() {
    let x = "{app=\"x\", service_name=\"x\"}";
    let labels = r#"{"app":"first","n":5,"f":1.50,"t":true,"z":null,"e":"","app":"x"}"#;
    assert_eq!(
        json_push(&format!(r#"{{"streams":[{{"stream":{labels},"values":[["1","a"]]}}]}}"#)),
        ["{app=\"x\", f=\"1.50\", n=\"5\", service_name=\"x\", t=\"true\", z=\"null\"}|1|a|"]
    );
    let values =
        |values: &str| json_push(&format!(r#"{{"streams":[{{"stream":{{"app":"x"}},"values":{values}}}]}}"#));
    let table = [
        (
            r#"[["1","a",{"k":5,"b":true,"n":null,"o":{"i":{"j":"deep"},"k":-1.5e3},"l":["q",1]}]]"#,
            "1|a|b=true,k=5,l=[\"q\",1],o_i_j=deep,o_k=-1.5e3",
        ),
        (r#"[["1","a",{"k":"v"},"more",5,{"x":[]}]]"#, "1|a|k=v"),
        (r#"[["1","a",null]]"#, "1|a|"),
        (r#"[["1","a","k=v"]]"#, "1|a|"),
        (r#"[["1","a",["k","v"]]]"#, "1|a|"),
        (r#"[["1","a",5]]"#, "1|a|"),
        (r#"[null,["5","a"],null]"#, "5|a|"),
        (r#"[["9223372036854775807","\u00e9\n\ud83d\ude80"]]"#, "9223372036854775807|é\n🚀|"),
    ];
    for (text, wanted) in table {
        assert_eq!(values(text), [format!("{x}|{wanted}")], "{text}");
    }
    assert!(values("[]").is_empty());
    assert!(values("null").is_empty());
    assert_eq!(
        json_push(r#"{"streams":[{"values":[["1","a"]]}]}"#),
        ["{service_name=\"unknown_service\"}|1|a|"]
    );
    assert_eq!(
        json_push(r#"{"streams":[{"values":[["1","a"]],"other":{},"stream":{"app":"x"}},null]}"#),
        [format!("{x}|1|a|")]
    );
}

#[test]
fn json_is_strict_about_times_and_lines() {
    for value in [
        r#"[1,"x"]"#,
        r#"["1.5","x"]"#,
        r#"["","x"]"#,
        r#"["now","x"]"#,
        r#"["2026-11-21T00:00:00Z","x"]"#,
        r#"["99999999999999999999","x"]"#,
        r#"[null,"x"]"#,
        r#"["1",null]"#,
        r#"["1",5]"#,
        r#"["1"]"#,
        "[]",
        "5",
        r#"{"ts":"1","line":"x"}"#,
        r#"["1","x""#,
        r#"["1","x",{"k":}]"#,
        r#"["1","x",{"k":"v"]"#,
    ] {
        let text = format!(r#"{{"streams":[{{"stream":{{"app":"x"}},"values":[{value}]}}]}}"#);
        assert_eq!(refusal(JSON, None, text.as_bytes()).0, Undecodable, "{value}");
    }
    for text in [
        r#"{"streams":[{"stream":"{a=\"b\"}","values":[["1","x"]]}]}"#,
        r#"{"streams":[{"stream":{"app":{"a":"b"}},"values":[["1","x"]]}]}"#,
        r#"{"streams":[{"stream":{"app":"x"},"values":[["1","x"]]}]}{"streams":[]}"#,
        r#"{"streams":{}}"#,
        r#"{"streams":[5]}"#,
        r#"[]"#,
        r#"{"streams":[{"stream":{"app":"x"}}"#,
    ] {
        assert_eq!(refusal(JSON, None, text.as_bytes()).0, Undecodable, "{text}");
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let text = format!(r#"{{"streams":[{{"stream":{{}},"values":[["1","x",{deep}]]}}]}}"#);
    assert_eq!(refusal(JSON, None, text.as_bytes()).0, Undecodable);
    let labels: Vec<String> = (0..5000).map(|i| format!("\"l{i}\":\"\"")).collect();
    let text = format!(r#"{{"streams":[{{"stream":{{{}}}}}]}}"#, labels.join(","));
    assert_eq!(refusal(JSON, None, text.as_bytes()).0, Undecodable);
}

#[test]
fn json_of_the_older_form() {
    let text = r#"{"streams":[{"labels":"{app=\"old\",x=\"y\"}","entries":[
        {"ts":"2026-11-21T00:00:00.5Z","line":"one","other":[1]},
        {"line":"two","ts":"2026-11-21T01:00:00+01:00"},
        {"timestamp":"2026-11-21T00:00:00Z","line":"lost"},
        {"ts":"9999-01-01T00:00:00Z","line":"lost"}]}]}"#;
    let accepted = decode(JSON, None, text.as_bytes()).unwrap();
    let labels = "{app=\"old\", service_name=\"old\", x=\"y\"}";
    assert_eq!(
        shown(&accepted),
        [format!("{labels}|1795219200500000000|one|"), format!("{labels}|1795219200000000000|two|")]
    );
    assert_eq!(accepted.rejected.total(), 2);
    let bad = r#"{"streams":[{"labels":"{app=\"old\"}","entries":[{"ts":"bad","line":"one"}]}]}"#;
    assert_eq!(refusal(JSON, None, bad.as_bytes()).0, Undecodable);
    let bad = r#"{"streams":[{"labels":"{app=old}","entries":[]}]}"#;
    assert!(refusal(JSON, None, bad.as_bytes()).1.starts_with("couldn't parse labels"));
}

#[test]
fn bytes_that_json_cannot_hold_are_replaced_and_counted() {
    let text = b"{\"streams\":[{\"stream\":{\"app\":\"x\"},\"values\":[[\"1\",\"a\xffb\"],[\"2\",\"\\ud800\"],[\"3\",\"fine\"]]}]}";
    let accepted = decode(JSON, None, text).unwrap();
    assert_eq!(accepted.replaced_lines, 2);
    assert_eq!(accepted.batch.line(&accepted.batch.entries[0]), "a\u{fffd}b".as_bytes());
}

fn pushes() -> impl Strategy<Value = Vec<Pushed>> {
    let entry =
        (1..=i64::MAX, any::<String>(), proptest::collection::vec(("[a-z]{1,4}", "[^\u{0}]{1,6}"), 0..3))
            .prop_map(|(ts, line, metadata)| Entry { ts, line: line.into_bytes(), metadata });
    let labels = proptest::collection::btree_map("[a-z]{1,3}", "[^\u{0}]{0,8}", 0..3);
    let stream = (labels, proptest::collection::vec(entry, 0..6));
    proptest::collection::btree_map("[a-z]{4}", stream, 1..5).prop_map(|streams| {
        let with_name =
            |(name, (labels, entries)): (String, (std::collections::BTreeMap<String, String>, _))| {
                let mut labels: Vec<_> = labels.into_iter().collect();
                labels.push(("service_name".to_owned(), name));
                (labels, entries)
            };
        streams.into_iter().map(with_name).collect()
    })
}

/// What [`shown`] should give.
fn wanted(pushed: &[Pushed]) -> Vec<String> {
    let mut out = Vec::new();
    for (labels, entries) in pushed {
        let labels = strandline_model::Labels::from_pairs(labels).unwrap();
        for entry in entries {
            let metadata: std::collections::BTreeMap<_, _> = entry.metadata.iter().cloned().collect();
            let metadata: Vec<String> = metadata.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let line = String::from_utf8_lossy(&entry.line);
            out.push(format!("{labels}|{}|{line}|{}", entry.ts, metadata.join(",")));
        }
    }
    out
}

proptest! {
    #[test]
    fn pushes_arrive_as_they_were_sent(pushed in pushes()) {
        let text = json(&pushed);
        prop_assert_eq!(shown(&decode(JSON, None, text.as_bytes()).unwrap()), wanted(&pushed));
        let streams: Vec<Stream> = pushed.iter().map(|(labels, entries)| Stream {
            labels: strandline_model::Labels::from_pairs(labels).unwrap().to_string(),
            entries: entries.clone(),
        }).collect();
        let body = snappy(&encoder::protobuf(&streams));
        prop_assert_eq!(shown(&decode(PROTOBUF, None, &body).unwrap()), wanted(&pushed));
    }

    #[test]
    fn damaged_pushes_never_panic(pushed in pushes(), at in any::<prop::sample::Index>(), b in any::<u8>(), cut in any::<bool>()) {
        let streams: Vec<Stream> = pushed.iter().map(|(_, entries)| Stream {
            labels: "{a=\"b\"}".to_owned(),
            entries: entries.clone(),
        }).collect();
        for (format, mut body) in [(JSON, json(&pushed).into_bytes()), (PROTOBUF, encoder::protobuf(&streams))] {
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = b };
            let body = if format == JSON { body } else { snappy(&body) };
            if let Err(e) = decode(format, None, &body) {
                prop_assert!(matches!(e.fault(), Undecodable | NoStreams), "{}", e);
            }
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (format, encoding) in [(PROTOBUF, None), (JSON, None), (JSON, Some("gzip")), (PROTOBUF, Some("deflate"))] {
            let _ = decode(format, encoding, &bytes);
        }
        let _ = decode(PROTOBUF, None, &snappy(&bytes));
        let _ = decode(PROTOBUF, Some("deflate"), &deflate(&bytes));
    }
}
