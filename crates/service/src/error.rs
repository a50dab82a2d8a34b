use std::{io, net::SocketAddr, path::PathBuf};

use consumer::ConsumerError;
use event_log::LogError;
use sqlx::migrate::MigrateError;

use crate::security::TlsProblem;

/// Why a service could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error(
        "cannot listen at {address} for {part}: {}; {}",
        plain(source),
        advice(source, key)
    )]
    Listen {
        /// REST or gRPC.
        part: &'static str,
        /// The setting that holds the address, as a variable.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    /// The file of tokens cannot be used.
    #[error("auth.tokens_file: {}: {problem}", .file.display())]
    Tokens {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The listener of REST does not work.
    #[error("the listener of REST does not work: {0}")]
    Listener(io::Error),
    /// A source cannot be consumed as it is configured.
    #[error(transparent)]
    Consumer(ConsumerError),
    /// The database cannot be used.
    #[error("{problem}; {advice}")]
    Database {
        /// What is wrong. Free of secrets.
        problem: String,
        /// What to do.
        advice: &'static str,
        /// What the database said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(LogError),
    /// The tables in the database cannot be brought to this version.
    #[error("the database cannot be brought to this version: {0}")]
    Migration(MigrateError),
    /// A newer version of the service has changed the tables.
    #[error(
        "the database is of a newer version (it has migration {migration}); run a \
         program that is as new, or name another database.schema"
    )]
    Newer {
        /// The migration that this one does not know.
        migration: i64,
    },
}

impl From<MigrateError> for StartError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(migration) => Self::Newer { migration },
            error => Self::Migration(error),
        }
    }
}

impl From<ConsumerError> for StartError {
    fn from(error: ConsumerError) -> Self {
        match error {
            ConsumerError::Migration(error) => error.into(),
            error => Self::Consumer(error),
        }
    }
}

/// A part of a service ended that was not to end.
#[derive(Debug, thiserror::Error)]
#[error("{part} ended: {reason}")]
pub struct PartEnded {
    /// Which.
    pub part: &'static str,
    /// Why.
    pub reason: String,
}

fn plain(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "that is not permitted".to_owned(),
        _ => source.to_string(),
    }
}

fn advice(source: &io::Error, key: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!("end it, or set {key} to another address"),
        _ => format!("set {key} to another address"),
    }
}
