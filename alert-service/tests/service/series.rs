//! Rules over series: alerts that begin and end with observations.

use chrono::{Days, NaiveDate, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running},
    receiver::Receiver,
};

const KILLS: u64 = 12;

/// A date so many days ago.
fn ago(days: u64) -> String {
    day(days).to_string()
}

fn day(days: u64) -> NaiveDate {
    Utc::now().date_naive() - Days::new(days)
}

async fn bed() -> (Bed, Receiver, Running, String) {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    (bed, receiver, service, channel)
}

async fn observe(bed: &Bed, series: &str, days: u64, value: &str) {
    bed.observe(series, &[(&ago(days), Some(value))]).await;
    bed.processed().await;
}

fn above(series: &str, value: &str) -> Value {
    json!({"condition": {"kind": "price", "series": series, "comparison": "gt", "value": value}})
}

/// Alerts, the oldest first: state and date.
async fn alerts(service: &Running) -> Vec<(String, String)> {
    let alerts = service.get("/v1/alerts?limit=1000").await;
    let alerts = alerts["alerts"].as_array().unwrap().iter().rev();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    alerts
        .map(|alert| (text(&alert["state"]), text(&alert["labels"]["date"])))
        .collect()
}

async fn eventually_alerts(service: &Running, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(state, date)| ((*state).to_owned(), (*date).to_owned()))
        .collect();
    eventually(DEADLINE, async || alerts(service).await == expected).await;
}

