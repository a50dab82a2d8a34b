//! Standard output, a line at a time.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

/// Buffered standard output; what is printed appears with `flush`.
#[derive(Debug)]
pub(crate) struct Output(BufWriter<Stdout>);

impl Output {
    pub(crate) fn standard() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout()))
    }

    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.0, "{text}")
    }

    /// One line of JSON.
    pub(crate) fn json(&mut self, message: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string(message)?;
        writeln!(self.0, "{}", service::visible_json(&json))
    }

    /// For what writes bytes by itself.
    pub(crate) fn writer(&mut self) -> &mut impl Write {
        &mut self.0
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A line for people on standard error. A failure to write it is ignored.
pub(crate) fn note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}
