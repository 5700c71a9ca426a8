//! Is every level found as a plain reading of the rules finds it?

use super::*;
use proptest::prelude::*;

/// The rules again, byte by byte, without any of the shortcuts.
mod reference {
    use super::{FIELDS, Level};

    const WORDS: [&str; 9] =
        ["trace", "debug", "fatal", "critical", "error", "err", "warning", "warn", "info"];

    pub fn of_line(line: &[u8]) -> Level {
        let text = line.trim_ascii();
        let value = if text.starts_with(b"{") && text.ends_with(b"}") {
            let mut found = None;
            object(text, &mut 1, 1, &mut found);
            found
        } else if line.contains(&b'=') {
            logfmt(line)
        } else {
            None
        };
        let named = value.and_then(|v| match String::from_utf8_lossy(&v).to_ascii_lowercase().as_str() {
            "trc" | "trace" => Some(Level::Trace),
            "dbg" | "debug" => Some(Level::Debug),
            "inf" | "info" | "information" => Some(Level::Info),
            "wrn" | "warn" | "warning" => Some(Level::Warn),
            "err" | "error" => Some(Level::Error),
            "critical" => Some(Level::Critical),
            "fatal" => Some(Level::Fatal),
            _ => None,
        });
        named.unwrap_or_else(|| words(line))
    }

    fn words(line: &[u8]) -> Level {
        let lower = line.to_ascii_lowercase();
        for i in 0..lower.len() {
            for word in WORDS {
                let left = i == 0 || b" \t\n[({\"'=|".contains(&lower[i - 1]);
                let end = lower.get(i + word.len());
                let right = end.is_none_or(|b| b" \t\n[](){}:,!\"'=|".contains(b));
                if left && right && lower[i..].starts_with(word.as_bytes()) {
                    return Level::from_name(word.as_bytes()).unwrap();
                }
            }
        }
        Level::Unknown
    }

