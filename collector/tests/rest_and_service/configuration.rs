//! Configuration: where values come from, which wins, and what is reported about mistakes.

use std::path::PathBuf;

use clap::Parser;
use collector::config::{Backfill, Config, Flags, Loaded, LogFormat, SeriesSeed, load};
use secrecy::ExposeSecret;

const URL: &str = "postgres://atlas:s3cret@db/atlas";

/// A file of its own for each test, in the folder that is made for tests.
fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn flags(arguments: &[&str]) -> Flags {
    Flags::try_parse_from([&["collector"], arguments].concat()).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    variables.iter().map(owned).collect()
}

#[track_caller]
fn loaded(arguments: &[&str], variables: &[(&str, &str)]) -> Loaded<Config> {
    load(&flags(arguments), &environment(variables)).unwrap()
}

#[track_caller]
fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
    loaded(arguments, variables).config
}

/// The problems as `key: problem`.
#[track_caller]
fn problems(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let refused = load(&flags(arguments), &environment(variables)).unwrap_err();
    refused.0.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_problem(arguments: &[&str], variables: &[(&str, &str)], expected: &str) {
    let variables = [&[("DATABASE_URL", URL)], variables].concat();
    let problems = problems(arguments, &variables);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains(expected), "{problems:#?}");
}

#[test]
fn without_settings_the_defaults_hold() {
    let config = check(&[], &[("DATABASE_URL", URL)]);
    assert_eq!(config.common.database.url.expose_secret(), URL);
    assert_eq!(config.common.database.schema, "collector");
    assert_eq!(config.common.rest.address.to_string(), "127.0.0.1:5000");
    assert_eq!(config.common.grpc.address.to_string(), "127.0.0.1:5001");
    assert_eq!(config.common.events.retention_days, Some(730));
    assert_eq!(config.fred.base_url, "https://api.stlouisfed.org/fred");
    assert_eq!(config.fred.request_interval.as_millis(), 510);
    assert!(config.fred.api_key.is_none());
    assert!(config.fred.series.is_empty());
    assert_eq!(config.common.shutdown.drain.as_secs(), 10);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let path = file(
        "precedence",
        "[grpc]\nport = 1\naddress = \"0.0.0.0:9\"\n[events]\nretention_days = 1\n\
         poll_interval_milliseconds = 100\n[shutdown]\ndrain_seconds = 1\n\
         [security]\nallow_insecure = true",
    );
    let config = check(
        &["--config", &path, "--set", "grpc.port=3"],
        &[
            ("DATABASE_URL", URL),
            ("GRPC__PORT", "2"),
            ("EVENTS__RETENTION_DAYS", "2"),
        ],
    );
    assert_eq!(config.common.grpc.address.to_string(), "0.0.0.0:3");
    assert_eq!(config.common.events.retention_days, Some(2));
    assert_eq!(config.common.shutdown.drain.as_secs(), 1);
    assert_eq!(config.common.events.poll_interval.as_millis(), 100);
}

#[test]
fn the_database_may_be_named_as_dotnet_does() {
    let text = "Host=timescaledb;Database=atlas;Username=me;Password=pw;Port=5433";
    let config = check(&[], &[("ConnectionStrings__Atlas", text)]);
    let url = "postgres://me:pw@timescaledb:5433/atlas";
    assert_eq!(config.common.database.url.expose_secret(), url);
    let both = [("DATABASE_URL", URL), ("CONNECTIONSTRINGS__ATLAS", text)];
    assert_eq!(check(&[], &both).common.database.url.expose_secret(), URL);
}

