//! The turns in which the instances of a service write their effects. All SQL on `handler_turn` is
//! here, but for the turn that a batch takes (`claim`).

use sqlx::{PgConnection, PgExecutor};

/// Which turn a transaction has, counted over all instances and sources of a service: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(pub(crate) i64);

impl Turn {
    /// The turn whose effects are the last that the transaction of this turn finds.
    pub(crate) fn before(self) -> Self {
        Self(self.0 - 1)
    }
}

/// Takes the next turn, and keeps others from theirs until the transaction ends.
pub(crate) async fn take(
    connection: &mut PgConnection,
    service: &str,
) -> Result<Turn, sqlx::Error> {
    let turn = sqlx::query_scalar!(
        "insert into handler_turn (service, turn) values ($1, 1)
         on conflict (service) do update set turn = handler_turn.turn + 1
         returning turn",
        service,
    )
    .fetch_one(connection)
    .await?;
    Ok(Turn(turn))
}

/// The last turn that was committed; 0 before the first.
pub(crate) async fn last(
    executor: impl PgExecutor<'_>,
    service: &str,
) -> Result<Turn, sqlx::Error> {
    let turn = sqlx::query_scalar!("select turn from handler_turn where service = $1", service)
        .fetch_optional(executor)
        .await?;
    Ok(Turn(turn.unwrap_or(0)))
}
