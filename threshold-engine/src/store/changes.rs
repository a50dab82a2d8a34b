use atlas_events::DefinitionChange;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

pub(crate) use crate::definition::Kind;

/// The kind of a name in the database.
pub(super) fn kind_of(name: &str) -> Result<Kind, sqlx::Error> {
    [Kind::Pattern, Kind::Regime]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| sqlx::Error::Decode(format!("\"{name}\" is no kind of definition").into()))
}

/// The name of what happened to a definition.
fn name_of(action: DefinitionChange) -> Option<&'static str> {
    match action {
        DefinitionChange::Unspecified | DefinitionChange::Stated => None,
        DefinitionChange::Deployed => Some("deployed"),
        DefinitionChange::Replaced => Some("replaced"),
        DefinitionChange::Suspended => Some("suspended"),
        DefinitionChange::Removed => Some("removed"),
    }
}

/// A definition was deployed or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// `None` where it was taken away.
    pub(crate) put: Option<Put>,
    /// It holds for the points after this number.
    pub(crate) after_sequence: i64,
}

/// What was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) version: String,
    /// Path within the folder of definitions.
    pub(crate) file: String,
    /// Text of the file.
    pub(crate) content: String,
}

struct Row {
    kind: String,
    id: String,
    version: Option<String>,
    file: Option<String>,
    content: Option<String>,
    after_sequence: i64,
}

impl TryFrom<Row> for Change {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let put = put_of(row.version, row.file, row.content);
        Ok(Self {
            kind: kind_of(&row.kind)?,
            id: row.id,
            put,
            after_sequence: row.after_sequence,
        })
    }
}

/// The last change of a definition.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// What is running, if it is.
    pub(crate) put: Option<Put>,
    /// It was suspended: it is not running and may be again.
    pub(crate) is_suspended: bool,
}

/// The last change of each definition that was ever deployed.
pub(crate) async fn last_changes(database: impl PgExecutor<'_>) -> Result<Vec<Last>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select distinct on (kind, id) kind, id, version, file, content,
                  coalesce(action = 'suspended', false) as "is_suspended!"
           from definition_changes order by kind, id, change desc"#
    )
    .fetch_all(database)
    .await?;
    let last = rows.into_iter().map(|row| {
        Ok(Last {
            kind: kind_of(&row.kind)?,
            id: row.id,
            put: put_of(row.version, row.file, row.content),
            is_suspended: row.is_suspended,
        })
    });
    last.collect()
}

fn put_of(version: Option<String>, file: Option<String>, content: Option<String>) -> Option<Put> {
    Some(Put {
        version: version?,
        file: file?,
        content: content?,
    })
}

/// What was deployed last of a definition.
pub(crate) async fn last_put(
    connection: &mut PgConnection,
    kind: Kind,
    id: &str,
) -> Result<Option<Put>, sqlx::Error> {
    let row = sqlx::query!(
        "select version, file, content from definition_changes
         where kind = $1 and id = $2 and version is not null order by change desc limit 1",
        kind.name(),
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|row| put_of(row.version, row.file, row.content)))
}

/// A change as it was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    /// Its number, which no other has.
    pub(crate) change: i64,
    /// When its transaction began.
    pub(crate) changed_at: DateTime<Utc>,
}

/// Records a change, and what happened to the definition by it.
pub(crate) async fn insert_change(
    connection: &mut PgConnection,
    change: &Change,
    action: DefinitionChange,
    reason: &str,
) -> Result<Recorded, sqlx::Error> {
    let put = change.put.as_ref();
    sqlx::query_as!(
        Recorded,
        "insert into definition_changes (kind, id, version, file, content, after_sequence, action,
                                         reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         returning change, changed_at",
        change.kind.name(),
        change.id,
        put.map(|put| put.version.as_str()),
        put.map(|put| put.file.as_str()),
        put.map(|put| put.content.as_str()),
        change.after_sequence,
        name_of(action),
        (!reason.is_empty()).then_some(reason),
    )
    .fetch_one(connection)
    .await
}
