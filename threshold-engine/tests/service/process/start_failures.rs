//! Reasons for which an engine does not start, each emitted in a line that says what to do.

use test_support::TestDatabase;
use threshold_engine::service::{Listeners, Service};

use crate::{
    bed::{Bed, Form, metrics},
    scenario::Folder,
};

const ENGINE: &str = "threshold_engine";

async fn start(bed: &Bed) -> Result<service::Server, String> {
    let config = bed.config(ENGINE);
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = vec![bed.source(Form::InProcess)];
    let started = Service::start(config, sources, listeners, metrics()).await;
    started.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version() {
    let bed = Bed::create(Folder::with_definitions()).await;
    drop(start(&bed).await.unwrap());
    let mut connection = bed.database.connection().await;
    // The last that is looked at first, so that each is refused for itself.
    for (newer, version) in [
        (
            "insert into threshold_engine.consumer_migrations
                 (version, description, success, checksum, execution_time)
             values (99990101, 'of tomorrow', true, '', 0)",
            "99990101",
        ),
        (
            "insert into threshold_engine.event_log_migrations
                 (version, description, success, checksum, execution_time)
             values (99990102, 'of tomorrow', true, '', 0)",
            "99990102",
        ),
        (
            "insert into threshold_engine.threshold_engine_migrations
                 (version, description, success, checksum, execution_time)
             values (99990103, 'of tomorrow', true, '', 0)",
            "99990103",
        ),
    ] {
        sqlx::raw_sql(newer).execute(&mut connection).await.unwrap();
        let refused = start(&bed).await.unwrap_err();
        assert!(refused.contains("of a newer version"), "{refused}");
        assert!(refused.contains(version), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[tokio::test]
async fn a_port_in_use() {
    let database = TestDatabase::create().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for (key, variable) in [
        ("rest.address", "REST__ADDRESS"),
        ("grpc.address", "GRPC__ADDRESS"),
    ] {
        let flags = threshold_engine::config::Flags {
            common: service::config::CommonFlags::set(vec![
                format!("database.url={}", database.url()),
                "rest.address=127.0.0.1:0".to_owned(),
                "grpc.address=127.0.0.1:0".to_owned(),
                format!("{key}={address}"),
            ]),
            ..Default::default()
        };
        let config = threshold_engine::config::load(&flags, &[]).unwrap().config;
        let refused = Listeners::bind(&config).await.unwrap_err().to_string();
        for part in [
            &address.to_string(),
            "another process listens there",
            variable,
        ] {
            assert!(refused.contains(part), "{part} is missing in {refused}");
        }
    }
}
