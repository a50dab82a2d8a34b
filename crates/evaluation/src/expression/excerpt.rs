//! Showing a place in a text.

/// So much of a line is shown around a mistake.
const EXCERPT_CHARS_BEFORE_MAX: usize = 70;
const EXCERPT_CHARS_AFTER_MAX: usize = 50;

/// The part of a line around a byte of a text, and a caret below it. Two lines, indented.
pub fn excerpt(text: &str, offset: usize) -> String {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let (before, after) = text.split_at(offset);
    let before = before.rsplit('\n').next().unwrap_or_default();
    let before: Vec<char> = before.chars().collect();
    let cut = before.len().saturating_sub(EXCERPT_CHARS_BEFORE_MAX);
    // A tab is as wide as the terminal likes.
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    let before: String = before[cut..].iter().map(|c| shown(*c)).collect();
    let after = after.lines().next().unwrap_or_default();
    let after: String = after
        .chars()
        .take(EXCERPT_CHARS_AFTER_MAX)
        .map(shown)
        .collect();
    let caret = " ".repeat(before.chars().count());
    format!("    {before}{}\n    {caret}^", after.trim_end())
}
