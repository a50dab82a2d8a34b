//! Which settings there are, their defaults and bounds.

use std::{collections::BTreeSet, path::PathBuf};

use service::config::{
    CommonConfig, CommonDefaults, ConfigError, Loaded, Reader, SOURCES_KEY, Settings,
    read_credentials, read_sources, small,
};

use super::{Config, ConsumptionConfig, Flags, PatternsConfig, SnapshotsConfig, Uncollected};

const SOURCE_NAME: &str = "collector";
const SOURCE_URL: &str = "http://127.0.0.1:5001";
const MONTHS_MAX: u64 = 12 * 200;

const DEFAULTS: CommonDefaults = CommonDefaults {
    schema: "threshold_engine",
    rest_port: 5100,
    grpc_port: 5101,
    // Crossings are few, and a replay may emit old ones.
    retention_days: 0,
};

/// The engine's settings.
pub const SETTINGS: Settings<Config> = Settings {
    program: "threshold-engine",
    flags: &[
        ("--rest", "rest.address"),
        ("--grpc", "grpc.address"),
        ("--patterns", "patterns.folder"),
        ("--source", SOURCES_KEY),
    ],
    read,
};

/// Reads the configuration from the file that `flags` names, the environment, and `flags`, each
/// stronger than those before it.
///
/// # Errors
/// Every problem at once.
pub fn load(
    flags: &Flags,
    environment: &[(String, String)],
) -> Result<Loaded<Config>, ConfigError> {
    SETTINGS.load_flags(&[flags], environment)
}

fn read(reader: &mut Reader) -> Config {
    let own = |reader: &mut Reader| {
        let (consumer, patterns) = (consumer(reader), patterns(reader));
        let snapshots = snapshots(reader);
        move |common| Config {
            common,
            consumer,
            patterns,
            snapshots,
        }
    };
    CommonConfig::read(reader, DEFAULTS, own)
}

fn consumer(reader: &mut Reader) -> ConsumptionConfig {
    reader.section::<ConsumptionConfig>("consumer");
    reader.also(SOURCES_KEY, &["FREDCOLLECTOR__GRPCURL"]);
    let sources = read_sources(reader, (SOURCE_NAME, SOURCE_URL));
    let months_key = "consumer.backfill_months";
    reader.also(months_key, &["EVENTCONSUMER__BACKFILLMONTHS"]);
    let months = reader.number(months_key, 0, 0..=MONTHS_MAX);
    let events = reader.number("consumer.batch_events_max", 2_000, 1..=100_000);
    let stopped_grace = reader.seconds("consumer.stopped_grace_seconds", 20, 0..=3_600);
    ConsumptionConfig {
        sources,
        credentials: read_credentials(reader),
        backfill_months: (months > 0).then(|| small(months)),
        batch_events_max: usize::try_from(events).unwrap_or(usize::MAX),
        stopped_grace,
    }
}

fn patterns(reader: &mut Reader) -> PatternsConfig {
    reader.section::<PatternsConfig>("patterns");
    let folder = reader.text_or("patterns.folder", "patterns");
    let interval = "patterns.reload_interval_milliseconds";
    let reload_interval = reader.milliseconds(interval, 2_000, 50..=3_600_000);
    let collected = reader.texts("patterns.collected");
    let uncollected = reader.parsed("patterns.uncollected", Uncollected::Refuse);
    PatternsConfig {
        folder: PathBuf::from(folder),
        reload_interval,
        uncollected,
        collected: collected.map(|ids| ids.into_iter().collect::<BTreeSet<_>>()),
    }
}

fn snapshots(reader: &mut Reader) -> SnapshotsConfig {
    reader.section::<SnapshotsConfig>("snapshots");
    let key = "snapshots.interval_milliseconds";
    let interval = reader.milliseconds(key, 300_000, 0..=86_400_000);
    SnapshotsConfig {
        interval: (!interval.is_zero()).then_some(interval),
    }
}
