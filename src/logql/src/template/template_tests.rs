//! Do templates make what Loki makes?

use super::{Source, Template};
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Entry {
    labels: BTreeMap<&'static str, &'static str>,
    line: Vec<u8>,
}

impl Source for Entry {
    fn get(&self, name: &str) -> Option<&str> {
        self.labels.get(name).copied()
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &str)) {
        self.labels
            .iter()
            .filter(|(name, _)| **name != "__error__")
            .for_each(|(name, value)| each(name, value));
    }

    fn line(&self) -> &[u8] {
        &self.line
    }

    fn timestamp_ns(&self) -> i64 {
        1_768_514_443_923_004_038
    }

    fn now_ns(&self) -> i64 {
        1_768_518_043_000_000_000
    }
}

fn entry() -> Entry {
    let labels = [
        ("app", "fmt"),
        ("word", "alpha"),
        ("name", "Ana de la Cruz"),
        ("num", "402"),
        ("flt", "2.927"),
        ("neg", "-6"),
        ("json", r#"{"a":4}"#),
        ("list", "a,b,c"),
        ("size", "3MiB"),
        ("dur", "1h2m"),
        ("url", "x%3D1%26y%3D2"),
        ("ts", "1768514644"),
        ("empty", ""),
        ("path", "/srv/a.log"),
        ("deep", r#"{"x":{"y":[1,{"z":"end"}]},"n":null,"t":true,"s":"q"}"#),
        ("__error__", "E"),
    ];
    Entry { labels: labels.into_iter().collect(), line: "l\u{ed}ne one".into() }
}

fn render(template: &str) -> Result<String, String> {
    let mut out = b">".to_vec();
    Template::parse(template)?.render(&entry(), &mut out)?;
    Ok(String::from_utf8_lossy(&out[1..]).into_owned())
}

fn check(cases: &[(&str, &str)]) {
    for (template, wanted) in cases {
        assert_eq!(render(template).as_deref(), Ok(*wanted), "{template}");
    }
}

fn check_failures(cases: &[&str]) {
    for template in cases {
        let parsed = Template::parse(template).unwrap_or_else(|e| panic!("{template}: {e}"));
        let failure = parsed.render(&entry(), &mut Vec::new());
        assert!(failure.as_ref().is_err_and(|e| !e.is_empty()), "{template}: {failure:?}");
    }
}

#[test]
#[rustfmt::skip]
fn text_fields_and_trimming() {
    check(&[
        ("plain", "plain"), ("{{.word}} x {{.num}}", "alpha x 402"), ("[{{.nosuch}}]", "[]"), ("{{.__error__}}", "E"), ("{{$.word}}", "alpha"),
        ("a {{- .word -}} b", "aalphab"), ("a {{- /* no */ -}} b", "ab"), ("a {{/* no */}} b", "a  b"), ("a\n{{- 3 }}\t", "a3\t"), ("{{3 -}} \n x", "3x"),
        ("{{-3}}", "-3"), ("[{{__line__}}]", "[l\u{ed}ne one]"), ("{{ 0x10 }} {{ 'a' }} {{ 1.5 }} {{ 1e3 }} {{ 010 }} {{ true }}", "16 97 1.5 1000 8 true"),
        (r#"{{ "a\tb\x41\u00e9" }}"#, "a\tbA\u{e9}"), ("{{ `raw\\n` }}", "raw\\n"),
    ]);
    assert_eq!(render("{{range $k, $v := .}}{{$k}}={{len $v}},{{break}}{{end}}").as_deref(), Ok("app=3,"));
    assert!(render("{{.}}").is_ok_and(|map| map.starts_with("map[app:fmt deep:") && map.ends_with("word:alpha]") && !map.contains("__error__")));
}

#[test]
#[rustfmt::skip]
fn functions_on_texts() {
    check(&[
        ("{{ __line__ | upper }}", "L\u{cd}NE ONE"), ("{{.word | lower}} {{ToUpper .word}} {{ToLower \"STRA\u{df}E \u{130}\"}}", "alpha ALPHA stra\u{df}e i"),
        ("{{upper `stra\u{df}e`}}", "STRA\u{df}E"), ("{{title .name}} {{title `eli o'hara x_y`}}", "Ana De La Cruz Eli O'Hara X_y"), ("{{substr 0 3 .word}}", "alp"), ("{{substr 2 -1 .word}}", "pha"),
        ("{{substr -1 3 .word}}{{substr 3 99 .word}}", "alpha"), ("{{trunc 2 .word}}{{trunc -2 .word}}{{trunc 99 .word}}{{trunc -99 .word}}", "alhaalphaalpha"),
        ("{{contains \"a\" .word}} {{hasPrefix \"al\" .word}} {{hasSuffix \"A\" .word}}", "true true false"), ("{{replace \"a\" \"_\" .name}}", "An_ de l_ Cruz"),
        ("{{.name | replace \" \" \"\"}}", "AnadelaCruz"), ("{{replace `` `-` `ab`}}", "-a-b-"), ("{{Replace .name \"a\" \"A\" 1}}", "AnA de la Cruz"), ("{{Replace .name \"a\" \"A\" -1}}", "AnA de lA Cruz"),
        ("{{repeat 3 .word}}", "alphaalphaalpha"), ("{{alignLeft 5 .word}}|{{alignRight 4 .word}}|{{alignLeft 8 .word}}|{{alignRight 8 .word}}", "alpha|lpha|alpha   |   alpha"),
        ("{{alignLeft 2 .word}}{{alignLeft -1 .word}}{{alignRight 3 __line__}}", "alalphaone"), ("{{default \"none\" .empty}}/{{default \"none\" .word}}{{.nosuch | default \"d\"}}{{default 1 0}}", "none/alphad1"),
        ("{{indent 2 \"a\\nb\"}}|{{nindent 1 \"a\"}}", "  a\n  b|\n a"), ("{{trim \"  a \"}}{{TrimSpace \" b \"}}{{trimAll \"-\" \"--c-\"}}{{Trim \"-d-\" \"-\"}}", "abcd"),
        ("{{TrimLeft \"xxaxx\" \"x\"}} {{TrimRight \"xxaxx\" \"x\"}} {{trimPrefix \"a\" \"abc\"}} {{trimSuffix \"c\" \"abc\"}} {{TrimPrefix \"abc\" \"a\"}} {{TrimSuffix \"abc\" \"c\"}}", "axx xxa bc ab bc ab"),
        ("{{count \"a\" .name}} {{count \"[A-Z]\" .word}} {{.word | count `l`}}", "2 0 1"), ("{{regexReplaceAll \"(a)(.)\" .word \"<$2${1}x$$>\"}}", "<lax$>pha"),
        ("{{regexReplaceAll \"a*\" \"baac\" \"x\"}}", "xbxcx"), ("{{regexReplaceAll \"(?P<v>l)\" .word \"[$v]$va\"}}", "a[l]pha"), ("{{regexReplaceAll `` `\u{e9}1` `-`}} {{count `a*` `\u{e9}\u{65e5}`}}", "-\u{e9}-1- 3"), ("{{regexReplaceAllLiteral \"l\" .word \"$1\"}}", "a$1pha"), ("{{regexReplaceAll \"(?P<n>l)|(p)|(?P<n>h)\" .word \"[$n]\"}}", "a[l][][h]a"), ("{{$p := `l.`}}{{regexReplaceAll $p .word `-`}}", "a-ha"),
        ("{{ lower (title .name) }}", "ana de la cruz"), ("{{ .list | replace \",\" \";\" }}", "a;b;c"), ("{{ .name | urlencode | urldecode }}", "Ana de la Cruz"), ("{{__line__ | trunc 2}}", "l\u{fffd}"),
    ]);
    check_failures(&["{{repeat -1 .word}}", "{{substr 3 1 .word}}", "{{substr 99 -1 .word}}", "{{substr -1 99 .word}}", "{{indent -1 .word}}", "{{upper 5}}", "{{trunc .word 1}}", "{{upper nil}}", "{{upper}}", "{{upper .a .b}}",
        "{{regexReplaceAll \"(\" .word \"\"}}", "{{count \"[\" .word}}", "{{$p := `(`}}{{count $p .word}}"]);
}

#[test]
#[rustfmt::skip]
fn functions_on_numbers() {
    check(&[
        ("{{int .num}} {{float64 .flt}}", "402 2.927"), ("{{add 1 2}} {{add .num 1}} {{add 1 2 3}} {{sub 10 .num}}", "3 403 6 -392"), ("{{mul .num 2}} {{div 7 2}} {{mod -7 3}}", "804 3 -1"),
        ("{{addf .flt 1.5}} {{subf .flt 1}}", "4.427 1.927"), ("{{mulf .flt 2}} {{divf .flt 3}}", "5.854 0.9756666666666667"), ("{{addf 0.1 0.2}} {{divf 10 4}} {{mulf 1e300 1e300}}", "0.3 2.5 +Inf"),
        ("{{max 1 .num 3}} {{min 5 -2}} {{maxf 1.5 2}} {{minf 1.5 2}}", "402 -2 2 1.5"), ("{{ceil 1.2}} {{floor 1.8}} {{round 1.256 2}} {{round 123.5555 3}} {{round 2.4 0 0.3}}", "2 1 1.26 123.556 3"),
        ("{{int \"12abc\"}} {{int \"12.7\"}} {{int \"007\"}} {{int 3.9}} {{int true}} {{int \"\"}} {{int .neg}} {{int \"0x1f\"}}", "0 12 7 3 1 0 -6 31"), ("{{add 9223372036854775807 1}}", "-9223372036854775808"),
        ("{{float64 \"x\"}} {{float64 \"1e3\"}}", "0 1000"), ("{{ .num | int | printf \"%04d\" }}", "0402"), ("{{bytes .size}} {{bytes \"10KB\"}}", "3.145728e+06 10000"), ("{{duration .dur}} {{duration_seconds \"350ms\"}}", "3720 0.35"),
    ]);
    check_failures(&["{{div 1 0}}", "{{mod 1 0}}", "{{divf 1 0}}", "{{bytes \"x\"}}", "{{duration \"x\"}}", "{{round 1.2 \"x\"}}", "{{divf (float64 \"NaN\") 1}}"]);
}

#[test]
#[rustfmt::skip]
fn functions_on_times() {
    check(&[
        ("{{__timestamp__ | date \"15:04:05.000\"}}", "22:00:43.923"), ("{{__timestamp__ | date \"Mon\" | len}} {{date \"04m\" __timestamp__}}", "3 00m"), ("{{unixEpoch __timestamp__}} {{unixEpochMillis __timestamp__}} {{unixEpochNanos __timestamp__}}", "1768514443 1768514443923 1768514443923004038"),
        ("{{.ts | unixToTime | date \"2006-01-02T15:04:05Z07:00\"}}", "2026-01-15T22:04:04Z"), ("{{\"19000\" | unixToTime | date \"2006-01-02\"}} {{\"1768514400123\" | unixToTime | date \"15:04:05.000\"}}", "2022-01-08 22:00:00.123"),
        ("{{\"1768514400123456\" | unixToTime | date \"15:04:05.000000\"}} {{\"1768514400123456789\" | unixToTime | date \"15:04:05.999999999\"}}", "22:00:00.123456 22:00:00.123456789"), ("{{toDate \"2006-01-02\" \"2026-03-04\" | unixEpoch}}", "1772582400"),
        ("{{toDateInZone \"2006-01-02 15:04\" \"America/New_York\" \"2026-01-04 12:00\" | date \"15:04 -0700\"}}", "17:00 +0000"), ("{{toDateInZone \"2006-01-02 15:04\" \"Europe/Berlin\" \"2026-07-04 12:00\"}}", "2026-07-04 12:00:00 +0200 CEST"),
        ("{{toDateInZone `2006-01-02 MST` `Europe/Berlin` `2026-03-04 CEST`}} {{toDate `2006-01-02 MST` `2026-03-04 CEST`}}", "2026-03-04 00:00:00 +0200 CEST 2026-03-04 00:00:00 +0000 CEST"),
        ("{{toDateInZone \"2006-01-02 15:04\" \"No/Where\" \"2026-01-04 12:00\" | unixEpoch}}", "1767528000"), ("{{toDate \"2006-01-02\" \"bad\" | unixEpoch}}", "-62135596800"), ("{{now | date \"2006\" | len}} {{date \"2006\" \"x\"}} {{date `06-1-2` 0}}", "4 2026 70-1-1"),
        ("{{__timestamp__}}", "2026-01-15 22:00:43.923004038 +0000 UTC"), ("{{date \"January Jan Monday 1 2 _2 002 3PM 03pm 4 5 06 .99 ,000 MST Z0700 Janet\" __timestamp__}}", "January Jan Thursday 1 15 15 015 10PM 10pm 0 43 26 .92 ,923 UTC Z Janet"),
        ("{{toDate \"Mon Jan _2 15:04:05 2006\" \"Sun Mar  1 07:08:09.5 2026\"}}", "2026-03-01 07:08:09.5 +0000 UTC"), ("{{toDate \"2/1/06 3:04pm -07:00\" \"5/6/99 12:30am +02:00\"}}", "1999-06-05 00:30:00 +0200 +0200"),
        ("{{toDate \"2006-01-02T15:04:05Z07:00\" \"2026-01-02T03:04:05Z\" | unixEpoch}} {{toDate \"2006-01-02\" \"2026-02-30\" | unixEpoch}} {{toDate \"2006 002 MST\" \"2026 032 UTC\"}}", "1767323045 -62135596800 2026-02-01 00:00:00 +0000 UTC"),
    ]);
    check_failures(&["{{unixToTime \"12\"}}", "{{unixToTime \"abcde\"}}", "{{unixEpoch .word}}", "{{toDate \"2006\"}}"]);
}

#[test]
#[rustfmt::skip]
fn other_notations() {
    check(&[
        ("{{urlencode .name}} {{urlencode \"O'H~\"}}", "Ana+de+la+Cruz O%27H~"), ("{{urldecode .url}}", "x=1&y=2"), ("{{b64enc .word}} {{b64enc \"ab\"}} {{b64enc \"abc\"}}", "YWxwaGE= YWI= YWJj"), ("{{b64dec \"aGVsbG8=\"}} {{b64dec \"aGVsbG8\"}} {{b64dec \"YWI=\"}}", "hello hello ab"),
        ("{{b64dec \"a!b\"}}", "illegal base64 data at input byte 1"), ("{{(fromJson .json).a}}", "4"), ("{{range $k, $v := fromJson .json}}{{$k}}={{$v}};{{end}}", "a=4;"), ("{{fromJson \"bad\"}}", "<no value>"), ("{{(fromJson .deep).no}}{{(fromJson .deep).no.more}}", "<no value><no value>"),
        ("{{range fromJson `[1,\"b\",null,2.5]`}}<{{.}}>{{end}}", "<1><b><<no value>><2.5>"), ("{{$j := fromJson .deep}}{{$j.x.y}} {{(index $j.x.y 1).z}} {{$j.t}} {{len $j}} {{$j}}", "[1 map[z:end]] end true 4 map[n:<nil> s:q t:true x:map[y:[1 map[z:end]]]]"),
        ("{{html \"<a>\"}} {{js \"a'b\"}} {{urlquery \"a b&c\"}} {{html 1 2}}", "&lt;a&gt; a\\'b a+b%26c 1 2"),
    ]);
    check_failures(&["{{urldecode \"%zz\"}}", "{{.word.x}}", "{{(len .word).x}}"]);
}

#[test]
#[rustfmt::skip]
fn structures_and_variables() {
    check(&[
        ("{{if .empty}}a{{else if eq .num \"402\"}}b{{else}}c{{end}}", "b"), ("{{if not .nosuch}}absent{{end}}", "absent"), ("{{if .}}some{{end}}", "some"), ("{{with .word}}<{{.}}{{$.num}}>{{end}}", "<alpha402>"), ("{{with .empty}}x{{else with .num}}{{.}}{{else}}y{{end}}", "402"),
        ("{{with .empty}}x{{else}}{{.word}}{{end}}", "alpha"), ("{{$x := .word}}{{$x}}{{$x}}", "alphaalpha"), ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}", "32"), ("{{with $y := .num}}{{$y}}{{.}}{{end}}", "402402"),
        ("{{range $i, $e := fromJson `[5,6,7]`}}{{if eq $i 1}}{{continue}}{{end}}{{$i}}{{$e}} {{end}}", "05 27 "), ("{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}", "01201"), ("{{range fromJson `[]`}}x{{else}}none{{end}}{{range fromJson `x`}}{{else}}nil{{end}}", "nonenil"),
        ("{{range 9}}{{if gt . 2}}{{break}}{{end}}{{.}}{{end}}", "012"), ("{{define \"t\"}}[{{.}}{{$}}]{{end}}{{template \"t\" .word}}{{template \"t\"}}", "[alphaalpha][<no value><no value>]"), ("{{block \"b\" .num}}<{{.}}>{{end}}", "<402>"),
        ("{{define \"l\"}}{{.__error__}}{{.word}}{{.no}}{{end}}{{template \"l\" .}}", "Ealpha"), ("{{and 1 0}} {{or 0 \"x\"}} {{and .word .num}} {{or .empty .no}}.", "0 x 402 ."), ("{{or true (div 1 0)}}{{and false (div 1 0)}}", "truefalse"), ("{{.word | and 1}}{{5 | or 0}}", "alpha5"),
        ("{{le 1 2}} {{lt 2 1}} {{gt 2 1}} {{ge 1 1}} {{ne 1 2}} {{eq \"a\" \"b\" \"a\"}} {{lt .num \"5\"}}", "true false true true true true true"), ("{{eq nil nil (fromJson `[]`)}}{{eq (fromJson `[]`) nil}}{{ne .word nil}}", "truefalsetrue"),
        ("{{len .word}} {{index . \"word\"}} {{index . \"no\"}} {{slice .word 1 3}} {{index .word 0}} {{len .}}", "5 alpha  lp 97 15"), ("{{(slice (fromJson `[1,2,3]`) 1)}}", "[2 3]"),
        ("{{if true}}{{if false}}{{else}}x{{end}}{{end}}", "x"), ("{{(.word)}}{{((.num | int) | add 1)}}", "alpha403"), ("{{(index (fromJson .deep) \"x\").y | len}}", "2"),
    ]);
    check_failures(&["{{eq 1 \"a\"}}", "{{eq 1 1.0}}", "{{lt true false}}", "{{eq 1}}", "{{index .word 9}}", "{{index .word -1}}", "{{slice .word 3 1}}", "{{len 3}}", "{{call .word}}", "{{nil}}", "{{.word 1}}", "{{1 2}}", "{{template \"no\"}}", "{{range .word}}{{end}}", "{{range 1.5}}{{end}}", "{{range $k, $v := 3}}{{end}}", "{{$x = 1}}", "{{and}}"]);
}

#[test]
#[rustfmt::skip]
fn printing() {
    check(&[
        ("{{print .word 1 2}}|{{println .word 1}}|{{printf \"%5s|%-8s|%q\" .word .word .word}}", "alpha1 2|alpha 1\n|alpha|alpha   |\"alpha\""), ("{{len (printf \"%s\" .name)}}", "14"), ("{{print 1 2 nil}}{{print}}", "1 2 <nil>"),
        ("{{printf `%d %5d|%-5d|%05d %+d %x %X %#x %o %b %c %U %q` 1 2 3 -4 5 255 255 255 8 5 65 0x1F600 65}}", "1     2|3    |-0004 +5 ff FF 0xff 10 101 A U+1F600 'A'"), ("{{printf `%v %v %v %v %v` 1 1.5 true nil .word}}", "1 1.5 true <nil> alpha"),
        ("{{printf `%f %.2f %8.3f|%e %g %G %06.1f` 1.5 2.345 3.14159 1500.0 1e21 1e-7 -2.5}}", "1.500000 2.35    3.142|1.500000e+03 1e+21 1E-07 -002.5"), ("{{printf `%T %T %T %T %T` 1 1.5 true nil .word}}", "int float64 bool <nil> string"),
        ("{{printf `%d` .word}} {{printf `%s` 5}} {{printf `%d %d` 1}} {{printf `%d` 1 2 .word}} {{printf `%`}} {{printf `%z` 1}} {{printf `100%%`}}", "%!d(string=alpha) %!s(int=5) 1 %!d(MISSING) 1%!(EXTRA int=2, string=alpha) %!(NOVERB) %!z(int=1) 100%"),
        ("{{printf `%.3s|%*d|%-*d|%x|%X|%t` .word 4 7 3 8 `hi` `hi` true}}", "alp|   7|8  |6869|6869|true"), ("{{printf `%v %s` (fromJson `[1,\"a\"]`) (fromJson `[\"b\"]`)}}", "[1 a] [b]"), ("{{printf `%q` \"a\\n\\\"\\x00\u{e9}\"}}", "\"a\\n\\\"\\x00\u{e9}\""),
        ("{{printf `%[2]d %[1]d` 1 2}} {{printf `%[3]d` 1}} {{printf `%[2]*[1]d` 5 3}}", "2 1 %!d(BADINDEX)   5"), ("{{1000000.0}} {{3.0}} {{-0.00001}}", "1e+06 3 -1e-05"), ("{{printf `%5t|%v` true (fromJson `{\"b\":1,\"a\":null}`)}}", " true|map[a:<nil> b:1]"),
    ]);
}

#[test]
fn mistakes_are_told_in_gos_words() {
    for (template, wanted) in [
        ("{{nofunc .x}}", "template: line:1: function \"nofunc\" not defined"),
        ("{{end}}", "template: line:1: unexpected {{end}}"),
        ("a\n{{else}}", "template: line:2: unexpected {{else}}"),
        ("{{.x | | lower}}", "template: line:1: unexpected \"|\" in command"),
        ("{{.x", "template: line:1: unclosed action"),
        ("{{}}", "template: line:1: missing value for command"),
        ("{{if}}{{end}}", "template: line:1: missing value for if"),
        ("{{if .x}}", "template: line:1: unexpected EOF"),
        ("{{$x}}", "template: line:1: undefined variable \"$x\""),
        ("{{break}}", "template: line:1: {{break}} outside {{range}}"),
        ("{{\"a}}", "template: line:1: unterminated quoted string"),
        ("{{(.x}}", "template: line:1: unclosed left paren"),
        ("{{/* a }}", "template: line:1: unclosed comment"),
        ("{{.x | 5}}", "template: line:1: non executable command in pipeline stage 2"),
        ("{{@}}", "template: line:1: unrecognized character in action: U+0040 '@'"),
        (
            "{{define `t`}}1{{end}}{{define `t`}}2{{end}}",
            "template: line:1: template: multiple definition of template \"t\"",
        ),
        ("{{nofunc}} {{@}}", "template: line:1: function \"nofunc\" not defined"),
        ("{{1x}}", "template: line:1: bad number syntax: \"1x\""),
    ] {
        assert_eq!(Template::parse(template).map(|_| ()), Err(wanted.to_owned()), "{template}");
    }
    assert_eq!(
        render("ab{{.word.x}}"),
        Err("template: line:1:4: executing \"line\" at <.word.x>: can't evaluate field x in type string"
            .into())
    );
    let deep = format!("{}{}", "{{if 1}}".repeat(101), "{{end}}".repeat(101));
    assert!(Template::parse(&deep).is_err());
    assert!(Template::parse(&format!("{{{{{}1{}}}}}", "(".repeat(120), ")".repeat(120))).is_err());
}

#[test]
fn which_labels_are_read() {
    for (template, wanted) in [
        ("text", Some(vec![])),
        ("{{.b}} {{.a | upper}} {{$.c}}", Some(vec!["a", "b", "c"])),
        ("{{with .word}}{{.}}{{end}}{{range fromJson .j}}{{.}}{{end}}", Some(vec!["j", "word"])),
        ("{{.}}", None),
        ("{{$}}", None),
        ("{{index . \"a\"}}", None),
        ("{{with .x}}{{$}}{{end}}", None),
        ("{{if .x}}{{.}}{{end}}", None),
        ("{{with .x}}{{else}}{{.}}{{end}}", None),
        ("{{$l := .}}{{$l.a}}", None),
        ("{{define \"t\"}}{{.}}{{end}}{{template \"t\" .a}}", Some(vec!["a"])),
        ("{{define \"t\"}}{{.b}}{{end}}{{template \"t\" .}}", None),
    ] {
        let parsed = Template::parse(template).unwrap();
        let wanted = wanted.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parsed.fields(), wanted.as_deref(), "{template}");
    }
}

#[test]
fn what_a_template_costs_is_bounded() {
    check_failures(&[
        "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}",
        "{{range 99999999999}}{{end}}",
        "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}",
        "{{define \"t\"}}{{if 1}}{{if 1}}{{if 1}}{{if 1}}{{template \"t\"}}{{end}}{{end}}{{end}}{{end}}{{end}}{{template \"t\"}}",
        "{{repeat 2000000 `x`}}",
        "{{repeat 9223372036854775807 `xy`}}",
        "{{indent 2000000 `x`}}",
        "{{alignLeft 9223372036854775807 `x`}}",
        "{{printf `%2000000d` 1}}",
        "{{printf `%.2000000f` 1.0}}",
        "{{printf `%*d` 2000000 1}}",
        "{{range 2000}}{{repeat 1000 `x`}}{{end}}",
        "{{$x := repeat 1000000 `x`}}{{replace `` $x $x}}",
        "{{$x := repeat 1000000 `x`}}{{regexReplaceAll `` $x $x}}",
        "{{$x := repeat 1000000 `x`}}{{range 10000}}{{if $x}}{{end}}{{end}}",
        "{{repeat 100000 `a` | count `(?:\\pL{0,100}x){0,2}y`}}",
        "{{$p := `(a|b)*c`}}{{range 100000}}{{count $p `abc`}}{{end}}",
    ]);
    let nested = format!("{}{{{{.word}}}}{}", "{{if 1}}".repeat(97), "{{end}}".repeat(97));
    assert_eq!(render(&nested).as_deref(), Ok("alpha"));
    let nested = format!("{{{{{}1{}}}}}", "(".repeat(97), ")".repeat(97));
    assert_eq!(render(&nested).as_deref(), Ok("1"));
}

#[test]
fn a_line_that_is_no_text_stays_as_it_is() {
    let source = Entry { line: vec![b'a', 0xff, b'b'], ..entry() };
    let mut out = Vec::new();
    Template::parse("{{__line__}}{{trunc 2 __line__}}").unwrap().render(&source, &mut out).unwrap();
    assert_eq!(out, [b'a', 0xff, b'b', b'a', 0xff]);
}

/// Pieces that templates are made of.
const WORDS: [&str; 60] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    ".",
    ".word",
    ".x.y",
    "$",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    ",",
    "if",
    "else",
    "end",
    "range",
    "with",
    "define",
    "template",
    "block",
    "break",
    "continue",
    "\"t\"",
    "`a`",
    "'c'",
    "1",
    "-5",
    "2.5",
    "1e300",
    "9223372036854775807",
    "true",
    "nil",
    "printf",
    "\"%*d %v %q\"",
    "fromJson",
    "`[1,{\"a\":null}]`",
    "substr",
    "alignLeft",
    "regexReplaceAll",
    "date",
    "toDate",
    "index",
    "slice",
    "eq",
    "and",
    "add",
    "divf",
    "round",
    "unixToTime",
    "b64dec",
    "urldecode",
    "trunc",
    "__line__",
    "__timestamp__",
    "\u{e9}",
    "{{end}}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_panics(text in any::<String>(), inside in "[-{}.$|() \"`'a-z0-9:=%/*]{0,40}") {
        for text in [text.clone(), format!("{{{{{text}}}}}"), format!("{{{{{inside}}}}}")] {
            let _ = render(&text);
        }
    }

    #[test]
    fn no_template_panics(words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..24)) {
        let _ = render(&words.join(" "));
        let _ = render(&words.concat());
    }

    #[test]
    fn no_call_panics(
        name in "(substr|trunc|alignRight|printf|date|toDate|toDateInZone|b64dec|urldecode|fromJson|replace|index|slice|round|divf|unixToTime|title|regexReplaceAll|count|duration|bytes)",
        arguments in proptest::collection::vec(prop_oneof![
            any::<i64>().prop_map(|i| i.to_string()),
            (-9i64..9).prop_map(|i| i.to_string()),
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
            "[^`]{0,12}".prop_map(|text| format!("`{text}`")),
            "[-%0-9A-Za-z:. +]{0,16}".prop_map(|text| format!("`{text}`")),
            Just("__timestamp__".to_owned()),
        ], 0..5),
    ) {
        let _ = render(&format!("{{{{{name} {}}}}}", arguments.join(" ")));
    }

    #[test]
    fn dates_come_back(seconds in 0i64..4_000_000_000, layout in "(2006-01-02T15:04:05Z07:00|Mon, 02 Jan 2006 15:04:05 MST|January 2 2006 3:04:05 pm|06/1/_2 15 4 5)") {
        let template = format!("{{{{date `{layout}` {seconds} | toDate `{layout}` | unixEpoch}}}}");
        let back = render(&template);
        let is_close = back == Ok(seconds.to_string());
        // Two digits of a year tell no century.
        prop_assert!(is_close || (layout.starts_with("06") && seconds > 3_124_224_000), "{template} {back:?}");
    }
}
