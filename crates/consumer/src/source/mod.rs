//! Where events come from: a log over gRPC, or one of the same process. What differs between the two
//! is in here; all else is the same code.

pub(crate) mod cursor;
mod grpc;
pub(crate) mod history;
mod in_process;
pub(crate) mod lag;
pub(crate) mod reader;
pub(crate) mod running;
mod verify;

use std::{sync::Arc, time::Duration};

use access::CredentialFiles;
use atlas_events::{Clock, Event, WantedEvents};
use chrono::{DateTime, Utc};
use event_log::{EventLog, LogError, Unverified};
use ulid::Ulid;
use uuid::Uuid;

use self::{grpc::Grpc, in_process::InProcess};
use crate::ConsumerError;

/// Where a consumer begins that has no checkpoint for a source yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With the first event that the log keeps.
    #[default]
    Beginning,
    /// With the first event that occurred at or after a time.
    Time(DateTime<Utc>),
    /// With what is stored from then on.
    Live,
}

/// A log to consume.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) filter: WantedEvents,
    pub(crate) start_at: StartAt,
}

impl Source {
    /// The log that is served at `url`, such as `http://collector:5001`, under a name of 1 to 100
    /// characters that stays the same for as long as the checkpoint is to be found.
    ///
    /// # Errors
    /// [`ConsumerError::Address`].
    pub fn grpc(name: &str, url: &str) -> Result<Self, ConsumerError> {
        Ok(Self::new(
            name,
            Origin::Grpc(Arc::new(Grpc::new(name, url)?)),
        ))
    }

    /// The log that is served at `url`, as [`Source::grpc`], by a server that asks for a token or a
    /// certificate, or that has one of an authority of its own. The files are read again when a
    /// connection is made anew.
    ///
    /// # Errors
    /// [`ConsumerError::Address`], also if a file cannot be used.
    pub fn grpc_with(name: &str, url: &str, files: CredentialFiles) -> Result<Self, ConsumerError> {
        let grpc = Grpc::new(name, url)?.with_credentials(files)?;
        Ok(Self::new(name, Origin::Grpc(Arc::new(grpc))))
    }

    /// A log of the same process.
    pub fn in_process(name: &str, log: EventLog) -> Self {
        Self::new(name, Origin::InProcess(log))
    }

    fn new(name: &str, origin: Origin) -> Self {
        Self {
            name: name.into(),
            origin,
            filter: WantedEvents::default(),
            start_at: StartAt::default(),
        }
    }

    /// Only the events that `filter` wants. Without a filter the consumer proves that it missed
    /// nothing.
    #[must_use]
    pub fn filtered(self, filter: WantedEvents) -> Self {
        Self { filter, ..self }
    }

    /// Where to begin while there is no checkpoint; the beginning if not set.
    #[must_use]
    pub fn starting_at(self, start_at: StartAt) -> Self {
        Self { start_at, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Grpc(Arc<Grpc>),
    InProcess(EventLog),
}

/// What a log says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogState {
    pub(crate) log_id: Uuid,
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    /// Whether events are left out that this client may not see.
    pub(crate) limited: bool,
}

/// Where a stream is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    After(u64),
    Since(DateTime<Utc>),
    Live,
}

/// What is asked of a log.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) begin: Begin,
    pub(crate) filter: WantedEvents,
    pub(crate) log_id: Uuid,
    /// Name of the service.
    pub(crate) consumer: String,
    pub(crate) heartbeat_interval: Duration,
}

/// Why a source gives nothing.
#[derive(Debug)]
pub(crate) enum SourceFault {
    /// Passes by itself, perhaps: to be asked again.
    Lost(String),
    /// The cursor lies outside what the log holds.
    OutOfRange(String),
    /// It is another log now.
    OtherLog(String),
    /// The log went back to an earlier moment.
    WentBack {
        reason: String,
        /// Where it ended then, if reported.
        last_position: Option<u64>,
    },
    /// The log is damaged.
    Damaged(String),
    /// The request itself is wrong.
    Refused(String),
}

impl From<LogError> for SourceFault {
    fn from(error: LogError) -> Self {
        let reason = error.to_string();
        match error {
            LogError::Trimmed { .. }
            | LogError::TrimmedTime { .. }
            | LogError::BeyondHead { .. } => Self::OutOfRange(reason),
            LogError::Unverified(Unverified::WentBack { last_position, .. }) => Self::WentBack {
                reason,
                last_position: Some(last_position),
            },
            LogError::Unverified(Unverified::Replaced { .. }) => Self::OtherLog(reason),
            LogError::Hole { .. } => Self::Damaged(reason),
            LogError::ExtensionMissing { .. }
            | LogError::Unsupported { .. }
            | LogError::SchemaName(_)
            | LogError::Session(_)
            | LogError::Migration(_)
            | LogError::TooOld { .. }
            | LogError::Overloaded
            | LogError::PrecedingNotStored
            | LogError::Closed
            | LogError::OutcomeUnknown(_)
            | LogError::Unverified(
                Unverified::OutOfContact { .. } | Unverified::NotDurable { .. },
            )
            | LogError::Database(_) => Self::Lost(reason),
        }
    }
}

/// Where a log has an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    At(u64),
    Nowhere,
    /// It cannot be asked.
    Unknown(String),
}

impl Origin {
    /// Where the log has an event.
    pub(crate) async fn find(&self, event_id: &str) -> Result<Found, SourceFault> {
        match self {
            Self::Grpc(grpc) => grpc.find(event_id).await,
            Self::InProcess(log) => {
                let Ok(id) = Ulid::from_string(event_id) else {
                    return Ok(Found::Unknown("its id is no ULID".to_owned()));
                };
                let found = log.find(id).await?;
                Ok(found.map_or(Found::Nowhere, |event| Found::At(event.position)))
            }
        }
    }

    /// Identity and bounds of the log.
    pub(crate) async fn state(&self) -> Result<LogState, SourceFault> {
        match self {
            Self::Grpc(grpc) => grpc.state().await,
            Self::InProcess(log) => {
                let head = log.head().await?;
                Ok(LogState {
                    log_id: head.log_id,
                    first_position: head.first_position,
                    last_position: head.last_position,
                    limited: false,
                })
            }
        }
    }

    /// Begins a stream.
    pub(crate) async fn subscribe(
        &self,
        subscription: Subscription,
        clock: &Clock,
    ) -> Result<Feed, SourceFault> {
        Ok(match self {
            Self::Grpc(grpc) => Feed::Grpc(Box::new(grpc.subscribe(subscription).await?)),
            Self::InProcess(log) => {
                Feed::InProcess(InProcess::subscribe(log, subscription, clock.clone()).await?)
            }
        })
    }

    /// Makes new connections from now on: one may be of no use although it seems open.
    pub(crate) fn reconnect(&self) {
        if let Self::Grpc(grpc) = self {
            grpc.reconnect();
        }
    }
}

/// A stream of events and markers, as the contract describes it.
#[derive(Debug)]
pub(crate) enum Feed {
    Grpc(Box<grpc::Stream>),
    InProcess(InProcess),
}

impl Feed {
    /// What has arrived, waiting for it if need be: at least one event or marker, and not many more
    /// than [`CHUNK_EVENTS_MAX`] events or [`CHUNK_BYTES_MAX`] bytes. May be dropped and called
    /// again without loss.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, SourceFault> {
        match self {
            Self::Grpc(stream) => stream.next().await,
            Self::InProcess(follower) => follower.next().await,
        }
    }
}

/// Events taken at once.
pub(crate) const CHUNK_EVENTS_MAX: usize = 512;
/// Bytes taken at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 1024 * 1024;
