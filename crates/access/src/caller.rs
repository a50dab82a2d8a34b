//! Who calls, and what is recorded of it.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};

use crate::{Access, Certificate, bounds::origin};

/// The other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Its certificate, which a trusted authority has signed.
    pub certificate: Option<Arc<Certificate>>,
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What it may do.
    pub access: Access,
    /// Where it is.
    pub peer: Peer,
    detail: Arc<OnceLock<String>>,
}

impl Caller {
    /// Somebody who was admitted.
    pub fn new(access: Access, peer: Peer) -> Self {
        Self {
            access,
            peer,
            detail: Arc::default(),
        }
    }

    /// Name of its entry, else the subject of its certificate, else `anonymous`.
    pub fn name(&self) -> &str {
        let certificate = self.peer.certificate.as_deref().map(Certificate::shown);
        self.access.name().or(certificate).unwrap_or("anonymous")
    }

    /// Says for the audit log what the call is to do. Only the first saying counts.
    pub fn note(&self, detail: impl fmt::Display) {
        let _ = self.detail.set(detail.to_string());
    }

    /// Whose share of what is bounded for each caller the call takes from: that of its entry or
    /// certificate, else that of its address.
    pub fn share(&self) -> String {
        match (self.name(), self.peer.address) {
            ("anonymous", Some(address)) => origin(address.ip()).to_string(),
            (name, _) => name.to_owned(),
        }
    }

    /// The record of the call. `is_refused` says that it certainly changed nothing.
    pub fn record(
        &self,
        at: DateTime<Utc>,
        action: impl Into<String>,
        outcome: impl Into<String>,
        is_refused: bool,
    ) -> AuditRecord {
        AuditRecord {
            at,
            who: self.name().to_owned(),
            from: self.peer.address.map(|address| address.ip().to_string()),
            action: action.into(),
            detail: self.detail.get().cloned().unwrap_or_default(),
            outcome: outcome.into(),
            is_refused,
            share: self.share(),
        }
    }
}

/// An administrative action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// Name of the entry, else the subject of the certificate, else `anonymous`.
    pub who: String,
    /// Address of the client, without port.
    pub from: Option<String>,
    /// Method and path, or the name of the RPC.
    pub action: String,
    /// What was asked for; may be empty.
    pub detail: String,
    /// How it was answered: `ok`, or why not.
    pub outcome: String,
    /// Whether it certainly changed nothing. Of such records only so many are kept of one caller.
    pub is_refused: bool,
    /// Whose share of these it takes from.
    pub share: String,
}

/// What keeping a record is.
pub type Recording<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where administrative actions are recorded.
pub trait AuditLog: fmt::Debug + Send + Sync {
    /// Keeps a record. Failures are reported to operators and not to the client: the action has been
    /// carried out.
    fn record(&self, record: AuditRecord) -> Recording<'_>;
}