/// Waits until every edit of a rule has taken effect.
pub(crate) async fn settled(bed: &Bed) {
    let pool = bed.pool().await;
    eventually(DEADLINE, async || {
        let open: i64 = sqlx::query_scalar("select edit - settled_edit from series_head")
            .fetch_one(&pool)
            .await
            .unwrap();
        open == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_begins_an_alert_and_ends_it() {
    let (bed, receiver, service, channel) = bed().await;
    observe(&bed, "VIX", 9, "20").await;
    let mut rule = above("VIX", "30");
    rule["name"] = "Fear".into();
    rule["message"] = "{rule}: {series} is {value}, above {threshold}, on {date}".into();
    service.rule(&channel, rule).await;
    for (days, value) in [(8, "30"), (7, "30.01"), (6, "35"), (5, "29.5"), (4, "31")] {
        observe(&bed, "VIX", days, value).await;
    }
    eventually_alerts(&service, &[("resolved", &ago(7)), ("firing", &ago(4))]).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 3).await;
    let texts: Vec<_> = receiver
        .accepted()
        .iter()
        .map(|received| {
            received.body["data"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let expected = format!("Fear: VIX is 30.01, above 30, on {}", ago(7));
    assert!(texts.contains(&expected), "{texts:?}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_when_a_rule_is_made_begins_and_what_is_deleted_ends() {
    let (bed, _receiver, service, channel) = bed().await;
    observe(&bed, "VIX", 2, "40").await;
    let rule = service.rule(&channel, above("VIX", "30")).await;
    eventually_alerts(&service, &[("firing", &ago(2))]).await;
    let stored = service.get(&format!("/v1/rules/{rule}")).await;
    let mut changed = stored["rule"].clone();
    changed["condition"]["value"] = "50".into();
    let update = json!({"version": stored["version"], "rule": changed});
    let path = format!("/v1/rules/{rule}");
    let (status, body) = service.ask_as(None, Method::PUT, &path, Some(update)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    eventually_alerts(&service, &[("resolved", &ago(2))]).await;
    // The bound that counts is the new one, without a restart.
    observe(&bed, "VIX", 1, "45").await;
    observe(&bed, "VIX", 0, "51").await;
    eventually_alerts(&service, &[("resolved", &ago(2)), ("firing", &ago(0))]).await;
    let (status, _) = service.ask_as(None, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    eventually_alerts(&service, &[("resolved", &ago(2)), ("resolved", &ago(0))]).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_withdraws_and_crossings_have_no_end() {
    let (bed, receiver, service, channel) = bed().await;
    observe(&bed, "X", 9, "1").await;
    service.rule(&channel, above("X", "5")).await;
    let crosses = json!({"name": "crosses", "condition":
        {"kind": "price", "series": "X", "comparison": "crosses_above", "value": 3}});
    service.rule(&channel, crosses).await;
    settled(&bed).await;
    observe(&bed, "X", 8, "6").await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    // The next vintage of the same date.
    observe(&bed, "X", 8, "4").await;
    let (one, other) = (("resolved", &*ago(8)), ("withdrawn", &*ago(8)));
    eventually(DEADLINE, async || {
        let mut found = alerts(&service).await;
        found.sort();
        let expected = [one, other].map(|(state, date)| (state.to_owned(), date.to_owned()));
        found == expected
    })
    .await;
    eventually(DEADLINE, async || receiver.accepted().len() == 3).await;
    observe(&bed, "X", 7, "7").await;
    observe(&bed, "X", 6, "2").await;
    observe(&bed, "X", 5, "4").await;
    eventually(DEADLINE, async || alerts(&service).await.len() == 4).await;
    let states: Vec<_> = alerts(&service).await;
    assert_eq!(
        states.iter().filter(|(state, _)| state == "firing").count(),
        0
    );
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indicators_and_composites_hold_over_several_series() {
    let (bed, _receiver, service, channel) = bed().await;
    observe(&bed, "A", 9, "1").await;
    observe(&bed, "B", 9, "1").await;
    let indicator = json!({"condition": {"kind": "indicator",
        "inputs": {"A": {"frequency": "daily", "max_age": "30d"}, "B": {"frequency": "daily", "max_age": "30d"}},
        "when": "A - B > 5", "clear_when": "A - B < 2", "for": "1d"}});
    let indicator = service.rule(&channel, indicator).await;
    let composite = json!({"condition": {"kind": "composite", "operator": "n_of_m", "n": 2, "conditions": [
        {"kind": "price", "series": "A", "comparison": "gte", "value": 8},
        {"kind": "price", "series": "B", "comparison": "lt", "value": "0.5"},
        {"kind": "composite", "operator": "not", "conditions": [
            {"kind": "price", "series": "B", "comparison": "between", "low": 0, "high": 3}]}]}});
    let composite = service.rule(&channel, composite).await;
    let of = async |rule: &str| {
        let alerts = service.get(&format!("/v1/alerts?rule={rule}")).await;
        let alerts = alerts["alerts"].as_array().unwrap().clone();
        alerts
            .iter()
            .rev()
            .map(|a| format!("{} {}", a["state"], a["labels"]["date"]))
            .collect::<Vec<_>>()
    };
    observe(&bed, "A", 8, "8").await;
    assert!(of(&indicator).await.is_empty());
    observe(&bed, "A", 7, "9").await;
    observe(&bed, "A", 6, "4").await;
    observe(&bed, "B", 5, "3.5").await;
    observe(&bed, "A", 4, "10").await;
    let shown = |state: &str, days| format!("{:?} {:?}", state, ago(days));
    assert_eq!(of(&indicator).await, [shown("resolved", 7)]);
    assert_eq!(of(&composite).await, [shown("firing", 4)]);
    service.end().await;
}

/// What came of each value, and only once, whatever was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_restarts_repeat_nothing_and_miss_nothing() {
    let (bed, _receiver, service, channel) = bed().await;
    observe(&bed, "S", 300, "0").await;
    service.rule(&channel, above("S", "5")).await;
    let smooth = json!({"condition": {"kind": "indicator", "inputs": {"S": {"frequency": "daily"}},
        "when": "S.mean(3) > 5"}});
    let smooth = service.rule(&channel, smooth).await;
    settled(&bed).await;
    service.kill().await;
    let mut random = StdRng::seed_from_u64(7);
    let mut values = vec![0_u32];
    for _ in 0..KILLS {
        let first = bed.start().await;
        let second = bed.start().await;
        for _ in 0..random.random_range(1..12) {
            let value = random.random_range(0..10_u32);
            values.push(value);
            let date = ago(300 - values.len() as u64);
            bed.observe("S", &[(&date, Some(&value.to_string()))]).await;
        }
        if random.random_range(0..2) == 0 {
            bed.processed().await;
        }
        first.kill().await;
        second.kill().await;
    }
    let service = bed.start().await;
    bed.processed().await;
    let holds = values.iter().map(|value| *value > 5).collect::<Vec<_>>();
    let mean_holds: Vec<_> = (0..values.len())
        .map(|at| at >= 2 && values[at - 2..=at].iter().sum::<u32>() > 15)
        .collect();
    let begins = |holds: &[bool]| -> Vec<String> {
        let days = (0..holds.len()).filter(|at| holds[*at] && (*at == 0 || !holds[at - 1]));
        days.map(|at| ago(if at == 0 { 300 } else { 299 - at as u64 }))
            .collect()
    };
    let all = service.get("/v1/alerts?limit=1000").await;
    for (is_smooth, holds) in [(false, holds), (true, mean_holds)] {
        let found = all["alerts"].as_array().unwrap().iter().rev();
        let found: Vec<_> = found
            .filter(|alert| (alert["rule_id"] == *smooth) == is_smooth)
            .map(|alert| {
                let state = alert["state"].as_str().unwrap();
                (
                    state.to_owned(),
                    alert["labels"]["date"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let dates: Vec<_> = found.iter().map(|(_, date)| date.clone()).collect();
        assert_eq!(dates, begins(&holds));
        let open = found.iter().filter(|(state, _)| state == "firing").count();
        assert_eq!(open, usize::from(*holds.last().unwrap()));
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_the_future_are_not_notified() {
    let (bed, receiver, service, channel) = bed().await;
    let mut rule = above("H", "5");
    rule["condition"]["series_may_be_unknown"] = true.into();
    service.rule(&channel, rule).await;
    settled(&bed).await;
    let ahead = (Utc::now().date_naive() + Days::new(30)).to_string();
    let history = [
        ("1990-01-01", Some("9")),
        ("1990-02-01", Some("1")),
        ("1990-03-01", Some("9")),
        (&*ago(3), Some("7")),
        (&*ago(2), Some("1")),
        (&*ahead, Some("9")),
    ];
    bed.observe("H", &history).await;
    bed.processed().await;
    // The whole history is one step: what came of it is known, and not notified.
    eventually_alerts(&service, &[("resolved", "1990-03-01")]).await;
    assert!(receiver.all().is_empty());
    observe(&bed, "H", 1, "8").await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_come_once_and_silence_ends_with_the_next_observation() {
    let (bed, receiver, service, channel) = bed().await;
    observe(&bed, "Q", 3, "1").await;
    let time = json!({"name": "time", "condition": {"kind": "time", "cron": "0 * * * *", "zone": "Europe/Zurich"}});
    service.rule(&channel, time).await;
    let silence = json!({"name": "silence", "condition": {"kind": "no_data", "series": "Q", "after_seconds": 4000}});
    service.rule(&channel, silence).await;
    settled(&bed).await;
    bed.move_clock(TimeDelta::minutes(60));
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    service.kill().await;
    let service = bed.start().await;
    bed.move_clock(TimeDelta::minutes(10));
    // The silence, and perhaps the next full hour.
    let of = async |name: &str| {
        let alerts = service.get("/v1/alerts").await;
        let alerts = alerts["alerts"].as_array().unwrap().clone();
        alerts
            .into_iter()
            .filter(|alert| alert["title"] == name)
            .collect::<Vec<_>>()
    };
    eventually(DEADLINE, async || of("silence").await.len() == 1).await;
    let hours = of("time").await;
    assert!(hours.len() <= 2 && hours.iter().all(|alert| alert["state"] == "resolved"));
    let dates: std::collections::BTreeSet<_> = hours
        .iter()
        .map(|alert| alert["labels"]["date"].to_string())
        .collect();
    assert_eq!(dates.len(), hours.len());
    observe(&bed, "Q", 2, "1").await;
    eventually(DEADLINE, async || {
        of("silence").await[0]["state"] == "resolved"
    })
    .await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_its_place_and_what_was_meant() {
    let (bed, _receiver, service, channel) = bed().await;
    observe(&bed, "VIXCLS", 3, "1").await;
    let indicator = |when: &str| json!({"kind": "indicator", "inputs": {"VIXCLS": {"frequency": "daily"}}, "when": when});
    let price = |more: Value| {
        let mut price = json!({"kind": "price", "series": "VIXCLS", "comparison": "gt"});
        price
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        price
    };
    for (condition, field, problem) in [
        (
            price(json!({"value": 1, "series": "VIXCLZ"})),
            "condition.series",
            "did you mean VIXCLS?",
        ),
        (price(json!({})), "condition.value", "is missing"),
        (
            price(json!({"value": 1, "low": 2})),
            "condition.low",
            "is not for",
        ),
        (
            price(json!({"comparison": "between", "low": 2, "high": 1})),
            "condition.high",
            "less than low",
        ),
        (
            price(json!({"comparison": "changes_by", "value": 1, "within": "5q"})),
            "condition.within",
            "no span",
        ),
        (
            indicator("VIXCLS.meen(3) > 5"),
            "condition.when",
            "did you mean mean?",
        ),
        (indicator("VIXCLS > "), "condition.when", "^"),
        (indicator("VIXCLS.zscore(5000) > 1"), "condition", "steps"),
        (
            json!({"kind": "time", "cron": "0 9 * * *", "zone": "Europe/Zurch"}),
            "condition.zone",
            "Europe/Zurich",
        ),
        (
            json!({"kind": "time", "cron": "0 0 30 2 *"}),
            "condition.cron",
            "no cron expression",
        ),
        (
            json!({"kind": "no_data", "series": "VIXCLS"}),
            "condition",
            "exactly one",
        ),
        (
            json!({"kind": "composite", "operator": "n_of_m", "n": 3, "conditions": [price(json!({"value": 1}))]}),
            "condition.n",
            "from 1 to 1",
        ),
        (
            json!({"kind": "composite", "operator": "and", "conditions": [indicator("VIXCLS > 1 and 2")]}),
            "condition.conditions[0].when",
            "&&",
        ),
    ] {
        let body = json!({"name": "n", "condition": condition, "channels": [channel]});
        let (status, answer) = service
            .ask_as(None, Method::POST, "/v1/rules", Some(body))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{condition} {answer}");
        let errors = answer["errors"].as_array().unwrap();
        let found = errors.iter().any(|error| {
            error["field"] == field && error["problem"].as_str().unwrap().contains(problem)
        });
        assert!(found, "{condition}: {answer}");
    }
    let body = json!({"name": "n", "message": "{vaule}", "channels": [channel],
        "condition": price(json!({"value": 1}))});
    let (_, answer) = service
        .ask_as(None, Method::POST, "/v1/rules", Some(body))
        .await;
    assert!(
        answer.to_string().contains("did you mean value?"),
        "{answer}"
    );
    let body =
        json!({"name": "n", "channels": [channel], "condition": price(json!({"value": "NaN"}))});
    let (status, answer) = service
        .ask_as(None, Method::POST, "/v1/rules", Some(body))
        .await;
    assert!(status.is_client_error(), "{answer}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_says_when_a_rule_would_have_fired() {
    let (bed, receiver, service, channel) = bed().await;
    for (days, value) in [
        (9, "1"),
        (8, "6"),
        (7, "7"),
        (6, "2"),
        (5, "9"),
        (4, "3"),
        (3, "8"),
    ] {
        bed.observe("D", &[(&ago(days), Some(value))]).await;
    }
    bed.processed().await;
    let test = async |condition: Value, from: u64| {
        let rule = json!({"name": "n", "condition": condition, "channels": [channel]});
        let answer = service
            .post("/v1/rules/test", json!({"rule": rule, "from": ago(from)}))
            .await;
        let firings = answer["firings"].as_array().unwrap().iter();
        firings
            .map(|f| format!("{} {}", f["began"], f["ended"]))
            .collect::<Vec<_>>()
    };
    let spell = |from: u64, to: Option<u64>| match to {
        Some(to) => format!("{:?} {:?}", ago(from), ago(to)),
        None => format!("{:?} null", ago(from)),
    };
    let price = json!({"kind": "price", "series": "D", "comparison": "gt", "value": 5});
    let all = [spell(8, Some(6)), spell(5, Some(4)), spell(3, None)];
    assert_eq!(test(price.clone(), 20).await, all);
    assert_eq!(test(price, 5).await, all[1..]);
    let indicator =
        json!({"kind": "indicator", "inputs": {"D": {"frequency": "daily"}}, "when": "D > 5"});
    assert_eq!(test(indicator, 20).await, all);
    let crosses =
        json!({"kind": "price", "series": "D", "comparison": "crosses_below", "value": 5});
    assert_eq!(test(crosses, 20).await, [spell(6, None), spell(4, None)]);
    assert!(receiver.all().is_empty());
    let changes = json!({"kind": "price", "series": "D", "comparison": "changes_by", "value": 6, "within": "2",
        "direction": "up"});
    assert_eq!(test(changes, 20).await, [spell(5, Some(4))]);
    // All of it came just now.
    let silent = json!({"kind": "no_data", "series": "D", "after_seconds": 3600});
    assert!(test(silent.clone(), 20).await.is_empty());
    bed.move_clock(TimeDelta::hours(2));
    let silences = test(silent, 20).await;
    assert!(
        silences.len() == 1 && silences[0].ends_with("null"),
        "{silences:?}"
    );
    service.end().await;
}
