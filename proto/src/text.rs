use std::{borrow::Cow, fmt};

use crate::SERIES_ID_CHARS_MAX;

/// A field that breaks a rule of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Violation {
    /// Path of the field in the message, such as `series_collected.data_points[2].value`.
    pub field: String,
    /// What is wrong and what to do, for people.
    pub problem: String,
}

impl Violation {
    /// A violation at `field`.
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            problem: problem.to_string(),
        }
    }

    /// The same violation, seen from a message that holds the faulty one at `path`.
    #[must_use]
    pub fn within(mut self, path: impl fmt::Display) -> Self {
        self.field = format!("{path}.{}", self.field);
        self
    }
}

/// A text cut to `chars_max` characters, the last of them an ellipsis where something was cut off.
/// Whatever repeats to a client what it sent is bounded by this.
pub fn clip(text: &str, chars_max: usize) -> Cow<'_, str> {
    // Bytes bound characters from above, so that most texts are never counted.
    if text.len() <= chars_max {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let kept = text.chars().take(chars_max.saturating_sub(1));
            Cow::Owned(kept.chain(['…']).collect())
        }
    }
}

/// Checks a series id: 1 to 50 characters, none of them a control character.
pub(crate) fn check_series_id(field: &str, text: &str) -> Result<(), Violation> {
    check_name(field, text, SERIES_ID_CHARS_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(Violation::new(field, "holds a control character"));
    }
    Ok(())
}

/// Checks that `text` has 1 to `chars_max` characters, none of them NUL (PostgreSQL stores none).
pub(crate) fn check_name(field: &str, text: &str, chars_max: usize) -> Result<(), Violation> {
    if text.is_empty() {
        return Err(Violation::new(field, "is required"));
    }
    check_text(field, text, chars_max)
}

/// Checks that `text` has at most `chars_max` characters, none of them NUL.
pub(crate) fn check_text(field: &str, text: &str, chars_max: usize) -> Result<(), Violation> {
    // Bytes bound characters from above, so that most texts are never counted.
    if text.len() > chars_max && text.chars().count() > chars_max {
        let problem = format!("has more than {chars_max} characters");
        return Err(Violation::new(field, problem));
    }
    if text.contains('\0') {
        return Err(Violation::new(
            field,
            "holds a NUL character, which cannot be stored",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
    }
}
