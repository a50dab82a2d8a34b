//! The configuration of the alert service: one typed struct, read once at start, as with every service.

mod channels;
mod consumption;
mod flags;
mod load;

use std::{path::PathBuf, time::Duration};

use access::CredentialFiles;
use consumer::{ConsumerError, Source};
use documented::{Documented, DocumentedFields};
use ipnet::IpNet;
pub use service::config::{
    CommonConfig, CommonFlags, ConfigError, DatabaseConfig, EventsConfig, GrpcConfig, Loaded,
    RestConfig, ShutdownConfig, SourceConfig, TelemetryConfig,
};
use url::Url;

use crate::channel::SmtpConfig;

pub use flags::Flags;
pub use load::{SETTINGS, load};

/// How an alert service works. `Debug` shows no secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is configured by.
    pub common: CommonConfig,
    /// `rest.public_url`: where people reach REST, for the links in messages; `None`: there are no links.
    pub public_url: Option<Url>,
    /// `[consumer]`: the logs that are consumed.
    pub consumer: ConsumptionConfig,
    /// `[alerts]`: what is notified.
    pub alerts: AlertsConfig,
    /// `[deliveries]`: how messages are sent.
    pub deliveries: DeliveriesConfig,
    /// `[channels]`: where messages may be sent.
    pub channels: ChannelsConfig,
    /// `[mail]`: the mail server; `None`: none.
    pub mail: Option<SmtpConfig>,
}

/// `[consumer]`: the logs that are consumed.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct ConsumptionConfig {
    /// At least one, each with a name that stays the same for as long as its checkpoint is to be
    /// found; one without a name is `threshold-engine`.
    pub sources: Vec<SourceConfig>,
    /// What the servers of the sources ask for.
    pub credentials: CredentialFiles,
    /// At most this many events in one transaction.
    pub batch_events_max: usize,
    /// How long a service that cannot consume any further goes on to answer and to send, so that
    /// `/readyz` and the metrics say why, before it ends with an error.
    pub stopped_grace: Duration,
}

/// `[alerts]`: what is notified.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct AlertsConfig {
    /// Nothing is notified of an event that occurred longer ago than this: its deliveries are suppressed
    /// (`too_old`).
    pub event_age_max: Duration,
    /// The same for what was observed more than this many days ago, as in the history of a new series.
    pub observation_age_max_days: u32,
    /// An alert or a silence that ended longer ago than this many days is removed, with its deliveries and its history.
    pub retention_days: u32,
    /// Rules with expressions look at so many full years before the one that a series has reached; their windows are to
    /// be shorter.
    pub history_years: u32,
    /// At most so many rules of one owner may evaluate expressions: indicators, composites and changes of prices.
    pub expressions_per_owner_max: u32,
    /// An edit of a rule over series is remembered for so many days. An instance that was away for longer loads all rules
    /// anew.
    pub edits_retention_days: u32,
}

/// `[deliveries]`: how messages are sent.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct DeliveriesConfig {
    /// Attempts at a time.
    pub concurrency: usize,
    /// Attempts at a time to one destination: a host, a bot, the mail server.
    pub per_destination_max: usize,
    /// A delivery is given up after so long.
    pub deadline: Duration,
    /// The pause after a failed attempt is drawn from zero to this; the bound doubles with each further
    /// attempt. Mail waits for a minute at least.
    pub retry_base: Duration,
    /// The bound grows no further.
    pub retry_max: Duration,
    /// After so many failed attempts in a row nothing is sent to a destination for a time, and then one
    /// message at a time until one arrives.
    pub failures_max: u32,
    /// The longest such time.
    pub pause_max: Duration,
    /// How often it is looked for what is due.
    pub poll_interval: Duration,
}

/// `[channels]`: where messages may be sent.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct ChannelsConfig {
    /// Files with a key of 32 bytes each, which encrypt the secrets of channels in the database. The first
    /// encrypts, all decrypt. Without one no channel with a secret can be made.
    pub key_files: Vec<PathBuf>,
    /// Networks that channels may lead to although they are not public, such as 10.1.0.0/16.
    pub allowed_prefixes: Vec<IpNet>,
    /// Whether channels may use http, which everybody on the way can read.
    pub http_allowed: bool,
    /// Base address of the Bot API of Telegram.
    pub telegram_url: Url,
    /// Whether the service asks Telegram what people press and write in the chats of its channels (`getUpdates`):
    /// messages have buttons that acknowledge and snooze, and `/alerts`, `/ack` and `/snooze` work. A bot that is
    /// asked by another program, or has a webhook, cannot be asked.
    pub telegram_polling: bool,
    /// Whether a service in which nobody has made anything begins with a channel of kind log, and a rule that sends every
    /// pattern there. Both belong to `anonymous`: use it where tokens are not asked for. `atlas up` does.
    pub begin_with_log: bool,
}

impl ConsumptionConfig {
    /// The sources, over gRPC.
    ///
    /// # Errors
    /// [`ConsumerError::Address`].
    pub fn sources(&self) -> Result<Vec<Source>, ConsumerError> {
        service::config::sources(&self.sources, &self.credentials)
    }
}

impl AsRef<CommonConfig> for Config {
    fn as_ref(&self) -> &CommonConfig {
        &self.common
    }
}
