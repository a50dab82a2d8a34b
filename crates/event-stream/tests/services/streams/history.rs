//! The errors that clients get from a log that went back or was replaced.

use event_log::EventLog;
use test_support::{TestDatabase, eventually};
use tonic::{Code, transport::Channel};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

use crate::common::{
    DEADLINE, Server, after, custom_events, end_of, error_of, execute, expectation, fact,
};

#[tokio::test]
async fn clients_learn_that_the_log_went_back_and_then_that_it_is_another() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    client.publish(custom_events(0..10)).await;
    let log_id = server.log.log_id().to_string();
    let mut stream = client.subscribe(after(10)).await;
    let mut connection = database.connection().await;
    execute(
        &mut connection,
        "begin;
         delete from log.events where position > 6;
         update log.log_head set last_position = 6,
             latest_recorded_at = (select recorded_at from log.events where position = 6);
         commit",
    )
    .await;
    let status = end_of(&mut stream).await;
    let expected = expectation(Code::FailedPrecondition, "LOG_WENT_BACK", "");
    assert_eq!(error_of(&status), expected);
    assert_eq!(fact(&status, "known_position"), "10");
    assert_eq!(fact(&status, "last_position"), "6");
    let refused = client.try_publish(custom_events(20..21)).await.unwrap_err();
    assert_eq!(error_of(&refused), expected);

    // Nor does a balancer send anybody here.
    let channel = Channel::from_shared(server.url.clone()).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    for service in ["", "atlas.events.EventStream"] {
        eventually(DEADLINE, async || {
            let service = service.to_owned();
            let answer = health.check(HealthCheckRequest { service }).await.unwrap();
            answer.into_inner().status == ServingStatus::NotServing as i32
        })
        .await;
    }

    let pool = event_log::connect(&database.url(), "log", 2).await.unwrap();
    let renewed = EventLog::renew_identity(&pool).await.unwrap();
    let now = server.log.replaced().await;
    assert_eq!(now, renewed.now);
    let refused = client.try_publish(custom_events(20..21)).await.unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::FailedPrecondition, "LOG_REPLACED", "")
    );
    assert_eq!(fact(&refused, "log_id"), renewed.now.to_string());
    // The process that is started again serves the log that is there.
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let mut cursor = after(6);
    cursor.log_id = log_id;
    let refused = client.try_subscribe(cursor).await.unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::FailedPrecondition, "OTHER_LOG", "log_id")
    );
    assert_eq!(client.publish(custom_events(20..21)).await[0].position, 7);
}
