//! The settings, where they come from, and what is wrong with them.

use threshold_engine::config::{Config, ConfigError, Flags, SourceConfig, load};

const URL: &str = "postgres://atlas:s3cret@db/atlas";

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
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
    let config = from_environment(&[
        (
            "ConnectionStrings__Atlas",
            "Host=timescaledb;Database=atlas",
        ),
        ("FredCollector__GrpcUrl", "http://fred-collector:5001"),
        ("EVENTCONSUMER__BACKFILLMONTHS", "3"),
    ])
    .unwrap();
    let sources = [source("collector", "http://fred-collector:5001")];
    assert_eq!(config.consumer.sources, sources);
    assert_eq!(config.consumer.backfill_months, Some(3));
    assert!(config.to_string().contains("postgres://timescaledb/atlas"));
}

#[test]
fn several_sources_have_names() {
    let sources = "fred=http://one:5001, other=http://two:5001";
    let config = from_environment(&[("DATABASE_URL", URL), ("CONSUMER__SOURCES", sources)]);
    let expected = [
        source("fred", "http://one:5001"),
        source("other", "http://two:5001"),
    ];
    assert_eq!(config.unwrap().consumer.sources, expected);
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_without_secrets() {
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
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/threshold-engine.example.toml");
    let flags = Flags {
        config: Some(example.into()),
        ..Flags::default()
    };
    let shown = load(&flags, &[]).unwrap();
    let url = "postgres://atlas@localhost:5432/atlas";
    let default = from_environment(&[("DATABASE_URL", url)]).unwrap();
    assert_eq!(shown.to_string(), default.to_string());
}

#[test]
fn what_is_printed_makes_the_same_configuration() {
    let config = from_environment(&[("DATABASE_URL", URL)]).unwrap();
    let printed = config.to_string();
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("***"), "{printed}");
}
