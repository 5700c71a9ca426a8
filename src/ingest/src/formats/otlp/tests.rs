//! Does an export become what Loki makes of it, from either encoding, and is everything else refused within bounds?

use super::parts::{MAX_DEPTH, MAX_PARTS};
use super::*;
use crate::formats::encoder::{gzip, lz4, snappy, zlib, zstd};
use crate::formats::error::Fault::{NoStreams, TooLarge, Undecodable};
use crate::intake::Accepted;
use crate::label_cache::LabelCache;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use strandline_model::otlp::{AttributeAction, AttributeRule, NamePattern, OtlpRules};
use strandline_model::{Limits, TenantId};

const NOW: i64 = 1_000_000;

fn decode_within(
    limits: &Limits,
    body_limits: &UnpackLimits,
    format: OtlpFormat,
    encoding: Option<&str>,
    body: &[u8],
) -> Result<Accepted, DecodeError> {
    let cache = LabelCache::default();
    let mut intake = Intake::new(TenantId::default_tenant(), limits, NOW, &cache);
    decode_otlp(format, encoding, body, body_limits, &mut intake)?;
    Ok(intake.finish()?)
}

fn decode(format: OtlpFormat, encoding: Option<&str>, body: &[u8]) -> Result<Accepted, DecodeError> {
    decode_within(&Limits::default(), &UnpackLimits::default(), format, encoding, body)
}

/// Entries as `labels|ts|line|metadata`.
fn shown(accepted: &Accepted) -> Vec<String> {
    let batch = &accepted.batch;
    let mut out = Vec::new();
    for stream in &batch.streams {
        for entry in batch.stream_entries(stream) {
            let pairs = batch.metadata(entry).iter().filter(|(n, _)| *n != "detected_level");
            let pairs: Vec<String> = pairs.map(|(n, v)| format!("{n}={v}")).collect();
            let line = String::from_utf8_lossy(batch.line(entry)).into_owned();
            out.push(format!("{}|{}|{line}|{}", stream.labels, entry.ts, pairs.join(",")));
        }
    }
    out
}

/// What both encodings of `export` become, which must be the same.
fn both(limits: &Limits, export: &Value) -> Vec<String> {
    let body = UnpackLimits::default();
    let text = export.to_string();
    let json = decode_within(limits, &body, OtlpFormat::Json, None, text.as_bytes()).unwrap();
    let message = encoder::export(export);
    let protobuf = decode_within(limits, &body, OtlpFormat::Protobuf, None, &message).unwrap();
    assert_eq!(shown(&json), shown(&protobuf), "{text}");
    assert_eq!(json.rejected, protobuf.rejected, "{text}");
    shown(&json)
}

/// One record of service `s`.
fn one(record: Value) -> Value {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]})
}

fn text(value: &str) -> Value {
    json!({"stringValue": value})
}

