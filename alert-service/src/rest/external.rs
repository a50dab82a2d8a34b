//! Alerts that other programs send.

use std::collections::BTreeMap;

use access::Scope;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName},
};
use chrono::{DateTime, Utc};
use metrics::counter;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::rest::{
    Always, Body, Problem, ProblemKind,
    extract::{Caller, JsonText},
};
use tracing::warn;
use utoipa::ToSchema;

use super::{App, person::Person, refusal::refuse_if_any};
use crate::{
    alert::{Done, Writer},
    channel::Severity,
    emission::Emissions,
    external::{
        External, Taken,
        alertmanager::{self, Notification, Status},
        fingerprint_of,
    },
    rule::severity_name,
    store::{self, Remembered},
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_CHARS_MAX: usize = 200;
/// At most this many alerts in one notification: more take too long for one transaction.
const ALERTS_MAX: usize = 1_000;

/// An alert that somebody sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRequest {
    /// Who sends it; rules can name it. `api` if absent.
    #[serde(default = "api")]
    #[schema(example = "backup")]
    source: String,
    /// Which alert it is, within the source; 1 to 100 characters. A hash of the labels if absent.
    fingerprint: Option<String>,
    /// `info` if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "warning")]
    severity: Option<Severity>,
    /// 1 to 300 characters; longer ones are cut.
    #[schema(example = "The backup failed")]
    title: String,
    /// At most 4,000 characters; longer ones are cut.
    #[serde(default)]
    message: String,
    /// At most 64, with names of at most 100 characters and values of at most 1,000.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// `firing` if absent.
    #[serde(default = "firing")]
    status: Status,
    /// When it began; now if absent. Sent again with the same or an earlier time it changes nothing.
    starts_at: Option<DateTime<Utc>>,
    /// Of a resolved one, when it ended; now if absent. Alerts that began later stay open.
    ends_at: Option<DateTime<Utc>>,
}

fn api() -> String {
    "api".to_owned()
}

fn firing() -> Status {
    Status::Firing
}

/// What became of an alert.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertTaken {
    /// What it is known by, within its source.
    fingerprint: String,
    /// `begun`, `ended`, `repeated` (nothing changed) or `unmatched` (no rule is for it).
    outcome: &'static str,
    /// How many alerts began or ended: one for each rule.
    alerts: usize,
}

/// What became of a notification.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct NotificationTaken {
    /// How many alerts began: one for each rule.
    begun: usize,
    /// How many alerts ended.
    ended: usize,
    /// How many of those sent changed nothing.
    repeated: usize,
    /// How many of those sent no rule is for.
    unmatched: usize,
    /// How many the sender left out.
    truncated: u64,
    /// What was not taken over.
    refused: Vec<RefusedAlert>,
}

/// An alert of a notification that was not taken over.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedAlert {
    /// Its place in the notification, from 0.
    index: usize,
    /// What is wrong with it.
    problem: String,
}

/// Send an alert
///
/// It begins an alert of each rule of kind `external` that matches it, or ends those that it began. With the header
/// `idempotency-key` (1 to 200 visible ASCII characters) a request that is repeated within a day is answered as the
/// first one was, and carried out once.
#[utoipa::path(
    post, path = "/v1/alerts", operation_id = "sendAlert", tag = "intake",
    security(("token" = ["alerts:write", "unlimited"])), request_body = AlertRequest,
    params(("idempotency-key" = Option<String>, Header, description = "Stands for this request")),
    responses(
        (status = 200, description = "What became of it", body = AlertTaken),
        (status = 409, description = "The key stands for another request"),
        Always, Body
    )
)]
pub(super) async fn send(
    State(app): State<App>,
    Caller(access): Caller,
    headers: HeaderMap,
    text: JsonText,
) -> Result<axum::Json<serde_json::Value>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let key = idempotency_key(&headers)?;
    let external = text.read::<AlertRequest>()?.external()?;
    let now = app.context.now();
    refuse_if_any(external.problems(now))?;
    let mut transaction = app.pool.begin().await?;
    if let Some(key) = key {
        let digest = digest(&SHA256, &text.0);
        let key = (&*person.name, key);
        match store::remember_request(&mut transaction, key, digest.as_ref(), now).await? {
            Remembered::New => {}
            Remembered::Answered(response) => return Ok(axum::Json(response)),
            Remembered::Other => {
                let detail = "the idempotency key was used for another request";
                return Err(Problem::new(ProblemKind::Conflict, detail));
            }
        }
    }
    let mut rules = store::external_rules(&mut transaction, &person.name).await?;
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut writer = Writer {
        connection: &mut transaction,
        context: &app.context,
        now,
        patience: app.patience,
        emissions: &mut emissions,
        done: &mut done,
    };
    let whose = (&*person.name, &*person.name);
    let taken = external.take_in(&mut writer, whose, &mut rules).await?;
    let response = json!(AlertTaken {
        fingerprint: external.fingerprint,
        outcome: taken.name(),
        alerts: match taken {
            Taken::Begun(count) | Taken::Ended(count) => count,
            Taken::Repeated | Taken::Unmatched => 0,
        },
    });
    if let Some(key) = key {
        store::answer_request(&mut transaction, (&person.name, key), &response).await?;
    }
    app.commit(transaction, emissions, &done).await?;
    count("api", taken.name(), 1);
    Ok(axum::Json(response))
}

