//! Which settings there are, their defaults and bounds.

use std::{collections::BTreeSet, path::PathBuf};

use service::config::{
    ConfigError, DatabaseConfig, EventsConfig, Given, GrpcConfig, Reader, RestConfig,
    ShutdownConfig, TelemetryConfig, small,
};

use super::{Config, ConsumptionConfig, Flags, PatternsConfig, SourceConfig, Uncollected};

const SOURCE_NAME: &str = "collector";
const SOURCE_URL: &str = "http://127.0.0.1:5001";
const SOURCES_KEY: &str = "consumer.sources";
const MONTHS_MAX: u64 = 12 * 200;

/// The sections of the file, which are also the first parts of names in the environment.
const SECTIONS: [&str; 8] = [
    "database",
    "rest",
    "grpc",
    "events",
    "consumer",
    "patterns",
    "shutdown",
    "telemetry",
];

/// Names in the environment besides `SECTION__KEY`, weakest first.
const ALIASES: [(&str, &str); 4] = [
    ("CONNECTIONSTRINGS__ATLAS", "database.url"),
    ("DATABASE_URL", "database.url"),
    ("FREDCOLLECTOR__GRPCURL", SOURCES_KEY),
    ("EVENTCONSUMER__BACKFILLMONTHS", "consumer.backfill_months"),
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
            ("--patterns", "patterns.folder", flags.patterns.clone()),
            ("--source", SOURCES_KEY, flags.source.clone()),
        ],
        set: &flags.set,
    });
    let config = Config {
        database: DatabaseConfig::read(&mut reader, "threshold_engine"),
        rest: RestConfig::read(&mut reader, 5100),
        grpc: GrpcConfig::read(&mut reader, 5101),
        // Crossings are few, and a replay may tell of old ones.
        events: EventsConfig::read(&mut reader, 0),
        consumer: consumer(&mut reader),
        patterns: patterns(&mut reader),
        shutdown: ShutdownConfig::read(&mut reader),
        telemetry: TelemetryConfig::read(&mut reader),
    };
    reader.finish()?;
    Ok(config)
}

fn consumer(reader: &mut Reader) -> ConsumptionConfig {
    let months = reader.number("consumer.backfill_months", 0, 0..=MONTHS_MAX);
    let events = reader.number("consumer.batch_events_max", 2_000, 1..=100_000);
    ConsumptionConfig {
        sources: sources(reader),
        backfill_months: (months > 0).then(|| small(months)),
        batch_events_max: usize::try_from(events).unwrap_or(usize::MAX),
    }
}

/// `http://…` for one source, or `name=http://…,name=http://…`.
fn sources(reader: &mut Reader) -> Vec<SourceConfig> {
    let text = reader.texts(SOURCES_KEY);
    let mut sources: Vec<SourceConfig> = Vec::new();
    for entry in text.unwrap_or_else(|| vec![SOURCE_URL.to_owned()]) {
        let (name, url) = match entry.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name.trim(), url.trim()),
            _ => (SOURCE_NAME, entry.trim()),
        };
        if let Err(error) = consumer::Source::grpc(name, url) {
            reader.refuse(SOURCES_KEY, error);
        }
        if sources.iter().any(|source| source.name == name) {
            let problem = format!(
                "two sources are named \"{name}\"; write NAME=URL with a name of its own for each"
            );
            reader.refuse(SOURCES_KEY, problem);
        }
        sources.push(SourceConfig {
            name: name.to_owned(),
            url: url.to_owned(),
        });
    }
    if sources.is_empty() {
        reader.refuse(
            SOURCES_KEY,
            "names no source, such as [\"http://127.0.0.1:5001\"]",
        );
    }
    sources
}

fn patterns(reader: &mut Reader) -> PatternsConfig {
    let folder = reader.text("patterns.folder");
    let collected = reader.texts("patterns.collected");
    PatternsConfig {
        folder: PathBuf::from(folder.unwrap_or_else(|| "patterns".to_owned())),
        reload_interval: reader.milliseconds(
            "patterns.reload_interval_milliseconds",
            2_000,
            50..=3_600_000,
        ),
        uncollected: reader.parsed("patterns.uncollected", Uncollected::Refuse),
        collected: collected.map(|ids| ids.into_iter().collect::<BTreeSet<_>>()),
    }
}
