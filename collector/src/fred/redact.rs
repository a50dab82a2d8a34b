//! Text of others, made fit for our errors: bounded, on one line, without the key.

use secrecy::{ExposeSecret, SecretString};

const CHARS_MAX: usize = 300;

/// The beginning of `text`, with the key blotted out and control characters as spaces.
pub(crate) fn redacted(text: &str, key: &SecretString) -> String {
    let key = key.expose_secret();
    let text = if key.is_empty() {
        text.to_owned()
    } else {
        text.replace(key, "[key]")
    };
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(CHARS_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_control_characters_are_gone_and_length_is_bounded() {
        let key = SecretString::from("abcd");
        assert_eq!(
            redacted("url?api_key=abcd&x\0\n", &key),
            "url?api_key=[key]&x"
        );
        assert_eq!(redacted(&"é".repeat(1_000), &key).chars().count(), 300);
        assert_eq!(redacted("x", &SecretString::from("")), "x");
    }
}
