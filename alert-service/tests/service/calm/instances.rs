//! Two instances that decide at the same time what is sent: what comes of it is what one would have decided.

use std::collections::{BTreeMap, BTreeSet};

use atlas_events::{CrossingDirection, event::Payload};
use chrono::TimeDelta;
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use test_support::eventually;

use super::prefer;
use crate::{
    bed::{Bed, DEADLINE, Running, crossing},
    receiver::Receiver,
};

const ALERTS: usize = 30;
/// Alerts that begin and end again and again.
const NAMES: usize = 12;
/// Longer than any of these tests takes: what waits so long stays where it is.
const LONG_SECONDS: u64 = 36_000;

struct Two {
    bed: Bed,
    receiver: Receiver,
    instances: [Running; 2],
    channels: Vec<String>,
}

/// Two instances with two channels, in the order in which messages are made for them, and a rule each for what others
/// send and for patterns: what is consumed is decided beside what comes over REST.
async fn two(more: Value) -> Two {
    let (bed, receiver) = (Bed::create(&[]).await, Receiver::start(|_| 200).await);
    let instances = [bed.start().await, bed.start().await];
    let mut channels = vec![
        instances[0].webhook(&receiver.url("a")).await,
        instances[1].webhook(&receiver.url("b")).await,
    ];
    channels.sort();
    for kind in ["external", "pattern"] {
        let mut rule = json!({"name": "r", "condition": {"kind": kind}, "channels": channels});
        let fields = rule.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        instances[0].post("/v1/rules", rule).await;
    }
    Two {
        bed,
        receiver,
        instances,
        channels,
    }
}

impl Two {
    /// Sends an alert to the one instance or to the other.
    async fn send(&self, instance: usize, name: &str, more: Value) -> Value {
        let mut alert = json!({"fingerprint": name, "title": name, "severity": "warning"});
        let fields = alert.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        self.instances[instance % 2].post("/v1/alerts", alert).await
    }

    /// An alert begins or ends: one in three as a crossing, the others over the one instance or the other.
    async fn happens(&self, number: usize, name: &str, (labels, ends): (Value, bool)) {
        if number.is_multiple_of(3) {
            let direction = match ends {
                true => CrossingDirection::Cleared,
                false => CrossingDirection::Entered,
            };
            let mut crossed = crossing(name, direction);
            crossed.labels = serde_json::from_value(labels).unwrap();
            self.bed.publish(Payload::ThresholdCrossed(crossed)).await;
        } else {
            let status = if ends { "resolved" } else { "firing" };
            let more = json!({"labels": labels, "status": status});
            self.send(number, name, more).await;
        }
    }

    async fn begin_all_at_once(&self, labels: impl Fn(usize) -> Value) {
        let all = (0..ALERTS).map(|number| {
            let labels = labels(number);
            async move {
                let name = format!("f{number}");
                self.happens(number, &name, (labels, false)).await;
            }
        });
        join_all(all).await;
        self.bed.processed().await;
    }

    async fn deliveries(&self) -> Vec<Value> {
        let page = self.instances[0].get("/v1/deliveries?limit=1000").await;
        page["deliveries"].as_array().unwrap().clone()
    }

    /// How many deliveries of each channel have which outcome.
    async fn outcomes(&self) -> BTreeMap<(String, String), usize> {
        let mut outcomes = BTreeMap::new();
        for delivery in self.deliveries().await {
            *outcomes.entry(outcome(&delivery)).or_default() += 1;
        }
        outcomes
    }

    async fn nothing_is_due(&self) {
        eventually(DEADLINE, async || {
            let open = "/v1/deliveries?state=pending&state=sending";
            let open = self.instances[0].get(open).await;
            open["deliveries"].as_array().unwrap().is_empty()
        })
        .await;
    }

    async fn end(self) {
        for instance in self.instances {
            instance.end().await;
        }
    }
}

