//! The file of tokens, taken up again when it changes.

use std::path::PathBuf;

use access::{Entry, Tokens};
use atlas_events::Clock;
use metrics::{counter, gauge};
use tracing::{info, warn};

use crate::StartError;

/// The file and what it held when it was last read.
#[derive(Debug, Clone)]
pub(super) struct TokensFile {
    path: PathBuf,
    tokens: Tokens,
    seen: Result<String, String>,
}

/// Reads and checks a file of tokens.
///
/// # Errors
/// What is wrong, in words that repeat nothing of the file but names.
pub(super) fn read(path: &std::path::Path) -> Result<(String, Vec<Entry>), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let entries = access::parse(&text).map_err(|error| error.to_string())?;
    Ok((text, entries))
}

impl TokensFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, StartError> {
        let (text, entries) = read(&path).map_err(|problem| StartError::Tokens {
            file: path.clone(),
            problem,
        })?;
        let tokens = Tokens::new(entries, Clock::system());
        let seen = Ok(text);
        Ok(Self { path, tokens, seen })
    }

    pub(super) fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }

    /// Has what the file holds now hold from now on, if that has changed and can be used; else what
    /// holds goes on, and it is told once why.
    pub(super) async fn reload(&mut self, prefix: &'static str) {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || read(&path));
        let Ok(read) = reading.await else {
            return;
        };
        let (seen, entries) = match read {
            Ok((text, entries)) => (Ok(text), Some(entries)),
            Err(problem) => (Err(problem), None),
        };
        gauge!(format!("{prefix}_tokens")).set(self.tokens.count() as f64);
        if seen == self.seen {
            return;
        }
        match (&seen, entries) {
            (Err(problem), _) => {
                let file = self.path.display();
                warn!(%file, %problem, "the tokens that hold go on to hold");
                counter!(format!("{prefix}_security_reload_failures_total"), "what" => "tokens")
                    .increment(1);
            }
            (Ok(_), entries) => {
                let entries = entries.unwrap_or_default();
                info!(count = entries.len(), "changed tokens hold from now on");
                self.tokens.replace(entries);
            }
        }
        self.seen = seen;
    }
}
