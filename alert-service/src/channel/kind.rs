use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    AddressRules, Destination, Problem, Secret,
    protocol::{mail, ntfy, slack, telegram, webhook},
    secret::exposed,
};

/// How a person is reached: the public configuration of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Channel {
    /// JSON to a URL, signed by Standard Webhooks 1.0.0 with the secret's `key`.
    Webhook {
        /// Where to.
        url: Url,
    },
    /// A webhook of Slack, or one that is compatible: the secret's `url`.
    Slack {},
    /// A topic of an ntfy server, with the secret's `token`, or `user` and `password`, or neither.
    Ntfy {
        /// The root of the server.
        server: Url,
        /// 1 to 64 of `A-Z a-z 0-9 _ -`. Where anybody may read it, it should be hard to guess.
        topic: String,
    },
    /// A chat, by a bot with the secret's `token`.
    Telegram {
        /// A number, or the name of a public channel with its `@`.
        chat_id: ChatId,
        /// The topic within a forum.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_thread_id: Option<i64>,
    },
    /// Mail to one person.
    Mail {
        /// One address, without a name.
        to: String,
    },
    /// The log of the service.
    Log {},
}

/// Which chat of Telegram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ChatId {
    /// A person, a group, a channel: up to 52 bits, groups are negative.
    Number(i64),
    /// A public channel or group: `@name`.
    Name(String),
}

impl Channel {
    /// As in the configuration: `webhook`, `slack`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack {} => "slack",
            Self::Ntfy { .. } => "ntfy",
            Self::Telegram { .. } => "telegram",
            Self::Mail { .. } => "mail",
            Self::Log {} => "log",
        }
    }

    /// What is wrong with the channel and its secret; empty if nothing is.
    #[must_use]
    pub fn check(&self, secret: &Secret, rules: &AddressRules) -> Vec<Problem> {
        let mut problems = self.superfluous(secret);
        match self {
            Self::Webhook { url } => {
                problems.extend(check_url("url", url, rules));
                problems.extend(webhook::check_keys(secret));
            }
            Self::Slack {} => problems.extend(slack::check_url(secret, rules)),
            Self::Ntfy { server, topic } => {
                problems.extend(check_url("server", server, rules));
                problems.extend(ntfy::check(server, topic, secret));
            }
            Self::Telegram { chat_id, .. } => problems.extend(telegram::check(chat_id, secret)),
            Self::Mail { to } => problems.extend(mail::check(to)),
            Self::Log {} => {}
        }
        problems
    }

    /// What shares limits and failures with this channel.
    #[must_use]
    pub fn destination(&self, secret: &Secret) -> Destination {
        match self {
            Self::Webhook { url } => Destination::address("webhook", url),
            Self::Slack {} => slack::destination(secret),
            Self::Ntfy { server, .. } => Destination::host("ntfy", server),
            Self::Telegram { .. } => telegram::destination(secret),
            Self::Mail { .. } => Destination::new("smtp"),
            Self::Log {} => Destination::new("log"),
        }
    }

    /// What may be shown of the channel and its secret: the configuration, and which fields of the
    /// secret are set. Of a Slack-compatible webhook it has the host.
    #[must_use]
    pub fn public_view(&self, secret: &Secret) -> Value {
        let set = secret
            .fields()
            .into_iter()
            .filter(|(_, value)| value.is_some());
        let mut view = json!(self);
        view["secrets"] = set.map(|(name, _)| name).collect();
        if let (Self::Slack {}, Some(host)) = (self, slack::host(secret)) {
            view["host"] = host.into();
        }
        view
    }

    /// The channel at the address that [`Outcome::Moved`](super::Outcome::Moved) names, where its kind
    /// can move.
    #[must_use]
    pub fn moved(&self, to: &str) -> Option<Self> {
        match self {
            Self::Telegram {
                message_thread_id, ..
            } => Some(Self::Telegram {
                chat_id: ChatId::Number(to.parse().ok()?),
                message_thread_id: *message_thread_id,
            }),
            _ => None,
        }
    }

    /// Secrets that this kind does not use: a sign of a mistake, and nothing is kept without a use.
    fn superfluous(&self, secret: &Secret) -> Vec<Problem> {
        let used: &[&str] = match self {
            Self::Webhook { .. } => &["key", "previous_key"],
            Self::Slack {} => &["url"],
            Self::Ntfy { .. } => &["token", "user", "password"],
            Self::Telegram { .. } => &["token"],
            Self::Mail { .. } | Self::Log {} => &[],
        };
        let set = secret.fields().into_iter();
        set.filter(|(name, value)| value.is_some() && !used.contains(name))
            .map(|(name, _)| {
                Problem::new(
                    format!("secret.{name}"),
                    format!("is not used by a channel of kind {}", self.kind()),
                )
            })
            .collect()
    }
}

fn check_url(field: &str, url: &Url, rules: &AddressRules) -> Option<Problem> {
    let problem = rules.check(url).err()?;
    Some(Problem::new(field, problem))
}

/// The text of a field of the secret that the channel cannot do without.
pub(super) fn required<'a>(
    name: &str,
    field: Option<&'a SecretString>,
) -> Result<&'a str, Problem> {
    exposed(field).ok_or_else(|| Problem::new(format!("secret.{name}"), "is missing"))
}