fn pair(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

#[test]
fn a_whole_export_as_loki_maps_it() {
    let record = json!({
        "timeUnixNano": "10", "observedTimeUnixNano": "12", "body": text("ready"), "severityNumber": 9,
        "severityText": "INFO", "flags": 1, "droppedAttributesCount": 2, "eventName": "start",
        "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
        "attributes": [pair("http.method", text("GET")), pair("code", json!({"intValue": "200"}))]
    });
    let export = json!({"resourceLogs": [{
        "scopeLogs": [{"logRecords": [record], "scope": {
            "name": "my.scope", "version": "1.2", "attributes": [pair("scope.attr", text("s"))],
            "droppedAttributesCount": 1
        }}],
        "resource": {"droppedAttributesCount": 3, "attributes": [
            pair("service.name", text("cart")), pair("deployment.environment", text("prod")),
            pair("host.name", text("h1")), pair("process.pid", json!({"intValue": 42}))
        ]}
    }]});
    let labels = "{deployment_environment=\"prod\", service_name=\"cart\"}";
    let metadata = "code=200,dropped_attributes_count=2,event_name=start,flags=1,host_name=h1,http_method=GET,\
                    observed_timestamp=12,process_pid=42,resource_dropped_attributes_count=3,scope_attr=s,\
                    scope_dropped_attributes_count=1,scope_name=my.scope,scope_version=1.2,severity_number=9,\
                    severity_text=INFO,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10";
    assert_eq!(both(&Limits::default(), &export), [format!("{labels}|10|ready|{metadata}")]);
}

#[test]
fn attributes_bodies_and_times() {
    let attributes = |attributes: &[Value]| json!({"timeUnixNano": "1", "attributes": attributes});
    let map = |pairs: &[Value]| json!({"kvlistValue": {"values": pairs}});
    let list = |values: &[Value]| json!({"arrayValue": {"values": values}});
    let nested = map(&[pair("a", text("b")), pair("n", map(&[pair("c", json!({"intValue": 1}))]))]);
    for (record, wanted) in [
        (attributes(&[pair("d", json!({"doubleValue": 2.0})), pair("e", text(""))]), "1||d=2"),
        (
            attributes(&[pair("t", json!({"boolValue": true})), pair("n", json!({"intValue": -3}))]),
            "1||n=-3,t=true",
        ),
        (
            attributes(&[pair("l", list(&[text("x"), json!({"doubleValue": 1.5}), nested.clone()]))]),
            "1||l=[\"x\",1.5,{\"a\":\"b\",\"n\":{\"c\":1}}]",
        ),
        (attributes(&[pair("m.x", nested.clone())]), "1||m_x_a=b,m_x_n_c=1"),
        (attributes(&[pair("b", json!({"bytesValue": "AP8="}))]), "1||b=AP8="),
        (
            attributes(&[pair("1i", text("5")), pair("__l__", text("8")), pair("üö x", text("9"))]),
            "1||__l__=8,_x=9,key_1i=5",
        ),
        (attributes(&[pair("a.b", text("1")), pair("a_b", text("2"))]), "1||a_b=2"),
        (attributes(&[pair("a", json!({}))]), "1||"),
        (json!({"timeUnixNano": "1", "body": nested.clone()}), "1|{\"a\":\"b\",\"n\":{\"c\":1}}|"),
        (json!({"timeUnixNano": "1", "body": list(&[text("a"), json!({"intValue": "1"})])}), "1|[\"a\",1]|"),
        (json!({"timeUnixNano": "1", "body": {"doubleValue": 1.5}}), "1|1.5|"),
        (json!({"timeUnixNano": "1", "body": {}}), "1||"),
        (json!({"observedTimeUnixNano": "7", "body": text("x")}), "7|x|"),
        (json!({"body": text("x")}), "1000000|x|"),
        (json!({"timeUnixNano": "1", "traceId": "00000000000000000000000000000000", "spanId": ""}), "1||"),
    ] {
        let wanted = format!("{{service_name=\"s\"}}|{wanted}");
        assert_eq!(both(&Limits::default(), &one(record.clone())), [wanted], "{record}");
    }
}

#[test]
fn later_pairs_of_an_equal_name_win_and_scopes_and_resources_do_not_mix() {
    let record =
        |line: &str| json!({"timeUnixNano": "1", "body": text(line), "attributes": [pair("x", text("log"))]});
    let scope = |name: &str, attributes: &[Value], line: &str| json!({"scope": {"name": name, "attributes": attributes}, "logRecords": [record(line)]});
    let resource = |attributes: &[Value], scopes: &[Value]| json!({"resource": {"attributes": attributes}, "scopeLogs": scopes});
    let export = json!({"resourceLogs": [
        resource(&[pair("x", text("res"))], &[
            scope("", &[pair("x", text("scope"))], "a"),
            scope("two", &[], "b"),
            json!({"logRecords": [record("c")]}),
        ]),
        resource(&[pair("k8s.container.name", text("kc")), pair("k8s.pod.name", text("kp"))], &[scope("", &[], "d")]),
        json!({"scopeLogs": [{"logRecords": [record("e")]}]}),
    ]});
    let unknown = "{service_name=\"unknown_service\"}";
    assert_eq!(
        both(&Limits::default(), &export),
        [
            format!("{unknown}|1|a|x=scope"),
            format!("{unknown}|1|b|scope_name=two,x=res"),
            format!("{unknown}|1|c|x=res"),
            format!("{unknown}|1|e|x=log"),
            "{k8s_container_name=\"kc\", k8s_pod_name=\"kp\", service_name=\"kc\"}|1|d|x=log".to_owned(),
        ]
    );
}

#[test]
fn rules_move_attributes() {
    let rule = |action, names: &[&str], pattern: Option<&str>| AttributeRule {
        action,
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        pattern: pattern.map(|p| NamePattern::new(p).unwrap()),
    };
    let rules = OtlpRules {
        ignore_defaults: true,
        resource: vec![
            rule(AttributeAction::Drop, &["host.name"], None),
            rule(AttributeAction::IndexLabel, &["team.info"], None),
        ],
        scope: vec![rule(AttributeAction::Drop, &[], Some("s.*"))],
        log: vec![
            rule(AttributeAction::IndexLabel, &["kind"], None),
            rule(AttributeAction::Drop, &["pw"], None),
        ],
        severity_text_as_label: true,
    };
    let limits = Limits { otlp: Arc::new(rules), ..Limits::default() };
    let record = |kind: &str, severity: &str| {
        json!({"timeUnixNano": "1", "severityText": severity,
            "attributes": [pair("kind", text(kind)), pair("pw", text("secret"))]})
    };
    let team = json!({"kvlistValue": {"values": [pair("name", text("t"))]}});
    let export = json!({"resourceLogs": [{
        "resource": {"attributes": [pair("service.name", text("s")), pair("host.name", text("h")), pair("team.info", team)]},
        "scopeLogs": [{"scope": {"attributes": [pair("sx", text("1")), pair("y", text("2"))]},
            "logRecords": [record("a", "WARN"), record("a", "WARN"), record("", ""), record("b", "")]}]
    }]});
    let rest = "service_name=\"unknown_service\", ";
    let metadata = "1||service_name=s,y=2";
    assert_eq!(
        both(&limits, &export),
        [
            format!("{{kind=\"a\", {rest}severity_text=\"WARN\", team_info_name=\"t\"}}|{metadata}"),
            format!("{{kind=\"a\", {rest}severity_text=\"WARN\", team_info_name=\"t\"}}|{metadata}"),
            format!("{{{rest}team_info_name=\"t\"}}|{metadata}"),
            format!("{{kind=\"b\", {rest}team_info_name=\"t\"}}|{metadata}"),
        ]
    );
}

#[test]
fn json_is_lenient_where_nothing_can_be_misunderstood() {
    let read = |text: &str| shown(&decode(OtlpFormat::Json, None, text.as_bytes()).unwrap());
    let snake = r#"{"resource_logs":[{"resource":{"attributes":[{"key":"service.name","value":{"string_value":"s"}}]},
        "scope_logs":[{"log_records":[{"time_unix_nano":1e3,"observed_time_unix_nano":"2","severity_number":"SEVERITY_NUMBER_WARN2",
        "severity_text":null,"trace_id":"ABCDEF","other":[{}],"body":{"int_value":5,"unknown":1},
        "attributes":[{"key":"a","value":"bare"},{"key":"b","value":7},{"key":"c","value":null},
            {"key":"d","value":{"doubleValue":"NaN"}},{"key":"e","value":{"intValue":"huge"}},
            {"key":"f","value":{"boolValue":"true"}}]}],
        "scope":null}]}],"more":1}"#;
    assert_eq!(
        read(snake),
        [
            "{service_name=\"s\"}|1000|5|a=bare,b=7,d=NaN,e=huge,f=true,observed_timestamp=2,severity_number=14,trace_id=abcdef"
        ]
    );
    for (name, number) in [("TRACE", 1), ("DEBUG4", 8), ("FATAL", 21), ("NOTHING", 0)] {
        let record = json!({"timeUnixNano": 1, "severityNumber": format!("SEVERITY_NUMBER_{name}")});
        let wanted = if number == 0 { String::new() } else { format!("severity_number={number}") };
        assert_eq!(read(&one(record).to_string()), [format!("{{service_name=\"s\"}}|1||{wanted}")]);
    }
    let replaced =
        b"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"a\xffb\"}}]}]}]}";
    assert_eq!(decode(OtlpFormat::Json, None, replaced).unwrap().replaced_lines, 1);
}

