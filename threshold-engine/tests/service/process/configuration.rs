//! The settings, where they come from, and what is wrong with them.

use threshold_engine::config::{
    CommonFlags, Config, ConfigError, Flags, Loaded, SourceConfig, load,
};

const URL: &str = "postgres://atlas:s3cret@db/atlas";

fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded<Config>, ConfigError> {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(&Flags::default(), &variables)
}

fn source(name: &str, url: &str) -> SourceConfig {
    SourceConfig {
        name: name.to_owned(),
        url: url.to_owned(),
    }
}

#[test]
fn variables_as_deployments_name_them() {
    let Loaded { config, shown } = from_environment(&[
        (
            "ConnectionStrings__Atlas",
            "Host=timescaledb;Database=atlas",
        ),
        ("FredCollector__GrpcUrl", "http://fred-collector:5001"),
        ("EVENTCONSUMER__BACKFILLMONTHS", "3"),
        ("GRPC__PORT", "5001"),
    ])
    .unwrap();
    let sources = [source("collector", "http://fred-collector:5001")];
    assert_eq!(config.consumer.sources, sources);
    assert_eq!(config.consumer.backfill_months, Some(3));
    assert_eq!(config.common.grpc.address.port(), 5001);
    let url = "\"postgres://timescaledb/atlas\"";
    assert_eq!(shown.value("database.url"), Some(url));
}

#[test]
fn several_sources_have_names() {
    let sources = "fred=http://one:5001, other=http://two:5001";
    let config = from_environment(&[("DATABASE_URL", URL), ("CONSUMER__SOURCES", sources)]);
    let expected = [
        source("fred", "http://one:5001"),
        source("other", "http://two:5001"),
    ];
    assert_eq!(config.unwrap().config.consumer.sources, expected);
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_and_without_secrets() {
    let refused = from_environment(&[
        ("DATABASE_URL", URL),
        ("CONSUMER__SOURCES", "a=http://one:5001,a=http://two:5001"),
        ("GRPC__PORT", "70000"),
        ("PATTERNS__FOLDR", "x"),
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "two sources are named \"a\"",
        "70000 is not a whole number",
        "patterns.folder",
    ] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    assert!(!refused.contains("s3cret"), "{refused}");
}

/// The example shows every setting; what it says is the default is the default.
#[test]
fn the_example_shows_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/threshold-engine.example.toml");
    let flags = Flags {
        common: CommonFlags {
            config: Some(path.into()),
            ..CommonFlags::default()
        },
        ..Flags::default()
    };
    let example = load(&flags, &[]).unwrap().shown;
    let url = "postgres://atlas@localhost:5432/atlas";
    let default = from_environment(&[("DATABASE_URL", url)]).unwrap().shown;
    let text = std::fs::read_to_string(path).unwrap();
    for setting in &default.0 {
        let (key, name) = (setting.key, setting.name());
        assert_eq!(example.value(key), setting.value.as_deref(), "{key}");
        assert!(text.contains(&format!("{name} = ")), "{name} is missing");
    }
}

#[test]
fn a_misspelt_variable_of_the_consumer_is_not_ignored() {
    let variables = [
        ("DATABASE_URL", URL),
        ("EVENTCONSUMER__BACKFILL", "3"),
        ("FredCollector__Url", "http://fred-collector:5001"),
    ];
    let refused = from_environment(&variables).unwrap_err().to_string();
    for part in [
        "EVENTCONSUMER__BACKFILL: is not a known variable; the nearest is EVENTCONSUMER__BACKFILLMONTHS",
        "FredCollector__Url: is not a known variable; the nearest is FREDCOLLECTOR__GRPCURL",
    ] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
}

#[test]
fn what_is_printed_has_no_secrets() {
    let shown = from_environment(&[("DATABASE_URL", URL)]).unwrap().shown;
    let printed = shown.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("***"), "{printed}");
}
