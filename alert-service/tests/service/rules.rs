//! Rules: their history in memory and in the database.

use chrono::{Days, TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Running},
    receiver::Receiver,
};

fn ago(days: u64) -> String {
    (Utc::now().date_naive() - Days::new(days)).to_string()
}

async fn refused(service: &Running, condition: Value) -> String {
    let body = json!({"name": "n", "condition": condition});
    let (status, body) = service
        .ask_as(None, Method::POST, "/v1/rules", Some(body))
        .await;
    assert!(status.is_client_error(), "{status} {body}");
    body.to_string()
}

async fn made(service: &Running, name: &str, condition: Value) -> String {
    let body = json!({"name": name, "condition": condition});
    let rule = service.post("/v1/rules", body).await;
    rule["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_looks_back_as_far_as_is_kept_and_no_further() {
    let bed = Bed::create(&["alerts.history_years=1"]).await;
    let service = bed.start().await;
    // The mean of all three is 5; without the first it is 7.
    for (days, value) in [(1_200, "1"), (2, "7"), (1, "7")] {
        bed.observe("X", &[(&ago(days), Some(value))]).await;
    }
    bed.processed().await;
    let mean = |count: u32| {
        json!({"kind": "indicator", "inputs": {"X": {"frequency": "daily", "max_age": "9999d"}},
            "when": format!("X.mean({count}) > 6")})
    };
    let problem = refused(&service, mean(400)).await;
    assert!(problem.contains("look back 2000 days"), "{problem}");
    let months = json!({"kind": "price", "series": "X", "comparison": "changes_by", "value": 1, "within": "8mo"});
    made(&service, "changes", months).await;
    let three = made(&service, "three", mean(3)).await;
    let two = made(&service, "two", mean(2)).await;
    let firing = async |rule: &str| {
        let path = format!("/v1/alerts?state=firing&rule={rule}");
        let alerts = service.get(&path).await;
        alerts["alerts"].as_array().unwrap().len()
    };
    eventually(DEADLINE, async || firing(&two).await == 1).await;
    assert_eq!(firing(&three).await, 0);
    bed.observe("X", &[(&ago(0), Some("7"))]).await;
    bed.processed().await;
    assert_eq!(firing(&three).await, 1);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_are_forgotten_once_they_have_taken_effect_and_who_missed_some_loads_all() {
    let bed = Bed::create(&["alerts.edits_retention_days=1"]).await;
    let (first, second) = (bed.start().await, bed.start().await);
    bed.observe("X", &[(&ago(2), Some("1"))]).await;
    bed.processed().await;
    let rule = made(&first, "price", above("X", 5)).await;
    let pool = bed.pool().await;
    let edits = async || {
        let left: i64 = sqlx::query_scalar("select count(*) from rule_edits")
            .fetch_one(&pool)
            .await
            .unwrap();
        left
    };
    crate::series::settled(&bed).await;
    assert_eq!(edits().await, 1);
    bed.move_clock(TimeDelta::days(2));
    // It removes what is old when it starts.
    let third = bed.start().await;
    eventually(DEADLINE, async || edits().await == 0).await;
    // Another edit, of which nothing is left but its number.
    let sql = "update rules set definition = jsonb_set(definition, '{condition,value}', '\"3\"') where id = $1";
    sqlx::query(sql).bind(&rule).execute(&pool).await.unwrap();
    let sql = "update series_head set edit = edit + 1, settled_edit = edit + 1, forgotten_edit = edit + 1";
    sqlx::query(sql).execute(&pool).await.unwrap();
    bed.observe("X", &[(&ago(1), Some("4"))]).await;
    bed.processed().await;
    eventually_firing(&third, &rule, 1).await;
    for service in [first, second, third] {
        service.end().await;
    }
}

fn above(series: &str, value: u32) -> Value {
    json!({"kind": "price", "series": series, "comparison": "gt", "value": value})
}

async fn firing(service: &Running, rule: &str) -> usize {
    let path = format!("/v1/alerts?state=firing&rule={rule}");
    let alerts = service.get(&path).await;
    alerts["alerts"].as_array().unwrap().len()
}

async fn eventually_firing(service: &Running, rule: &str, count: usize) {
    eventually(DEADLINE, async || firing(service, rule).await == count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_combination_holds_while_its_rules_do() {
    let bed = Bed::create(&[]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    for series in ["X", "Y"] {
        bed.observe(series, &[(&ago(9), Some("1"))]).await;
    }
    bed.processed().await;
    let one = made(&service, "one", above("X", 5)).await;
    let other = made(&service, "other", above("Y", 5)).await;
    let pattern = made(
        &service,
        "pattern",
        json!({"kind": "pattern", "pattern_id": "p"}),
    )
    .await;
    let two_of_three = json!({"name": "two", "channels": [channel],
        "condition": {"kind": "rules", "operator": "n_of_m", "n": 2, "rules": [one, other, pattern]}});
    let two = service.post("/v1/rules", two_of_three).await["id"].clone();
    let two = two.as_str().unwrap();
    // Combinations of combinations.
    let none = made(
        &service,
        "none",
        json!({"kind": "rules", "operator": "not", "rules": [two]}),
    )
    .await;
    eventually_firing(&service, &none, 1).await;
    bed.observe("X", &[(&ago(8), Some("6"))]).await;
    bed.processed().await;
    bed.publish(crate::bed::entered("p")).await;
    eventually_firing(&service, two, 1).await;
    eventually_firing(&service, &none, 0).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    let text = receiver.accepted()[0].body["data"]["text"].to_string();
    assert!(text.contains("2 of 3 rules hold: one, pattern."), "{text}");
    bed.observe("X", &[(&ago(7), Some("1"))]).await;
    eventually_firing(&service, two, 0).await;
    eventually_firing(&service, &none, 1).await;
    // After a restart it is looked at as before.
    service.kill().await;
    let service = bed.start().await;
    bed.observe("Y", &[(&ago(7), Some("7"))]).await;
    eventually_firing(&service, two, 1).await;
    // An edit counts at once, and what is deleted has no alert.
    let stored = service.get(&format!("/v1/rules/{two}")).await;
    let mut rule = stored["rule"].clone();
    rule["condition"]["n"] = 3.into();
    let update = json!({"version": stored["version"], "rule": rule});
    let path = format!("/v1/rules/{two}");
    let (status, body) = service.ask_as(None, Method::PUT, &path, Some(update)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    eventually_firing(&service, two, 0).await;
    eventually_firing(&service, &none, 1).await;
    let path = format!("/v1/rules/{none}");
    let (status, _) = service.ask_as(None, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    eventually_firing(&service, &none, 0).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_combination_of_what_is_not_there_or_of_itself_is_refused() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    bed.observe("X", &[(&ago(9), Some("1"))]).await;
    bed.processed().await;
    let or = |ids: &[&str]| json!({"kind": "rules", "operator": "or", "rules": ids});
    let one = made(&service, "one", above("X", 5)).await;
    let time = made(
        &service,
        "time",
        json!({"kind": "time", "cron": "0 9 * * *"}),
    )
    .await;
    let problem = refused(&service, or(&[&one, "nobody"])).await;
    assert!(problem.contains("condition.rules[1]") && problem.contains("there is no rule nobody"));
    let problem = refused(&service, or(&[&time])).await;
    assert!(problem.contains("have no duration"), "{problem}");
    let inner = made(&service, "inner", or(&[&one])).await;
    let middle = made(&service, "middle", or(&[&inner])).await;
    let outer = made(&service, "outer", or(&[&middle, &one])).await;
    let update = async |id: &str, condition: Value| {
        let path = format!("/v1/rules/{id}");
        let stored = service.get(&path).await;
        let mut rule = stored["rule"].clone();
        rule["condition"] = condition;
        let update = json!({"version": stored["version"], "rule": rule});
        service.ask_as(None, Method::PUT, &path, Some(update)).await
    };
    let (status, answer) = update(&inner, or(&[&one, &outer])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let path = format!("{inner} combines {outer} combines {middle} combines {inner}");
    assert!(answer.to_string().contains(&path), "{answer}");
    let (status, answer) = update(&inner, or(&[&inner])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    // What others combine has to be there, and to have a duration.
    let (status, answer) = update(&one, json!({"kind": "time", "cron": "0 9 * * *"})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    let path = format!("/v1/rules/{one}");
    let (status, answer) = service.ask_as(None, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(answer["rules"], json!([inner, outer]));
    for id in [&outer, &middle, &inner, &one] {
        let path = format!("/v1/rules/{id}");
        let (status, answer) = service.ask_as(None, Method::DELETE, &path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_labels_that_lists_and_silences_know_and_hours_hold_back() {
    let bed = Bed::create(&[]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    let now = Utc::now();
    let silence =
        json!({"matchers": ["desk=rates"], "reason": "r", "ends_at": now + TimeDelta::hours(1)});
    service.post("/v1/silences", silence).await;
    // Of seven days the one after tomorrow.
    let day = (now + TimeDelta::days(2))
        .format("%a")
        .to_string()
        .to_lowercase();
    let hours =
        json!({"zone": "UTC", "periods": [{"days": [day], "from": "00:00", "to": "23:00"}]});
    let plain = service
        .rule(&channel, json!({"tags": {"desk": "fx"}}))
        .await;
    let silenced = service
        .rule(&channel, json!({"tags": {"desk": "rates", "team": "a"}}))
        .await;
    let inactive = service.rule(&channel, json!({"active_hours": hours})).await;
    bed.publish(crate::bed::entered("p")).await;
    bed.processed().await;
    let mut reasons = Vec::new();
    for rule in [&plain, &silenced, &inactive] {
        let alerts = service.get(&format!("/v1/alerts?rule={rule}")).await;
        let alert = alerts["alerts"][0]["id"].as_str().unwrap().to_owned();
        let alert = service.get(&format!("/v1/alerts/{alert}")).await;
        reasons.push(alert["deliveries"][0]["suppressed_by"].clone());
    }
    assert_eq!(
        reasons,
        [Value::Null, "silenced".into(), "inactive_hours".into()]
    );
    let listed = async |query: &str| {
        let rules = service.get(&format!("/v1/rules?{query}")).await;
        let rules = rules["rules"].as_array().unwrap().iter();
        let ids = rules.map(|rule| rule["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed("tag=desk").await, [plain.clone(), silenced.clone()]);
    assert_eq!(listed("tag=desk%3Drates").await, [silenced]);
    assert!(listed("tag=team%3Db").await.is_empty());
    for tags in [
        json!({"severity": "x"}),
        json!({"a b": "x"}),
        json!({"a": ""}),
    ] {
        let body = json!({"name": "n", "condition": {"kind": "pattern"}, "tags": tags});
        let (status, answer) = service
            .ask_as(None, Method::POST, "/v1/rules", Some(body))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_a_rule_is_what_it_does_now() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let soon = Utc::now() + TimeDelta::hours(1);
    let body =
        json!({"name": "n", "condition": {"kind": "pattern"}, "once": true, "expires_at": soon});
    let rule = service.post("/v1/rules", body).await;
    let id = rule["id"].as_str().unwrap().to_owned();
    let state = async || {
        let rule = service.get(&format!("/v1/rules/{id}")).await;
        let state = rule["state"].as_str().unwrap().to_owned();
        let listed = service.get(&format!("/v1/rules?state={state}")).await;
        assert_eq!(listed["rules"][0]["state"], *state);
        state
    };
    let act = async |action: &str, body: Value| {
        service
            .post(&format!("/v1/rules/{id}/{action}"), body)
            .await;
    };
    assert_eq!(state().await, "active");
    bed.publish(crate::bed::entered("p")).await;
    bed.processed().await;
    assert_eq!(state().await, "triggered");
    let alerts = service.get("/v1/alerts").await;
    let alert = alerts["alerts"][0]["id"].as_str().unwrap().to_owned();
    service
        .post(&format!("/v1/alerts/{alert}/acknowledge"), json!({}))
        .await;
    assert_eq!(state().await, "acknowledged");
    act(
        "snooze",
        json!({"until": Utc::now() + TimeDelta::minutes(30)}),
    )
    .await;
    assert_eq!(state().await, "snoozed");
    act("pause", json!({})).await;
    assert_eq!(state().await, "paused");
    act("resume", json!({})).await;
    bed.publish(crate::bed::cleared("p")).await;
    bed.processed().await;
    // No channel was notified, so that the rule is as before.
    assert_eq!(state().await, "active");
    bed.move_clock(TimeDelta::hours(2));
    assert_eq!(state().await, "expired");
    service.end().await;
}

const MANY: i64 = 5_000;
/// Longer than so many alerts take on any machine.
const MANY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(600);

/// One observation makes thousands of rules true, and the service is killed while it makes their alerts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_rules_that_turn_at_once_have_an_alert_each_also_after_a_kill() {
    let bed = Bed::create(&[]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    bed.observe("X", &[(&ago(2), Some("1"))]).await;
    bed.processed().await;
    service.end().await;
    let pool = bed.pool().await;
    // A few of them notify.
    let sql = "insert into rules (id, tenant, kind, subject, definition, created_at, updated_at)
         select 'rule-' || n, 'anonymous', 'price', 'X', jsonb_build_object('name', 'Rule ' || n,
             'channels', case when n % 1000 = 0 then jsonb_build_array($2::text) else '[]'::jsonb end, 'condition',
             '{\"kind\": \"price\", \"series\": \"X\", \"comparison\": \"gt\", \"value\": \"5\"}'::jsonb), now(), now()
         from generate_series(1, $1::bigint) n";
    let made = sqlx::query(sql).bind(MANY).bind(&channel).execute(&pool);
    made.await.unwrap();
    let begun = async || {
        let sql = "select count(*), count(distinct rule_id) from alerts where state = 'firing'";
        let counts: (i64, i64) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
        counts
    };
    let service = bed.start().await;
    bed.observe("X", &[(&ago(1), Some("9"))]).await;
    // It is about to store alerts, or has.
    eventually(MANY_DEADLINE, async || {
        let sql = "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'insert into alerts%'";
        let at_it: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap();
        at_it > 0
    })
    .await;
    service.kill().await;
    let service = bed.start().await;
    eventually(MANY_DEADLINE, async || begun().await == (MANY, MANY)).await;
    eventually(MANY_DEADLINE, async || receiver.accepted().len() == 5).await;
    // It goes on, and nothing is made twice.
    bed.observe("X", &[(&ago(0), Some("10"))]).await;
    bed.processed().await;
    assert_eq!(begun().await, (MANY, MANY));
    bed.observe("Y", &[(&ago(0), Some("1"))]).await;
    bed.processed().await;
    let emitted = bed.emitted().await;
    let emitted = emitted.iter().filter(|event| {
        matches!(
            event.payload,
            Some(atlas_events::event::Payload::AlertChanged(_))
        )
    });
    assert_eq!(emitted.count(), usize::try_from(MANY).unwrap());
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_indicator_may_need_some_of_the_last_observations_and_be_kept() {
    let bed = Bed::create(&["alerts.expressions_per_owner_max=1"]).await;
    let service = bed.start().await;
    for (days, value) in [(9, "1"), (8, "6"), (7, "1"), (6, "6"), (5, "1"), (4, "1")] {
        bed.observe("X", &[(&ago(days), Some(value))]).await;
    }
    bed.processed().await;
    let indicator = |more: Value| {
        let mut condition =
            json!({"kind": "indicator", "inputs": {"X": {"frequency": "daily"}}, "when": "X > 5"});
        let fields = condition.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        condition
    };
    let spells = async |more: Value| {
        let rule = json!({"name": "n", "condition": indicator(more)});
        let answer = service.post("/v1/rules/test", json!({"rule": rule})).await;
        let firings = answer["firings"].as_array().unwrap().iter();
        let spells = firings.map(|firing| (firing["began"].clone(), firing["ended"].clone()));
        spells.collect::<Vec<_>>()
    };
    let days = |began: u64, ended: u64| (Value::from(ago(began)), Value::from(ago(ended)));
    assert_eq!(spells(json!({})).await, [days(8, 7), days(6, 5)]);
    assert_eq!(spells(json!({"n_of_m": [2, 3]})).await, [days(6, 5)]);
    assert_eq!(spells(json!({"keep_for": 2})).await, [days(8, 4)]);
    assert_eq!(spells(json!({"cooldown": "3d"})).await, [days(8, 7)]);
    for (more, field) in [
        (json!({"n_of_m": [3, 2]}), "condition.n_of_m"),
        (json!({"n_of_m": [1, 2], "for": 2}), "condition.n_of_m"),
        (json!({"keep_for": "soon"}), "condition.keep_for"),
        (json!({"cooldown": "2"}), "condition.cooldown"),
    ] {
        let problem = refused(&service, indicator(more)).await;
        assert!(problem.contains(field), "{problem}");
    }
    // The first is allowed, and no other.
    made(&service, "first", indicator(json!({}))).await;
    let problem = refused(&service, indicator(json!({}))).await;
    assert!(
        problem.contains("1 rules with expressions already"),
        "{problem}"
    );
    made(&service, "price", above("X", 5)).await;
    service.end().await;
}