#[test]
fn every_packing_and_every_cut_of_it() {
    let export = one(json!({"timeUnixNano": "1", "body": text(&"hello ".repeat(50))}));
    let message = encoder::export(&export);
    let wanted = shown(&decode(OtlpFormat::Protobuf, None, &message).unwrap());
    let packings: [(&str, Vec<u8>); 5] = [
        ("gzip", gzip(&message)),
        ("deflate", zlib(&message)),
        ("zlib", zlib(&message)),
        ("zstd", zstd(&message)),
        ("lz4", lz4(&message)),
    ];
    for (encoding, packed) in packings {
        assert_eq!(
            shown(&decode(OtlpFormat::Protobuf, Some(encoding), &packed).unwrap()),
            wanted,
            "{encoding}"
        );
        for cut in 1..packed.len() {
            let unpacked =
                Encoding::of(Some(encoding)).unwrap().unpack(&packed[..cut], &UnpackLimits::default(), None);
            assert!(unpacked.is_err(), "{encoding} cut at {cut} of {}", packed.len());
        }
        assert!(decode(OtlpFormat::Protobuf, Some(encoding), &[0xff; 40]).is_err(), "{encoding}");
    }
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut framed, &message).unwrap();
    for (encoding, packed) in [
        ("snappy", snappy(&message)),
        ("snappy", framed.into_inner().unwrap()),
        ("x-snappy-framed", snappy(&message)),
    ] {
        let accepted = decode(OtlpFormat::Protobuf, Some(encoding), &packed).unwrap();
        assert_eq!(shown(&accepted), wanted, "{encoding}");
    }
    for (encoding, pack) in [("zstd", zstd as fn(&[u8]) -> Vec<u8>), ("lz4", lz4)] {
        let error = decode(OtlpFormat::Json, Some(encoding), &pack(&vec![b' '; 80 << 20])).unwrap_err();
        assert_eq!(error.fault(), TooLarge, "{encoding}: {error}");
    }
}

