//! Stored states of the memory.

use sqlx::{PgConnection, PgExecutor};

use super::{Change, Head, Put, Recorded, changes::kind_of};
use crate::snapshot::Hash;

/// So many snapshots are kept.
const KEPT: i64 = 2;

/// A state that was stored.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) snapshot: i64,
    pub(crate) format: i32,
    pub(crate) evaluation: i32,
    /// Behind which it was taken.
    pub(crate) recorded: Recorded,
    pub(crate) manifest: String,
    /// SHA-256 of the manifest.
    pub(crate) checksum: Vec<u8>,
}

/// All that are kept, the newest first.
pub(crate) async fn snapshots(database: impl PgExecutor<'_>) -> Result<Vec<Snapshot>, sqlx::Error> {
    let rows = sqlx::query!(
        "select snapshot, format, evaluation, last_sequence, changed_by, changes, manifest, checksum
         from snapshots order by snapshot desc"
    )
    .fetch_all(database)
    .await?;
    let snapshots = rows.into_iter().map(|row| Snapshot {
        snapshot: row.snapshot,
        format: row.format,
        evaluation: row.evaluation,
        recorded: Recorded {
            head: Head {
                last_sequence: row.last_sequence,
                changed_by: row.changed_by,
            },
            changes: row.changes,
        },
        manifest: row.manifest,
        checksum: row.checksum,
    });
    Ok(snapshots.collect())
}

/// Behind what the newest snapshot was taken that this version can read.
pub(crate) async fn newest_snapshot(
    database: impl PgExecutor<'_>,
    format: i32,
    evaluation: i32,
) -> Result<Option<Recorded>, sqlx::Error> {
    let row = sqlx::query!(
        "select last_sequence, changed_by, changes from snapshots
         where format = $1 and evaluation = $2 order by snapshot desc limit 1",
        format,
        evaluation
    )
    .fetch_optional(database)
    .await?;
    Ok(row.map(|row| Recorded {
        head: Head {
            last_sequence: row.last_sequence,
            changed_by: row.changed_by,
        },
        changes: row.changes,
    }))
}

/// The contents of some parts, in the order asked for; fewer if any is missing.
pub(crate) async fn parts(
    database: impl PgExecutor<'_>,
    hashes: &[Hash],
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    sqlx::query_scalar!(
        "select content from unnest($1::bytea[]) with ordinality as asked (hash, number)
         join snapshot_parts using (hash) order by number",
        &hashes as &[&[u8]]
    )
    .fetch_all(database)
    .await
}

/// The definitions that were running behind a number of changes: the last change of each.
pub(crate) async fn running_behind(
    database: impl PgExecutor<'_>,
    changes: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select kind, id, version as "version!", file as "file!", content as "content!",
                  after_sequence
           from (select distinct on (kind, id) *
                 from (select * from definition_changes order by change limit $1) as known
                 order by kind, id, change desc) as last
           where version is not null order by kind, id"#,
        changes
    )
    .fetch_all(database)
    .await?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.push(Change {
            kind: kind_of(&row.kind)?,
            id: row.id,
            put: Some(Put {
                version: row.version,
                file: row.file,
                content: row.content,
            }),
            after_sequence: row.after_sequence,
        });
    }
    Ok(changes)
}

/// Begins to write a snapshot in this transaction, and gives its number; `None` if somebody else writes
/// one.
pub(crate) async fn begin_snapshot(
    connection: &mut PgConnection,
) -> Result<Option<i64>, sqlx::Error> {
    let is_mine = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock('snapshots'::regclass::oid::bigint) as "is_mine!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_mine {
        return Ok(None);
    }
    let number = sqlx::query_scalar!(
        r#"select nextval(pg_get_serial_sequence('snapshots', 'snapshot')) as "number!""#
    );
    Ok(Some(number.fetch_one(connection).await?))
}

/// Hashes of all parts that are stored.
pub(crate) async fn stored_parts(
    connection: &mut PgConnection,
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select hash from snapshot_parts")
        .fetch_all(connection)
        .await
}

/// Parts that a snapshot shares with the one before.
pub(crate) async fn share_parts(
    connection: &mut PgConnection,
    snapshot: i64,
    hashes: &[Hash],
) -> Result<(), sqlx::Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    sqlx::query!(
        "update snapshot_parts set used_by = $1 where hash = any($2)",
        snapshot,
        &hashes as &[&[u8]]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Parts that are new with a snapshot.
pub(crate) async fn insert_parts(
    connection: &mut PgConnection,
    snapshot: i64,
    parts: &[(Hash, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    let hashes: Vec<&[u8]> = parts.iter().map(|(hash, _)| &hash[..]).collect();
    let contents: Vec<&[u8]> = parts.iter().map(|(_, content)| &content[..]).collect();
    sqlx::query!(
        "insert into snapshot_parts (hash, content, used_by)
         select hash, content, $1 from unnest($2::bytea[], $3::bytea[]) as part (hash, content)
         on conflict (hash) do nothing",
        snapshot,
        &hashes as &[&[u8]],
        &contents as &[&[u8]]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a snapshot whose parts are stored, and deletes what is too many.
pub(crate) async fn finish_snapshot(
    connection: &mut PgConnection,
    snapshot: &Snapshot,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into snapshots (snapshot, format, evaluation, last_sequence, changed_by, changes,
                                manifest, checksum)
         overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8)",
        snapshot.snapshot,
        snapshot.format,
        snapshot.evaluation,
        snapshot.recorded.head.last_sequence,
        snapshot.recorded.head.changed_by,
        snapshot.recorded.changes,
        snapshot.manifest,
        &snapshot.checksum
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from snapshots where snapshot not in
             (select snapshot from snapshots order by snapshot desc limit $1)",
        KEPT
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "delete from snapshot_parts where used_by < (select min(snapshot) from snapshots)"
    )
    .execute(connection)
    .await?;
    Ok(())
}
