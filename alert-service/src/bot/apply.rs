//! Doing what somebody in a chat wants.

use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgTransaction;
use tracing::debug;
use ulid::Ulid;

use super::{
    Bot, BotError, Bots,
    update::{Request, Update, Which},
};
use crate::{
    alert::Done,
    emission::{Cause, Emissions},
    store::{self, Alert},
};

const HELP: &str =
    "/alerts lists what is open, /ack CODE acknowledges, /snooze CODE HOURS snoozes.";
const LISTED_MAX: usize = 20;
/// Among so many of the newest a code is looked for.
const OPEN_MAX: i64 = 1_000;
/// As it is listed and written.
const CODE_CHARS: usize = 6;
/// What Telegram shows of the answer to a press.
const ANSWER_CHARS_MAX: usize = 200;

impl Bots {
    /// Applies an update, answers, and records both; `false` if another instance does.
    pub(super) async fn apply(
        &self,
        key: &str,
        bot: &Bot,
        update: Update,
    ) -> Result<bool, BotError> {
        let mut transaction = self.app.pool.begin().await?;
        let taken = (key, &*self.holder);
        if !store::take_update(&mut transaction, taken, update.id).await? {
            return Ok(false);
        }
        let (mut emissions, mut done) = (Emissions::default(), Done::default());
        let known = update.request.as_ref().and_then(|(chat, request)| {
            let channel = bot.chats.iter().find(|(of, _)| of == chat);
            channel.map(|(_, channel)| (*chat, channel, request))
        });
        let answer = match known {
            Some((_, channel, request)) => {
                let work = (&mut transaction, &mut emissions, &mut done);
                Some(self.carry_out(work, channel, request).await?)
            }
            None => None,
        };
        let committed = self.app.commit(transaction, emissions, &done).await;
        committed.map_err(|problem| BotError::Commit(format!("{problem:?}")))?;
        // What was done is done; an answer that is lost is not sent again.
        let said = match (&update.callback_id, &answer, known) {
            (Some(id), answer, _) => {
                let text = answer
                    .as_deref()
                    .unwrap_or("This chat is no channel of this service.");
                let text = atlas_events::clip(text, ANSWER_CHARS_MAX);
                let payload = json!({"callback_query_id": id, "text": text});
                Some(("answerCallbackQuery", payload))
            }
            (None, Some(text), Some((chat, ..))) => {
                let payload = json!({
                    "chat_id": chat, "text": text, "link_preview_options": {"is_disabled": true},
                });
                Some(("sendMessage", payload))
            }
            _ => None,
        };
        if let Some((method, payload)) = said
            && let Err(error) = self.app.sender.telegram(&bot.secret, method, payload).await
        {
            debug!(%error, "an answer in a chat is lost");
        }
        Ok(true)
    }

    /// Does what is wanted of the alerts that a channel was notified of, and says what.
    async fn carry_out(
        &self,
        (transaction, emissions, done): (&mut PgTransaction<'_>, &mut Emissions, &mut Done),
        channel: &str,
        request: &Request,
    ) -> Result<String, sqlx::Error> {
        let (which, hours) = match request {
            Request::Help => return Ok(HELP.to_owned()),
            Request::List => {
                let open = store::open_alerts_of_channel(transaction, channel, OPEN_MAX).await?;
                return Ok(listed(&open));
            }
            Request::Acknowledge(which) => (which, None),
            Request::Snooze(which, hours) => (which, Some(*hours)),
        };
        let now = self.app.context.now();
        let (alerts, first_id) = match which {
            Which::Delivery(id) => {
                let text = id.to_string();
                let linked = store::linked(&mut **transaction, &text).await?;
                match linked {
                    Some((_, _, of)) if of == channel => {
                        (store::linked_alerts(transaction, &text).await?, *id)
                    }
                    _ => (Vec::new(), *id),
                }
            }
            Which::Code(code) => {
                let open = store::open_alerts_of_channel(transaction, channel, OPEN_MAX).await?;
                let found = open.into_iter().filter(|alert| alert.id.ends_with(&**code));
                let found: Vec<_> = found.collect();
                if found.len() > 1 {
                    return Ok(format!(
                        "Several alerts end with {code}; give more of the id."
                    ));
                }
                (found, self.app.context.id(now))
            }
        };
        let open: Vec<_> = alerts.into_iter().filter(Alert::is_open).collect();
        if open.is_empty() {
            return Ok("There is no such open alert.".to_owned());
        }
        let cause = Cause {
            by: format!("chat:{channel}"),
            note: "in a chat of Telegram".to_owned(),
            ..Cause::default()
        };
        let mut writer = self.app.writer(transaction, emissions, done, now);
        let mut changed = 0;
        for (number, alert) in (0_u128..).zip(open) {
            match hours {
                Some(hours) => {
                    // Of the message's own id: a second press makes no other.
                    let id = Ulid::from(first_id.0.wrapping_add(number)).to_string();
                    let until = now + TimeDelta::hours(hours.into());
                    changed += u32::from(writer.snooze(alert, (&id, until), &cause).await?);
                }
                None if alert.state == "firing" => {
                    writer.acknowledge(alert, &cause).await?;
                    changed += 1;
                }
                None => {}
            }
        }
        Ok(match (changed, hours) {
            (0, _) => "It was done already.".to_owned(),
            (_, None) => "Acknowledged.".to_owned(),
            (_, Some(hours)) => format!("Snoozed for {hours} h."),
        })
    }
}

fn listed(open: &[Alert]) -> String {
    if open.is_empty() {
        return "Nothing is open.".to_owned();
    }
    let line = |alert: &Alert| {
        let code = &alert.id[alert.id.len().saturating_sub(CODE_CHARS)..];
        let title = atlas_events::clip(&alert.title, 100);
        format!("{code} {title} ({}, {})", alert.severity, alert.state)
    };
    let mut lines: Vec<_> = open.iter().take(LISTED_MAX).map(line).collect();
    if open.len() > LISTED_MAX {
        lines.push(format!("and {} more", open.len() - LISTED_MAX));
    }
    lines.join("\n")
}
