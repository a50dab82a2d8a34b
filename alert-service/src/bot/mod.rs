//! The bots of Telegram's channels: what people press and write in their chats.
//!
//! One instance asks for each bot at a time, by a lease, as Telegram ends all but one. An update is applied in the
//! transaction that records its id, and confirmed to Telegram by asking for what comes after: so it is applied once.

mod apply;
mod update;

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use ring::digest;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{debug, warn};
use ulid::Ulid;

pub(crate) use self::update::{acknowledge_data, snooze_data};
use crate::{
    channel::{Channel, ChatId, Secret},
    delivery::open_secret,
    rest::App,
    store,
};

/// How often it is looked for bots that came or went, and how long one rests that cannot be asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long Telegram waits for something to report: less than an answer may take.
const POLL_SECONDS: u64 = 10;
/// Longer than to ask and to apply takes.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// So many bytes of a digest tell bots apart.
const DIGEST_BYTES: usize = 16;

/// Asks Telegram what bots were sent.
#[derive(Debug, Clone)]
pub(crate) struct Bots {
    app: App,
    /// Who this instance is, for leases.
    holder: String,
}

/// A bot with its chats.
#[derive(Clone)]
struct Bot {
    secret: Secret,
    /// Numbers of chats and the channels that lead there.
    chats: Vec<(i64, String)>,
}

impl Bots {
    pub(crate) fn new(app: App) -> Self {
        let holder = app.context.id(app.context.now()).to_string();
        Self { app, holder }
    }

    /// Asks until `stop`. What is not applied by then is reported again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow_all()).await;
    }

    async fn follow_all(&self) {
        let mut followed: HashMap<String, AbortOnDropHandle<()>> = HashMap::new();
        loop {
            match self.bots().await {
                Ok(bots) => {
                    followed.retain(|key, _| bots.contains_key(key));
                    for key in bots.into_keys() {
                        followed.entry(key.clone()).or_insert_with(|| {
                            let bots = self.clone();
                            let following = async move { bots.follow(&key).await };
                            AbortOnDropHandle::new(tokio::spawn(following))
                        });
                    }
                }
                Err(error) => warn!(%error, "the bots cannot be read; trying again"),
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// All bots of enabled channels, by a digest of their tokens: who has a token may act for its chats.
    async fn bots(&self) -> Result<HashMap<String, Bot>, sqlx::Error> {
        let mut bots: HashMap<String, Bot> = HashMap::new();
        for channel in store::chat_channels(&self.app.pool).await? {
            let Ok(Channel::Telegram {
                chat_id: ChatId::Number(chat),
                ..
            }) = serde_json::from_value(channel.configuration)
            else {
                continue;
            };
            let Ok(id) = Ulid::from_string(&channel.id) else {
                continue;
            };
            let sealed = channel.sealed_secret.as_deref();
            let Ok(secret) = open_secret(self.app.seal.as_deref(), id, sealed) else {
                continue;
            };
            let Some(token) = &secret.token else {
                continue;
            };
            let digest = digest::digest(&digest::SHA256, token.expose_secret().as_bytes());
            let digest = digest.as_ref().iter().take(DIGEST_BYTES);
            let key: String = digest.map(|byte| format!("{byte:02x}")).collect();
            let bot = bots.entry(key).or_insert_with(|| Bot {
                secret,
                chats: Vec::new(),
            });
            bot.chats.push((chat, channel.id));
        }
        Ok(bots)
    }

    async fn follow(&self, key: &str) {
        loop {
            match self.ask(key).await {
                Ok(true) => {}
                Ok(false) => sleep(LOOK_INTERVAL).await,
                Err(error) => {
                    warn!(%error, "a bot of Telegram cannot be asked; trying again");
                    sleep(LOOK_INTERVAL).await;
                }
            }
        }
    }

    /// Asks once; whether this instance has the bot.
    async fn ask(&self, key: &str) -> Result<bool, BotError> {
        let now = self.app.context.now();
        let lease = (now, now + LEASE);
        let next = store::lease_bot(&self.app.pool, (key, &self.holder), lease).await?;
        let (Some(next), Some(bot)) = (next, self.bots().await?.remove(key)) else {
            return Ok(false);
        };
        let payload = json!({
            "offset": next, "timeout": POLL_SECONDS, "allowed_updates": ["message", "callback_query"],
        });
        let asked = self.app.sender.telegram(&bot.secret, "getUpdates", payload);
        let result = asked.await.map_err(BotError::Telegram)?;
        let updates = update::read(&result);
        if updates.is_empty() {
            return Ok(true);
        }
        // With the channels that there are now.
        let Some(bot) = self.bots().await?.remove(key) else {
            return Ok(false);
        };
        for update in updates {
            if !self.apply(key, &bot, update).await? {
                debug!("another instance has the bot");
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Why a bot cannot be asked.
#[derive(Debug, thiserror::Error)]
enum BotError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Telegram(String),
    #[error("what it was sent cannot be applied: {0}")]
    Commit(String),
}
