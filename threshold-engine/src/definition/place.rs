use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::expression::CompileError;

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
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.reason),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.reason),
        }
    }
}

impl std::error::Error for LoadError {}

/// A mistake at a byte of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

impl Refusal {
    /// At the beginning of something in the file.
    pub(crate) fn at<T>(place: &Spanned<T>, reason: impl Into<String>) -> Self {
        Self {
            offset: place.span().start,
            reason: reason.into(),
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
            });
        }
        toml::from_str(self.text).map_err(|error| Refusal {
            offset: error.span().map_or(0, |span| span.start),
            reason: error.message().lines().collect::<Vec<_>>().join(", "),
        })
    }

    pub(crate) fn error(self, refusal: Refusal) -> LoadError {
        LoadError {
            file: self.path.to_owned(),
            line: self.line(refusal.offset),
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
        let mut offset = start + opening.count().min(3);
        // A line break right after three quotes is no part of the text.
        if self.text.as_bytes().get(offset) == Some(&b'\n') {
            offset += 1;
        }
        Refusal {
            offset: offset + error.offset,
            reason: error.reason,
        }
    }
}
