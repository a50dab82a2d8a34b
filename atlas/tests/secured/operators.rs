//! What operators list and change from the command line: checkpoints and parked events.

use fred_stand_in::{Release, StandIn};
use serde_json::Value;
use test_support::{eventually, series_event};
use tokio::net::TcpListener;

use crate::harness::{DEADLINE, Ended, Place, Running};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SERIES: &str = "UNRATENSA";

/// The numbers of records of parked events, with their states, as `atlas parked list` has them.
async fn parked(place: &Place, engine: &Running, token: &str, more: &[&str]) -> Vec<[String; 2]> {
    let list = [&["parked", "list", "--format", "json"], more].concat();
    let listed = place.ask(engine, token, &list).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let lines = listed.output.lines().map(|line| {
        let parked: Value = serde_json::from_str(line).unwrap();
        ["id", "state"].map(|member| parked[member].as_str().unwrap().to_owned())
    });
    lines.collect()
}

#[track_caller]
fn assert_usage(ended: &Ended, words: &str) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.errors.contains(words), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_and_parked_events_are_listed_and_changed() {
    let place = Place::create().await;
    let both = ["--scope", "read", "--scope", "publish"];
    let client = place.new_token("client", "collector.toml", &both);
    let admin = place.new_token("operator", "engine.toml", &["--scope", "admin"]);
    let keeper = place.new_token("keeper", "collector.toml", &["--scope", "admin"]);
    let collector = place.collector("collector.toml", &[]).await;
    let credential = format!("consumer.token_file={client}");
    let engine = place
        .engine("engine.toml", &collector, &[&credential])
        .await;
    let events = [
        ("2024-08-02", "23.39"),
        ("2024-08-05", "38.57"),
        ("2024-08-06", "20"),
    ];
    let lines = (1..).zip(events).map(|(n, (date, value))| {
        serde_json::to_string(&series_event(n, "VIXCLS", date, value)).unwrap()
    });
    let file = place
        .folder
        .write("events", &lines.collect::<Vec<_>>().join("\n"));
    let published = place
        .ask(&collector, &client, &["publish", "--file", &file])
        .await;
    assert_eq!(published.code, Some(0), "{published:?}");
    eventually(DEADLINE, async || {
        let listed = place.ask(&engine, &admin, &["checkpoint", "list"]).await;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        listed
            .output
            .starts_with("collector: after position 3 of the log ")
    })
    .await;
    let reset = [
        "checkpoint",
        "reset",
        "collector",
        "--position",
        "1",
        "--format",
        "json",
    ];
    let reset = place.ask(&engine, &admin, &reset).await;
    assert_eq!(reset.code, Some(0), "{reset:?}");
    let checkpoint: Value = serde_json::from_str(&reset.output).unwrap();
    assert_eq!(checkpoint["position"], "1");

    assert!(parked(&place, &engine, &admin, &[]).await.is_empty());
    let pool = sqlx::PgPool::connect(&place.database.url()).await.unwrap();
    // The log stores events without their positions; records of parked events have them, as field 4.
    sqlx::raw_sql(
        "insert into threshold_engine.parked_events
             (service, source, event_id, position, event_type, occurred_at, encoded, handler,
              reason, attempts, state)
         select 'ThresholdEngine', 'collector', event_id, position, event_type, occurred_at,
                encoded || set_byte(decode('2001', 'hex'), 1, position::int), 'ThresholdEngine',
                'reason ' || position || chr(27) || '[31m', 1, 'parked'
         from collector.events order by position",
    )
    .execute(&pool)
    .await
    .unwrap();
    let listed = place
        .ask(&engine, &admin, &["parked", "list", "--reason", "REASON 2"])
        .await;
    assert_eq!(listed.output.lines().count(), 1, "{listed:?}");
    assert!(
        listed.output.contains("collector at position 2"),
        "{listed:?}"
    );
    assert!(!listed.output.contains('\u{1b}'), "{listed:?}");
    let discarded = place
        .ask(&engine, &admin, &["parked", "discard", "1", "2"])
        .await;
    assert_eq!(discarded.output, "discarded 2\n", "{discarded:?}");
    let is = |state: &str| format!("PARKED_EVENT_STATE_{state}");
    let expected = [("1", "DISCARDED"), ("2", "DISCARDED"), ("3", "PARKED")];
    let expected = expected.map(|(id, state)| [id.to_owned(), is(state)]);
    assert_eq!(parked(&place, &engine, &admin, &[]).await, expected);
    let retried = place
        .ask(&engine, &admin, &["parked", "retry", "--all"])
        .await;
    let outcome = "retried 1: 1 processed, 0 failed again, 0 outstanding\n";
    assert_eq!(retried.output, outcome, "{retried:?}");
    let left = parked(
        &place,
        &engine,
        &admin,
        &["--state", "parked", "--state", "resolved"],
    )
    .await;
    assert_eq!(left, [["3".to_owned(), is("RESOLVED")]]);

    let unselected = place.ask(&engine, &admin, &["parked", "discard"]).await;
    assert_usage(&unselected, "--all");
    let refused = place
        .ask(&collector, &keeper, &["checkpoint", "list"])
        .await;
    assert_usage(&refused, "consumes no logs");
    engine.stop().await;
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_listed_and_changed_from_the_command_line() {
    let place = Place::create().await;
    let admin = ["--scope", "read", "--scope", "admin"];
    let admin = place.new_token("admin", "tokens.toml", &admin);
    let reader = place.new_token("reader", "tokens.toml", &["--scope", "read"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fred = StandIn::builder().series([SERIES]).rate_limit(None);
    let fred = fred.registered_keys([KEY]).start(listener).unwrap();
    let settings = [
        format!("fred.api_key={KEY}"),
        format!("fred.base_url={}/fred", fred.base_url()),
        format!("fred.series={SERIES}"),
        "fred.backfill=all".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let collector = place.collector("tokens.toml", &settings).await;
    let ask = async |token: &str, arguments: &[&str]| {
        let series = [&["series", "--rest", &collector.rest], arguments].concat();
        place.ask(&collector, token, &series).await
    };

    // The schedule collects it once; what came before is not new then.
    eventually(DEADLINE, async || {
        let listed = ask(&reader, &["list", "--format", "json"]).await;
        let series: Value = serde_json::from_str(listed.output.trim()).unwrap();
        series["last_success_at"].is_string()
    })
    .await;
    let collected = ask(&admin, &["collect", SERIES]).await;
    assert_eq!(collected.code, Some(0), "{collected:?}");
    assert_eq!(collected.output, "UNRATENSA: nothing new\n");
    let revision = Release {
        date: "2016-01-01".parse().unwrap(),
        value: "99.90".to_owned(),
        realtime_start: None,
    };
    fred.release(SERIES, revision).unwrap();
    let revised = ask(&admin, &["collect", SERIES]).await;
    let brought = "UNRATENSA: 1 new or revised value, at position ";
    assert!(revised.output.starts_with(brought), "{revised:?}");
    let paused = ask(&admin, &["pause", SERIES]).await;
    assert!(paused.output.contains("  paused "), "{paused:?}");
    let listed = ask(&reader, &["list"]).await;
    assert_eq!(listed.output.lines().count(), 1, "{listed:?}");
    assert!(listed.output.contains("  paused "), "{listed:?}");
    let resumed = ask(&admin, &["resume", SERIES]).await;
    assert!(resumed.output.contains("  active "), "{resumed:?}");

    let denied = ask(&reader, &["delete", SERIES]).await;
    assert_eq!(denied.code, Some(1), "{denied:?}");
    let json = ask(&reader, &["list", "--format", "json"]).await;
    let series: Value = serde_json::from_str(json.output.trim()).unwrap();
    assert_eq!(series["id"], SERIES);
    let deleted = ask(&admin, &["delete", SERIES]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert_eq!(ask(&reader, &["list"]).await.output, "");
    let unknown = ask(&admin, &["pause", SERIES]).await;
    assert_eq!(unknown.code, Some(4), "{unknown:?}");
    // gRPC where REST is asked for.
    let series = ["series", "--rest", &*collector.grpc, "list"];
    let mistaken = place.ask(&collector, &admin, &series).await;
    assert_eq!(mistaken.code, Some(1), "{mistaken:?}");
    assert!(
        mistaken.errors.contains("address of its REST"),
        "{mistaken:?}"
    );
    collector.stop().await;
}