    /// Returns false when the walk must end (found, or not JSON).
    fn object(text: &[u8], at: &mut usize, depth: usize, found: &mut Option<Vec<u8>>) -> bool {
        loop {
            match blank(text, at) {
                Some(b'}') => return true,
                Some(b',') => {}
                Some(b'"') => {
                    let Some(key) = string(text, at) else { return false };
                    if blank(text, at) != Some(b':') {
                        return false;
                    }
                    let go_on = match blank(text, at) {
                        Some(b'"') => match string(text, at) {
                            Some(value) if FIELDS.iter().any(|f| f.as_bytes() == key) => {
                                *found = Some(value);
                                false
                            }
                            other => other.is_some(),
                        },
                        Some(b'{') if depth < 2 => object(text, at, depth + 1, found),
                        Some(b'{' | b'[') => nested(text, at),
                        Some(_) => {
                            while text.get(*at).is_some_and(|b| !b",}]\"{[".contains(b)) {
                                *at += 1;
                            }
                            true
                        }
                        None => false,
                    };
                    if !go_on {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    fn nested(text: &[u8], at: &mut usize) -> bool {
        let mut open = 1;
        while open > 0 {
            *at += 1;
            match text.get(*at - 1) {
                None => return false,
                Some(b'"') if string(text, at).is_none() => return false,
                Some(b'{' | b'[') => open += 1,
                Some(b'}' | b']') => open -= 1,
                _ => {}
            }
        }
        true
    }

    fn blank(text: &[u8], at: &mut usize) -> Option<u8> {
        loop {
            let b = *text.get(*at)?;
            *at += 1;
            if !b" \t\n\r".contains(&b) {
                return Some(b);
            }
        }
    }

    fn string(text: &[u8], at: &mut usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let b = *text.get(*at)?;
            *at += 1;
            match b {
                b'"' => return Some(out),
                b'\\' => {
                    out.extend([b, *text.get(*at)?]);
                    *at += 1;
                }
                _ => out.push(b),
            }
        }
    }

    fn logfmt(line: &[u8]) -> Option<Vec<u8>> {
        let mut best: Option<(usize, Vec<u8>)> = None;
        let mut i = 0;
        while i < line.len() {
            if line[i] <= b' ' {
                i += 1;
                continue;
            }
            let start = i;
            while i < line.len() && line[i] > b' ' && line[i] != b'=' && line[i] != b'"' {
                i += 1;
            }
            let key = String::from_utf8_lossy(&line[start..i]).to_lowercase();
            let mut value = Vec::new();
            if line.get(i) == Some(&b'=') && line.get(i + 1) == Some(&b'"') {
                i += 2;
                match string(line, &mut i) {
                    Some(quoted) => value = quoted,
                    // An open quote ends the reading; what was read before it counts.
                    None => break,
                }
            } else {
                let pair = line.get(i) == Some(&b'=');
                i += usize::from(pair);
                while i < line.len() && line[i] > b' ' {
                    value.push(line[i]);
                    i += 1;
                }
                if !pair || value.contains(&b'=') || value.contains(&b'"') {
                    continue;
                }
            }
            let rank = FIELDS.iter().position(|f| f.to_lowercase() == key);
            let better = |r: &usize| !value.is_empty() && best.as_ref().is_none_or(|(b, _)| r < b);
            if let Some(rank) = rank.filter(better) {
                best = Some((rank, value));
            }
        }
        best.map(|(_, value)| value)
    }
}

#[test]
fn lines_as_loki_reads_them() {
    let table: &[(&str, &str)] = &[
        ("emergency", "unknown"),
        ("critical failure", "critical"),
        ("tracer started", "unknown"),
        ("wrn=1", "unknown"),
        ("'warn'", "warn"),
        ("error?", "unknown"),
        ("error!", "error"),
        ("<error>", "unknown"),
        ("{error}", "error"),
        ("debug,trace", "debug"),
        (r#"{"SeverityText":"FATAL"}"#, "fatal"),
        (r#"{"severity_text":"WARN"}"#, "warn"),
        ("severity_text=ERROR x=1", "error"),
        (r#"msg="level=error inside""#, "error"),
        ("level=", "unknown"),
        ("", "unknown"),
        (" ", "unknown"),
        ("info: then error", "info"),
        ("WARN info error", "warn"),
        ("a|error|b", "error"),
        (r#"{"LogLevel":"error"}"#, "error"),
        (r#"{"level":"30","msg":"numeric string"}"#, "unknown"),
        (r#"{"level":30,"msg":"numeric"}"#, "unknown"),
        (r#"level="unknown" text"#, "unknown"),
        ("level=notice custom", "unknown"),
        ("fatal=1 but not a level", "fatal"),
        ("terror and warnings", "unknown"),
        ("information only", "unknown"),
        ("(trace) enter", "trace"),
        ("Warning: low disk", "warn"),
        ("ERR: something", "error"),
        (r#"{"a":{"level":"WRN"},"level":"info"}"#, "warn"),
        (r#"{"a":{"b":{"level":"wrn"}},"severity":"inf"}"#, "info"),
        (r#"{"a":[{"level":"wrn"}],"lvl":"dbg"}"#, "debug"),
        (r#"{"a":"\"level\":\"wrn\"","level" : "trc" }"#, "trace"),
        (r#" {"level":5,"Level":"FATAL"} "#, "fatal"),
        (r#"{"level":"err"} trailing info"#, "error"),
        ("LEVEL=Fatal end", "fatal"),
        ("lvl=dbg level=wrn", "warn"),
        ("lvl=dbg log.level=wrn", "warn"),
        ("level=wrn level=dbg", "warn"),
        ("/a?level=dbg=1 lvl=trc", "trace"),
        (r#"level="err" x"#, "error"),
        ("Severity=wrn", "warn"),
        ("SeverityText=trc", "trace"),
        ("x=1 severity_Text=dbg", "debug"),
        ("LOG.level=inf", "info"),
        ("xlevel=wrn", "unknown"),
        ("severity=wrn level=\"", "warn"),
    ];
    for (line, level) in table {
        assert_eq!(of_line(line.as_bytes()).as_str(), *level, "{line}");
        assert_eq!(reference::of_line(line.as_bytes()).as_str(), *level, "reference: {line}");
    }
}

#[test]
fn sources_in_their_order() {
    let level = |labels: Option<&'static str>, metadata: &[(&'static str, &'static str)], line: &str| {
        of_entry(labels, metadata.iter().copied(), line.as_bytes())
    };
    assert_eq!(level(Some("warn"), &[("detected_level", "ERR"), ("level", "info")], "debug"), "error");
    assert_eq!(level(None, &[("level", "info"), ("detected_level", "custom")], "debug"), "custom");
    assert_eq!(level(Some("bogus"), &[("level", "info")], "debug"), "bogus");
    assert_eq!(level(None, &[("lvl", "info"), ("severity", "Fatal")], "debug"), "fatal");
    assert_eq!(level(None, &[("level", "Bogus"), ("severity_number", "1")], "debug"), "Bogus");
    assert_eq!(level(None, &[("x", "y")], "debug"), "debug");
    let numbers = [
        ("0", "unknown"),
        ("1", "trace"),
        ("5", "debug"),
        ("12", "info"),
        ("13", "warn"),
        ("17", "error"),
        ("24", "fatal"),
        ("25", "unknown"),
        ("-1", "unknown"),
        ("x", "info"),
    ];
    for (number, wanted) in numbers {
        assert_eq!(level(None, &[("severity_number", number)], "error"), wanted, "{number}");
    }
    let labels = Labels::from_pairs(&[("severity", "WRN"), ("lvl", "debug")]).unwrap();
    assert_eq!(of_labels(&labels), Some("warn"));
    assert_eq!(of_labels(&Labels::from_pairs(&[("app", "x")]).unwrap()), None);
}

/// Pieces that lines of logs are made of, and that the rules turn on.
fn piece() -> impl Strategy<Value = String> {
    let text = [
        "level",
        "LEVEL",
        "Level",
        "log.level",
        "severity",
        "SeverityText",
        "lvl",
        "severity_text",
        "error",
        "ERR",
        "warn",
        "Warning",
        "info",
        "information",
        "debug",
        "trace",
        "fatal",
        "critical",
        "tra",
        "er",
        "=",
        "=",
        "\"",
        "\"",
        "\\",
        ":",
        ",",
        "{",
        "}",
        "[",
        "]",
        "(",
        "|",
        " ",
        " ",
        "\t",
        "\n",
        "'",
        "!",
        "?",
        "x",
        "a b c",
        "{\"level\":\"",
        "\"severity\":\"info\"",
        "{\"a\":{",
        "level=\"",
        "severity=wrn ",
        " lvl=trc",
        "Severity_Text=dbg",
        "=inf ",
        "0",
        "null",
        "the quick brown fox jumps over the lazy dog and on and on",
        "\u{1}",
        "é",
    ];
    proptest::sample::select(text.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_shortcuts_change_nothing(pieces in proptest::collection::vec(piece(), 0..24), wrap in any::<bool>()) {
        let mut line = pieces.concat();
        if wrap {
            line = format!("{{{line}}}");
        }
        prop_assert_eq!(of_line(line.as_bytes()), reference::of_line(line.as_bytes()), "{}", line);
    }

    #[test]
    fn json_fields_are_found_in_well_formed_lines(
        before in proptest::collection::vec(("[a-z]{1,8}", "[a-z \\\\\"]{0,12}"), 0..6),
        name in proptest::sample::select(vec!["level", "log.level", "SeverityText", "lvl", "SEVERITY_TEXT"]),
        value in proptest::sample::select(vec!["ERROR", "wrn", "information", "Fatal"]),
        inside in any::<bool>(),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut pairs: Vec<String> =
            before.iter().filter(|(k, _)| field_rank(k.as_bytes()).is_none())
                .map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
        let field = format!("{}: {}", quoted(name), quoted(value));
        pairs.push(if inside { format!("\"in\":{{{field}}}") } else { field });
        let line = format!("{{{}}}", pairs.join(", "));
        prop_assert_eq!(of_line(line.as_bytes()), Level::from_name(value.as_bytes()).unwrap(), "{}", line);
    }

    #[test]
    fn foreign_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(of_line(&line), reference::of_line(&line));
    }
}
