//! What the fuzz targets share: how an input is cut into parts, and the labels of a sample stream.

pub mod disk;
#[path = "../../../src/ingest/src/formats/otlp/encoder.rs"]
mod otlp_encoder;
pub mod push;
pub mod seeds;

/// Labels of a stream.
pub const SAMPLE: &str = r#"{app="web", level="info", pod="web-1"}"#;

/// Ends a part of an input. It stands in no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// The parts of an input, one after the other; empty ones behind the last.
pub struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Cuts `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// The next part.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|b| *b == SEPARATOR).unwrap_or(self.0.len());
        let (part, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        part
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Pipelines that the target `stages` runs: every stage, alone and behind others.
pub const PIPELINES: &[&str] = &[
    r#"{a="b"} | json"#,
    r#"{a="b"} | json a="a", b="b.a", c="a[1]", d="b[\"x y\"]""#,
    r#"{a="b"} | logfmt"#,
    r#"{a="b"} | logfmt --strict"#,
    r#"{a="b"} | logfmt --keep-empty"#,
    r#"{a="b"} | logfmt --strict --keep-empty a="a", z="b""#,
    r#"{a="b"} | regexp "(?P<a>[a-z]+)=(?P<b>.)""#,
    r#"{a="b"} | regexp "^(?P<a>\\S+) (?P<b>.*)$" | a="x" or b=~"y.*""#,
    r#"{a="b"} | pattern "<a>=<b> <_>""#,
    r#"{a="b"} | pattern "<_>[<a>] \"<b>\" <c>""#,
    r#"{a="b"} | unpack"#,
    r#"{a="b"} | unpack | logfmt"#,
    r#"{a="b"} | decolorize"#,
    r#"{a="b"} | decolorize | json"#,
    r#"{a="b"} | json | logfmt"#,
    r#"{a="b"} | logfmt | json | a="1""#,
    r#"{a="b"} | json | a="1" | drop b"#,
    r#"{a="b"} | json | keep a, b="x""#,
    r#"{a="b"} | json | drop a=~"1.*", __error__ | b!="""#,
    r#"{a="b"} | logfmt | a==1 or b>2.5"#,
    r#"{a="b"} | logfmt | a>1s, b<=5m"#,
    r#"{a="b"} | logfmt | a>=1KB and b<2MiB"#,
    r#"{a="b"} | json | a=ip("10.0.0.0/8") or b!=ip("::1-::f")"#,
    r#"{a="b"} | json | a=~"(?i)x|y" | b!~".+""#,
    r#"{a="b"} | logfmt | label_format c=a, d="{{.b}}-{{.a}}" | a="" | c!="""#,
    r#"{a="b"} | json | line_format "{{.a}} {{__line__}}" | logfmt | b="x""#,
    r#"{a="b"} | json | line_format "{{.a}}" | json"#,
    r#"{a="b"} | line_format "{{ .app | ToUpper }} {{ regexReplaceAll \"a(.)\" __line__ \"$1\" }}" |= "A""#,
    r#"{a="b"} |= "x" or "y" != "z" | json | a="x""#,
    r#"{a="b"} |~ "(?i)err(or)?" |> "<_>=<_>" | logfmt | b=`x y`"#,
    r#"{a="b"} !~ "[0-9]{3}" !> "a<_>b" | regexp "(?P<a>\\d+)""#,
    r#"{a="b"} |= ip("10.0.0.0/8") | logfmt"#,
    r#"{a="b"} | json | user="ana" | app="in""#,
    r#"{a="b"} | logfmt | user=~"a.*" or level="warn" | keep user, a"#,
    r#"{a="b"} | unpack | a="x" | label_format z=a | z="x""#,
    r#"{a="b"} | json | __error__="" | a!="1" | line_format "{{.b}}""#,
    r#"{a="b"} | logfmt | __error__!="LogfmtParserErr" | label_format a="{{ __line__ | trunc 3 }}""#,
    r#"{a="b"} | json | label_format a=b, b="{{.a}}" | drop a | pattern "<c>:<d>""#,
    r#"sum_over_time({a="b"} | json | unwrap a [5m])"#,
    r#"sum_over_time({a="b"} | logfmt | unwrap duration(a) | __error__="" [5m])"#,
    r#"max_over_time({a="b"} | logfmt | b!="" | unwrap bytes(a) | a>5 [5m])"#,
    r#"avg_over_time({a="b"} | json a="a.b" | unwrap duration_seconds(a) [5m])"#,
];
