//! Records of administrative actions: a row in the table `audit`, and a line of the target `audit`.

mod refused;

use std::sync::Arc;

use access::{AuditLog, AuditRecord, Recording};
use chrono::{DateTime, Utc};
use metrics::{Counter, counter};
use sqlx::{PgPool, migrate::Migrator};
use tracing::{error, info, warn};

use crate::StartError;
use refused::{LeftOut, Refused, WINDOW};

static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("service_migrations"),
    ..sqlx::migrate!("../../migrations/service")
};

/// What is kept of the detail of an action.
const DETAIL_CHARS_MAX: usize = 2_000;

/// The audit log of a service; clones are the same.
#[derive(Clone)]
pub struct Audit {
    pool: PgPool,
    refused: Arc<Refused>,
    left_out: Counter,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit")
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// A record, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// In the order of the actions.
    pub number: i64,
    /// What was recorded.
    pub at: DateTime<Utc>,
    /// Name of the token, else the subject of the certificate, else `anonymous`.
    pub who: String,
    /// Address of the client.
    pub from_address: Option<String>,
    /// Method and path, or the name of the RPC.
    pub action: String,
    /// What was asked for.
    pub detail: String,
    /// `ok`, or why not.
    pub outcome: String,
}

impl Audit {
    /// Brings the table to this version. `prefix` is the first part of the names of metrics.
    ///
    /// # Errors
    /// [`StartError::Migration`] or [`StartError::Newer`].
    pub async fn open(pool: PgPool, prefix: &str) -> Result<Self, StartError> {
        event_log::run_migrations(&pool, &MIGRATOR).await?;
        let left_out = counter!(format!("{prefix}_audit_unrecorded_total"));
        left_out.increment(0);
        Ok(Self {
            pool,
            refused: Arc::default(),
            left_out,
        })
    }

    /// Says from time to time how many refused calls were not recorded. Never ends.
    pub(crate) async fn summarize(&self) {
        let mut timer = tokio::time::interval(WINDOW);
        loop {
            timer.tick().await;
            if let Some(LeftOut {
                calls,
                callers,
                most_of,
            }) = self.refused.begin_window()
            {
                let window_seconds = WINDOW.as_secs();
                warn!(
                    target: "audit",
                    calls, callers, most_of, window_seconds,
                    "refused administrative calls were not recorded"
                );
            }
        }
    }

    /// At most `count_max` records, the newest first; `before` is the number of the last one known.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(
        &self,
        before: Option<i64>,
        count_max: u32,
    ) -> Result<Vec<Audited>, sqlx::Error> {
        sqlx::query_as!(
            Audited,
            "select number, at, who, from_address, action, detail, outcome from audit
             where $1::bigint is null or number < $1 order by number desc limit $2",
            before,
            i64::from(count_max),
        )
        .fetch_all(&self.pool)
        .await
    }

    async fn insert(&self, record: &AuditRecord) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into audit (at, who, from_address, action, detail, outcome)
             values ($1, $2, $3, $4, $5, $6)",
            record.at,
            record.who,
            record.from,
            record.action,
            record.detail,
            record.outcome,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl AuditLog for Audit {
    fn record(&self, record: AuditRecord) -> Recording<'_> {
        let record = AuditRecord {
            action: storable(&record.action),
            detail: storable(&record.detail),
            who: storable(&record.who),
            ..record
        };
        Box::pin(async move {
            if record.is_refused && !self.refused.admit(&record.share) {
                self.left_out.increment(1);
                return;
            }
            let AuditRecord {
                who,
                action,
                detail,
                outcome,
                ..
            } = &record;
            let from = record.from.as_deref().unwrap_or_default();
            info!(target: "audit", who, from, action, detail, outcome, "administrative action");
            if let Err(problem) = self.insert(&record).await {
                error!(
                    target: "audit", who, action, %problem,
                    "the audit record could not be stored"
                );
            }
        })
    }
}

/// What the database can store, of bounded length.
fn storable(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(printable).take(DETAIL_CHARS_MAX).collect()
}
