//! Each kind of failure of FRED is reported with its code, and collection goes on.

use std::time::{Duration, Instant};

use collector::{
    fred::{CircuitState, FredConfig},
    series::SeriesError,
};
use fred_stand_in::{Fault, StandIn};
use secrecy::SecretString;

use crate::bed::{Bed, KEY, Process, all_of, day, own_series, quick};

fn series() -> fred_stand_in::Series {
    own_series()
        .with_value(day("2020-01-01"), day("2020-02-05"), "3.5")
        .unwrap()
}

async fn bed() -> Bed {
    let none: [&str; 0] = [];
    Bed::new(StandIn::builder().series(none).add_series(series())).await
}

/// The collection of `series_id` fails with `code`, which an event and the registry report, with a
/// message that contains `text`.
async fn check_failure(process: &Process, series_id: &str, code: &str, text: &str, attempts: u32) {
    let before = process.failures().await.len();
    let Err(SeriesError::Source(failure)) = process.registry.collect_now(series_id).await else {
        panic!("{code}: the collection did not fail");
    };
    assert_eq!(failure.error.code(), code, "{failure}");

    let failures = process.failures().await;
    assert_eq!(failures.len(), before + 1, "{code}: one event");
    let event = failures.last().unwrap();
    assert_eq!((&*event.series_id, &*event.error_code), (series_id, code));
    assert_eq!(event.attempt, attempts, "{code}");
    assert!(
        event.error_message.contains(text),
        "{}",
        event.error_message
    );
    assert!(!event.error_message.contains(KEY));
    assert!(!format!("{failure:?}").contains(KEY));

    let series = process.registry.get(series_id).await.unwrap();
    let last_error = series.last_error.unwrap();
    assert_eq!(last_error.code, code);
    assert_eq!(last_error.message, event.error_message);
    assert!(series.consecutive_failures > 0);
    let next = event.next_attempt_at.unwrap().to_utc().unwrap();
    assert_eq!(next, series.next_collection_at);
}

/// Once FRED is well again, all is collected.
async fn check_recovery(process: &Process) {
    process.registry.collect_now("OWN").await.unwrap();
    let series = process.registry.get("OWN").await.unwrap();
    assert_eq!((series.consecutive_failures, series.last_error), (0, None));
    assert_eq!(process.collected().await.len(), 1);
}

#[tokio::test]
async fn faults_of_fred_are_events_with_their_codes_and_collection_goes_on() {
    let bed = bed().await;
    let mut config = quick(&bed.fred);
    config.request_timeout = Duration::from_millis(150);
    let process = bed.process_with(config).await;
    process.seed(&["OWN"]).await;

    let limited = Fault::TooManyRequests {
        retry_after_seconds: None,
    };
    let hang = Fault::Hang { millis: 400 };
    for (fault, code, text, attempts) in [
        (Fault::InternalError, "HTTP_500", "500", 3),
        (Fault::Unavailable, "HTTP_503", "503", 3),
        (limited, "RATE_LIMITED", "429", 3),
        (hang, "TIMEOUT", "0.15 s", 3),
        (Fault::CutMidBody, "CONNECTION", "body", 3),
        (
            Fault::HtmlPage,
            "MALFORMED_RESPONSE",
            "an HTML page (Scheduled",
            1,
        ),
        (Fault::Xml, "MALFORMED_RESPONSE", "XML where JSON", 1),
        (
            Fault::MalformedJson,
            "MALFORMED_RESPONSE",
            "malformed JSON",
            1,
        ),
    ] {
        bed.fred.fail_next(3, fault);
        check_failure(&process, "OWN", code, text, attempts).await;
        bed.fred.clear_faults();
    }
    check_recovery(&process).await;
}

#[tokio::test]
async fn an_unknown_series_is_reported_and_does_not_stop_the_others() {
    let bed = bed().await;
    let process = bed.process().await;
    process.seed(&["OWN", "NOPE"]).await;
    check_failure(&process, "NOPE", "SERIES_NOT_FOUND", "\"NOPE\"", 1).await;
    check_recovery(&process).await;
}

#[tokio::test]
async fn a_wrong_key_is_reported_and_never_shown() {
    let registered = "z".repeat(32);
    let none: [&str; 0] = [];
    let builder = StandIn::builder().series(none).add_series(series());
    let bed = Bed::new(builder.registered_keys([registered.clone()])).await;
    let process = bed.process().await;
    process.seed(&["OWN"]).await;
    check_failure(&process, "OWN", "KEY_REFUSED", "not registered", 1).await;

    let malformed = FredConfig {
        api_key: SecretString::from("Too-Short"),
        ..quick(&bed.fred)
    };
    let process = bed.process_with(malformed).await;
    check_failure(&process, "OWN", "KEY_REFUSED", "32 character", 1).await;

    let right = FredConfig {
        api_key: SecretString::from(registered),
        ..quick(&bed.fred)
    };
    check_recovery(&bed.process_with(right).await).await;
}

