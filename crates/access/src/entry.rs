//! What the file of tokens holds of each.

use std::{fmt, num::NonZeroU32, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};

use crate::secret::TokenHash;

/// A kind of operation. Each operation needs exactly one, and none includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Reading events, series, patterns.
    Read,
    /// Publishing events.
    Publish,
    /// Changing what a service does, and what operators look at.
    Admin,
    /// Reading rules, channels, alerts and deliveries: one's own, unless one also has
    /// [`Scope::Admin`].
    AlertsRead,
    /// Changing them.
    AlertsWrite,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Publish,
        Self::Admin,
        Self::AlertsRead,
        Self::AlertsWrite,
    ];

    /// All there are, for people.
    pub(crate) fn known() -> String {
        let names = Self::ALL.map(Self::name);
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        format!("{} and {last}", others.join(", "))
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Admin => "admin",
            Self::AlertsRead => "alerts:read",
            Self::AlertsWrite => "alerts:write",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("\"{text}\" is no scope; known are {}", Self::known()))
    }
}

/// How a client proves that an entry is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By the token with this hash.
    Token(TokenHash),
    /// By a certificate of a trusted authority, which this names: its subject such as `CN=grafana`,
    /// or `URI:`, `DNS:` or `SHA256:` and what follows, in the one form in which names are compared.
    Certificate(String),
}

/// What one client may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For people: in the audit log, in log lines.
    pub name: Arc<str>,
    /// How the client proves who it is.
    pub identity: Identity,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// Only events of these source services; `None`: any.
    pub sources: Option<Arc<[String]>>,
    /// Only events of these types, as filters spell them; `None`: any.
    pub event_types: Option<Arc<[String]>>,
    /// Only what is about these series; `None`: anything.
    pub series: Option<Arc<[String]>>,
    /// From then on it is as though there was no such entry.
    pub expires: Option<DateTime<Utc>>,
    /// At most this many events published in a second, and at once.
    pub events_per_second: Option<NonZeroU32>,
    /// At most this many bytes of events in one publish.
    pub batch_bytes_max: Option<u64>,
    /// At most this many open subscriptions, range reads and publish streams, together.
    pub streams_max: Option<u32>,
}

impl Entry {
    /// An entry that may do everything that `scopes` name.
    pub fn new(name: &str, identity: Identity, scopes: Vec<Scope>) -> Self {
        Self {
            name: name.into(),
            identity,
            scopes,
            sources: None,
            event_types: None,
            series: None,
            expires: None,
            events_per_second: None,
            batch_bytes_max: None,
            streams_max: None,
        }
    }
}
