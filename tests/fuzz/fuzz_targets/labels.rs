//! Label text, packed metadata and the small texts that name tenants and days: what is taken comes back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_model::labels::{is_label_name, unquote, write_quoted};
use strandline_model::metadata::{put_varint, take_varint};
use strandline_model::{Day, Labels, Metadata, TenantId};

fuzz_target!(init: strandline_fuzz::seeds::plant("labels"), |data: &[u8]| {
    packed(data);
    let mut rest = data;
    if let Some(n) = take_varint(&mut rest) {
        let mut out = Vec::new();
        put_varint(&mut out, n);
        assert_eq!(take_varint(&mut out.as_slice()), Some(n));
        assert!(out.len() <= data.len() - rest.len(), "a number is written no longer than it was read");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(labels) = Labels::parse(text) {
        sound(&labels);
    }
    if let Some(value) = unquote(text) {
        comes_back(&value);
    }
    comes_back(text);

    let pieces: Vec<&str> = text.split('\n').collect();
    let pairs: Vec<(&str, &str)> = pieces.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    if let Ok(labels) = Labels::from_pairs(&pairs) {
        sound(&labels);
        // Empty values are as good as none.
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            assert_eq!(labels.get(name), Some(value));
        }
    }
    if let Ok(tenant) = TenantId::new(text) {
        // It is the name of a folder.
        let name = tenant.as_str();
        assert_eq!(name, text);
        assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']));
    }
    if let Ok(day) = text.parse::<Day>() {
        assert_eq!(day.to_string().parse::<Day>().ok(), Some(day));
    }
});

fn sound(labels: &Labels) {
    let mut last = "";
    for (name, value) in labels.iter() {
        assert!(is_label_name(name) && !value.is_empty() && name > last);
        assert_eq!(labels.get(name), Some(value));
        last = name;
    }
    let again = Labels::parse(&labels.to_string()).unwrap();
    assert_eq!(&again, labels);
    assert_eq!(again.stream_id(), labels.stream_id());
    assert_eq!(Labels::from_ordered(labels.iter(), labels.len(), 0).as_ref(), Some(labels));
    assert_eq!(labels.with("zzz", "1").get("zzz"), Some("1"));
}

fn packed(data: &[u8]) {
    let metadata = Metadata(data);
    let pairs: Vec<(&str, &str)> = metadata.iter().collect();
    let bytes: usize = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
    assert!(bytes <= data.len());
    let valid = metadata.is_valid();
    let mut out = Vec::new();
    Metadata::pack(&mut out, &mut pairs.clone());
    assert!(Metadata(&out).is_valid());
    let again: Vec<(&str, &str)> = Metadata(&out).iter().collect();
    assert!(again.is_sorted_by(|a, b| a.0 < b.0));
    if valid {
        for (name, value) in again {
            assert!(pairs.contains(&(name, value)));
        }
    }
}

/// Quoting, and what stands between the quotes read again.
fn comes_back(text: &str) {
    let mut quoted = String::new();
    write_quoted(&mut quoted, text).unwrap();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
    assert_eq!(unquote(inner).as_deref(), Some(text));
}
