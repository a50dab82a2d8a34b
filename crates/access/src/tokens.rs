//! The entries that hold now, and finding that of a client.

use std::sync::{Arc, PoisonError, RwLock};

use atlas_events::Clock;
use tokio::sync::watch;

use crate::{Access, Certificate, Denied, Entry, Identity, bounds::Use, secret::TokenHash};

/// The entries that hold now; clones are the same. They can be replaced while they are in use.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    held: RwLock<Vec<Held>>,
    changes: watch::Sender<()>,
    clock: Clock,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    used: Arc<Use>,
}

impl Tokens {
    /// With these entries.
    pub fn new(entries: Vec<Entry>, clock: Clock) -> Self {
        let tokens = Self(Arc::new(Inner {
            held: RwLock::default(),
            changes: watch::Sender::new(()),
            clock,
        }));
        tokens.replace(entries);
        tokens
    }

    /// From now on these entries hold. Streams of those that are gone or say something else end; what
    /// the others have used of their limits stays used.
    pub fn replace(&self, entries: Vec<Entry>) {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let next: Vec<Held> = entries
            .into_iter()
            .map(|entry| {
                let before = held.iter().find(|held| held.entry == entry);
                let used = before.map_or_else(|| Use::new(&entry), |held| Arc::clone(&held.used));
                Held { entry, used }
            })
            .collect();
        *held = next;
        drop(held);
        self.0.changes.send_replace(());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.held().len()
    }

    /// The access of whoever presents a token.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`], whether there is no such entry or it has expired.
    pub fn by_token(&self, token: &str) -> Result<Access, Denied> {
        let presented = TokenHash::of(token);
        // All are compared, so that the time reveals neither which one it is nor whether it is any.
        let held = self.held();
        let mut found = None;
        for candidate in held.iter() {
            if let Identity::Token(hash) = &candidate.entry.identity
                && hash.is(&presented)
            {
                found = Some(candidate);
            }
        }
        self.access(found)
    }

    /// The access of whoever has a certificate of a trusted authority. Of entries that name it in
    /// different ways the one with its fingerprint counts, else its URI, DNS name, subject.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn by_certificate(&self, certificate: &Certificate) -> Result<Access, Denied> {
        let held = self.held();
        let of_name = |name: &str| {
            held.iter().find(|held| match &held.entry.identity {
                Identity::Certificate(known) => known == name,
                Identity::Token(_) => false,
            })
        };
        self.access(certificate.names().find_map(of_name))
    }

    fn access(&self, found: Option<&Held>) -> Result<Access, Denied> {
        let held = found.filter(|held| self.is_valid(&held.entry));
        let held = held.ok_or(Denied::Unauthenticated)?;
        let (entry, used) = (held.entry.clone(), Arc::clone(&held.used));
        Ok(Access::granted(entry, used, Some(self.clone())))
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Vec<Held>> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_valid(&self, entry: &Entry) -> bool {
        entry.expires.is_none_or(|at| self.0.clock.now() < at)
    }

    /// Whether an entry is still there, says the same, and has not expired.
    pub(crate) fn still_holds(&self, entry: &Entry) -> bool {
        self.is_valid(entry) && self.held().iter().any(|held| held.entry == *entry)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}
