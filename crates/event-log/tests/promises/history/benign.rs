use sqlx::{AssertSqlSafe, Connection, PgConnection};
use test_support::{drafts, eventually};

use super::{end_of, ended_sessions};
use crate::common::{DEADLINE, TestLog, everything, next_events};
use event_log::{LogError, Unverified};

/// A database that takes the place of another, as a promoted replica does.
struct Copy {
    server: PgConnection,
    name: String,
}

impl Copy {
    async fn of(test: &TestLog) -> Self {
        let mut connection = test.database.connection().await;
        let name: String = sqlx::query_scalar("select current_database()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let url = test.database.url();
        let (server, _) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
        let server = PgConnection::connect(&format!("{server}/postgres"))
            .await
            .unwrap();
        let mut copy = Self { server, name };
        copy.without_sessions(test, "create database {}_copy template {}")
            .await;
        copy
    }

    async fn execute(&mut self, statement: &str) {
        let statement = statement.replace("{}", &self.name);
        let executed = sqlx::raw_sql(AssertSqlSafe(statement));
        executed.execute(&mut self.server).await.unwrap();
    }

    /// Executes it while nobody is connected, though they try.
    async fn without_sessions(&mut self, test: &TestLog, statement: &str) {
        self.execute("alter database {} allow_connections false")
            .await;
        let name = self.name.clone();
        let ended = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{name}'"
        );
        eventually(DEADLINE, async || {
            let ended = sqlx::query_scalar::<_, i64>(AssertSqlSafe(ended.clone()));
            ended.fetch_one(&mut self.server).await.unwrap() == 0
        })
        .await;
        let _ = test;
        self.execute(statement).await;
        self.execute("alter database {} allow_connections true")
            .await;
    }

    /// Puts the copy into the database's place.
    async fn promote(&mut self, test: &TestLog) {
        self.without_sessions(
            test,
            "alter database {} rename to {}_old; alter database {}_copy rename to {}",
        )
        .await;
        self.execute("drop database {}_old").await;
    }
}

#[tokio::test]
async fn a_replica_that_lost_nothing_is_the_same_log() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append(drafts(0..20)).await.unwrap();
    let log_id = log.log_id();
    let mut live = log.follow_after(20, everything()).await.unwrap();
    let mut copy = Copy::of(&test).await;
    copy.promote(&test).await;
    eventually(DEADLINE, async || log.append(drafts(20..21)).await.is_ok()).await;
    assert_eq!(next_events(&mut live).await.unwrap()[0].position, 21);
    log.verified().unwrap();
    assert_eq!(log.log_id(), log_id);
    // And so is one whose sessions ended, many times over.
    for n in 21..25 {
        ended_sessions(&test).await;
        eventually(DEADLINE, async || {
            log.append(drafts(n..n + 1)).await.is_ok()
        })
        .await;
        assert_eq!(next_events(&mut live).await.unwrap()[0].position, n + 1);
    }
    log.verified().unwrap();
}

#[tokio::test]
async fn a_replica_that_lagged_is_not() {
    let test = TestLog::create().await;
    let (log, idle) = (test.open().await, test.open().await);
    log.append(drafts(0..20)).await.unwrap();
    let mut copy = Copy::of(&test).await;
    // Its own database is back; the copy lags.
    eventually(DEADLINE, async || log.append(drafts(20..30)).await.is_ok()).await;
    let mut live = idle.follow_after(30, everything()).await.unwrap();
    copy.promote(&test).await;
    let ended = end_of(&mut live).await;
    assert!(
        matches!(
            ended,
            LogError::Unverified(Unverified::WentBack {
                last_position: 20,
                ..
            })
        ),
        "{ended}"
    );
    let refused = log.append(drafts(40..41)).await;
    assert!(refused.is_err(), "{refused:?}");
    eventually(DEADLINE, async || {
        matches!(
            log.append(drafts(40..41)).await,
            Err(LogError::Unverified(Unverified::WentBack { .. }))
        )
    })
    .await;
}