#[tokio::test]
async fn an_unreachable_fred_and_an_answer_too_large_are_reported() {
    let bed = bed().await;
    let nowhere = FredConfig {
        base_url: "http://127.0.0.1:1/fred".to_owned(),
        ..quick(&bed.fred)
    };
    let process = bed.process_with(nowhere).await;
    process.seed(&["OWN"]).await;
    check_failure(&process, "OWN", "CONNECTION", "no answer", 3).await;

    let narrow = FredConfig {
        answer_bytes_max: 100,
        ..quick(&bed.fred)
    };
    let process = bed.process_with(narrow).await;
    check_failure(&process, "OWN", "RESPONSE_TOO_LARGE", "100 bytes", 1).await;
    check_recovery(&bed.process().await).await;
}

/// What goes on for longer, or is more, than one request may is given up as a whole.
#[tokio::test]
async fn a_collection_has_a_bound_of_rows_and_of_time() {
    let two = series()
        .with_value(day("2020-02-01"), day("2020-03-05"), "3.6")
        .unwrap();
    let none: [&str; 0] = [];
    let bed = Bed::new(StandIn::builder().series(none).add_series(two)).await;
    let short = FredConfig {
        rows_max: 1,
        ..quick(&bed.fred)
    };
    let process = bed.process_with(short).await;
    process.seed(&["OWN"]).await;
    check_failure(&process, "OWN", "RESPONSE_TOO_LARGE", "1 rows", 1).await;
    // Nothing of it was stored.
    assert!(process.collected().await.is_empty());

    let hurried = FredConfig {
        collection_timeout: Duration::from_millis(200),
        ..quick(&bed.fred)
    };
    let process = bed.process_with(hurried).await;
    // The description of the series is asked for before, which is not part of it.
    bed.fred.fail_next(3, Fault::Hang { millis: 400 });
    check_failure(&process, "OWN", "TIMEOUT", "0.2 s", 1).await;
    bed.fred.clear_faults();
    check_recovery(&bed.process().await).await;
}

#[tokio::test]
async fn passing_faults_are_overcome_without_an_event_and_a_wait_asked_for_is_kept() {
    let bed = bed().await;
    let process = bed.process().await;
    process.seed(&["OWN"]).await;
    let limited = Fault::TooManyRequests {
        retry_after_seconds: Some(1),
    };
    bed.fred.fail_next(1, limited);
    bed.fred.fail_next(1, Fault::Unavailable);
    process.registry.collect_now("OWN").await.unwrap();

    assert_eq!(process.failures().await, []);
    let requests = bed.fred.requests();
    assert_eq!((requests[0].status, requests[1].status), (429, 503));
    let waited = requests[1].since_start - requests[0].since_start;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn after_failures_in_a_row_fred_is_left_alone_until_a_probe_succeeds() {
    let bed = bed().await;
    let config = FredConfig {
        attempts_max: 1,
        circuit_failures_max: 2,
        circuit_cool_down: Duration::from_secs(3_600),
        ..quick(&bed.fred)
    };
    let process = bed.process_with(config).await;
    process.seed(&["OWN"]).await;
    bed.fred.fail_next(2, Fault::Unavailable);
    check_failure(&process, "OWN", "HTTP_503", "503", 1).await;
    check_failure(&process, "OWN", "HTTP_503", "503", 1).await;

    let asked = bed.fred.requests().len();
    check_failure(&process, "OWN", "CIRCUIT_OPEN", "failed too often", 0).await;
    let add = process.registry.add(&all_of("GDP")).await;
    assert!(matches!(add, Err(SeriesError::Source(_))), "{add:?}");
    assert_eq!(bed.fred.requests().len(), asked, "FRED was left alone");

    bed.clock.advance(chrono::TimeDelta::hours(2));
    check_recovery(&process).await;
    assert_eq!(
        process.client.circuit(),
        CircuitState::Closed { failures: 0 }
    );
}

#[tokio::test]
async fn the_time_limit_covers_the_whole_answer() {
    let bed = bed().await;
    let config = FredConfig {
        request_timeout: Duration::from_millis(200),
        attempts_max: 1,
        ..quick(&bed.fred)
    };
    let process = bed.process_with(config).await;
    process.seed(&["OWN"]).await;
    bed.fred.fail_next(1, Fault::Hang { millis: 60_000 });
    let asked = Instant::now();
    check_failure(&process, "OWN", "TIMEOUT", "0.2 s", 1).await;
    assert!(asked.elapsed() < Duration::from_secs(5));
}
