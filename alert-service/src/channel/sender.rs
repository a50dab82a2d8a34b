use std::{fmt, sync::Arc, time::Duration};

use atlas_events::Clock;
use reqwest::dns::Resolve;
use thiserror::Error;
use tokio::time::Instant;
use url::Url;

use super::{
    AddressRules, Channel, Message, Outcome, Problem, Secret, SmtpConfig,
    outcome::{failed, refused},
    pace::{Pace, limits},
    protocol::{log, mail, ntfy, slack, telegram, webhook},
    web::Web,
};

/// How messages are sent.
#[derive(Clone)]
pub struct SenderConfig {
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take, or one reply of the mail server.
    pub answer_timeout: Duration,
    /// How long an attempt may take in all. Leases are longer.
    pub total_timeout: Duration,
    /// Where the URLs of users may lead to.
    pub addresses: AddressRules,
    /// Where the API of Telegram's bots is.
    pub telegram_url: Url,
    /// The mail server; without it channels of mail are refused.
    pub smtp: Option<SmtpConfig>,
    /// Resolves the names in users' URLs; `None` for the resolver of the system.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Tells the time.
    pub clock: Clock,
}

/// The longest that a message waits within an attempt for its turn by the limits of its service.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The base address of Telegram's API.
pub const TELEGRAM_URL: &str = "https://api.telegram.org";

impl SenderConfig {
    /// Time-outs of 5, 15 and 20 s, public addresses by https alone, no mail.
    #[must_use]
    pub fn new(telegram_url: Url, clock: Clock) -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(20),
            addresses: AddressRules::default(),
            telegram_url,
            smtp: None,
            resolver: None,
            clock,
        }
    }
}

impl fmt::Debug for SenderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("addresses", &self.addresses)
            .field("telegram_url", &self.telegram_url.as_str())
            .field("smtp", &self.smtp)
            .finish_non_exhaustive()
    }
}

/// Why messages cannot be sent at all.
#[derive(Debug, Error)]
pub enum SenderError {
    /// The TLS certificates of the machine cannot be used.
    #[error("cannot set up a client for HTTP: {0}")]
    Http(String),
    /// The configuration of the mail server cannot be used.
    #[error("smtp: {0}")]
    Smtp(Problem),
}

/// Sends messages: the one way for real ones and for tests. Clones share connections.
#[derive(Clone)]
pub struct Sender(Arc<Inner>);

struct Inner {
    web: Web,
    pace: Pace,
    mail: Option<mail::Mail>,
    telegram_url: Url,
    total_timeout: Duration,
    clock: Clock,
}

impl Sender {
    /// A sender. It installs `ring` as the provider of TLS where the process has none yet.
    ///
    /// # Errors
    /// Every [`SenderError`].
    pub fn new(config: SenderConfig) -> Result<Self, SenderError> {
        // An error says that the process has a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let web = Web::new(&config)?;
        let mail = match config.smtp {
            Some(smtp) => {
                let timeouts = mail::Timeouts {
                    connect: config.connect_timeout,
                    reply: config.answer_timeout,
                };
                Some(mail::Mail::new(smtp, timeouts).map_err(SenderError::Smtp)?)
            }
            None => None,
        };
        Ok(Self(Arc::new(Inner {
            web,
            pace: Pace::default(),
            mail,
            telegram_url: config.telegram_url,
            total_timeout: config.total_timeout,
            clock: config.clock,
        })))
    }

    /// What is wrong with a channel and its secret by the rules of this sender; empty if nothing is.
    #[must_use]
    pub fn check(&self, channel: &Channel, secret: &Secret) -> Vec<Problem> {
        let mut problems = channel.check(secret, self.0.web.rules());
        if matches!(channel, Channel::Mail { .. }) && self.0.mail.is_none() {
            problems.push(Problem::new(
                "kind",
                "is mail, and no mail server is configured",
            ));
        }
        problems
    }

    /// One attempt to send a message. It takes at most the configured time in all, and up to 2 s more
    /// where the service behind the channel takes no message yet, or a mail server no farewell. Dropping
    /// the future abandons the attempt, of which nothing is known then.
    pub async fn send(&self, channel: &Channel, secret: &Secret, message: &Message) -> Outcome {
        // It was checked when it was made: the operator has changed the rules since, and may again.
        let problems = channel.check(secret, self.0.web.rules());
        if let Some(problem) = problems.first() {
            return refused(problem.to_string());
        }
        let limits = limits(channel, &channel.destination(secret));
        let wait = self.0.pace.reserve(&limits, self.0.clock.now(), WAIT_MAX);
        if wait > WAIT_MAX {
            return Outcome::Slower {
                pause: wait,
                reason: "the limit of the service is reached".to_owned(),
            };
        }
        tokio::time::sleep(wait).await;
        self.dispatch(channel, secret, message).await
    }

    /// Calls a method of Telegram for the bot of a secret; its result, or why there is none.
    pub(crate) async fn telegram(
        &self,
        secret: &Secret,
        method: &str,
        payload: serde_json::Value,
    ) -> Result<serde_json::Value, String> {
        let inner = &*self.0;
        let web = inner.web.attempt(Instant::now() + inner.total_timeout);
        let api = telegram::Api::new(&web, &inner.telegram_url, secret);
        api.call(method, payload).await
    }

    async fn dispatch(&self, channel: &Channel, secret: &Secret, message: &Message) -> Outcome {
        let (inner, now) = (&*self.0, self.0.clock.now());
        // Each part of an attempt ends at it, since what that means depends on how far it had come.
        let deadline = Instant::now() + inner.total_timeout;
        let web = inner.web.attempt(deadline);
        match channel {
            Channel::Webhook { url } => webhook::send(&web, url, secret, message, now).await,
            Channel::Slack {} => slack::send(&web, secret, message, now).await,
            Channel::Ntfy { server, topic } => {
                ntfy::send(&web, (server, topic), secret, message, now).await
            }
            Channel::Telegram {
                chat_id,
                message_thread_id,
            } => {
                let api = telegram::Api::new(&web, &inner.telegram_url, secret);
                api.send((chat_id, *message_thread_id), message, now).await
            }
            Channel::Mail { to } => match &inner.mail {
                Some(mail) => mail.send(deadline, to, message, now).await,
                None => failed("no mail server is configured"),
            },
            Channel::Log {} => log::write(message),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
