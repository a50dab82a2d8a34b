//! A large group reaches the database another way than a small one; what is stored is the same.

use atlas_events::{
    CrossingDirection, Draft, Event, ThresholdCrossedEvent, ThresholdInput, event::Payload,
};
use chrono::{DateTime, Utc};
use test_support::{custom_event, draft, series_event};

use crate::common::{TestLog, places};

#[derive(Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct Row {
    position: i64,
    occurred_at: DateTime<Utc>,
    event_id: String,
    event_type: String,
    source_service: String,
    series_ids: Option<Vec<String>>,
    payload: String,
    encoded: Vec<u8>,
}

pub(crate) async fn rows(test: &TestLog) -> Vec<Row> {
    sqlx::query_as(
        "select position, occurred_at, event_id, event_type, source_service, series_ids,
                payload::text, encoded
         from events order by position",
    )
    .fetch_all(&mut test.connection().await)
    .await
    .unwrap()
}

/// An event about several series.
fn crossed(n: u64) -> Event {
    let input = |series_id: &str| ThresholdInput {
        series_id: series_id.to_owned(),
        value: Some("-0.50".to_owned()),
        ..ThresholdInput::default()
    };
    let crossed = ThresholdCrossedEvent {
        pattern_id: "courbe-inversée \"\\ \u{1F4C9}".to_owned(),
        direction: CrossingDirection::Entered.into(),
        inputs: vec![input("DGS2"), input("DGS10"), input("Größe")],
        ..ThresholdCrossedEvent::default()
    };
    Event {
        payload: Some(Payload::ThresholdCrossed(crossed)),
        ..custom_event(n)
    }
}

pub(crate) fn of_every_kind(numbers: std::ops::Range<u64>) -> Vec<Draft> {
    numbers
        .map(|n| match n % 3 {
            0 => draft(custom_event(n)),
            1 => draft(series_event(n, "UNRATE", "2024-05-01", "3.90")),
            _ => draft(crossed(n)),
        })
        .collect()
}

#[tokio::test]
async fn large_groups_are_stored_as_small_ones_are() {
    // Enough for several pieces on the way, with events in them that are stored already.
    let all = of_every_kind(0..1_500);
    let large = TestLog::create().await;
    let log = large.open().await;
    log.append(all[700..703].to_vec()).await.unwrap();
    let receipts = log.append(all.clone()).await.unwrap();
    assert_eq!(receipts.iter().filter(|r| r.duplicate).count(), 3);
    let reported: Vec<_> = places(&all, &receipts);
    assert_eq!(reported[700].0, 1);
    assert_eq!((reported[0].0, reported[1_499].0), (4, 1_500));

    let small = TestLog::create().await;
    let log = small.open().await;
    log.append(all[700..703].to_vec()).await.unwrap();
    let mut connection = small.connection().await;
    let mut transaction = sqlx::Connection::begin(&mut connection).await.unwrap();
    let appended = log.append_in(&mut transaction, all).await.unwrap();
    transaction.commit().await.unwrap();
    appended.committed();
    let (by_copy, by_statement) = (rows(&large).await, rows(&small).await);
    assert_eq!(by_copy.len(), 1_500);
    for (one, other) in by_copy.iter().zip(&by_statement) {
        assert_eq!(one, other);
    }
}
