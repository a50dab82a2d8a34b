//! A log in a database, and consumers that write down the number of every event.

use std::time::Duration;

use atlas_events::event::Payload;
use consumer::{
    BoxError, Consumer, ConsumerAdmin, ConsumerConfig, ConsumerError, Handler, HandlerError, Reset,
    Source, SourcedEvent,
};
use event_log::{EventLog, LogConfig};
use pbjson_types::value::Kind;
use sqlx::{PgConnection, PgPool};
use test_support::{TestDatabase, drafts, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);
const SERVICE: &str = "ThresholdEngine";

pub(crate) struct Bench {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    /// In the database of the log.
    pub(crate) effects: Effects,
}

/// What a consumer did, with its checkpoint.
pub(crate) struct Effects {
    pub(crate) pool: PgPool,
    _database: Option<TestDatabase>,
}

impl Bench {
    /// The log in a database of a server, made if it is not there.
    pub(crate) async fn open(server: &str, database: &str) -> Self {
        let (server, _) = server.rsplit_once('/').unwrap();
        let url = format!("{server}/{database}");
        let pool = event_log::connect(&url, "collector", 5).await.unwrap();
        let log = EventLog::open(pool.clone(), LogConfig::default(), None);
        Self {
            log: log.await.unwrap(),
            effects: Effects::open(&url, None).await,
            pool,
        }
    }

    pub(crate) async fn append(&self, numbers: std::ops::Range<u64>) {
        for draft in drafts(numbers) {
            self.log.append(vec![draft]).await.unwrap();
        }
    }

    /// Consumes until the checkpoint is at a position, or the consumer has to give up.
    pub(crate) async fn consume_up_to(
        &self,
        effects: &Effects,
        position: u64,
    ) -> Result<(), ConsumerError> {
        let source = Source::in_process("collector", self.log.clone());
        let config = ConsumerConfig::new(SERVICE);
        let consumer = Consumer::open(effects.pool.clone(), config, vec![source]).await?;
        let stop = CancellationToken::new();
        let running: JoinHandle<Result<(), ConsumerError>> =
            tokio::spawn(consumer.run(Recorder, stop.clone()));
        eventually(DEADLINE, async || {
            running.is_finished() || effects.position().await == Some(position)
        })
        .await;
        stop.cancel();
        running.await.unwrap()
    }

    pub(crate) async fn now(&self) -> String {
        let now = sqlx::query_scalar("select clock_timestamp()::text");
        now.fetch_one(&self.pool).await.unwrap()
    }

    /// What was written until now goes to the archive.
    pub(crate) async fn switch_wal(&self) {
        sqlx::raw_sql("select pg_switch_wal()")
            .execute(&self.pool)
            .await
            .unwrap();
    }

    pub(crate) async fn close(self) {
        self.log.close().await;
        self.pool.close().await;
        self.effects.pool.close().await;
    }
}

impl Effects {
    async fn open(url: &str, database: Option<TestDatabase>) -> Self {
        let pool = event_log::connect(url, "effects", 5).await.unwrap();
        sqlx::raw_sql(
            "create table if not exists effects (
                 sequence bigint generated always as identity,
                 number bigint not null
             )",
        )
        .execute(&pool)
        .await
        .unwrap();
        Self {
            pool,
            _database: database,
        }
    }

    /// On a server that nobody restores.
    pub(crate) async fn elsewhere() -> Self {
        let database = TestDatabase::create().await;
        let url = database.url();
        Self::open(&url, Some(database)).await
    }

    async fn position(&self) -> Option<u64> {
        let checkpoints = ConsumerAdmin::new(self.pool.clone(), SERVICE);
        let checkpoints = checkpoints.checkpoints().await.unwrap();
        checkpoints.first().and_then(|found| found.position)
    }

    pub(crate) async fn reset(&self, to: Reset) {
        let admin = ConsumerAdmin::new(self.pool.clone(), SERVICE);
        admin.reset(None, to).await.unwrap();
    }

    /// The numbers of the events, in the order of their effects.
    pub(crate) async fn numbers(&self) -> Vec<i64> {
        sqlx::query_scalar("select number from effects order by sequence")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }
}

struct Recorder;

impl Handler for Recorder {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        let numbers: Vec<i64> = events.iter().map(number_of).collect();
        sqlx::query("insert into effects (number) select unnest($1::bigint[])")
            .bind(numbers)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn reset(&mut self, _: &mut PgConnection) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What a custom event for tests holds.
fn number_of(event: &SourcedEvent) -> i64 {
    let Some(Payload::Custom(custom)) = &event.event.payload else {
        panic!("{event:?} is not of the test");
    };
    match custom.data.as_ref().unwrap().fields["n"].kind {
        Some(Kind::NumberValue(number)) => number as i64,
        ref other => panic!("{other:?} is no number"),
    }
}
