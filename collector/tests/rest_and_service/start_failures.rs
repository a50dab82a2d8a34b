//! Each reason for which a collector cannot start is reported in a line that says what to do.

use collector::service::{Listeners, Service};
use reqwest::Url;
use sqlx::Executor;
use test_support::TestDatabase;

use crate::harness::{config, metrics};

#[track_caller]
fn check_line(line: &str, expected: &[&str]) {
    assert!(!line.contains('\n'), "{line}");
    assert!(!line.contains("s3cret"), "{line}");
    for part in expected {
        assert!(line.contains(part), "\"{part}\" is missing in: {line}");
    }
}

async fn refusal(database_url: &str) -> String {
    let config = config(database_url, &[]);
    let listeners = Listeners::bind(&config).await.unwrap();
    let started = Service::start(config, listeners, metrics()).await;
    started.unwrap_err().to_string()
}

/// The URL of a database with something changed.
fn changed(database: &TestDatabase, change: impl FnOnce(&mut Url)) -> String {
    let mut url = Url::parse(&database.url()).unwrap();
    change(&mut url);
    url.into()
}

#[tokio::test]
async fn a_port_in_use() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for (key, variable) in [
        ("rest.address", "REST__ADDRESS"),
        ("grpc.address", "GRPC__ADDRESS"),
    ] {
        let settings = [format!("{key}={address}")];
        let config = config("postgres://localhost/x", &settings);
        let refused = Listeners::bind(&config).await.unwrap_err().to_string();
        let expected = [
            &address.to_string(),
            "another process listens there",
            variable,
        ];
        check_line(&refused, &expected);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let refused = refusal(&format!("postgres://atlas:s3cret@{address}/atlas")).await;
    check_line(
        &refused,
        &["cannot be reached", "nothing listens there", "DATABASE_URL"],
    );
    let refused = refusal("postgres://atlas:s3cret@nowhere.invalid/atlas").await;
    check_line(&refused, &["cannot be reached", "DATABASE_URL"]);
}

#[tokio::test]
async fn a_user_who_is_not_known() {
    let database = TestDatabase::create().await;
    let url = changed(&database, |url| {
        url.set_username("nobody_of_this_name").unwrap();
        url.set_password(Some("s3cret")).unwrap();
    });
    check_line(
        &refusal(&url).await,
        &["the database refuses", "check user and password"],
    );
}

#[tokio::test]
async fn a_database_that_does_not_exist() {
    let database = TestDatabase::create().await;
    let url = changed(&database, |url| url.set_path("no_such_database"));
    let expected = ["no_such_database", "does not exist", "create the database"];
    check_line(&refusal(&url).await, &expected);
}

#[tokio::test]
async fn a_database_without_the_extension() {
    let database = TestDatabase::create().await;
    let mut connection = database.connection().await;
    connection
        .execute("drop extension timescaledb")
        .await
        .unwrap();
    // A role of every PostgreSQL that may not create extensions.
    let url = changed(&database, |url| {
        url.query_pairs_mut()
            .append_pair("options", "-c role=pg_monitor");
    });
    let expected = [
        "no TimescaleDB extension",
        "CREATE EXTENSION timescaledb",
        "superuser",
    ];
    check_line(&refusal(&url).await, &expected);
}

#[tokio::test]
async fn a_user_who_may_not_create_the_schema() {
    let database = TestDatabase::create().await;
    let url = changed(&database, |url| {
        url.query_pairs_mut()
            .append_pair("options", "-c role=pg_monitor");
    });
    check_line(
        &refusal(&url).await,
        &["permission denied", "grant the user what is missing"],
    );
}

#[tokio::test]
async fn a_database_of_a_newer_version() {
    let database = TestDatabase::create().await;
    let config = config(&database.url(), &[]);
    let listeners = Listeners::bind(&config).await.unwrap();
    drop(Service::start(config, listeners, metrics()).await.unwrap());
    let mut connection = database.connection().await;
    for (newer, version) in [
        (
            "insert into collector.event_log_migrations
                 (version, description, success, checksum, execution_time)
             values (99990101, 'of tomorrow', true, '', 0)",
            "99990101",
        ),
        // Of what the collector keeps beside its log, which is looked at first.
        (
            "insert into collector.collector_migrations
                 (version, description, success, checksum, execution_time)
             values (99990102, 'of tomorrow', true, '', 0)",
            "99990102",
        ),
    ] {
        connection.execute(newer).await.unwrap();
        let refused = refusal(&database.url()).await;
        check_line(&refused, &["newer version", version]);
    }
}
