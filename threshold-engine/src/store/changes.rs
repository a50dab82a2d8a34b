use std::{fmt, str::FromStr};

use sqlx::{PgConnection, PgExecutor};

/// What a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Pattern,
    Regime,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "pattern",
            Self::Regime => "regime",
        })
    }
}

impl FromStr for Kind {
    type Err = sqlx::Error;

    fn from_str(name: &str) -> Result<Self, sqlx::Error> {
        match name {
            "pattern" => Ok(Self::Pattern),
            "regime" => Ok(Self::Regime),
            other => Err(sqlx::Error::Decode(
                format!("\"{other}\" is no kind of definition").into(),
            )),
        }
    }
}

/// A definition was put to work or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// `None` where it was taken away.
    pub(crate) put: Option<Put>,
    /// It holds for the points after this number.
    pub(crate) after_sequence: i64,
}

/// What was put to work.
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
        let put = match (row.version, row.file, row.content) {
            (Some(version), Some(file), Some(content)) => Some(Put {
                version,
                file,
                content,
            }),
            _ => None,
        };
        Ok(Self {
            kind: row.kind.parse()?,
            id: row.id,
            put,
            after_sequence: row.after_sequence,
        })
    }
}

/// The last change of each definition that is at work.
pub(crate) async fn running(database: impl PgExecutor<'_>) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select kind, id, version, file, content, after_sequence
         from (select distinct on (kind, id) * from definition_changes
               order by kind, id, change desc) as last
         where version is not null order by kind, id"
    )
    .fetch_all(database)
    .await?;
    rows.into_iter().map(Change::try_from).collect()
}

/// Records a change.
pub(crate) async fn insert_change(
    connection: &mut PgConnection,
    change: &Change,
) -> Result<(), sqlx::Error> {
    let put = change.put.as_ref();
    sqlx::query!(
        "insert into definition_changes (kind, id, version, file, content, after_sequence)
         values ($1, $2, $3, $4, $5, $6)",
        change.kind.to_string(),
        change.id,
        put.map(|put| put.version.as_str()),
        put.map(|put| put.file.as_str()),
        put.map(|put| put.content.as_str()),
        change.after_sequence,
    )
    .execute(connection)
    .await?;
    Ok(())
}
