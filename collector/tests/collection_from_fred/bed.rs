//! A database, a stand-in for FRED, and collectors between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use atlas_events::{
    Clock, CollectionFailedEvent, Event, EventFilter, SeriesCollectedEvent, WantedEvents,
    event::Payload,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use collector::{
    collection::SeriesCollector,
    fred::{FredClient, FredConfig},
    observations::{ObservationProjection, Observations},
    series::{Backfill, NewSeries, SeriesRegistry, migrate},
};
use event_log::{EventLog, LogConfig};
use fred_stand_in::{Series, SeriesInfo, StandIn, StandInBuilder, StandInHandle};
use sqlx::PgPool;
use test_support::TestDatabase;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What tests of collection stand on.
pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) fred: StandInHandle,
    pub(crate) clock: TestClock,
}

/// A collector process, as far as collection is concerned.
pub(crate) struct Process {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) client: FredClient,
    pub(crate) registry: SeriesRegistry,
    pub(crate) observations: Observations,
}

/// The machine's clock, which can be put ahead.
#[derive(Clone, Default)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_seconds(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::seconds(self.0.load(Ordering::SeqCst))
    }

    fn clock(&self) -> Clock {
        let this = self.clone();
        Clock::from_fn(move || this.now())
    }
}

/// Quick where the real thing is patient.
pub(crate) fn quick(fred: &StandInHandle) -> FredConfig {
    let mut config = FredConfig::new(KEY.into());
    config.base_url = format!("{}/fred", fred.base_url());
    config.request_interval = Duration::from_millis(1);
    config.request_timeout = Duration::from_secs(5);
    config.attempts_max = 3;
    config.backoff_min = Duration::from_millis(2);
    config.backoff_max = Duration::from_secs(5);
    config.circuit_failures_max = 1_000;
    config
}

pub(crate) async fn stand_in(builder: StandInBuilder) -> StandInHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    builder.start(listener).unwrap()
}

impl Bed {
    pub(crate) async fn new(builder: StandInBuilder) -> Self {
        Self {
            database: TestDatabase::create().await,
            fred: stand_in(builder.rate_limit(None)).await,
            clock: TestClock::default(),
        }
    }

    /// A bed with one series of our own, and a process that collects all of it.
    pub(crate) async fn with(series: Series) -> (Self, Process) {
        let none: [&str; 0] = [];
        let bed = Self::new(StandIn::builder().series(none).add_series(series)).await;
        let process = bed.process().await;
        process.seed(&["OWN"]).await;
        (bed, process)
    }

    pub(crate) async fn process(&self) -> Process {
        self.process_with(quick(&self.fred)).await
    }

    pub(crate) async fn process_with(&self, config: FredConfig) -> Process {
        // Fails if another test of this process was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pool = event_log::connect(&self.database.url(), "atlas", 8)
            .await
            .unwrap();
        migrate(&pool).await.unwrap();
        let log_config = LogConfig {
            clock: self.clock.clock(),
            ..LogConfig::default()
        };
        let projection = Some(Arc::new(ObservationProjection) as _);
        let log = EventLog::open(pool.clone(), log_config, projection)
            .await
            .unwrap();
        let clock = self.clock.clock();
        let client = FredClient::new(config, pool.clone(), clock.clone()).unwrap();
        let collector =
            SeriesCollector::new(pool.clone(), log.clone(), client.clone(), clock.clone())
                .with_news_wait(TimeDelta::hours(1));
        Process {
            registry: SeriesRegistry::new(pool.clone(), client.clone(), collector, clock),
            observations: Observations::new(pool.clone()),
            pool,
            log,
            client,
        }
    }
}

impl Process {
    /// Adds series from the beginning on, without asking FRED.
    pub(crate) async fn seed(&self, ids: &[&str]) {
        let series: Vec<_> = ids.iter().map(|id| all_of(id)).collect();
        assert_eq!(self.registry.seed(&series).await.unwrap(), ids.len());
    }

    /// Every event of the log, checked to be at positions 1, 2, 3, ….
    pub(crate) async fn events(&self) -> Vec<Event> {
        let filter = EventFilter::unrestricted(WantedEvents::default());
        let mut read = self.log.read_between(None, None, filter).await.unwrap();
        let mut events: Vec<Event> = Vec::new();
        while let Some(delivery) = read.next().await.unwrap() {
            events.extend(delivery.events().map(Result::unwrap));
        }
        for (event, position) in events.iter().zip(1..) {
            assert_eq!(event.position, position);
        }
        events
    }

    pub(crate) async fn collected(&self) -> Vec<SeriesCollectedEvent> {
        let events = self.events().await;
        let collected = events.into_iter().filter_map(|event| match event.payload {
            Some(Payload::SeriesCollected(collected)) => Some(collected),
            _ => None,
        });
        collected.collect()
    }

    pub(crate) async fn failures(&self) -> Vec<CollectionFailedEvent> {
        let events = self.events().await;
        let failures = events.into_iter().filter_map(|event| match event.payload {
            Some(Payload::CollectionFailed(failed)) => Some(failed),
            _ => None,
        });
        failures.collect()
    }
}

pub(crate) fn all_of(id: &str) -> NewSeries {
    NewSeries {
        id: id.to_owned(),
        schedule: None,
        backfill: Backfill::All,
    }
}

/// A monthly series `OWN` without observations.
pub(crate) fn own_series() -> Series {
    Series::new(SeriesInfo {
        id: "OWN".to_owned(),
        title: "A series of the tests".to_owned(),
        frequency: "Monthly".to_owned(),
        frequency_short: "M".to_owned(),
        units: "Percent".to_owned(),
        units_short: "%".to_owned(),
        seasonal_adjustment: "Not Seasonally Adjusted".to_owned(),
        seasonal_adjustment_short: "NSA".to_owned(),
        popularity: 1,
        notes: String::new(),
    })
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// As (date, value, known from), values in text.
pub(crate) fn points(event: &SeriesCollectedEvent) -> Vec<(String, Option<String>, String)> {
    let points = event.data_points.iter().map(|point| {
        let known_from = point.known_from.unwrap().to_utc().unwrap();
        assert_eq!(known_from.time(), chrono::NaiveTime::MIN, "midnight");
        let known_from = known_from.date_naive().to_string();
        (point.date.clone(), point.value.clone(), known_from)
    });
    points.collect()
}

pub(crate) fn point(
    date: &str,
    value: Option<&str>,
    known_from: &str,
) -> (String, Option<String>, String) {
    (
        date.to_owned(),
        value.map(str::to_owned),
        known_from.to_owned(),
    )
}
