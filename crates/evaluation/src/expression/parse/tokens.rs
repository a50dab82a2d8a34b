//! The words, numbers, texts and signs of an expression, for finding mistakes before it is parsed.

use super::SyntaxError;

/// Signs of more than one character, the longest first: those of the language and those that are
/// written in their place.
const LONG_SIGNS: &[&str] = &[
    "===", "!==", "&&", "||", "==", "!=", "<=", ">=", "=>", "=<", "<>", "**", ">>", "<<", ":=",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

/// A part of an expression, and where it stands, as a byte from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(super) fn end(&self) -> usize {
        self.offset + self.text.len()
    }
}

/// Cuts an expression of ASCII characters into its tokens.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(rest) = source.get(offset..)
        && let Some(first) = rest.bytes().next()
    {
        if first.is_ascii_whitespace() {
            offset += 1;
            continue;
        }
        let (kind, length) = match first {
            b'"' | b'\'' => (Kind::Text, text_length(rest, first, offset)?),
            b'0'..=b'9' => (Kind::Number, number_length(rest)),
            b'.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                (Kind::Number, 1 + number_length(&rest[1..]))
            }
            b if b.is_ascii_alphabetic() || b == b'_' => (Kind::Word, word_length(rest)),
            _ => (Kind::Sign, sign_length(rest)),
        };
        tokens.push(Token {
            kind,
            text: &rest[..length],
            offset,
        });
        offset += length;
    }
    Ok(tokens)
}

fn text_length(rest: &str, quote: u8, offset: usize) -> Result<usize, SyntaxError> {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b if b == quote => return Ok(index + 1),
            _ => {}
        }
    }
    super::refuse(offset, "this quote is never closed")
}

/// A number with what is written right behind it: "3mo", "1e-3".
fn number_length(rest: &str) -> usize {
    let mut before = 0;
    let goes_on = |byte: u8| {
        let is_sign_of_exponent = matches!(byte, b'-' | b'+') && matches!(before, b'e' | b'E');
        before = byte;
        byte.is_ascii_alphanumeric() || byte == b'_' || is_sign_of_exponent
    };
    let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
    let has_fraction = rest[whole..].starts_with('.')
        && rest[whole + 1..].starts_with(|c: char| c.is_ascii_digit());
    let from = whole + usize::from(has_fraction);
    from + rest
        .bytes()
        .skip(from)
        .map(goes_on)
        .take_while(|on| *on)
        .count()
}

fn word_length(rest: &str) -> usize {
    let in_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    rest.bytes().take_while(in_word).count()
}

fn sign_length(rest: &str) -> usize {
    let long = LONG_SIGNS.iter().find(|sign| rest.starts_with(**sign));
    long.map_or(1, |sign| sign.len())
}
