//! The table of registered types.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_types::{DescriptorSet, Mode, Version};
use sqlx::PgConnection;

use super::RegisteredVersion;

/// One version of a subject.
pub(super) struct Row {
    pub(super) id: i64,
    subject: String,
    version: i32,
    compatibility: String,
    descriptors: Vec<u8>,
    registered_at: DateTime<Utc>,
    registered_by: String,
}

impl Row {
    /// With its types linked, or its name and what is wrong with it.
    pub(super) fn parse(self) -> Result<RegisteredVersion, (String, String)> {
        let named = |problem: String| (format!("{} {}", self.subject, self.version), problem);
        let number = u32::try_from(self.version).map_err(|_| named("its number".to_owned()))?;
        let mode = Mode::from_stored(&self.compatibility)
            .ok_or_else(|| named(format!("the compatibility {}", self.compatibility)))?;
        let set =
            DescriptorSet::parse(&self.descriptors).map_err(|error| named(error.to_string()))?;
        Ok(RegisteredVersion {
            subject: self.subject,
            version: Version {
                number,
                mode,
                set: Arc::new(set),
            },
            registered_at: self.registered_at,
            registered_by: self.registered_by,
        })
    }
}

/// The rows behind one, in the order of their commits.
pub(super) async fn after(connection: &mut PgConnection, id: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select id, subject, version, compatibility, descriptors, registered_at, registered_by
         from event_types where id > $1 order by id",
        id,
    )
    .fetch_all(connection)
    .await
}

/// Until the end of the transaction nobody else adds a row; rows are read all the same.
pub(super) async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("lock table event_types in share row exclusive mode")
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    subject: &str,
    version: &Version,
    by: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into event_types (subject, version, compatibility, descriptors, registered_by)
         values ($1, $2, $3, $4, $5)",
        subject,
        i32::try_from(version.number).unwrap_or(i32::MAX),
        version.mode.as_str(),
        &**version.set.encoded(),
        by,
    )
    .execute(connection)
    .await?;
    Ok(())
}
