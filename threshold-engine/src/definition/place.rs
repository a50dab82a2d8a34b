use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;

use evaluation::expression::{CompileError, excerpt};

/// At most this many bytes in one definition.
pub(crate) const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1; 0 if the file as a whole is meant.
    pub line: usize,
    /// What is the matter, for people.
    pub reason: String,
    /// The line with a caret below the place, where the mistake has one. Two lines.
    pub excerpt: Option<String>,
}

/// One line; with `{:#}` the excerpt follows on two more.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.reason)?,
            line => write!(f, "{}:{line}: {}", self.file.display(), self.reason)?,
        }
        match &self.excerpt {
            Some(excerpt) if f.alternate() => write!(f, "\n{excerpt}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

/// A mistake at a byte of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) offset: usize,
    pub(crate) reason: String,
    /// The very character is meant, not the line as a whole.
    pub(crate) is_exact: bool,
}

impl Refusal {
    /// At the beginning of something in the file.
    pub(crate) fn at<T>(place: &Spanned<T>, reason: impl Into<String>) -> Self {
        Self {
            offset: place.span().start,
            reason: reason.into(),
            is_exact: false,
        }
    }
}

/// A file as read.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
}

impl File<'_> {
    pub(crate) fn parse<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        if self.text.len() > TEXT_BYTES_MAX {
            return Err(Refusal {
                offset: 0,
                reason: format!("longer than {TEXT_BYTES_MAX} bytes"),
                is_exact: false,
            });
        }
        toml::from_str(self.text).map_err(|error| Refusal {
            offset: error.span().map_or(0, |span| span.start),
            reason: error.message().lines().collect::<Vec<_>>().join(", "),
            is_exact: false,
        })
    }

    pub(crate) fn error(self, refusal: Refusal) -> LoadError {
        LoadError {
            file: self.path.to_owned(),
            line: self.line(refusal.offset),
            excerpt: refusal.is_exact.then(|| excerpt(self.text, refusal.offset)),
            reason: refusal.reason,
        }
    }

    /// The line of a byte of the file, from 1.
    pub(crate) fn line(self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        before.filter(|byte| *byte == b'\n').count() + 1
    }

    /// Puts a mistake in an expression at its place in the file.
    pub(crate) fn in_expression(self, source: &Spanned<String>, error: CompileError) -> Refusal {
        let start = source.span().start;
        let quoted = &self.text[start.min(self.text.len())..];
        let opening = quoted.bytes().take_while(|b| matches!(b, b'\'' | b'"'));
        let quotes = match opening.count() {
            // An empty text.
            2 => 1,
            count => count.min(3),
        };
        let has_escapes = quoted.starts_with('"');
        let mut offset = start + quotes;
        // A line break right after three quotes is no part of the text.
        if quotes == 3 {
            let rest = &self.text[offset.min(self.text.len())..];
            offset += rest.len() - rest.trim_start_matches('\r').len();
            offset += usize::from(self.text.as_bytes().get(offset) == Some(&b'\n'));
        }
        let written = self.text.get(offset..).unwrap_or_default();
        let within = match has_escapes {
            true => written_length(written, error.offset),
            false => error.offset,
        };
        Refusal {
            offset: offset + within,
            reason: error.reason,
            is_exact: true,
        }
    }
}

/// How many bytes of a text with escapes, as written, stand for so many bytes of what it means.
fn written_length(written: &str, meant_length: usize) -> usize {
    let (mut at, mut meant) = (0, 0);
    while meant < meant_length
        && let Some(first) = written[at..].chars().next()
    {
        let rest = &written[at + first.len_utf8()..];
        let (length, means) = match (first, rest.chars().next()) {
            ('\\', Some('u')) => (6, means_bytes(&rest[1..], 4)),
            ('\\', Some('U')) => (10, means_bytes(&rest[1..], 8)),
            ('\\', Some('x')) => (4, means_bytes(&rest[1..], 2)),
            ('\\', Some(c)) if c.is_whitespace() => (1 + rest.len() - rest.trim_start().len(), 0),
            ('\\', Some(c)) => (1 + c.len_utf8(), 1),
            (c, _) => (c.len_utf8(), c.len_utf8()),
        };
        at = (at + length).min(written.len());
        meant += means;
    }
    at
}

/// Of how many bytes the character of a hexadecimal number is.
fn means_bytes(hex: &str, digits: usize) -> usize {
    let number = hex
        .get(..digits)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok());
    number.and_then(char::from_u32).map_or(1, char::len_utf8)
}
