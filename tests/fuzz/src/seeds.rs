//! Small inputs to start from, by target.

use crate::{PIPELINES, otlp_encoder};
use std::sync::Arc;
use strandline_simdisk::SimDisk;
use strandline_store::disk::Disk;
use strandline_store::fuzzing::{self, segment, text};

const QUERIES: &[&str] = &[
    r#"{app="web", ns=~"a|b", pod!~".+", x!=""} |= "x" or "y" |~ `z+` != ip("10.0.0.1") |> "<_>a" !> "b""#,
    r#"sum by (a, b) (rate({a="b"} |= "x" [5m] offset -1h)) / on(a) group_left(c) count_over_time({b="c"}[1d]) > bool 5"#,
    r#"topk(5, sum without (pod) (bytes_over_time({a="b"}[1h30m])))"#,
    r#"quantile_over_time(0.99, {a="b"} | json | unwrap duration(x) | __error__="" [5m]) by (a)"#,
    r#"label_replace(vector(1), "a", "$1", "b", "(.*)") or absent_over_time({a="b"}[5m])"#,
    r#"-1 + 2 * 3 ^ 2 % 4 and on () vector(0) unless ignoring(a) vector(1e9)"#,
    r#"{a="b"} | logfmt | x >= 1.5KB, y < 10s or (z == 0x10 and w != ip("::1"))"#,
    r#"approx_topk(3, sum(rate({a="b"}[1m])))"#,
    r#"sort_desc(sum by (a) (first_over_time({a="b"} | json | unwrap bytes(x) [1m])))"#,
];

const TEMPLATES: &[&str] = &[
    "{{.app}} {{ .level | ToUpper | trunc 3 }}",
    "{{ if eq .level \"info\" }}a{{ else if .pod }}b{{ else }}c{{ end }}",
    "{{ range $i, $x := fromJson .user }}{{ $i }}={{ $x }},{{ end }}",
    "{{ with $x := __line__ }}{{ regexReplaceAllLiteral \"(a+)\" $x \"b\" }}{{ end }}",
    "{{ printf \"%-10s|%5d|%q|%x|%.2f\" .app 5 .pod .user 1.5 }}",
    "{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00\" }} {{ now | unixEpoch }}",
    "{{ add 1 2 | mul 3 | sub 1 }} {{ div 7 2 }} {{ mod 7 2 }} {{ addf 1.5 2 | round 1 }} {{ min 1 2 }}",
    "{{ repeat 3 \"ab\" }} {{ substr 1 3 .app }} {{ replace \"a\" \"b\" .pod }} {{ indent 2 .app }}",
    "{{ define \"t\" }}x{{ . }}{{ end }}{{ template \"t\" .app }}{{/* nothing */}}",
    "{{ b64enc .app | b64dec }} {{ sha256sum .app }} {{ urlencode \"a b\" | urldecode }} {{ unixToTime \"1700000000\" }}",
    "{{- bytes \"1.5KB\" -}} {{ duration_seconds \"1h5s\" }} {{ default \"x\" .none }} {{ count \"a\" __line__ }}",
    "{{ index (fromJson `{\"a\":[1,2]}`) \"a\" }} {{ len .app }} {{ slice .app 1 2 }} {{ and 1 0 | not }} {{ html \"<\" }}",
    "{{ alignLeft 5 .app }}{{ alignRight 5 .app }}{{ trimPrefix \"w\" .app }}{{ hasPrefix \"w\" .app }}{{ title .app }}",
];

const LINES: &[&str] = &[
    r#"{"a":"x","b":{"a":1,"c":[1,2,{"d":null}]},"user":"ana","ts":1.5e3,"x y":true,"_entry":"a=1 b=2"}"#,
    r#"a=1 b="x y" c= level=warn user=ana a.b=2 dur=1.5s size=10KB d="\u0061\n""#,
    "10.0.0.1 - - [10/Oct/2000:13:55:36] \"GET /a HTTP/1.0\" 200",
    "\u{1b}[31merror\u{1b}[0m {\"a\":\"1h3m\"}",
    r#"{"a":"5MB","a.b":"2m","b":"3.7","app":"in"}"#,
    "a=1h b=3 ERR b=::5",
];

const PUSHES: &[&str] = &[
    r#"{"streams":[{"stream":{"app":"p","n":5},"values":[["1700000000000000000","hello",{"k.d":"v","m":{"n":1}}],["5","x"]]}]}"#,
    r#"{"streams":[{"labels":"{app=\"x\", b=\"\\n\"}","entries":[{"ts":"2023-11-14T22:13:20.5+01:00","line":"li\u00e9\ud83d\ude00ne"}]}]}"#,
    r#"{"streams":[{"values":[["1","a"],["2","b",[1,2]]],"stream":{"a":"b","service_name":"s"}},null],"x":[1,{"y":"z"}]}"#,
];