#[test]
fn what_is_refused_and_how() {
    let refused = |format, body: &[u8]| {
        let error = decode(format, None, body).unwrap_err();
        (error.fault(), error.message())
    };
    for format in [OtlpFormat::Protobuf, OtlpFormat::Json] {
        let empty: &[u8] = if format == OtlpFormat::Json { b"{\"resourceLogs\":[]}" } else { b"" };
        assert_eq!(refused(format, empty).0, NoStreams);
        assert_eq!(refused(format, b"{nope").0, Undecodable);
    }
    assert_eq!(refused(OtlpFormat::Protobuf, b"{}").0, Undecodable);
    for record in [
        json!({"timeUnixNano": "soon"}),
        json!({"timeUnixNano": -1}),
        json!({"attributes": {}}),
        json!({"body": []}),
        json!(5),
    ] {
        assert_eq!(
            refused(OtlpFormat::Json, one(record.clone()).to_string().as_bytes()).0,
            Undecodable,
            "{record}"
        );
    }
    let twice = br#"{"resourceLogs":[{"scopeLogs":[],"scope_logs":[]}]}"#;
    assert!(refused(OtlpFormat::Json, twice).1.contains("twice"));
    assert_eq!(OtlpFormat::of(Some("application/json; charset=utf-8")).unwrap(), OtlpFormat::Json);
    for content_type in [None, Some(""), Some("text/plain")] {
        assert_eq!(OtlpFormat::of(content_type).unwrap_err().fault(), Undecodable);
    }
    // A label without a name refuses all, as in Loki; metadata without one costs the record.
    let nameless = |key: &str, rules: OtlpRules| {
        let limits = Limits { otlp: Arc::new(rules), ..Limits::default() };
        let export = json!({"resourceLogs": [{"resource": {"attributes": [pair(key, text("x"))]},
            "scopeLogs": [{"logRecords": [{}]}]}]});
        let body = encoder::export(&export);
        decode_within(&limits, &UnpackLimits::default(), OtlpFormat::Protobuf, None, &body)
    };
    let all = vec![AttributeRule {
        action: AttributeAction::IndexLabel,
        names: Vec::new(),
        pattern: Some(NamePattern::new(".*").unwrap()),
    }];
    let labels = OtlpRules { resource: all, ..OtlpRules::default() };
    assert_eq!(nameless("ü", labels).unwrap_err().fault(), Undecodable);
    assert_eq!(nameless("ü", OtlpRules::default()).unwrap().rejected.total(), 1);
}

