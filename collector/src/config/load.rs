//! Which settings there are, their defaults and bounds.

use std::net::{Ipv4Addr, SocketAddr};

use config::{Value, ValueKind};
use secrecy::SecretString;

use super::{
    Backfill, Config, DatabaseConfig, EventsConfig, Flags, FredConfig, GrpcConfig, LogFormat,
    Problem, RestConfig, SeriesSeed, ShutdownConfig, TelemetryConfig, connection_string, layers,
    reader::Reader,
};
use crate::series::Schedule;

const DAYS_MAX: u64 = 365 * 1_000;
const MEBIBYTE: u64 = 1024 * 1024;
const HOUR_SECONDS: u64 = 3_600;
const FRED_BASE_URL: &str = "https://api.stlouisfed.org/fred";

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is not valid:{}", .0.iter().map(|p| format!("\n  {p}")).collect::<String>())]
pub struct ConfigError(
    /// At least one.
    pub Vec<Problem>,
);

/// Reads the configuration from the file that `flags` names, the environment, and `flags`, each
/// stronger than those before it.
///
/// # Errors
/// Every problem at once.
pub fn load(flags: &Flags, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let merged = layers::merge(flags, environment, &mut problems);
    let mut reader = Reader::new(merged, problems);
    let config = Config {
        database: database(&mut reader),
        rest: rest(&mut reader),
        grpc: grpc(&mut reader),
        events: events(&mut reader),
        fred: fred(&mut reader),
        shutdown: ShutdownConfig {
            drain: reader.seconds("shutdown.drain_seconds", 10, 0..=HOUR_SECONDS),
        },
        telemetry: telemetry(&mut reader),
    };
    match reader.finish() {
        problems if problems.is_empty() => Ok(config),
        problems => Err(ConfigError(problems)),
    }
}

fn database(reader: &mut Reader) -> DatabaseConfig {
    let url = match reader.text("database.url") {
        Some(text) => connection_string::to_url(&text).unwrap_or_else(|problem| {
            reader.refuse("database.url", problem);
            String::new()
        }),
        None => {
            reader.refuse(
                "database.url",
                "is required: set DATABASE_URL to postgres://user:password@host:5432/database",
            );
            String::new()
        }
    };
    let schema = reader.text("database.schema");
    let schema = schema.unwrap_or_else(|| "collector".to_owned());
    if let Err(error) = event_log::connect_options("postgres://localhost", &schema) {
        reader.refuse("database.schema", error);
    }
    DatabaseConfig {
        url: SecretString::from(url),
        schema,
        connections_max: small(reader.number("database.connections_max", 16, 4..=1_000)),
    }
}

fn rest(reader: &mut Reader) -> RestConfig {
    RestConfig {
        address: reader.address("rest.address", local(5000)),
        request_timeout: reader.seconds("rest.request_timeout_seconds", 30, 1..=HOUR_SECONDS),
    }
}

fn grpc(reader: &mut Reader) -> GrpcConfig {
    let mut address = reader.address("grpc.address", local(5001));
    let port = reader.number("grpc.port", u64::from(address.port()), 0..=65_535);
    address.set_port(u16::try_from(port).unwrap_or_default());
    let subscriptions_max = reader.number("grpc.subscriptions_max", 4_096, 1..=1_000_000);
    GrpcConfig {
        address,
        subscriptions_max: size(subscriptions_max),
    }
}

fn events(reader: &mut Reader) -> EventsConfig {
    let days = reader.number("events.retention_days", 730, 0..=DAYS_MAX);
    let bytes = reader.number(
        "events.ring_bytes_max",
        64 * MEBIBYTE,
        MEBIBYTE..=64 * 1024 * MEBIBYTE,
    );
    let queued = reader.number("events.queue_events_max", 50_000, 1_000..=10_000_000);
    EventsConfig {
        retention_days: (days > 0).then_some(days),
        ring_bytes_max: size(bytes),
        queue_events_max: size(queued),
        poll_interval: reader.milliseconds("events.poll_interval_milliseconds", 1_000, 10..=60_000),
    }
}