#[test]
fn series_come_from_each_source() {
    let path = file(
        "series",
        "[fred]\nbackfill = \"all\"\nseries = [\"UNRATE\", { id = \"ICSA\", \
         schedule = \"0 9 * * 4\", backfill = \"1990-01-01\" }]",
    );
    let seed = |id: &str, schedule: Option<&str>, backfill: &str| SeriesSeed {
        id: id.to_owned(),
        schedule: schedule.map(ToOwned::to_owned),
        backfill: backfill.parse().unwrap(),
    };
    let base = [("DATABASE_URL", URL)];
    let of_file = vec![
        seed("UNRATE", None, "all"),
        seed("ICSA", Some("0 9 * * 4"), "1990-01-01"),
    ];
    assert_eq!(check(&["--config", &path], &base).fred.series, of_file);

    let variables = [
        base[0],
        ("FRED__SERIES", "VIXCLS, GDPC1"),
        ("FRED__BACKFILL", "6mo"),
    ];
    let of_environment = vec![seed("VIXCLS", None, "6mo"), seed("GDPC1", None, "6mo")];
    assert_eq!(check(&[], &variables).fred.series, of_environment);

    let config = check(&["--series", "DGS10", "--backfill", "24mo"], &variables);
    assert_eq!(config.fred.series, [seed("DGS10", None, "24mo")]);
    assert_eq!(config.fred.series[0].backfill, Backfill::default());
}

#[test]
fn variables_of_the_source_are_read() {
    let config = check(
        &[],
        &[
            ("DATABASE_URL", URL),
            ("FRED_API_KEY", "k3y"),
            ("FRED_API_BASE_URL", "http://127.0.0.1:8085/fred/"),
            ("TELEMETRY__FORMAT", "json"),
        ],
    );
    assert_eq!(config.fred.api_key.unwrap().expose_secret(), "k3y");
    assert_eq!(config.fred.base_url, "http://127.0.0.1:8085/fred");
    assert_eq!(config.common.telemetry.format, LogFormat::Json);
}

#[test]
fn an_empty_variable_is_none() {
    let config = check(&[], &[("DATABASE_URL", URL), ("FRED_API_KEY", "")]);
    assert!(config.fred.api_key.is_none());
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let path = file(
        "mistakes",
        "[database]\nschema = \"Not A Name\"\n[rest]\naddress = 5000\n[grpc]\nport = 70000\n\
         [evnts]\nx = 1\n[fred]\nseries = [{ id = \"\" }, { id = \"A\", backfil = \"all\" }, \
         \"A\"]\nattempts_max = 2.5\n[telemetry]\nformat = \"xml\"",
    );
    let reported = problems(
        &["--config", &path, "--set", "rest", "--backfill", "soon"],
        &[
            ("GRPC__PROT", "5001"),
            ("SHUTDOWN__DRAIN_SECONDS", "soon"),
            ("FRED_API_BASE_URL", "fred"),
        ],
    );
    let expected = [
        "--set: is to be KEY=VALUE",
        "database.url: is required: set DATABASE_URL",
        "database.schema: \"Not A Name\" is no name for a schema",
        "rest.address: is to be a text",
        "grpc.port: 70000 is not a whole number from 0 to 65535",
        "fred.backfill (--backfill): \"soon\" is no backfill",
        "fred.base_url (FRED_API_BASE_URL): \"fred\" is not an address",
        "fred.attempts_max: 2.5 is not a whole number from 1 to 100",
        "fred.series[0]: needs an id of 1 to 50",
        "fred.series[1].backfil: is not a known setting; known are id, schedule and backfill",
        "fred.series[2]: names A again",
        "shutdown.drain_seconds (SHUTDOWN__DRAIN_SECONDS): soon is not a whole number",
        "telemetry.format: \"xml\" is not known",
        "evnts: is not a known setting; the nearest is events",
        "GRPC__PROT: is not a known setting; the nearest is grpc.port",
    ];
    for part in expected {
        let found = reported.iter().any(|problem| problem.contains(part));
        assert!(found, "{part} is missing in {reported:#?}");
    }
    assert_eq!(reported.len(), expected.len(), "{reported:#?}");
}

