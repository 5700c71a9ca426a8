//! Does the reader agree with serde_json wherever both read a text?

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Everything that `text` holds, through the reader's own calls.
fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, JsonError> {
    if depth > 100 {
        return Err(reader.error("the test's own limit"));
    }
    let mut first = true;
    Ok(match reader.peek() {
        b'{' => {
            reader.expect(b'{', "")?;
            let mut map = serde_json::Map::new();
            while let Some(key) = reader.next_key(&mut first)? {
                map.insert(key.into_owned(), value(reader, depth + 1)?);
            }
            Value::Object(map)
        }
        b'[' => {
            reader.expect(b'[', "")?;
            let mut list = Vec::new();
            while reader.next_element(&mut first)? {
                list.push(value(reader, depth + 1)?);
            }
            Value::Array(list)
        }
        b'"' => Value::String(reader.string("")?.text.into_owned()),
        b'n' => {
            assert!(reader.null()? || unreachable!());
            Value::Null
        }
        _ => serde_json::from_str(reader.scalar()?).unwrap_or(Value::Null),
    })
}

fn document(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = value(&mut reader, 0)?;
    reader.end()?;
    Ok(value)
}

fn skipped(text: &[u8]) -> Result<(), JsonError> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

#[test]
fn strings_are_resolved() {
    let string =
        |text: &str| Reader::new(text.as_bytes()).string("").map(|t| (t.text.into_owned(), t.replaced));
    for (text, wanted, replaced) in [
        (r#""plain""#, "plain", false),
        (r#""tab\t nl\n q\" u\u00e9 e\ud83d\ude80 s\/ nul\u0000""#, "tab\t nl\n q\" ué e🚀 s/ nul\0", false),
        (r#""lone \ud83d.""#, "lone \u{fffd}.", true),
        (r#""lone \ud83d\u0041""#, "lone \u{fffd}A", true),
        (r#""low \ude80""#, "low \u{fffd}", true),
        ("\"raw\ttab\"", "raw\ttab", false),
    ] {
        assert_eq!(string(text), Ok((wanted.to_owned(), replaced)), "{text}");
    }
    for text in [r#""\q""#, r#""\u12""#, r#""\u12g4""#, "\"open", r#""open\""#, "x", ""] {
        assert!(string(text).is_err(), "{text}");
    }
    let bytes = b"\"a\xffb\"";
    let text = Reader::new(bytes).string("").unwrap();
    assert_eq!((&*text.text, text.replaced), ("a\u{fffd}b", true));
    let text = Reader::new(b"\"\\ta\xffb\"").string("").unwrap();
    assert_eq!((&*text.text, text.replaced), ("\ta\u{fffd}b", true));
}

#[test]
fn what_is_not_json_is_refused_when_read_and_when_skipped() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "]",
        "}",
        "[1",
        "[1,",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "{a:1}",
        "nul",
        "nulll",
        "tru",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "--1",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "[1}",
        "{\"a\":[}",
        "1 2",
        "'a'",
        "\u{feff}1",
    ] {
        assert!(document(text.as_bytes()).is_err(), "{text}");
        assert!(skipped(text.as_bytes()).is_err(), "{text}");
    }
    assert!(skipped("[".repeat(1000).as_bytes()).is_err());
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(skipped(deep.as_bytes()), Ok(()));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn documents_read_as_serde_json_reads_them(wanted in json_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&wanted) } else { serde_json::to_string(&wanted) };
        let text = text.unwrap();
        prop_assert_eq!(document(text.as_bytes()), Ok(serde_json::from_str(&text).unwrap()));
        let mut reader = Reader::new(text.as_bytes());
        prop_assert_eq!(reader.skip(), Ok(text.as_bytes()));
        prop_assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn texts_of_pieces_are_refused_where_serde_json_refuses_them(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "1", "-0.5e3", "null", "true", " ", "\\", "\\u00e9", "x",
            ]),
            0..12,
        )
    ) {
        let text = pieces.concat();
        let theirs = serde_json::from_str::<Value>(&text);
        prop_assert_eq!(document(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
        prop_assert_eq!(skipped(text.as_bytes()).is_ok() || text.contains('\\'), theirs.is_ok() || text.contains('\\'));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = document(&bytes);
        let _ = skipped(&bytes);
    }
}
