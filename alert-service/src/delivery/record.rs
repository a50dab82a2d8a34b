//! Records outcomes: all that wait in one transaction, with what is emitted of them.

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use event_log::{EventLog, Uncommitted};
use metrics::{counter, histogram};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use tokio::{sync::mpsc, time::sleep};
use tracing::{debug, warn};

use super::{
    disable::{Disabling, disable},
    lanes::Place,
    policy::{Effect, Next, Policy},
};
use crate::{
    channel::Outcome,
    context::Context,
    emission::Emissions,
    store::{self, Again, Claimed, Finished},
    suppression::Reason,
};

/// Pause before a group is recorded once more.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) delivery: Claimed,
    pub(super) kind: &'static str,
    pub(super) what: What,
    /// Held until it is recorded.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) place: Place,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum What {
    /// Nothing was sent.
    Suppressed(Reason),
    Attempted {
        next: Next,
        effect: Effect,
        /// The configuration of the channel at its new address.
        moved: Option<Value>,
    },
}

pub(super) struct Recorder {
    pub(super) pool: PgPool,
    pub(super) log: EventLog,
    pub(super) context: Context,
    pub(super) policy: Policy,
}

/// What was recorded, to be counted once it is committed.
#[derive(Debug, Default)]
struct Recorded {
    finished: Vec<(&'static str, String)>,
    suppressed: Vec<Reason>,
    sent_seconds: Vec<f64>,
    /// Destinations of which it is recorded already that they work.
    working: HashSet<String>,
}

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Log(#[from] event_log::LogError),
    #[error("an event breaks the contract: {0}")]
    Contract(#[from] atlas_events::Violation),
}

impl Recorder {
    /// Records until nobody sends any more. A group that cannot be recorded is tried for as long as it takes;
    /// what a process that ends meanwhile did not record is sent again.
    pub(super) async fn run(self, mut outcomes: mpsc::Receiver<Ended>) {
        let mut group = Vec::new();
        while outcomes.recv_many(&mut group, usize::MAX).await > 0 {
            // So that no two of them wait for each other's rows.
            group.sort_by(|a, b| a.delivery.id.cmp(&b.delivery.id));
            while let Err(error) = self.record(&group).await {
                warn!(%error, "outcomes cannot be recorded; trying again");
                sleep(RETRY_PAUSE).await;
            }
            // Which makes room for further attempts.
            group.clear();
        }
    }

    async fn record(&self, group: &[Ended]) -> Result<(), RecordError> {
        let mut transaction = self.pool.begin().await?;
        let (mut emissions, mut recorded) = (Emissions::default(), Recorded::default());
        for ended in group {
            self.record_one(&mut transaction, ended, &mut emissions, &mut recorded)
                .await?;
        }
        let appended: Option<Uncommitted> = match emissions.is_empty() {
            true => None,
            false => {
                let drafts = emissions.drafts(&self.context, &self.log.acceptance())?;
                Some(self.log.append_in(&mut transaction, drafts).await?)
            }
        };
        transaction.commit().await?;
        if let Some(appended) = appended {
            appended.committed();
        }
        recorded.count();
        Ok(())
    }

    async fn record_one(
        &self,
        connection: &mut PgConnection,
        ended: &Ended,
        emissions: &mut Emissions,
        recorded: &mut Recorded,
    ) -> Result<(), sqlx::Error> {
        let (delivery, now) = (&ended.delivery, self.context.now());
        let key = (&*delivery.id, delivery.claim);
        let (next, effect, moved) = match &ended.what {
            What::Suppressed(reason) => {
                let finished = Finished {
                    state: "suppressed",
                    suppressed_by: Some(*reason),
                    ..Finished::default()
                };
                if let Some(row) = store::finish(connection, key, &finished, now).await? {
                    emissions.delivery(&row);
                    recorded.suppressed.push(*reason);
                }
                return Ok(());
            }
            What::Attempted {
                next,
                effect,
                moved,
            } => (next, effect, moved),
        };
        let row = match next {
            Next::Again {
                not_before,
                reason,
                counts,
                is_unknown,
            } => {
                let again = Again {
                    not_before: *not_before,
                    reason,
                    counts: *counts,
                    is_unknown: *is_unknown,
                };
                store::try_again(connection, key, &again).await?
            }
            last => {
                let finished = finished(last);
                let row = store::finish(connection, key, &finished, now).await?;
                if let Some(row) = &row {
                    emissions.delivery(row);
                    recorded.finished.push((ended.kind, row.state.clone()));
                    if let (Next::Sent { .. }, Some(caused_at)) = (last, row.caused_at) {
                        // By the clock of the machine, as the log's own is.
                        let seconds = (Utc::now() - caused_at).as_seconds_f64();
                        recorded.sent_seconds.push(seconds.max(0.0));
                    }
                }
                row
            }
        };
        if row.is_none() {
            debug!(
                id = delivery.id,
                "somebody else has the delivery; the outcome is not recorded"
            );
            return Ok(());
        }
        self.apply(
            connection,
            delivery,
            (effect, moved.as_ref()),
            emissions,
            recorded,
        )
        .await
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        delivery: &Claimed,
        (effect, moved): (&Effect, Option<&Value>),
        emissions: &mut Emissions,
        recorded: &mut Recorded,
    ) -> Result<(), sqlx::Error> {
        let (destination, now) = (&*delivery.destination, self.context.now());
        match effect {
            Effect::None => {}
            Effect::Works => {
                if recorded.working.insert(destination.to_owned()) {
                    store::note_success(connection, destination).await?;
                }
            }
            Effect::Fails => {
                recorded.working.remove(destination);
                let failures = store::note_failure(connection, destination).await?;
                if let Some(pause) = self.policy.pause(failures, &self.context) {
                    let reason = format!("the destination failed {failures} times in a row");
                    store::pause(connection, destination, now + pause, &reason).await?;
                }
            }
            Effect::Pauses { until, reason } => {
                recorded.working.remove(destination);
                store::pause(connection, destination, *until, reason).await?;
            }
            Effect::Moves { .. } => {
                if let Some(configuration) = moved {
                    store::move_channel(connection, &delivery.channel_id, configuration, now)
                        .await?;
                }
            }
            Effect::Disables { reason } => {
                let disabling = Disabling {
                    channel_id: &delivery.channel_id,
                    tenant: &delivery.tenant,
                    change: "disabled",
                    by: None,
                    reason,
                };
                let suppressed = disable(connection, &disabling, emissions, now).await?;
                if suppressed.is_some() {
                    let channel = &delivery.channel_id;
                    warn!(
                        channel,
                        "a channel is disabled: the destination refuses it for good"
                    );
                }
                recorded.suppressed.extend(suppressed.unwrap_or_default());
            }
        }
        Ok(())
    }
}

fn finished(next: &Next) -> Finished<'_> {
    let with = |state, receipt, error| Finished {
        state,
        receipt,
        error,
        suppressed_by: None,
    };
    match next {
        Next::Sent { receipt } => with("sent", receipt.as_deref(), None),
        Next::Failed { error } => with("failed", None, Some(error)),
        Next::GivenUp { error } | Next::Again { reason: error, .. } => {
            with("given_up", None, Some(error))
        }
    }
}

impl Recorded {
    fn count(self) {
        for (kind, state) in self.finished {
            counter!("alertservice_deliveries_total", "channel" => kind, "state" => state)
                .increment(1);
        }
        for reason in self.suppressed {
            counter!("alertservice_suppressed_total", "reason" => reason.name()).increment(1);
        }
        for seconds in self.sent_seconds {
            histogram!("alertservice_crossing_to_sent_seconds").record(seconds);
        }
    }
}

pub(crate) fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Slower { .. } => "slower",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Refused { .. } => "refused",
        Outcome::Moved { .. } => "moved",
    }
}