fn fred(reader: &mut Reader) -> FredConfig {
    let backfill = reader.parsed("fred.backfill", Backfill::default());
    FredConfig {
        api_key: reader.text("fred.api_key").map(SecretString::from),
        base_url: base_url(reader),
        request_interval: reader.milliseconds(
            "fred.request_interval_milliseconds",
            510,
            0..=60_000,
        ),
        request_timeout: reader.seconds("fred.request_timeout_seconds", 30, 1..=HOUR_SECONDS),
        attempts_max: small(reader.number("fred.attempts_max", 5, 1..=100)),
        series: series(reader, backfill),
    }
}

fn base_url(reader: &mut Reader) -> String {
    let Some(text) = reader.text("fred.base_url") else {
        return FRED_BASE_URL.to_owned();
    };
    let usable = reqwest::Url::parse(&text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    if !usable {
        reader.refuse(
            "fred.base_url",
            format!("\"{text}\" is not an address such as {FRED_BASE_URL}"),
        );
    }
    text.trim_end_matches('/').to_owned()
}

/// A list in the file, or ids with commas between them in the environment.
fn series(reader: &mut Reader, backfill: Backfill) -> Vec<SeriesSeed> {
    let key = "fred.series";
    let entries = match reader.value(key).map(|value| value.kind) {
        None => Vec::new(),
        Some(ValueKind::Array(entries)) => entries,
        Some(ValueKind::String(ids)) => ids.split(',').map(|id| Value::from(id.trim())).collect(),
        Some(_) => {
            reader.refuse(key, "is to be a list, such as [\"UNRATE\", \"VIXCLS\"]");
            Vec::new()
        }
    };
    let mut seeds: Vec<SeriesSeed> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let path = format!("{key}[{index}]");
        let Some(seed) = seed(reader, &path, entry, backfill) else {
            continue;
        };
        if seeds.iter().any(|earlier| earlier.id == seed.id) {
            reader.refuse(path, format!("names {} again", seed.id));
        } else {
            seeds.push(seed);
        }
    }
    seeds
}

fn seed(reader: &mut Reader, path: &str, entry: Value, backfill: Backfill) -> Option<SeriesSeed> {
    let mut seed = SeriesSeed {
        id: String::new(),
        schedule: None,
        backfill,
    };
    match entry.kind {
        ValueKind::String(id) => seed.id = id,
        ValueKind::Table(table) => {
            let mut fields: Vec<_> = table.into_iter().collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, value) in fields {
                set_field(&mut seed, &name, value)
                    .unwrap_or_else(|problem| reader.refuse(format!("{path}.{name}"), problem));
            }
        }
        _ => {
            let problem = "is to be an id, or a table with id and optionally schedule and backfill";
            reader.refuse(path, problem);
            return None;
        }
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let length = seed.id.chars().count();
    if !(1..=atlas_events::SERIES_ID_CHARS_MAX).contains(&length) || !seed.id.chars().all(allowed) {
        let most = atlas_events::SERIES_ID_CHARS_MAX;
        let problem = format!("needs an id of 1 to {most} letters, digits, \"_\", \".\" or \"-\"");
        reader.refuse(path, problem);
        return None;
    }
    Some(seed)
}

fn set_field(seed: &mut SeriesSeed, name: &str, value: Value) -> Result<(), String> {
    let ValueKind::String(text) = value.kind else {
        return Err("is to be a text, in quotation marks".to_owned());
    };
    match name {
        "id" => seed.id = text,
        "schedule" => {
            text.parse::<Schedule>()
                .map_err(|error| error.to_string())?;
            seed.schedule = Some(text);
        }
        "backfill" => {
            seed.backfill = text
                .parse()
                .map_err(|error: super::seed::NoBackfill| error.to_string())?;
        }
        _ => {
            return Err("is not a known setting; known are id, schedule and backfill".to_owned());
        }
    }
    Ok(())
}

fn telemetry(reader: &mut Reader) -> TelemetryConfig {
    let format = match reader.text("telemetry.format").as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            let problem = format!("\"{other}\" is not known; known are text and json");
            reader.refuse("telemetry.format", problem);
            LogFormat::Text
        }
    };
    let filter = reader.text("telemetry.filter");
    let filter = filter.unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        reader.refuse(
            "telemetry.filter",
            format!("\"{filter}\" is no filter: {error}"),
        );
    }
    TelemetryConfig { format, filter }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// For numbers whose bounds were checked.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// For numbers whose bounds were checked.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