/// Take over a notification of Alertmanager
///
/// The payload of its webhook, version 4, with the token in `http_config.authorization`. Each alert is taken over as
/// with `POST /v1/alerts`, as of the source `alertmanager`; all in one transaction. Notifications that are repeated
/// change nothing. An alert that breaks a bound is not taken over, and the others are; if there is none else the answer
/// is 400.
#[utoipa::path(
    post, path = "/v1/alertmanager", operation_id = "notifyAlertmanager", tag = "intake",
    security(("token" = ["alerts:write", "unlimited"])), request_body = Notification,
    extensions(("x-body-bytes-max" = json!(4_194_304))),
    responses((status = 200, description = "What became of it", body = NotificationTaken), Always, Body)
)]
pub(super) async fn alertmanager(
    State(app): State<App>,
    Caller(access): Caller,
    text: JsonText,
) -> Result<axum::Json<NotificationTaken>, Problem> {
    let person = Person::of(&access, Scope::AlertsWrite)?;
    let notification: Notification = text.read()?;
    if notification.version != alertmanager::VERSION {
        let problem = format!("is to be {}", alertmanager::VERSION);
        return Err(invalid("version", problem));
    }
    if notification.alerts.len() > ALERTS_MAX {
        let problem = format!("has more than {ALERTS_MAX} entries; set max_alerts of the receiver");
        return Err(invalid("alerts", problem));
    }
    let now = app.context.now();
    let mut taken = NotificationTaken {
        truncated: notification.truncated_alerts,
        ..NotificationTaken::default()
    };
    let mut alerts = Vec::new();
    for (index, alert) in notification.alerts.into_iter().enumerate() {
        let external = alert.external();
        match external.problems(now).first() {
            None => alerts.push(external),
            Some((field, problem)) => taken.refused.push(RefusedAlert {
                index,
                problem: format!("{field} {problem}"),
            }),
        }
    }
    if let (true, Some(refused)) = (alerts.is_empty(), taken.refused.first()) {
        let field = format!("alerts[{}]", refused.index);
        return Err(invalid(&field, refused.problem.clone()));
    }
    // Transactions side by side touch their alerts in one order, and episodes of one alert follow each other.
    alerts.sort_by(|a, b| (&a.fingerprint, a.started_at).cmp(&(&b.fingerprint, b.started_at)));
    let mut transaction = app.pool.begin().await?;
    let mut rules = store::external_rules(&mut transaction, &person.name).await?;
    let (mut emissions, mut done) = (Emissions::default(), Done::default());
    let mut writer = Writer {
        connection: &mut transaction,
        context: &app.context,
        now,
        patience: app.patience,
        emissions: &mut emissions,
        done: &mut done,
    };
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for external in &alerts {
        let whose = (&*person.name, &*person.name);
        let outcome = external.take_in(&mut writer, whose, &mut rules).await?;
        *outcomes.entry(outcome.name()).or_default() += 1;
        match outcome {
            Taken::Begun(count) => taken.begun += count,
            Taken::Ended(count) => taken.ended += count,
            Taken::Repeated => taken.repeated += 1,
            Taken::Unmatched => taken.unmatched += 1,
        }
    }
    app.commit(transaction, emissions, &done).await?;
    let refused = taken.refused.len() as u64;
    if let Some(first) = taken.refused.first() {
        let RefusedAlert { index, problem } = first;
        warn!(
            sender = person.name,
            refused, index, problem, "alerts of a notification were refused"
        );
    }
    outcomes.insert("refused", refused);
    outcomes.insert("truncated", taken.truncated);
    for (outcome, number) in outcomes {
        count("alertmanager", outcome, number);
    }
    Ok(axum::Json(taken))
}

impl AlertRequest {
    fn external(self) -> Result<External, Problem> {
        let is_firing = self.status == Status::Firing;
        if is_firing && self.ends_at.is_some() {
            return Err(invalid("ends_at", "is for resolved alerts only".to_owned()));
        }
        let title = self.title.trim();
        if title.is_empty() {
            return Err(invalid("title", "is required".to_owned()));
        }
        let fingerprint = self.fingerprint;
        Ok(External {
            source: self.source,
            fingerprint: fingerprint.unwrap_or_else(|| fingerprint_of(&self.labels)),
            severity: severity_name(self.severity.unwrap_or(Severity::Info)).to_owned(),
            title: title.to_owned(),
            message: self.message,
            labels: self.labels,
            is_firing,
            started_at: self.starts_at,
            ended_at: self.ends_at,
        })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let is_good = |key: &&str| {
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.to_str().ok().filter(is_good) {
        Some(key) => Ok(Some(key)),
        None => {
            let problem = format!("is to have 1 to {KEY_CHARS_MAX} visible ASCII characters");
            Err(invalid("idempotency-key", problem))
        }
    }
}

fn invalid(field: &str, problem: String) -> Problem {
    Problem::field(ProblemKind::InvalidRequest, field, problem)
}

/// Counts alerts that were sent.
fn count(intake: &'static str, outcome: &str, number: u64) {
    counter!("alertservice_alerts_received_total", "intake" => intake, "outcome" => outcome.to_owned())
        .increment(number);
}