/// The channel, and the one reason or that it was or will be sent.
fn outcome(delivery: &Value) -> (String, String) {
    let is_suppressed = delivery["state"] == "suppressed";
    assert_eq!(
        is_suppressed,
        delivery["suppressed_by"].is_string(),
        "{delivery}"
    );
    let reason = delivery["suppressed_by"].as_str().unwrap_or("wanted");
    (text(&delivery["channel_id"]), reason.to_owned())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_keep_the_limits_that_one_would_keep() {
    let two = two(json!({})).await;
    let (first, second) = (two.channels[0].clone(), two.channels[1].clone());
    let limits = json!({"limits": {"daily_max": 7}, "channel_limits": {&first: {"hourly_max": 3}}});
    prefer(&two.instances[0], limits).await;
    two.begin_all_at_once(|_| json!({})).await;
    // One after the other, whatever their order: of the first channel three, of both seven.
    let mut expected = BTreeMap::new();
    let (mut of_first, mut of_both) = (0, 0);
    for _ in 0..ALERTS {
        for channel in [&first, &second] {
            let reason = match () {
                () if of_both >= 7 => "user_limit",
                () if channel == &first && of_first >= 3 => "channel_limit",
                () => {
                    of_both += 1;
                    of_first += usize::from(channel == &first);
                    "wanted"
                }
            };
            let key = (channel.clone(), reason.to_owned());
            *expected.entry(key).or_default() += 1;
        }
    }
    assert_eq!(two.outcomes().await, expected);
    two.nothing_is_due().await;
    assert_eq!(two.receiver.accepted().len(), 7);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_make_one_message_of_a_group() {
    let two = two(json!({})).await;
    let grouping = json!({"by": ["team"], "wait_seconds": LONG_SECONDS, "interval_seconds": 0});
    prefer(&two.instances[0], json!({"grouping": grouping})).await;
    two.begin_all_at_once(|number| json!({"team": (number / 10).to_string()}))
        .await;
    // Three teams of ten on two channels.
    let (mut standing, mut carried) = (BTreeSet::new(), Vec::new());
    for delivery in two.deliveries().await {
        match outcome(&delivery).1.as_str() {
            "wanted" => assert!(standing.insert(text(&delivery["id"]))),
            "grouped" => carried.push(text(&delivery["suppressor"])),
            other => panic!("{other}"),
        }
    }
    assert_eq!(standing.len(), 6);
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for carrier in carried {
        *sizes.entry(carrier).or_default() += 1;
    }
    let expected: BTreeMap<_, _> = standing.into_iter().map(|id| (id, 9)).collect();
    assert_eq!(sizes, expected);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_let_a_rule_notify_as_often_as_it_may() {
    for (rule, notified, reason) in [
        (json!({"daily_max": 4}), 4, "daily_limit"),
        (json!({"once": true}), 1, "once"),
    ] {
        let two = two(rule).await;
        two.begin_all_at_once(|_| json!({})).await;
        let mut expected = BTreeMap::new();
        for channel in &two.channels {
            // Of each of the two rules.
            expected.insert((channel.clone(), "wanted".to_owned()), 2 * notified);
            expected.insert((channel.clone(), reason.to_owned()), ALERTS - 2 * notified);
        }
        assert_eq!(two.outcomes().await, expected);
        two.end().await;
    }
}

/// What begins after a silence was answered is silenced by it, what began before it was asked for is not, and what
/// comes at the same time is one or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_that_one_instance_made_holds_for_the_other() {
    let two = two(json!({})).await;
    let sends = async |name: &str| two.send(name.len(), name, json!({})).await;
    for name in ["before", "before1"] {
        sends(name).await;
    }
    let body = json!({
        "matchers": ["severity=warning"], "reason": "r", "ends_at": chrono::Utc::now() + TimeDelta::hours(1),
    });
    let made = two.instances[0].post("/v1/silences", body);
    let meanwhile = join_all((0..ALERTS).map(|number| {
        let two = &two;
        async move {
            let name = format!("meanwhile{number}");
            two.happens(number, &name, (json!({}), false)).await;
        }
    }));
    let (silence, _) = tokio::join!(made, meanwhile);
    two.bed.processed().await;
    for name in ["after", "after1"] {
        sends(name).await;
    }
    let path = format!("/v1/silences/{}/end", text(&silence["id"]));
    two.instances[1]
        .ask_as(None, Method::POST, &path, None)
        .await;
    for name in ["ended", "ended1"] {
        sends(name).await;
    }
    two.nothing_is_due().await;
    let alerts = two.instances[0].get("/v1/alerts?limit=1000").await;
    let titles: BTreeMap<_, _> = alerts["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| {
            (
                text(&alert["id"]),
                text(&alert["title"]).replace("Name of ", ""),
            )
        })
        .collect();
    assert_eq!(titles.len(), ALERTS + 6);
    let mut by_alert: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for delivery in two.deliveries().await {
        let reason = outcome(&delivery).1;
        if reason == "silenced" {
            assert_eq!(delivery["suppressor"], silence["id"], "{delivery}");
        }
        let title = titles[&text(&delivery["alert_id"])].clone();
        by_alert.entry(title).or_default().insert(reason);
    }
    for (title, reasons) in by_alert {
        let expected: &[&str] = match title.trim_end_matches(char::is_numeric) {
            "after" => &["silenced"],
            "meanwhile" => &["silenced", "wanted"],
            _ => &["wanted"],
        };
        // Both channels alike.
        assert_eq!(reasons.len(), 1, "{title}: {reasons:?}");
        assert!(
            reasons.iter().all(|one| expected.contains(&&**one)),
            "{title}: {reasons:?}"
        );
    }
    two.end().await;
}

/// Alerts of a group begin and end through both instances at once, in an order that chance decides. A message stands
/// for each that is open, and whoever was notified of a beginning is notified of the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_leave_no_alert_without_a_message_that_stands_for_it() {
    let two = two(json!({})).await;
    let grouping = json!({"by": [], "wait_seconds": 2, "interval_seconds": 0});
    prefer(&two.instances[0], json!({"grouping": grouping})).await;
    let mut random = StdRng::seed_from_u64(3);
    for round in 0..6 {
        let steps: Vec<_> = (0..40)
            .map(|_| (random.random_range(0..NAMES), random.random_bool(0.45)))
            .collect();
        let happens = steps.into_iter().map(|(number, ends)| {
            let two = &two;
            async move {
                let name = format!("f{number}");
                two.happens(number, &name, (json!({}), ends)).await;
            }
        });
        join_all(happens).await;
        two.bed.processed().await;
        // Before the messages of every second round are due.
        if round % 2 == 0 {
            two.bed.move_clock(TimeDelta::seconds(3));
            two.nothing_is_due().await;
        }
        every_grouped_message_has_one_that_stands_for_it(&two).await;
    }
    for number in 0..NAMES {
        two.happens(number, &format!("f{number}"), (json!({}), true))
            .await;
    }
    two.bed.processed().await;
    two.bed.move_clock(TimeDelta::seconds(3));
    two.nothing_is_due().await;
    every_grouped_message_has_one_that_stands_for_it(&two).await;
    let deliveries = two.deliveries().await;
    let by_id: BTreeMap<_, _> = deliveries
        .iter()
        .map(|one| (text(&one["id"]), one))
        .collect();
    let is_notified = |delivery: &Value| match delivery["suppressed_by"].as_str() {
        None => delivery["state"] == "sent",
        Some("grouped") => by_id[&text(&delivery["suppressor"])]["state"] == "sent",
        Some(_) => false,
    };
    let mut notified: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for delivery in deliveries.iter().filter(|delivery| is_notified(delivery)) {
        let key = (text(&delivery["alert_id"]), text(&delivery["channel_id"]));
        notified
            .entry(key)
            .or_default()
            .insert(text(&delivery["kind"]));
    }
    let alerts = two.instances[0].get("/v1/alerts?limit=1000").await;
    for alert in alerts["alerts"].as_array().unwrap() {
        assert_eq!(alert["state"], "resolved", "{alert}");
        for channel in &two.channels {
            // Of all the end is notified: where the beginning was not sent before, it is the news.
            let kinds = &notified[&(text(&alert["id"]), channel.clone())];
            assert!(kinds.contains("resolved"), "{alert}: {kinds:?}");
        }
    }
    two.end().await;
}

async fn every_grouped_message_has_one_that_stands_for_it(two: &Two) {
    let pool = two.bed.pool().await;
    let orphans: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "select d.id, c.state, c.suppressed_by from deliveries d left join deliveries c on c.id = d.suppressor
         where d.suppressed_by = 'grouped' and coalesce(c.state not in ('pending', 'sending', 'sent'), true)",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(orphans.is_empty(), "{orphans:?}");
}
