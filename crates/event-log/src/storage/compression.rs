//! Compression of old chunks, where TimescaleDB has it.

use std::{fmt, time::Duration};

use sqlx::{PgConnection, PgPool};

use super::Edition;
use crate::LogError;

/// How long the first set-up may wait for those who use the log. Short, because whoever comes after
/// it in the queue of the lock waits too.
const LOCK_TIMEOUT: &str = "500ms";
/// What this release sets, as the catalogue shows it. Positions come first, so that a page reads the
/// batches that hold it and no others. Times and ids are in it because only columns in the order
/// have bounds for each batch in every release: by these the look-up of an id, and the check of the
/// unique index when a late event comes, leave out all batches but those of the id's time.
const ORDER_BY: &str = "\"position\",occurred_at,event_id";
/// What came of the setting of earlier releases, which named the position alone.
const ORDER_BY_BEFORE: [&str; 2] = ["\"position\"", "\"position\",occurred_at DESC"];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What becomes of old chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compression {
    /// The edition has none.
    Unavailable,
    /// It is not wanted.
    Off,
    /// A job of the database compresses what is older than this.
    After(Duration),
    /// Somebody has set it up in another way, which is left as it is.
    ByHand(Settings),
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => write!(
                f,
                "old chunks are not compressed: this edition of TimescaleDB cannot"
            ),
            Self::Off => write!(f, "old chunks are not compressed: the settings say so"),
            Self::After(after) => write!(
                f,
                "a job of the database compresses chunks that are older than {}",
                interval(*after)
            ),
            Self::ByHand(found) => write!(
                f,
                "compression is left as somebody has set it up: ordered by \"{}\", segmented by \
                 \"{}\"",
                found.order_by, found.segment_by
            ),
        }
    }
}

/// How chunks are compressed, as the catalogue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) order_by: String,
    pub(crate) segment_by: String,
}

/// What is found of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Ours,
    /// Of an earlier release.
    Before,
    ByHand,
}

impl Settings {
    fn found(found: Option<&Self>) -> Found {
        let Some(settings) = found else {
            return Found::Nothing;
        };
        match settings.order_by.as_str() {
            _ if !settings.segment_by.is_empty() => Found::ByHand,
            ORDER_BY => Found::Ours,
            before if ORDER_BY_BEFORE.contains(&before) => Found::Before,
            _ => Found::ByHand,
        }
    }
}

/// The job that compresses.
struct Job {
    id: i32,
    /// Whether it compresses after the time that is wanted.
    agrees: bool,
}

/// Lets chunks that are older than `after` be compressed by a job of the database, where it can; has
/// none if that is `None`. What an earlier release set up, or could not set up, is brought up to date.
///
/// # Errors
/// [`LogError::Database`], among others if the log is in use for too long to be altered; nothing has
/// changed then.
pub(crate) async fn ensure(
    pool: &PgPool,
    edition: &Edition,
    after: Option<Duration>,
) -> Result<Compression, LogError> {
    if !edition.compresses() {
        return Ok(Compression::Unavailable);
    }
    let mut transaction = pool.begin().await?;
    let settings = settings(&mut transaction).await?;
    let found = Settings::found(settings.as_ref());
    if let (Found::ByHand, Some(settings)) = (found, settings) {
        return Ok(Compression::ByHand(settings));
    }
    set_lock_timeout(&mut transaction).await?;
    let Some(after) = after else {
        if found != Found::Nothing {
            remove_policy(&mut transaction).await?;
        }
        transaction.commit().await?;
        return Ok(Compression::Off);
    };
    if found != Found::Ours {
        enable(&mut transaction).await?;
    }
    let interval = interval(after);
    match job(&mut transaction, &interval).await? {
        None => add_policy(&mut transaction, &interval).await?,
        Some(job) if !job.agrees => alter_policy(&mut transaction, job.id, &interval).await?,
        Some(_) => {}
    }
    transaction.commit().await?;
    Ok(Compression::After(after))
}

/// As the database reads it.
fn interval(duration: Duration) -> String {
    let (days, rest) = (
        duration.as_secs() / DAY.as_secs(),
        duration.as_secs() % DAY.as_secs(),
    );
    match rest {
        0 => format!("{days} days"),
        _ => format!("{days} days {rest} seconds"),
    }
}

