//! Which settings there are, their defaults and bounds.

use service::config::{
    CommonConfig, CommonDefaults, ConfigError, Loaded, Reader, SOURCES_KEY, Settings, small,
};
use url::Url;

use super::{AlertsConfig, Config, DeliveriesConfig, Flags, channels, consumption};

const DAY_SECONDS: u64 = 86_400;
const PUBLIC_URL: &str = "rest.public_url";

const DEFAULTS: CommonDefaults = CommonDefaults {
    schema: "alert_service",
    rest_port: 8082,
    grpc_port: 8083,
    retention_days: 730,
};

/// The settings of the alert service.
pub const SETTINGS: Settings<Config> = Settings {
    program: "alert-service",
    flags: &[
        ("--rest", "rest.address"),
        ("--grpc", "grpc.address"),
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
        let public_url = public_url(reader);
        let (consumer, alerts) = (consumption::read(reader), alerts(reader));
        let (deliveries, channels) = (deliveries(reader), channels::read(reader));
        if public_url.is_some() && channels.key_files.is_empty() {
            let problem = "needs a key that links are signed with; give channels.key_files";
            reader.refuse(PUBLIC_URL, problem);
        }
        let mail = channels::read_mail(reader);
        move |common| Config {
            common,
            public_url,
            consumer,
            alerts,
            deliveries,
            channels,
            mail,
        }
    };
    CommonConfig::read(reader, DEFAULTS, own)
}

fn public_url(reader: &mut Reader) -> Option<Url> {
    reader.describe(
        PUBLIC_URL,
        "Where people reach REST from outside, as https://alerts.example.org. If it is set, messages have links that \
         acknowledge, snooze or resolve an alert without a login; they are signed with a key that is derived from \
         channels.key_files.",
    );
    let text = reader.text(PUBLIC_URL)?;
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => Some(url),
        _ => {
            let problem = format!("\"{text}\" is no address such as https://alerts.example.org");
            reader.refuse(PUBLIC_URL, problem);
            None
        }
    }
}

fn alerts(reader: &mut Reader) -> AlertsConfig {
    reader.section::<AlertsConfig>("alerts");
    let key = "alerts.event_age_max_seconds";
    let event_age_max = reader.seconds(key, DAY_SECONDS, 60..=366 * DAY_SECONDS);
    let days = reader.number("alerts.observation_age_max_days", 200, 1..=36_600);
    // Longer than the longest cooldown, which looks at past alerts.
    let retention = reader.number("alerts.retention_days", 730, 32..=36_600);
    let years = reader.number("alerts.history_years", 5, 1..=100);
    let expressions = reader.number("alerts.expressions_per_owner_max", 1_000, 1..=1_000_000);
    let edits = reader.number("alerts.edits_retention_days", 7, 1..=366);
    AlertsConfig {
        event_age_max,
        observation_age_max_days: small(days),
        retention_days: small(retention),
        history_years: small(years),
        expressions_per_owner_max: small(expressions),
        edits_retention_days: small(edits),
    }
}

fn deliveries(reader: &mut Reader) -> DeliveriesConfig {
    reader.section::<DeliveriesConfig>("deliveries");
    let mut places = |key, default| {
        let number = reader.number(key, default, 1..=1_000);
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let concurrency = places("deliveries.concurrency", 256);
    let per_destination_max = places("deliveries.per_destination_max", 16);
    let failures = reader.number("deliveries.failures_max", 5, 1..=1_000);
    DeliveriesConfig {
        concurrency,
        per_destination_max,
        deadline: reader.seconds(
            "deliveries.deadline_seconds",
            DAY_SECONDS,
            1..=31 * DAY_SECONDS,
        ),
        retry_base: reader.milliseconds("deliveries.retry_base_milliseconds", 2_000, 1..=3_600_000),
        retry_max: reader.seconds("deliveries.retry_max_seconds", 1_800, 1..=DAY_SECONDS),
        failures_max: small(failures),
        pause_max: reader.seconds("deliveries.pause_max_seconds", 300, 1..=DAY_SECONDS),
        poll_interval: reader.milliseconds(
            "deliveries.poll_interval_milliseconds",
            500,
            10..=10_000,
        ),
    }
}
