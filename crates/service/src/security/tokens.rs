//! The file of tokens, taken up again when it changes.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use access::{Entry, Tokens};
use atlas_events::Clock;
use metrics::{counter, gauge};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{error, info};

use super::file;
use crate::StartError;

/// The file and what it held when it was last read.
#[derive(Debug, Clone)]
pub(super) struct TokensFile {
    path: PathBuf,
    tokens: Tokens,
    seen: Result<String, String>,
    /// How long its tokens are admitted while it cannot be used.
    unreadable_max: Duration,
    /// Since when it cannot be used.
    unreadable_since: Option<Instant>,
    is_closed: bool,
}

/// A text and its entries, or what is wrong, in words that repeat nothing of the file but names.
pub(super) type ReadFile = Result<(String, Vec<Entry>), String>;

/// How long a file may take to be read; what takes longer counts as unreadable until it ends.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads and checks a file of tokens.
pub(super) fn read(path: &Path) -> ReadFile {
    let bytes = file::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| "cannot be read: it is not UTF-8".to_owned())?;
    let entries = access::parse(&text).map_err(|error| error.to_string())?;
    Ok((text, entries))
}

impl TokensFile {
    pub(super) fn open(path: PathBuf, unreadable_max: Duration) -> Result<Self, StartError> {
        let (text, entries) = read(&path).map_err(|problem| StartError::Tokens {
            file: path.clone(),
            problem,
        })?;
        let tokens = Tokens::new(entries, Clock::system());
        let seen = Ok(text);
        Ok(Self {
            path,
            tokens,
            seen,
            unreadable_max,
            unreadable_since: None,
            is_closed: false,
        })
    }

    pub(super) fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }

    /// Has what the file holds now hold from now on, if that has changed and can be used. Else what
    /// holds goes on for a while: somebody may be writing the file, but a token may also have been
    /// revoked in it. After that nobody is admitted until the file can be used.
    ///
    /// `under_way` is a read that has not ended yet, such as one of a mount whose server is away.
    pub(super) async fn reload(
        &mut self,
        prefix: &'static str,
        under_way: &mut Option<JoinHandle<ReadFile>>,
    ) {
        let path = self.path.clone();
        let reading = under_way.take();
        let mut reading = reading.unwrap_or_else(|| spawn_blocking(move || read(&path)));
        let read = match timeout(READ_TIMEOUT, &mut reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_panicked)) => return,
            Err(_) => {
                *under_way = Some(reading);
                Err("cannot be read: the file system does not answer".to_owned())
            }
        };
        match read {
            Ok((text, entries)) => self.readable(text, entries),
            Err(problem) => self.unreadable(problem, prefix),
        }
        let unreadable = self.unreadable_since.map(|since| since.elapsed());
        let seconds = unreadable.unwrap_or_default().as_secs_f64();
        gauge!(format!("{prefix}_tokens_unreadable_seconds")).set(seconds);
        gauge!(format!("{prefix}_tokens")).set(self.tokens.count() as f64);
    }

    fn readable(&mut self, text: String, entries: Vec<Entry>) {
        self.unreadable_since = None;
        self.is_closed = false;
        let seen = Ok(text);
        if seen != self.seen {
            info!(count = entries.len(), "the changed tokens are in effect");
            self.tokens.replace(entries);
            self.seen = seen;
        }
    }

    fn unreadable(&mut self, problem: String, prefix: &'static str) {
        let since = *self.unreadable_since.get_or_insert_with(Instant::now);
        let file = self.path.display();
        let seen = Err(problem.clone());
        if seen != self.seen {
            let seconds = self.unreadable_max.as_secs();
            error!(
                %file, %problem,
                "the tokens file cannot be used; the tokens read before stay valid for at most \
                 {seconds} s"
            );
            counter!(format!("{prefix}_security_reload_failures_total"), "what" => "tokens")
                .increment(1);
            self.seen = seen;
        }
        if !self.is_closed && since.elapsed() >= self.unreadable_max {
            error!(
                %file, %problem,
                "the tokens file could not be used for too long; every caller is refused until it \
                 can"
            );
            self.tokens.replace(Vec::new());
            self.is_closed = true;
        }
    }
}
