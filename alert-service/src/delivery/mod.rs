//! Sends deliveries: claims what is due, makes attempts, records what became of them.
//!
//! A claim is stored before its attempt, with a lease that is longer than an attempt takes; what another instance
//! left behind is claimed again once its lease is over. So every delivery is attempted at least once.

mod disable;
mod lanes;
mod policy;
mod record;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use event_log::EventLog;
use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::warn;
use ulid::Ulid;
use url::Url;

pub(crate) use self::{
    disable::{Disabling, disable},
    policy::Policy,
    record::outcome_name,
};
use self::{
    lanes::{Lanes, Place},
    policy::Attempt,
    record::{Ended, Recorder, What},
};
use crate::{
    bot::{acknowledge_data, snooze_data},
    calm::{Bound, Links, Subscription, joined},
    channel::{Action, Channel, ChatAction, Message, MessageKind, Outcome, Seal, Secret, Sender},
    context::Context,
    store::{self, Claimed, Free},
    suppression::Reason,
    telemetry::OPEN_STATES,
};

/// How often the gauges are brought up to date, and it is looked for what other instances left behind: with
/// the lease at most 30 seconds after these ended.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// What deliveries are sent with.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    pub(crate) pool: PgPool,
    pub(crate) log: EventLog,
    pub(crate) sender: Sender,
    pub(crate) seal: Option<Arc<Seal>>,
    /// Makes the links of messages; `None`: they have none.
    pub(crate) links: Option<Arc<Links>>,
    /// Whether this service learns what is pressed in chats of Telegram.
    pub(crate) asks_telegram: bool,
    pub(crate) context: Context,
    pub(crate) policy: Policy,
    /// Attempts at a time, in all and for one destination.
    pub(crate) slots: usize,
    pub(crate) lane: usize,
    /// How often it is looked for what is due.
    pub(crate) poll_interval: Duration,
    /// How long the outcome of an attempt may take to be recorded.
    pub(crate) lease: Duration,
    /// Something is due.
    pub(crate) wake: Arc<Notify>,
}

