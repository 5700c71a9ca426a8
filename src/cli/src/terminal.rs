//! Is this text safe to show on a terminal? Log lines are written by strangers.
//!
//! Escape sequences can set titles, write the clipboard (OSC 52) or answer as if typed; a carriage return forges a
//! line; bidirectional overrides and invisible characters make text read as what it is not. All of them are shown as
//! `\x1b`, `\r`, `\u{202e}` instead. What goes into a pipe is JSON and keeps every byte.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether to color standard output: a terminal that did not ask for none (`NO_COLOR`, `TERM=dumb`).
pub fn stdout_has_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout_is_terminal() && !refused
}

/// The text with every character made visible that could act on a terminal or hide in it; tabs stay.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            // A String takes every write.
            c if is_unsafe(c) && c.is_ascii() => drop(write!(safe, "\\x{:02x}", u32::from(c))),
            c if is_unsafe(c) => drop(write!(safe, "\\u{{{:x}}}", u32::from(c))),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    match c {
        '\t' => false,
        // C0, DEL and C1: everything that can begin an escape sequence.
        c if c.is_control() => true,
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul fillers, Mongolian vowel separator:
        // drawn as nothing.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}' => true,
        // Zero width space and joiners, left-to-right and right-to-left marks.
        '\u{200b}'..='\u{200f}' => true,
        // Line and paragraph separators, bidirectional embeddings and overrides.
        '\u{2028}'..='\u{202e}' => true,
        // Word joiner, invisible operators, bidirectional isolates, deprecated format characters.
        '\u{2060}'..='\u{206f}' => true,
        // Byte order mark, interlinear annotations.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        // Musical format characters, tags and variation selectors outside the basic plane.
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attacks_are_shown_and_not_obeyed() {
        for (attack, shown) in [
            ("\x1b]52;c;cm0gLXJmIC8=\x07", "\\x1b]52;c;cm0gLXJmIC8=\\x07"),
            ("\x1b]0;title\x1b\\", "\\x1b]0;title\\x1b\\"),
            ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("\u{9d}8;;http://x\u{9c}", "\\u{9d}8;;http://x\\u{9c}"),
            ("ok\rERROR", "ok\\rERROR"),
            ("one\n2026-01-01 forged", "one\\n2026-01-01 forged"),
            ("back\x08\x08\x7f", "back\\x08\\x08\\x7f"),
            ("nul\0", "nul\\x00"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("pay\u{200b}load\u{feff}", "pay\\u{200b}load\\u{feff}"),
            ("\u{e0041}tag", "\\u{e0041}tag"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("soft\u{ad}hyphen", "soft\\u{ad}hyphen"),
        ] {
            assert_eq!(escape(attack), shown);
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "plain", "tab\tbed", "{\"a\": 1}", "\u{e4}\u{4e2d}\u{6587} \u{1f600}", "back\\slash"]
        {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_but_the_tab_comes_through(text in any::<String>()) {
            let safe = escape(&text);
            prop_assert!(safe.chars().all(|c| c == '\t' || !c.is_control()), "{safe:?}");
            prop_assert_eq!(escape(&safe), safe.as_ref());
        }
    }
}
