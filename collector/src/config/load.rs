//! Which settings there are, their defaults and bounds.

use config::{Value, ValueKind};
use secrecy::SecretString;
use service::config::{
    ConfigError, DatabaseConfig, EventsConfig, Given, GrpcConfig, Reader, RestConfig,
    ShutdownConfig, TelemetryConfig, small,
};

use super::{Backfill, Config, Flags, FredConfig, SeriesSeed};
use crate::series::Schedule;

const HOUR_SECONDS: u64 = 3_600;
const FRED_BASE_URL: &str = "https://api.stlouisfed.org/fred";

/// The sections of the file, which are also the first parts of names in the environment.
const SECTIONS: [&str; 7] = [
    "database",
    "rest",
    "grpc",
    "events",
    "fred",
    "shutdown",
    "telemetry",
];

/// Names in the environment besides `SECTION__KEY`, weakest first.
const ALIASES: [(&str, &str); 4] = [
    ("CONNECTIONSTRINGS__ATLAS", "database.url"),
    ("DATABASE_URL", "database.url"),
    ("FRED_API_KEY", "fred.api_key"),
    ("FRED_API_BASE_URL", "fred.base_url"),
];

/// Reads the configuration from the file that `flags` names, the environment, and `flags`, each
/// stronger than those before it.
///
/// # Errors
/// Every problem at once.
pub fn load(flags: &Flags, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut reader = Reader::open(&Given {
        sections: &SECTIONS,
        aliases: &ALIASES,
        file: flags.config.as_deref(),
        environment,
        flags: vec![
            ("--rest", "rest.address", flags.rest.clone()),
            ("--grpc", "grpc.address", flags.grpc.clone()),
            ("--series", "fred.series", flags.series.clone()),
            ("--backfill", "fred.backfill", flags.backfill.clone()),
        ],
        set: &flags.set,
    });
    let config = Config {
        database: DatabaseConfig::read(&mut reader, "collector"),
        rest: RestConfig::read(&mut reader, 5000),
        grpc: GrpcConfig::read(&mut reader, 5001),
        events: EventsConfig::read(&mut reader, 730),
        fred: fred(&mut reader),
        shutdown: ShutdownConfig::read(&mut reader),
        telemetry: TelemetryConfig::read(&mut reader),
    };
    reader.finish()?;
    Ok(config)
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
