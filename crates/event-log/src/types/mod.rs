//! The protobuf types that services registered for their events: kept in the schema of the log, and in
//! the memory of every process as a snapshot that is replaced as a whole.

mod json;
pub(crate) mod payloads;
mod rows;

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use event_types::{DescriptorSet, Proposal, Refusal, Registry, SetError, Version};
use sqlx::{Connection, PgPool};
use tokio::{sync::Mutex, task::spawn_blocking, time::interval};
use tracing::{debug, warn};

use crate::{EventLog, LogError, database};

/// What one process registers, all know after so long.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);
/// Reading or adding types is given up after so long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why types could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    /// They are not as they have to be; nothing was registered.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log could not be asked. Registering the same again answers whether it was registered.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<sqlx::Error> for TypesError {
    fn from(error: sqlx::Error) -> Self {
        Self::Log(error.into())
    }
}

/// A version of a subject that is registered.
#[derive(Debug, Clone)]
pub struct RegisteredVersion {
    /// The name that its versions have in common.
    pub subject: String,
    /// The version and its types.
    pub version: Version,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// Who registered it.
    pub registered_by: String,
}

/// What a process knows.
#[derive(Debug, Default)]
pub(crate) struct KnownTypes {
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held by whoever reads what is new.
    refreshing: Mutex<()>,
}

/// All that was registered, up to a row.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    registry: Registry,
    versions: Vec<Arc<RegisteredVersion>>,
    last_row: i64,
}

impl Snapshot {
    /// The types.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The versions of all subjects, in the order in which they were registered.
    pub fn versions(&self) -> &[Arc<RegisteredVersion>] {
        &self.versions
    }

    /// A version of a subject; the newest one if no number is given.
    pub fn version(&self, subject: &str, number: Option<u32>) -> Option<&Arc<RegisteredVersion>> {
        let mut of_subject = (self.versions.iter().rev()).filter(|known| known.subject == subject);
        of_subject.find(|known| number.is_none_or(|number| known.version.number == number))
    }

    /// With more rows. Takes long where sets are large.
    fn with(mut self, rows: Vec<rows::Row>) -> Self {
        for row in rows {
            self.last_row = row.id;
            match row.parse() {
                Ok(known) => {
                    self.registry = self.registry.with(&known.subject, known.version.clone());
                    self.versions.push(Arc::new(known));
                }
                // Registered by a program that takes what this one does not.
                Err((name, problem)) => {
                    warn!(types = name, %problem, "registered types are passed over");
                }
            }
        }
        self
    }
}

impl KnownTypes {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        let known = self.snapshot.read();
        Arc::clone(&known.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn replace(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let known = self.snapshot.write();
        let mut known = known.unwrap_or_else(std::sync::PoisonError::into_inner);
        // Two may have read at once.
        if known.last_row < snapshot.last_row {
            *known = Arc::clone(&snapshot);
        }
        snapshot
    }

    /// Reads what was registered since.
    pub(crate) async fn refresh(&self, pool: &PgPool) -> Result<(), LogError> {
        let _turn = self.refreshing.lock().await;
        let known = self.snapshot();
        let reading = async {
            let mut connection = pool.acquire().await?;
            Ok::<_, LogError>(rows::after(&mut connection, known.last_row).await?)
        };
        let rows = database::within(TIMEOUT, reading).await?;
        if !rows.is_empty() {
            let snapshot = (*known).clone();
            let read = spawn_blocking(move || snapshot.with(rows)).await;
            self.replace(read.map_err(|_| LogError::Closed)?);
        }
        Ok(())
    }

    /// Follows what any process registers, until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>, pool: PgPool) {
        let mut timer = interval(REFRESH_INTERVAL);
        loop {
            timer.tick().await;
            if let Err(error) = self.refresh(&pool).await {
                debug!(%error, "registered types could not be read; trying again");
            }
        }
    }
}

impl EventLog {
    /// The types that are registered, as far as this process knows: what another one registered is
    /// known after half a second.
    pub fn types(&self) -> Arc<Snapshot> {
        self.known_types().snapshot()
    }

    /// Reads a set of descriptors that somebody uploaded.
    ///
    /// # Errors
    /// [`TypesError::Refused`]: it cannot be used.
    pub async fn parse_types(encoded: Vec<u8>) -> Result<Arc<DescriptorSet>, TypesError> {
        let parsed = spawn_blocking(move || DescriptorSet::parse(&encoded)).await;
        match parsed {
            Ok(set) => Ok(Arc::new(set.map_err(Refusal::Set)?)),
            Err(_) => Err(Refusal::Set(SetError::Malformed).into()),
        }
    }

    /// What registering would come to; nothing is registered.
    ///
    /// # Errors
    /// [`TypesError`], as for [`EventLog::register_types`].
    pub async fn check_types(&self, proposal: Proposal) -> Result<Version, TypesError> {
        self.known_types().refresh(self.pool()).await?;
        let snapshot = self.types();
        checked(snapshot, proposal).await
    }

    /// Registers a version of a subject, or finds that its newest version declares the same. Returns it,
    /// and whether it is new.
    ///
    /// # Errors
    /// [`TypesError::Refused`] if it is not as it has to be, or [`TypesError::Log`].
    pub async fn register_types(
        &self,
        proposal: Proposal,
        by: &str,
    ) -> Result<(Arc<RegisteredVersion>, bool), TypesError> {
        let adding = async { Ok::<_, LogError>(self.add(proposal, by).await) };
        let (subject, number, is_new) = database::within(TIMEOUT, adding).await??;
        self.known_types().refresh(self.pool()).await?;
        let known = self.types().version(&subject, Some(number)).cloned();
        Ok((known.ok_or(LogError::Closed)?, is_new))
    }

    async fn add(&self, proposal: Proposal, by: &str) -> Result<(String, u32, bool), TypesError> {
        let mut connection = self.pool().acquire().await?;
        let mut transaction = connection.begin().await?;
        // Whoever registers comes after all that is registered, and is judged by it.
        rows::lock(&mut transaction).await?;
        let known = self.types();
        let rows = rows::after(&mut transaction, known.last_row).await?;
        let snapshot = match rows.is_empty() {
            true => known,
            false => {
                let snapshot = (*known).clone();
                let read = spawn_blocking(move || Arc::new(snapshot.with(rows))).await;
                read.map_err(|_| LogError::Closed)?
            }
        };
        let (subject, latest) = {
            let subject = proposal.subject.clone();
            let latest = snapshot.version(&subject, None);
            (subject, latest.map_or(0, |latest| latest.version.number))
        };
        let version = checked(snapshot, proposal).await?;
        let is_new = version.number > latest;
        if is_new {
            rows::insert(&mut transaction, &subject, &version, by).await?;
        }
        transaction
            .commit()
            .await
            .map_err(LogError::OutcomeUnknown)?;
        Ok((subject, version.number, is_new))
    }
}

/// Comparing large sets with many versions takes long.
async fn checked(snapshot: Arc<Snapshot>, proposal: Proposal) -> Result<Version, TypesError> {
    let checking = spawn_blocking(move || snapshot.registry.check(&proposal)).await;
    Ok(checking.map_err(|_| LogError::Closed)??)
}