#[test]
fn unknown_keys_get_the_nearest_known_one() {
    let nearest = |given: &str, known: &str| {
        check_problem(
            &["--set", &format!("{given}=1")],
            &[],
            &format!("the nearest is {known}"),
        );
    };
    nearest("events.retention_day", "events.retention_days");
    nearest("rest.adress", "rest.address");
    nearest("retention_days", "events.retention_days");
    nearest("telemetry.filters", "telemetry.filter");
    check_problem(&["--set", "grpc=5001"], &[], "is a section: write [grpc]");
    check_problem(&["--set", "grpc..port=1"], &[], "is not a known setting");
}

#[test]
fn an_unreadable_file_is_reported() {
    check_problem(
        &["--config", "/nowhere/c.toml"],
        &[],
        "/nowhere/c.toml: cannot be read",
    );
    let path = file("broken", "[grpc\nport = 1");
    check_problem(&["--config", &path], &[], "is not valid TOML");
}

#[test]
fn secrets_are_in_no_output() {
    let variables = [("DATABASE_URL", URL), ("FRED_API_KEY", "k3y")];
    let loaded = loaded(&[], &variables);
    for text in [format!("{:?}", loaded.config), loaded.shown.to_string()] {
        assert!(!text.contains("s3cret") && !text.contains("k3y"), "{text}");
        assert!(text.contains("127.0.0.1:5001"), "{text}");
    }
    let wrong = [("DATABASE_URL", "postgre://atlas:s3cret@db/atlas")];
    let reported = problems(&[], &wrong).concat();
    assert!(!reported.contains("s3cret"), "{reported}");
}

#[test]
fn mistakes_repeat_no_secret() {
    for line in [
        "password = hunter2",
        "password = \"hunter2",
        "url = \"postgres://atlas:hunter2@db\" x",
    ] {
        let path = file("unquoted", &format!("[database]\n{line}\n"));
        let reported = problems(&["--config", &path], &[]).concat();
        assert!(reported.contains("not valid TOML at line 2"), "{reported}");
        assert!(!reported.contains("hunter2"), "{reported}");
    }
    let token = "atlas-7Yk2pQ9wLr5tXz8vBn3mHs6dFg1jKc4e";
    for key in [
        "TELEMETRY__FORMAT",
        "TELEMETRY__FILTER",
        "REST__ADDRESS",
        "GRPC__PORT",
        "DATABASE__SCHEMA",
        "FRED_API_BASE_URL",
        "FRED__BACKFILL",
        "TELEMETRY__TRACES_SAMPLING_RATIO",
    ] {
        let reported = problems(&[], &[(key, token)]).concat();
        assert!(!reported.contains(token), "{key}: {reported}");
    }
}

#[test]
fn secrets_come_from_files() {
    let key = file("key", "k3y\n");
    let url = file("url", &format!("{URL}\r\n"));
    let password = file("password", "p;w@/d\n");
    let dotnet = "Host=timescaledb;Database=atlas;Username=atlas";
    for variables in [
        [("DATABASE_URL_FILE", &url), ("FRED_API_KEY_FILE", &key)],
        [("DATABASE__URL_FILE", &url), ("FRED__API_KEY_FILE", &key)],
        [
            ("ConnectionStrings__Atlas_FILE", &url),
            ("fred_api_key_file", &key),
        ],
    ] {
        let variables = variables.map(|(name, value)| (name, value.as_str()));
        let loaded = loaded(&[], &variables);
        assert_eq!(loaded.config.common.database.url.expose_secret(), URL);
        assert_eq!(loaded.config.fred.api_key.unwrap().expose_secret(), "k3y");
        let shown = loaded.shown.to_string();
        assert!(
            !shown.contains("s3cret") && !shown.contains("k3y"),
            "{shown}"
        );
        assert!(shown.contains(&key), "{shown}");
    }
    let variables = [
        ("ConnectionStrings__Atlas", dotnet),
        ("DATABASE__PASSWORD_FILE", &password),
    ];
    let config = check(&[], &variables);
    let joined = "postgres://atlas:p%3Bw%40%2Fd@timescaledb/atlas";
    assert_eq!(config.common.database.url.expose_secret(), joined);
}

