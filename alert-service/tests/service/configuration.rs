//! The settings, and what is wrong with them.

use alert_service::config::{CommonFlags, Config, ConfigError, Flags, Loaded, load};

const URL: &str = "postgres://atlas:s3cret@db/atlas";

fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded<Config>, ConfigError> {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(&Flags::default(), &variables)
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_and_without_secrets() {
    let refused = from_environment(&[
        ("DATABASE_URL", URL),
        ("CONSUMER__SOURCES", "a=http://one:5001,a=http://two:5001"),
        ("CHANNELS__ALLOWED_PREFIXES", "10.0.0.0/99"),
        ("MAIL__HOST", "mail.example.org"),
        ("MAIL__PASSWORD", "hunter2hunter2"),
        ("DELIVERIES__CONCURRENCY", "0"),
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "two sources are named \"a\"",
        "is no network such as",
        "mail.from",
        "mail.user",
        "deliveries.concurrency",
    ] {
        assert!(
            refused.to_lowercase().contains(part),
            "{part} is missing in {refused}"
        );
    }
    assert!(
        !refused.contains("s3cret") && !refused.contains("hunter2"),
        "{refused}"
    );
}

/// The example shows every setting; what it says is the default is the default.
#[test]
fn the_example_shows_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/alert-service.example.toml");
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