async fn settings(connection: &mut PgConnection) -> Result<Option<Settings>, LogError> {
    let settings = sqlx::query_as!(
        Settings,
        r#"select coalesce(settings.orderby, '') as "order_by!",
                  coalesce(settings.segmentby, '') as "segment_by!"
           from timescaledb_information.hypertables
           left join timescaledb_information.hypertable_compression_settings as settings
               on settings.hypertable = format('%I.events', current_schema)::regclass
           where hypertable_schema = current_schema and hypertable_name = 'events'
               and compression_enabled"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(settings)
}

async fn set_lock_timeout(connection: &mut PgConnection) -> Result<(), LogError> {
    sqlx::query_scalar!("select set_config('lock_timeout', $1, true)", LOCK_TIMEOUT)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// For chunks that are compressed from now on. Both are stated: what is left out is chosen by the
/// database, which may take the position to segment by, and then refuses to order by it.
async fn enable(connection: &mut PgConnection) -> Result<(), LogError> {
    sqlx::query(
        "alter table events set
             (timescaledb.compress = true, timescaledb.compress_segmentby = '',
              timescaledb.compress_orderby = 'position, occurred_at, event_id')",
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn job(connection: &mut PgConnection, interval: &str) -> Result<Option<Job>, LogError> {
    let job = sqlx::query_as!(
        Job,
        r#"select job_id as "id!",
                  coalesce((config->>'compress_after')::interval = $1::text::interval, false)
                      as "agrees!"
           from timescaledb_information.jobs
           where hypertable_schema = current_schema and hypertable_name = 'events'
               and proc_name in ('policy_compression', 'policy_columnstore')"#,
        interval,
    )
    .fetch_optional(connection)
    .await?;
    Ok(job)
}

async fn add_policy(connection: &mut PgConnection, interval: &str) -> Result<(), LogError> {
    sqlx::query_scalar!(
        r#"select add_compression_policy(
               format('%I.events', current_schema)::regclass,
               compress_after => $1::text::interval, if_not_exists => true
           ) as "job!""#,
        interval,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

async fn alter_policy(
    connection: &mut PgConnection,
    job: i32,
    interval: &str,
) -> Result<(), LogError> {
    sqlx::query_scalar!(
        r#"select (alter_job(job_id, config => config || jsonb_build_object('compress_after', $2::text))).job_id
               as "job!"
           from timescaledb_information.jobs where job_id = $1"#,
        job,
        interval,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

async fn remove_policy(connection: &mut PgConnection) -> Result<(), LogError> {
    sqlx::query_scalar!(
        r#"select remove_compression_policy(
               format('%I.events', current_schema)::regclass, if_exists => true
           ) as "removed!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use test_support::{TestDatabase, drafts};

    use super::*;
    use crate::{EventLog, LogConfig};

    const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);

    /// A log whose settings of compression are those that opening it has made.
    struct Log {
        log: EventLog,
        pool: PgPool,
        edition: Edition,
        _database: TestDatabase,
    }

    impl Log {
        async fn open(compress_after: Option<Duration>) -> Self {
            let database = TestDatabase::create().await;
            let pool = crate::connect(&database.url(), "collector", 4)
                .await
                .unwrap();
            let config = LogConfig {
                compress_after,
                ..LogConfig::default()
            };
            Self {
                log: EventLog::open(pool.clone(), config, None).await.unwrap(),
                edition: Edition::read(&pool).await.unwrap(),
                pool,
                _database: database,
            }
        }

        async fn ensure(&self, after: Option<Duration>) -> Compression {
            ensure(&self.pool, &self.edition, after).await.unwrap()
        }

        /// The settings, and after what time the job compresses.
        async fn found(&self) -> (Option<Settings>, Option<String>) {
            let mut connection = self.pool.acquire().await.unwrap();
            let job = sqlx::query_scalar(
                "select ((config->>'compress_after')::interval)::text
                 from timescaledb_information.jobs
                 where hypertable_schema = current_schema and hypertable_name = 'events'",
            );
            let job = job.fetch_optional(&mut *connection).await.unwrap();
            (settings(&mut connection).await.unwrap(), job)
        }

        /// Whether the edition lets compression be set up so.
        async fn set_by_hand(&self, settings: &str) -> bool {
            let set = format!("alter table events set (timescaledb.compress = true, {settings})");
            sqlx::raw_sql(sqlx::AssertSqlSafe(set))
                .execute(&self.pool)
                .await
                .is_ok()
        }
    }

    fn as_shown(order_by: &str) -> Option<Settings> {
        Some(Settings {
            order_by: order_by.to_owned(),
            segment_by: String::new(),
        })
    }

    #[tokio::test]
    async fn opening_a_log_sets_compression_up_where_the_edition_has_it() {
        let log = Log::open(Some(QUARTER)).await;
        let found = log.found().await;
        match log.edition.compresses() {
            true => assert_eq!(found, (as_shown(ORDER_BY), Some("90 days".to_owned()))),
            false => assert_eq!(found, (None, None)),
        }
        let expected = match log.edition.compresses() {
            true => Compression::After(QUARTER),
            false => Compression::Unavailable,
        };
        assert_eq!(log.ensure(Some(QUARTER)).await, expected);
        assert_eq!(log.found().await, found);
    }

    /// Also where chunks are compressed already.
    #[tokio::test]
    async fn the_job_follows_the_setting() {
        let log = Log::open(None).await;
        assert_eq!(log.found().await, (None, None));
        log.log.append(drafts(0..10)).await.unwrap();
        let compresses = log.edition.compresses();
        for (days, shown) in [(7, "7 days"), (90, "90 days"), (30, "30 days")] {
            log.ensure(Some(DAY * days)).await;
            let expected = compresses.then(|| shown.to_owned());
            assert_eq!(log.found().await.1, expected);
            let compress =
                "select compress_chunk(show_chunks('events'), if_not_compressed => true)";
            let compressed = sqlx::raw_sql(compress).execute(&log.pool).await;
            assert_eq!(compressed.is_ok(), compresses);
        }
        log.ensure(None).await;
        assert_eq!(log.found().await.1, None);
        log.ensure(Some(QUARTER)).await;
        assert_eq!(log.found().await.1.is_some(), compresses);
    }

    /// Releases before this one ordered by positions alone, which some releases of TimescaleDB refuse.
    #[tokio::test]
    async fn what_an_earlier_release_set_up_or_could_not_is_brought_up_to_date() {
        let log = Log::open(None).await;
        log.log.append(drafts(0..10)).await.unwrap();
        if log
            .set_by_hand("timescaledb.compress_orderby = 'position'")
            .await
        {
            let settings = log.found().await.0;
            assert_eq!(Settings::found(settings.as_ref()), Found::Before);
            sqlx::raw_sql(
                "select compress_chunk(show_chunks('events'));
                 select add_compression_policy('events', compress_after => interval '7 days')",
            )
            .execute(&log.pool)
            .await
            .unwrap();
        } else {
            assert_eq!(log.found().await, (None, None));
        }
        log.ensure(Some(QUARTER)).await;
        let (settings, job) = log.found().await;
        assert_eq!(settings.is_some(), log.edition.compresses());
        if log.edition.compresses() {
            assert_eq!(settings, as_shown(ORDER_BY));
            assert_eq!(job.as_deref(), Some("90 days"));
        }
        log.log.append(drafts(0..20)).await.unwrap();
    }

    #[tokio::test]
    async fn what_somebody_has_set_up_by_hand_is_left() {
        let log = Log::open(None).await;
        let settings = "timescaledb.compress_segmentby = 'source_service',
                        timescaledb.compress_orderby = 'occurred_at, event_id'";
        let made = log.set_by_hand(settings).await;
        assert_eq!(made, log.edition.compresses());
        let before = log.found().await;
        for after in [Some(QUARTER), None] {
            let ensured = log.ensure(after).await;
            assert_eq!(matches!(ensured, Compression::ByHand(_)), made, "{ensured}");
            assert_eq!(log.found().await, before);
        }
    }

    /// Where the edition has no compression it is made to believe that it has: the log works as well.
    #[tokio::test]
    async fn a_set_up_that_fails_changes_nothing_and_can_be_tried_again() {
        let log = Log::open(None).await;
        let community = Edition {
            license: "timescale".to_owned(),
            ..log.edition.clone()
        };
        let mut reader = log.pool.begin().await.unwrap();
        sqlx::raw_sql("lock table events in access share mode")
            .execute(&mut *reader)
            .await
            .unwrap();
        let failed = ensure(&log.pool, &community, Some(QUARTER)).await;
        assert!(failed.is_err(), "{failed:?}");
        assert_eq!(log.found().await, (None, None));
        log.log.append(drafts(0..10)).await.unwrap();
        reader.rollback().await.unwrap();
        let again = ensure(&log.pool, &community, Some(QUARTER)).await;
        assert_eq!(again.is_ok(), log.edition.compresses());
        let job = log.found().await.1;
        assert_eq!(job.is_some(), log.edition.compresses());
        log.log.append(drafts(0..20)).await.unwrap();
    }

    #[test]
    fn days_are_written_as_days() {
        assert_eq!(interval(QUARTER), "90 days");
        assert_eq!(interval(DAY + Duration::from_secs(30)), "1 days 30 seconds");
    }
}
