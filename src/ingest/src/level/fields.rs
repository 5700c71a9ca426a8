//! Which fields of labels, metadata and lines hold a level?

/// The names under which labels, metadata and lines hold a level, best first.
pub const FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

/// Place of `name` in [`FIELDS`]; `None` when it is not there. A match, for it is asked of every field of every line.
pub fn field_rank(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"level" => 0,
        b"LEVEL" => 1,
        b"Level" => 2,
        b"log.level" => 3,
        b"severity" => 4,
        b"SEVERITY" => 5,
        b"Severity" => 6,
        b"SeverityText" => 7,
        b"lvl" => 8,
        b"LVL" => 9,
        b"Lvl" => 10,
        b"severity_text" => 11,
        b"Severity_Text" => 12,
        b"SEVERITY_TEXT" => 13,
        _ => return None,
    })
}
