//! How does a text become a JSON string, fast and whatever its bytes are?

/// What has to be done about a byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Escaped,
    /// May begin U+2028 or U+2029, which JavaScript takes for line ends.
    Suspect,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Plain; 256];
    let mut b = 0;
    while b < 0x20 {
        kinds[b] = Kind::Escaped;
        b += 1;
    }
    kinds[b'"' as usize] = Kind::Escaped;
    kinds[b'\\' as usize] = Kind::Escaped;
    kinds[b'<' as usize] = Kind::Escaped;
    kinds[b'>' as usize] = Kind::Escaped;
    kinds[b'&' as usize] = Kind::Escaped;
    kinds[0xe2] = Kind::Suspect;
    kinds
};

/// Appends `text` as a JSON string.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Appends a line as a JSON string; each byte that is not UTF-8 becomes a replacement character.
pub(crate) fn put_line(out: &mut Vec<u8>, line: &[u8]) {
    out.push(b'"');
    if std::str::from_utf8(line).is_ok() {
        put_escaped(out, line);
    } else {
        for chunk in line.utf8_chunks() {
            put_escaped(out, chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
    out.push(b'"');
}

/// Appends the object `{"name":"value",...}`.
pub(crate) fn put_object<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_text(out, name);
        out.push(b':');
        put_text(out, value);
    }
    out.push(b'}');
}

/// Appends the array `["a","b"]`.
pub(crate) fn put_texts<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (i, text) in texts.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put_text(out, text);
    }
    out.push(b']');
}

/// Appends a number.
pub(crate) fn put_int(out: &mut Vec<u8>, n: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends UTF-8 without the quotes around it.
fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| KINDS[*b as usize] != Kind::Plain) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let taken = match special {
            [0xe2, 0x80, 0xa8, ..] => (&b"\\u2028"[..], 3),
            [0xe2, 0x80, 0xa9, ..] => (&b"\\u2029"[..], 3),
            [b'"', ..] => (&b"\\\""[..], 1),
            [b'\\', ..] => (&b"\\\\"[..], 1),
            [b'\n', ..] => (&b"\\n"[..], 1),
            [b'\r', ..] => (&b"\\r"[..], 1),
            [b'\t', ..] => (&b"\\t"[..], 1),
            [0xe2, ..] => (&[0xe2][..], 1),
            [other, ..] => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
                (&[][..], 1)
            }
            [] => break,
        };
        out.extend_from_slice(taken.0);
        rest = special.get(taken.1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(line: &[u8]) -> String {
        let mut out = Vec::new();
        put_line(&mut out, line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn special_characters_as_go_writes_them() {
        assert_eq!(
            encoded("<a href=\"x&y\">\u{2028}\u{2029}€\n\r\t\u{1}\\\u{7f}".as_bytes()),
            "\"\\u003ca href=\\\"x\\u0026y\\\"\\u003e\\u2028\\u2029€\\n\\r\\t\\u0001\\\\\u{7f}\""
        );
        assert_eq!(encoded(b"a\xff\xfeb\xe2\x80"), "\"a\\ufffd\\ufffdb\\ufffd\\ufffd\"");
        let mut out = Vec::new();
        put_object(&mut out, [("a", "1"), ("b\"", "2")].into_iter());
        put_texts(&mut out, ["x", "y"].into_iter());
        put_int(&mut out, -5i64);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"1","b\"":"2"}["x","y"]-5"#);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&encoded(text.as_bytes())).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_valid_json(bytes in any::<Vec<u8>>()) {
            prop_assert!(serde_json::from_str::<String>(&encoded(&bytes)).is_ok());
        }
    }
}
