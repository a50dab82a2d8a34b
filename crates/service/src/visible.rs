//! Text that others wrote, made fit for a terminal, for a line of JSON, and for a spreadsheet.

use std::{borrow::Cow, fmt::Write};

/// Whether a character shows itself: none that controls a terminal, breaks a line, or turns the
/// direction in which the others are read.
fn shows(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// A text on one line, with a space for each character that does not show itself.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(shows) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| if shows(c) { c } else { ' ' })
            .collect(),
    )
}

/// A JSON text on one line, with an escape for each character that does not show itself. In JSON
/// such characters stand in strings only.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(shows) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if shows(c) {
            escaped.push(c);
        } else {
            // All of them are in the first plane; writing to a string does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
    }
    Cow::Owned(escaped)
}

/// A text as a cell of a table, which no spreadsheet takes for a formula.
pub fn cell(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    match text.trim_start().starts_with(['=', '+', '-', '@']) {
        true => Cow::Owned(format!("'{text}")),
        false => text,
    }
}

/// A number of things in words: `1 file`, `2 files`. `noun` is one that takes an s.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31mb\u{9b}c\u{7f}d\u{202e}e\u{2028}f\u{2066}g";

    #[test]
    fn nothing_controls_a_terminal() {
        assert_eq!(visible(HOSTILE), "a [31mb c d e f g");
        assert_eq!(visible("a\nb\tc"), "a b c");
        assert_eq!(visible("größer als 3 €"), "größer als 3 €");
    }

    #[test]
    fn json_says_the_same_without_controls() {
        let json = serde_json::to_string(&serde_json::json!({ HOSTILE: HOSTILE })).unwrap();
        let escaped = visible_json(&json);
        assert!(escaped.chars().all(shows), "{escaped}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read[HOSTILE], HOSTILE);
    }

    #[test]
    fn cells_are_no_formulas() {
        for formula in ["=HYPERLINK(\"x\")", "+1", "-1", "@x", "\t=1", " =1", "\r=1"] {
            assert!(cell(formula).starts_with('\''), "{formula:?}");
        }
        assert_eq!(cell("UNRATE is 4"), "UNRATE is 4");
    }

    #[test]
    fn one_is_no_plural() {
        let counts = [0, 1, 2].map(|number| counted(number, "file"));
        assert_eq!(counts, ["0 files", "1 file", "2 files"]);
    }
}
