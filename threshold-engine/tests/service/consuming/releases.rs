//! Releases that come in several events.

use atlas_events::{DataPoint, Draft, Event, ReleasePart, SeriesCollectedEvent, event::Payload};
use chrono::{DateTime, Days, NaiveDate, SubsecRound, TimeDelta, Utc};
use test_support::{EventIds, draft};

use crate::{
    bed::{Bed, Form},
    process::life::Life,
    scenario::Folder,
};

const ENGINE: &str = "threshold_engine";
/// Holds only where a date is of another base than the one before.
const SEAM: &str = r#"
id = "seam"
name = "Seam"
description = "Falls by more than five."
severity = "info"
when = "A.change(1) < -5"

[inputs.A]
series = "ALPHA"
unit = "points"
frequency = "daily"
"#;
const DATES: u64 = 30;

/// Values that rise by `step` a day, known from one moment, as so many parts.
fn release(ids: &mut EventIds, known_from: DateTime<Utc>, step: u64, parts: u32) -> Vec<Draft> {
    let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
    let points: Vec<_> = (0..DATES)
        .map(|day| DataPoint {
            date: (first + Days::new(day)).to_string(),
            value: Some((100 * step + day * step).to_string()),
            known_from: Some(known_from.into()),
        })
        .collect();
    let of_part = points.len().div_ceil(parts as usize);
    let now = Utc::now().trunc_subsecs(3);
    (1..)
        .zip(points.chunks(of_part))
        .map(|(number, points)| {
            draft(Event {
                event_id: ids.make(now).to_string(),
                occurred_at: Some(now.into()),
                source_service: "test".to_owned(),
                payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                    series_id: "ALPHA".to_owned(),
                    data_points: points.to_vec(),
                    collected_at: None,
                    release_part: (parts > 1).then_some(ReleasePart {
                        number,
                        count: parts,
                    }),
                })),
                ..Event::default()
            })
        })
        .collect()
}

/// How many points are in the sequence, and how many wait.
async fn points(pool: &sqlx::PgPool) -> (i64, i64) {
    let statement = "select (select count(*) from points), (select count(*) from release_parts)";
    sqlx::query_as(statement).fetch_one(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_parts_is_one_step_whatever_happens_between_them() {
    let bed = Bed::create(Folder::empty()).await;
    bed.folder.write("seam.toml", SEAM);
    let start = async || Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let life = start().await;
    let pool = bed.pool(ENGINE).await;
    let mut ids = EventIds::new(5);
    let known = Utc::now().trunc_subsecs(3) - TimeDelta::days(5);
    let dates = DATES.cast_signed();

    let first = release(&mut ids, known, 1, 1);
    bed.log.append(first).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(points(&pool).await, (dates, 0));

    // The same on another base. Between the parts the engine is caught up, and starts again.
    let rebased = release(&mut ids, known + TimeDelta::days(1), 10, 3);
    let mut life = Some(life);
    for (number, part) in (1..).zip(rebased) {
        bed.log.append(vec![part]).await.unwrap();
        bed.caught_up(&pool).await;
        let expected = match number {
            3 => (2 * dates, 0),
            number => (dates, number * dates / 3),
        };
        assert_eq!(points(&pool).await, expected);
        life.take().unwrap().stop().await;
        life = Some(start().await);
    }
    assert_eq!(bed.emissions(ENGINE).await, []);

    // One that never ended is brought by the next one, before it: the seam is there until then.
    let mut unended = release(&mut ids, known + TimeDelta::days(2), 20, 3);
    unended.truncate(1);
    bed.log.append(unended).await.unwrap();
    let mut next = release(&mut ids, known + TimeDelta::days(3), 10, 2);
    bed.log.append(vec![next.remove(0)]).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(points(&pool).await, (2 * dates + dates / 3, dates / 2));
    bed.log.append(next).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(points(&pool).await, (3 * dates + dates / 3, 0));
    // A part that is sent again and again never waits more than once.
    for _ in 0..4 {
        let again = release(&mut ids, known + TimeDelta::days(4), 10, 3).remove(1);
        bed.log.append(vec![again]).await.unwrap();
    }
    bed.caught_up(&pool).await;
    let flushed = 3 * dates / 3;
    assert_eq!(
        points(&pool).await,
        (3 * dates + dates / 3 + flushed, dates / 3)
    );
    life.unwrap().stop().await;
    let emissions = bed.emissions(ENGINE).await.len();
    assert_eq!(emissions, 4, "entered, cleared, and both withdrawn");

    // A fresh engine that sees all at once makes the same of it.
    let again = Life::start(bed.config("again"), bed.source(Form::Grpc)).await;
    bed.caught_up(&bed.pool("again").await).await;
    again.stop().await;
    let payloads = async |schema| -> Vec<_> {
        let emissions = bed.emissions(schema).await.into_iter();
        emissions.map(|event| event.payload).collect()
    };
    assert_eq!(payloads("again").await, payloads(ENGINE).await);
}