const EXPORTS: &[&str] = &[
    r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}},{"key":"a.b","value":{"kvlistValue":{"values":[{"key":"c","value":{"doubleValue":1.5}}]}}}]},"scopeLogs":[{"scope":{"name":"l","version":"1"},"logRecords":[{"timeUnixNano":"1700000000000000000","severityNumber":"SEVERITY_NUMBER_WARN2","body":{"arrayValue":{"values":[{"intValue":"1"},{"boolValue":true}]}},"traceId":"0102030405060708090a0b0c0d0e0f10"}]}]}]}"#,
    r#"{"resource_logs":[{"scope_logs":[{"log_records":[{"observed_time_unix_nano":5,"body":{"bytesValue":"AP8="},"attributes":[{"value":{"stringValue":"\ud83d\ude00"},"key":"x"}],"flags":1}],"scope":null}],"resource":{}}]}"#,
];

/// The same as protobuf.
fn exports() -> Vec<Vec<u8>> {
    EXPORTS.iter().map(|text| otlp_encoder::export(&serde_json::from_str(text).unwrap())).collect()
}

/// All seeds of a target; none for names that are no target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let behind =
        |choice: u8, seeds: Vec<Vec<u8>>| seeds.into_iter().map(move |seed| [vec![choice], seed].concat());
    match target {
        "query" => [texts(QUERIES), texts(PIPELINES)].concat(),
        "stages" => (0..PIPELINES.len())
            .flat_map(|i| {
                let head = [i as u8, i as u8, i as u8 % 2];
                LINES.iter().map(move |line| [&head[..], b"ana\xff", line.as_bytes()].concat())
            })
            .collect(),
        "template" => (TEMPLATES.iter().zip(LINES.iter().cycle()))
            .map(|(template, line)| [template.as_bytes(), b"\xff", line.as_bytes(), b"\xff[1,2]"].concat())
            .collect(),
        "push_json" => behind(b' ', texts(PUSHES)).collect(),
        "otlp" => behind(1, texts(EXPORTS)).chain(behind(0, exports())).collect(),
        "push_protobuf" => behind(9, vec![protobuf()])
            .chain([[&[0][..], &snap::raw::Encoder::new().compress_vec(&protobuf()).unwrap()].concat()])
            .collect(),
        "wal" => behind(2, fuzzing::wal_seeds())
            .chain(behind(0x81, fuzzing::wal_seeds()))
            .chain(fuzzing::wal_seeds().iter().map(|seed| [&[0][..], &fuzzing::frames(seed)].concat()))
            .collect(),
        "manifest" => behind(1, fuzzing::manifest_seeds())
            .chain(fuzzing::manifest_seeds().iter().map(|seed| [&[0][..], &fuzzing::frames(seed)].concat()))
            .collect(),
        "document" => behind(1, fuzzing::document_seeds()).chain(behind(0, fuzzing::document_seeds())).collect(),
        "segment" => {
            let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
            behind(1, segment::seeds(&disk)).collect()
        }
        "text" => {
            let parts =
                [true, false].map(|common| text::take_apart(&text::sample(common).unwrap().terms).unwrap());
            behind(1, parts.to_vec()).collect()
        }
        "labels" => [
            texts(&[
                r#"{app="web", b="a\n\u00e9\x41\"", c=`raw`}"#,
                r#""quoted \\ \t""#,
                "a\n1\nb\n2",
                "2024-02-29",
                "fake",
            ]),
            vec![vec![1, b'a', 2, b'x', b'y', 1, b'b', 0]],
        ]
        .concat(),
        _ => Vec::new(),
    }
}

/// A push of one stream with two entries, the second with metadata.
fn protobuf() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let time = [&[0x08][..], &[0x80, 0xe2, 0xcf, 0xaa, 0x06], &[0x10, 5]].concat();
    let pair = [field(1, b"user"), field(2, b"u1")].concat();
    let plain = [field(1, &time), field(2, b"a line")].concat();
    let rich = [field(1, &time), field(2, b"level=warn"), field(3, &pair)].concat();
    let stream = [field(1, br#"{app="p", b="c"}"#), field(2, &plain), field(2, &rich)].concat();
    field(1, &stream)
}

/// Writes the seeds of a target into its corpus: done as the target starts, before the corpus is read.
pub fn plant(target: &str) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let seeds = of(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    std::fs::create_dir_all(&folder).unwrap();
    for (i, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i:03}")), seed).unwrap();
    }
}