#[test]
fn unreadable_secrets_are_reported() {
    let empty = file("empty", "\n");
    let variables = [("DATABASE_URL", URL), ("FRED_API_KEY_FILE", &empty)];
    assert!(check(&[], &variables).fred.api_key.is_none());
    check_problem(
        &[],
        &[("FRED__API_KEY_FILE", "/nowhere/key")],
        "\"/nowhere/key\" cannot be read",
    );
    let both = [("FRED_API_KEY", "k3y"), ("FRED_API_KEY_FILE", &empty)];
    check_problem(&[], &both, "excludes fred.api_key; give one of the two");
    check_problem(
        &[],
        &[("DATABASE__PASSWORD", "other")],
        "holds a password, and database.password is another",
    );
    let unreadable = [("DATABASE_URL_FILE", "/nowhere/url")];
    let reported = problems(&[], &unreadable);
    assert_eq!(reported.len(), 1, "{reported:#?}");
    assert!(
        reported[0].starts_with("database.url_file"),
        "{reported:#?}"
    );
}

#[test]
fn a_mistyped_variable_is_not_ignored() {
    check_problem(
        &[],
        &[("GRCP__PORT", "5001")],
        "GRCP__PORT: is not a known variable; the nearest is GRPC__PORT",
    );
    check_problem(
        &[],
        &[("ConnectionStrings__Atlass", "Host=a")],
        "the nearest is CONNECTIONSTRINGS__ATLAS",
    );
    // Names of others, and of the other service.
    let others = [
        ("DATABASE_URL", URL),
        ("HTTP__PORT", "80"),
        ("FredCollector__GrpcUrl", "http://fred-collector:5001"),
        ("EVENTCONSUMER__BACKFILLMONTHS", "3"),
    ];
    check(&[], &others);
}

#[test]
fn each_value_is_shown_with_its_origin() {
    let path = file("origins", "[grpc]\nsubscriptions_max = 9\n");
    let arguments = [
        "--config",
        &path,
        "--rest",
        "127.0.0.1:1",
        "--set",
        "fred.attempts_max=2",
    ];
    let shown = loaded(&arguments, &[("Database_Url", URL)]).shown;
    let expected = [
        (
            "database.url",
            "\"postgres://atlas:***@db/atlas\"",
            Some("Database_Url"),
        ),
        ("database.schema", "\"collector\"", None),
        ("rest.address", "\"127.0.0.1:1\"", Some("--rest")),
        ("grpc.subscriptions_max", "9", Some(path.as_str())),
        ("fred.attempts_max", "2", Some("--set fred.attempts_max")),
    ];
    for (key, value, origin) in expected {
        assert_eq!(
            (shown.value(key), shown.origin(key)),
            (Some(value), origin),
            "{key}"
        );
    }
    let text = shown.to_string();
    assert!(text.contains("subscriptions_max = 9 "), "{text}");
    assert!(text.contains(&format!("# {path}")), "{text}");
    assert!(text.contains("# api_key is not set"), "{text}");
}

#[test]
fn what_is_printed_makes_the_same_configuration() {
    let given = loaded(
        &[
            "--set",
            "events.retention_days=0",
            "--set",
            "grpc.port=77",
            "--series",
            "UNRATE,GDPC1",
        ],
        &[("DATABASE_URL", "postgres://db/atlas")],
    );
    let path = file("printed", &given.shown.to_string());
    let again = loaded(&["--config", &path], &[]);
    assert_eq!(format!("{:?}", again.config), format!("{:?}", given.config));
    for setting in &given.shown.0 {
        assert_eq!(again.shown.value(setting.key), setting.value.as_deref());
    }
}

#[test]
fn the_example_file_is_valid_and_lists_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/collector.example.toml");
    let shown = loaded(&["--config", path], &[]).shown;
    let example = std::fs::read_to_string(path).unwrap();
    for setting in &shown.0 {
        let name = setting.name();
        assert!(example.contains(&format!("{name} = ")), "{name} is missing");
    }
}
