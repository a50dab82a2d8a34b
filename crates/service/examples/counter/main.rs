//! A complete service: it consumes a log, counts the events of each type, and serves the counts over
//! REST. All that a service states of itself is here; the rest comes from `service`.
//!
//! ```console
//! $ cargo run -p service --example counter -- --set database.url=postgres://… --source http://127.0.0.1:5001
//! $ curl http://127.0.0.1:5200/v1/counts
//! ```

use std::{borrow::Cow, collections::BTreeMap, process::ExitCode, time::Duration};

use access::CredentialFiles;
use atlas_events::EventType;
use axum::{Json, extract::State};
use clap::Args;
use consumer::{ConsumerConfig, Handler, HandlerError, Source, SourcedEvent};
use service::{
    Listeners, Program, Server, ServerBuilder, StartError,
    config::{
        CommonConfig, CommonDefaults, CommonFlags, Reader, SOURCES_KEY, ServiceFlags, Settings,
        SourceConfig, read_credentials, read_sources, sources,
    },
    rest::{self, Problem},
    stopped_source,
    telemetry::{self, Metrics, MetricsError},
};
use sqlx::{PgConnection, PgPool, migrate::Migrator};
use utoipa_axum::{router::OpenApiRouter, routes};

/// First part of the names of its metrics.
const PREFIX: &str = "counter";
static MIGRATIONS: Migrator = Migrator {
    table_name: Cow::Borrowed("counter_migrations"),
    ..sqlx::migrate!("examples/counter/migrations")
};

/// Its own flags, beside those that all services have.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Those that all have
    #[command(flatten)]
    pub common: CommonFlags,
    /// The log to consume
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn own(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![("--source", self.source.as_deref())]
    }
}

/// Its own settings, beside those that all services have.
#[derive(Debug)]
pub struct Config {
    common: CommonConfig,
    sources: Vec<SourceConfig>,
    credentials: CredentialFiles,
}

impl AsRef<CommonConfig> for Config {
    fn as_ref(&self) -> &CommonConfig {
        &self.common
    }
}

fn read(reader: &mut Reader) -> Config {
    let defaults = CommonDefaults {
        schema: "counter",
        rest_port: 5200,
        grpc_port: 5201,
        retention_days: 0,
    };
    CommonConfig::read(reader, defaults, |reader| {
        let sources = read_sources(reader, ("collector", "http://127.0.0.1:5001"));
        let credentials = read_credentials(reader);
        move |common| Config {
            common,
            sources,
            credentials,
        }
    })
}

/// The service.
#[derive(Debug)]
pub struct Counter;

impl Program for Counter {
    type Flags = Flags;
    type Config = Config;
    type StartError = StartError;

    const TITLE: &'static str = "counter";
    const ABOUT: &'static str = "Counts the events of a log";
    const SETTINGS: Settings<Config> = Settings {
        program: "counter",
        flags: &[
            ("--rest", "rest.address"),
            ("--grpc", "grpc.address"),
            ("--source", SOURCES_KEY),
        ],
        read,
    };

    fn keep_metrics() -> Result<Metrics, MetricsError> {
        let metrics = telemetry::keep_metrics()?;
        telemetry::describe(PREFIX, env!("CARGO_PKG_VERSION"));
        consumer::describe_metrics(PREFIX);
        Ok(metrics)
    }

    async fn start(
        config: Config,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
        let sources = sources(&config.sources, &config.credentials)?;
        Self::consuming(config, sources, listeners, metrics).await
    }
}

impl Counter {
    /// Starts the service with these sources, which tests and programs of several services take from
    /// logs of the same process.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn consuming(
        config: Config,
        sources: Vec<Source>,
        listeners: Listeners,
        metrics: Metrics,
    ) -> Result<Server, StartError> {
        let common = &config.common;
        let (migrations, served) = (&MIGRATIONS, (listeners, metrics));
        let builder = ServerBuilder::open(PREFIX, common, migrations, None, served).await?;
        let consumer_config = ConsumerConfig::new("Counter");
        let consumer = builder.open_consumer(consumer_config, sources).await?;
        let routes = OpenApiRouter::default()
            .routes(routes!(counts))
            .with_state(builder.pool());
        let operation = builder.operation(stopped_source(consumer.status()));
        let router = rest::finish(routes, operation, common.rest.request_timeout);
        let mut server = builder.build(router);
        server.consume(consumer, Counts, Duration::from_secs(20));
        Ok(server)
    }
}

/// Its handler.
struct Counts;

impl Handler for Counts {
    async fn handle(
        &mut self,
        connection: &mut PgConnection,
        events: &[SourcedEvent],
    ) -> Result<(), HandlerError> {
        let types = events
            .iter()
            .filter_map(|event| EventType::of(event.event.payload.as_ref()?));
        let types: Vec<_> = types.map(|known| known.as_str().to_owned()).collect();
        // Commits with the checkpoint. Services of the workspace use `query!`, which is checked.
        sqlx::query(
            "INSERT INTO counts
             SELECT event_type, count(*) FROM unnest($1::text[]) AS event_type GROUP BY event_type
             ON CONFLICT (event_type) DO UPDATE SET events = counts.events + excluded.events",
        )
        .bind(types)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// How many events of each type were consumed
#[utoipa::path(
    get, path = "/v1/counts", operation_id = "getCounts", security(("token" = ["read"])),
    responses((status = 200, description = "By type", body = BTreeMap<String, i64>), rest::Always)
)]
async fn counts(State(pool): State<PgPool>) -> Result<Json<BTreeMap<String, i64>>, Problem> {
    let counts = sqlx::query_as("SELECT event_type, events FROM counts")
        .fetch_all(&pool)
        .await?;
    Ok(Json(counts.into_iter().collect()))
}

fn main() -> ExitCode {
    service::main::<Counter>()
}