impl Workers {
    /// Sends until `stop`; attempts that are under way then are ended and recorded.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (ended, outcomes) = mpsc::channel(self.slots.max(1));
        let recorder = Recorder {
            pool: self.pool.clone(),
            log: self.log.clone(),
            context: self.context.clone(),
            policy: self.policy,
        };
        let recording = AbortOnDropHandle::new(tokio::spawn(recorder.run(outcomes)));
        let mut attempts = JoinSet::new();
        stop.run_until_cancelled(self.claim_and_send(&ended, &mut attempts))
            .await;
        drop(ended);
        while attempts.join_next().await.is_some() {}
        let _ = recording.await;
    }

    async fn claim_and_send(&self, ended: &mpsc::Sender<Ended>, attempts: &mut JoinSet<()>) {
        let slots = Arc::new(Semaphore::new(self.slots));
        let lanes = Lanes::default();
        let mut sampled_at: Option<Instant> = None;
        loop {
            if sampled_at.is_none_or(|at| at.elapsed() >= SAMPLE_INTERVAL) {
                sampled_at = Some(Instant::now());
                self.sample().await;
                self.give_back().await;
            }
            while attempts.try_join_next().is_some() {}
            match self.claim(&slots, &lanes, ended, attempts).await {
                // There may be more.
                Ok(claimed) if claimed > 0 => continue,
                Ok(_) => {}
                Err(error) => warn!(%error, "deliveries cannot be claimed; trying again"),
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(self.poll_interval) => {}
            }
        }
    }

    /// What another instance has left behind.
    async fn give_back(&self) {
        match store::give_back_expired(&self.pool, self.context.now()).await {
            Ok(0) => {}
            Ok(count) => {
                warn!(
                    count,
                    "attempts were not recorded in time, and are made again"
                );
                counter!("alertservice_leases_expired_total").increment(count);
            }
            Err(error) => warn!(%error, "expired leases cannot be looked for; trying again"),
        }
    }

    async fn sample(&self) {
        let Ok(counts) = store::pending_by_state(&self.pool).await else {
            return;
        };
        for state in OPEN_STATES {
            let count = counts.iter().find(|(of, _)| of == state);
            let count = count.map_or(0, |(_, count)| *count);
            gauge!("alertservice_deliveries", "state" => state).set(count as f64);
        }
        let now = self.context.now();
        if let Ok(since) = store::overdue_since(&self.pool, now).await {
            let overdue = since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0));
            gauge!("alertservice_delivery_overdue_seconds").set(overdue);
        }
        if let Ok(count) = store::paused_count(&self.pool, self.context.now()).await {
            gauge!("alertservice_destinations_paused").set(count as f64);
        }
    }

    async fn claim(
        &self,
        slots: &Arc<Semaphore>,
        lanes: &Lanes,
        ended: &mpsc::Sender<Ended>,
        attempts: &mut JoinSet<()>,
    ) -> Result<usize, sqlx::Error> {
        let free = slots.available_permits();
        if free == 0 {
            return Ok(0);
        }
        let (busy, busy_counts) = lanes.busy();
        let room = Free {
            slots: i64::try_from(free).unwrap_or(i64::MAX),
            lane: i64::try_from(self.lane).unwrap_or(i64::MAX),
            failures_max: self.policy.failures_max,
            busy: &busy,
            busy_counts: &busy_counts,
        };
        let now = self.context.now();
        let lease_until = now + TimeDelta::from_std(self.lease).unwrap_or(TimeDelta::seconds(30));
        let claimed = store::claim(&self.pool, &room, now, lease_until).await?;
        let count = claimed.len();
        for delivery in claimed {
            // As many as were free, and nobody else takes any.
            let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
                continue;
            };
            let place = lanes.enter(&delivery.destination, slot, &self.wake);
            let (workers, ended) = (self.clone(), ended.clone());
            attempts.spawn(async move {
                let outcome = workers.attempt(delivery, place).await;
                let _ = ended.send(outcome).await;
            });
        }
        Ok(count)
    }

    async fn attempt(&self, delivery: Claimed, place: Place) -> Ended {
        let begun = Instant::now();
        let (what, kind) = self.send(&delivery).await;
        histogram!("alertservice_attempt_seconds", "channel" => kind)
            .record(begun.elapsed().as_secs_f64());
        Ended {
            delivery,
            kind,
            what,
            place,
        }
    }

    async fn send(&self, delivery: &Claimed) -> (What, &'static str) {
        let Some(configuration) = &delivery.configuration else {
            return (What::Suppressed(Reason::ChannelDeleted), "none");
        };
        let channel: Channel = match serde_json::from_value(configuration.clone()) {
            Ok(channel) => channel,
            Err(error) => {
                let reason = format!("the stored channel cannot be read: {error}");
                let outcome = Outcome::Refused {
                    reason,
                    disables_channel: true,
                };
                return (self.decided(delivery, None, outcome), "none");
            }
        };
        let kind = channel.kind();
        if delivery.enabled != Some(true) {
            return (What::Suppressed(Reason::ChannelDisabled), kind);
        }
        let outcome = match self.secret(delivery) {
            Err(reason) => Outcome::Failed { reason },
            Ok((secret, ids)) => {
                let message = match self.message(delivery, &channel, ids).await {
                    Ok(message) => message,
                    Err(error) => {
                        let reason = format!("the messages of the group cannot be read: {error}");
                        return (
                            self.decided(delivery, Some(&channel), Outcome::Failed { reason }),
                            kind,
                        );
                    }
                };
                self.sender.send(&channel, &secret, &message).await
            }
        };
        (self.decided(delivery, Some(&channel), outcome), kind)
    }

    /// The message as it is sent now: with those that it stands for, which do not change after its first attempt, and
    /// with links.
    async fn message(
        &self,
        delivery: &Claimed,
        channel: &Channel,
        ids: (Ulid, Ulid),
    ) -> Result<Message, sqlx::Error> {
        let channel_kind = channel.kind();
        let others = match &delivery.group_key {
            Some(_) => store::members(&self.pool, &delivery.id).await?,
            None => Vec::new(),
        };
        let stored = joined(delivery.message.0.clone(), &others);
        let sequence = delivery.sequence.unsigned_abs();
        let mut message = stored.message(ids, sequence, self.context.now());
        if let (Some(links), MessageKind::Firing) = (&self.links, message.kind) {
            let bound = Bound {
                tenant: &delivery.tenant,
                alert_id: &delivery.alert_id,
            };
            let made = links.of_message((channel_kind, ids.0, delivery.deadline), bound);
            let actions = made.into_iter().map(|(action, url)| Action {
                label: action.label().to_owned(),
                url,
            });
            message.actions = actions.collect();
        }
        message.unsubscribe_url = self.unsubscribe_url(delivery, channel);
        if self.asks_telegram && channel_kind == "telegram" && message.kind == MessageKind::Firing {
            let action = |label: &str, data| ChatAction {
                label: label.to_owned(),
                data,
            };
            message.chat_actions = vec![
                action("Acknowledge here", acknowledge_data(ids.0)),
                action("Snooze 4 h here", snooze_data(ids.0)),
            ];
        }
        Ok(message)
    }

    fn unsubscribe_url(&self, delivery: &Claimed, channel: &Channel) -> Option<Url> {
        let (Some(links), Channel::Mail { to }) = (&self.links, channel) else {
            return None;
        };
        links.unsubscribing(Subscription {
            channel_id: Ulid::from_string(&delivery.channel_id).ok()?,
            tenant: &delivery.tenant,
            to,
        })
    }

    fn secret(&self, delivery: &Claimed) -> Result<(Secret, (Ulid, Ulid)), String> {
        let id = |text: &str| Ulid::from_string(text).map_err(|error| error.to_string());
        let ids = (id(&delivery.id)?, id(&delivery.alert_id)?);
        let sealed = delivery.sealed_secret.as_deref();
        let channel_id = id(&delivery.channel_id)?;
        let secret = open_secret(self.seal.as_deref(), channel_id, sealed)?;
        Ok((secret, ids))
    }

    fn decided(&self, delivery: &Claimed, channel: Option<&Channel>, outcome: Outcome) -> What {
        let attempt = Attempt {
            channel_kind: channel.map_or("none", Channel::kind),
            attempts: delivery.attempts.unsigned_abs(),
            unknown_attempts: delivery.unknown_attempts.unsigned_abs(),
            deadline: delivery.deadline,
        };
        let label = outcome_name(&outcome);
        counter!("alertservice_attempts_total", "channel" => attempt.channel_kind.to_owned(), "outcome" => label)
            .increment(1);
        let moved = match &outcome {
            Outcome::Moved { to } => channel.and_then(|channel| channel.moved(to)),
            _ => None,
        };
        let (next, effect) = self.policy.next(&attempt, outcome, &self.context);
        let moved = moved.and_then(|channel| serde_json::to_value(channel).ok());
        What::Attempted {
            next,
            effect,
            moved,
        }
    }
}

/// The secret of a channel.
///
/// # Errors
/// For people, without anything of the secret.
pub(crate) fn open_secret(
    seal: Option<&Seal>,
    channel_id: Ulid,
    sealed: Option<&[u8]>,
) -> Result<Secret, String> {
    match (sealed, seal) {
        (None, _) => Ok(Secret::default()),
        (Some(_), None) => Err("no key is configured that opens the channel's secret".to_owned()),
        (Some(sealed), Some(seal)) => {
            Secret::open(seal, channel_id, sealed).map_err(|error| error.to_string())
        }
    }
}
