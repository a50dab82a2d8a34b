use std::borrow::Cow;

/// What a channel counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::channel) enum Unit {
    /// Bytes of UTF-8.
    Bytes,
    /// Code units of UTF-16.
    Utf16,
    /// UTF-16 after `&`, `<` and `>` are escaped.
    Escaped,
}

impl Unit {
    /// How much a text takes.
    pub(in crate::channel) fn width(self, text: &str) -> usize {
        text.chars().map(|character| self.of(character)).sum()
    }

    fn of(self, character: char) -> usize {
        match (self, character) {
            (Self::Bytes, _) => character.len_utf8(),
            (Self::Escaped, '&') => "&amp;".len(),
            (Self::Escaped, '<' | '>') => "&lt;".len(),
            _ => character.len_utf16(),
        }
    }
}

/// A text of at most `max` units: whole lines with the number of those left out, or, where that would
/// show less than half of what fits, characters with an ellipsis.
pub(in crate::channel) fn cut(text: &str, max: usize, unit: Unit) -> Cow<'_, str> {
    if unit.width(text) <= max {
        return Cow::Borrowed(text);
    }
    match whole_lines(text, max, unit) {
        Some(lines) if unit.width(&lines) * 2 >= max => Cow::Owned(lines),
        _ => Cow::Owned(characters(text, max, unit)),
    }
}

fn whole_lines(text: &str, max: usize, unit: Unit) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut best = None;
    let mut kept_units = 0;
    for (index, line) in lines.iter().enumerate() {
        kept_units += unit.width(line) + unit.of('\n');
        if kept_units > max {
            break;
        }
        let end = format!("… and {} more", lines.len() - index - 1);
        if kept_units + unit.width(&end) <= max {
            best = Some((index + 1, end));
        }
    }
    let (kept, end) = best?;
    Some(format!("{}\n{end}", lines.get(..kept)?.join("\n")))
}

fn characters(text: &str, max: usize, unit: Unit) -> String {
    let ellipsis = unit.of('…');
    let Some(mut room) = max.checked_sub(ellipsis) else {
        return String::new();
    };
    let mut kept = String::new();
    for character in text.chars() {
        match room.checked_sub(unit.of(character)) {
            Some(left) => room = left,
            None => break,
        }
        kept.push(character);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// One line of at most `bytes_max` bytes, without control characters, for records and reasons.
pub(in crate::channel) fn clean(text: &str, bytes_max: usize) -> String {
    cut(&one_line(text), bytes_max, Unit::Bytes).into_owned()
}

/// A text in one line: white space is one space, control characters and those that turn the direction
/// of writing are dropped.
pub(in crate::channel) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let start = line.len();
        if start > 0 {
            line.push(' ');
        }
        let before = line.len();
        line.extend(word.chars().filter(|character| is_shown(*character)));
        if line.len() == before {
            line.truncate(start);
        }
    }
    line
}

/// Whether a character is no control character and turns no direction of writing.
pub(super) fn is_shown(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [Unit; 3] = [Unit::Bytes, Unit::Utf16, Unit::Escaped];

    #[test]
    fn lines_are_kept_whole_and_the_rest_is_counted() {
        let text = "first line\nsecond line\nthird line\nfourth line";
        let cut = cut(text, 36, Unit::Utf16);
        assert_eq!(cut, "first line\nsecond line\n… and 2 more");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        assert_eq!(cut("äääää", 7, Unit::Bytes), "ää…");
        assert_eq!(cut("😀😀😀", 5, Unit::Utf16), "😀😀…");
        assert_eq!(cut("a<<<<", 6, Unit::Escaped), "a<…");
        assert_eq!(
            cut("short\nvery very long line", 15, Unit::Utf16),
            "short\nvery ver…"
        );
    }

    #[test]
    fn what_people_read_has_no_control_characters() {
        assert_eq!(
            clean("a\r\nb\u{1b}[2J\0 \u{7} c\u{202e}d", 100),
            "a b[2J cd"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_budget(text in "(\\PC|\n|😀|&|<){0,60}", max in 0_usize..80) {
            for unit in UNITS {
                let cut = cut(&text, max, unit);
                // Counted without the code under test.
                let width = match unit {
                    Unit::Bytes => cut.len(),
                    Unit::Utf16 => cut.encode_utf16().count(),
                    Unit::Escaped => cut.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").encode_utf16().count(),
                };
                prop_assert!(width <= max);
                let fits = unit.width(&text) <= max;
                prop_assert_eq!(fits, cut == text);
            }
        }
    }
}