#[test]
fn times_beyond_64_bits_cost_their_record_alone() {
    let records = json!([{"timeUnixNano": u64::MAX.to_string()}, {"timeUnixNano": i64::MAX.to_string()}]);
    let export = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]});
    let accepted = decode(OtlpFormat::Json, None, export.to_string().as_bytes()).unwrap();
    assert_eq!((accepted.batch.entries.len(), accepted.rejected.total()), (1, 1));
    assert_eq!(both(&Limits::default(), &export).len(), 1);
}

#[test]
fn small_bodies_do_not_become_large() {
    // A resource of 60 KB on each of 20,000 records would be over a gigabyte.
    let resource = json!({"attributes": [pair("big", text(&"x".repeat(60_000)))]});
    let records: Vec<Value> = (0..20_000).map(|n| json!({"timeUnixNano": n + 1})).collect();
    let export = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]});
    let body = encoder::export(&export);
    assert!(body.len() < 1 << 20);
    let error = decode(OtlpFormat::Protobuf, None, &body).unwrap_err();
    assert_eq!(error.fault(), TooLarge, "{error}");
    // Too deep, or too many parts.
    let deep = |levels: usize| {
        let mut value = text("x");
        for _ in 0..levels {
            value = json!({"arrayValue": {"values": [value]}});
        }
        one(json!({"timeUnixNano": 1, "body": value}))
    };
    assert_eq!(both(&Limits::default(), &deep(MAX_DEPTH)).len(), 1);
    let wide = json!({"arrayValue": {"values": vec![json!({}); MAX_PARTS]}});
    for export in [deep(MAX_DEPTH + 1), one(json!({"body": wide}))] {
        let text = export.to_string();
        let message = encoder::export(&export);
        for (format, body) in [(OtlpFormat::Json, text.as_bytes()), (OtlpFormat::Protobuf, &message)] {
            assert_eq!(decode(format, None, body).unwrap_err().fault(), Undecodable, "{format:?}");
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        "[^\u{0}]{0,6}".prop_map(|t| text(&t)),
        any::<bool>().prop_map(|b| json!({"boolValue": b})),
        any::<i64>().prop_map(|n| json!({"intValue": n.to_string()})),
        any::<f64>().prop_filter("JSON", |d| d.is_finite()).prop_map(|d| json!({"doubleValue": d})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|v| json!({"arrayValue": {"values": v}})),
            attributes(inner).prop_map(|v| json!({"kvlistValue": {"values": v}})),
        ]
    })
}

fn attributes(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(("[a-c.]{0,3}x", values).prop_map(|(k, v)| pair(&k, v)), 0..4)
}

fn export() -> impl Strategy<Value = Value> {
    let record = (any::<u32>(), value(), attributes(value()), 0..30, "[0-9a-f]{16}").prop_map(
        |(time, body, attributes, severity, span)| {
            json!({"timeUnixNano": time.to_string(), "body": body, "attributes": attributes,
                "severityNumber": severity, "spanId": span})
        },
    );
    let records = proptest::collection::vec(record, 0..4);
    let scope = (attributes(value()), records).prop_map(
        |(attributes, records)| json!({"logRecords": records, "scope": {"attributes": attributes}}),
    );
    let resource = (attributes(value()), proptest::collection::vec(scope, 0..3)).prop_map(
        |(attributes, scopes)| json!({"scopeLogs": scopes, "resource": {"attributes": attributes}}),
    );
    proptest::collection::vec(resource, 1..3).prop_map(|logs| json!({"resourceLogs": logs}))
}

proptest! {
    #[test]
    fn both_encodings_mean_the_same(export in export()) {
        both(&Limits::default(), &export);
    }

    #[test]
    fn damaged_exports_never_panic(export in export(), at in any::<prop::sample::Index>(), b in any::<u8>(), cut in any::<bool>()) {
        let text = export.to_string().into_bytes();
        for (format, mut body) in [(OtlpFormat::Json, text), (OtlpFormat::Protobuf, encoder::export(&export))] {
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = b };
            if let Err(e) = decode(format, None, &body) {
                prop_assert!(matches!(e.fault(), Undecodable | TooLarge | NoStreams), "{}", e);
            }
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [None, Some("gzip"), Some("deflate"), Some("zstd"), Some("lz4")] {
            let _ = decode(OtlpFormat::Protobuf, encoding, &bytes);
            let _ = decode(OtlpFormat::Json, encoding, &bytes);
        }
    }
}
