//! Which settings there are, their defaults and bounds.

use config::{Value, ValueKind};
use schedule::Schedule;
use service::config::{
    CommonConfig, CommonDefaults, ConfigError, Loaded, Reader, Settings, Toml, small,
};

use super::{Backfill, Config, Flags, FredConfig, SeriesSeed};

const HOUR_SECONDS: u64 = 3_600;
const FRED_BASE_URL: &str = "https://api.stlouisfed.org/fred";

const DEFAULTS: CommonDefaults = CommonDefaults {
    schema: "collector",
    rest_port: 5000,
    grpc_port: 5001,
    retention_days: 730,
};

/// The collector's settings.
pub const SETTINGS: Settings<Config> = Settings {
    program: "collector",
    flags: &[
        ("--rest", "rest.address"),
        ("--grpc", "grpc.address"),
        ("--series", "fred.series"),
        ("--backfill", "fred.backfill"),
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
    CommonConfig::read(reader, DEFAULTS, |reader| {
        let fred = fred(reader);
        move |common| Config { common, fred }
    })
}

fn fred(reader: &mut Reader) -> FredConfig {
    reader.section::<FredConfig>("fred");
    let api_key = reader.secret("fred.api_key", "fred.api_key_file", &["FRED_API_KEY"]);
    let base_url = base_url(reader);
    let interval = "fred.request_interval_milliseconds";
    let request_interval = reader.milliseconds(interval, 510, 0..=60_000);
    let timeout = "fred.request_timeout_seconds";
    let request_timeout = reader.seconds(timeout, 30, 1..=HOUR_SECONDS);
    let attempts_max = small(reader.number("fred.attempts_max", 5, 1..=100));
    let news_wait = reader.seconds(
        "fred.news_wait_seconds",
        HOUR_SECONDS,
        0..=12 * HOUR_SECONDS,
    );
    let backfill = reader.parsed("fred.backfill", Backfill::default());
    reader.describe(
        "fred.backfill",
        "How far back first collections reach: months such as `24mo`, a date, or `all`.",
    );
    FredConfig {
        api_key,
        base_url,
        request_interval,
        request_timeout,
        attempts_max,
        news_wait,
        series: series(reader, backfill),
    }
}

fn base_url(reader: &mut Reader) -> String {
    reader.also("fred.base_url", &["FRED_API_BASE_URL"]);
    let text = reader.text_or("fred.base_url", FRED_BASE_URL);
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
    let form = "list of ids, or of tables with `id`, `schedule` and `backfill`";
    let shown = Toml::Array(seeds.iter().map(shown).collect());
    reader.asked(key, form, Some(Toml::Array(Vec::new())), Some(shown));
    seeds
}

fn shown(seed: &SeriesSeed) -> Toml {
    let backfill = seed.backfill.to_string();
    let schedule = seed.schedule.clone().map(|text| ("schedule", text));
    let fields = [("id", seed.id.clone()), ("backfill", backfill)];
    let fields = fields.into_iter().chain(schedule);
    Toml::Table(
        fields
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect(),
    )
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
