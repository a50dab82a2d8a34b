//! Channels as REST reads and shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    channel::{Channel, Secret},
    store,
};

/// A channel that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct ChannelRequest {
    /// For people; 1 to 100 characters.
    #[schema(example = "Phone")]
    pub(in crate::rest) name: String,
    /// `{"kind":"webhook","url":…}`, `{"kind":"slack"}`, `{"kind":"ntfy","server":…,"topic":…}`,
    /// `{"kind":"telegram","chat_id":…}`, `{"kind":"mail","to":…}` or `{"kind":"log"}`.
    #[schema(value_type = Object)]
    pub(in crate::rest) configuration: Channel,
    /// What is stored encrypted and never shown: `key` of a webhook (made if absent, and shown once), `url` of
    /// slack, `token` or `user` and `password` of ntfy, `token` of telegram. An update without it keeps what is
    /// stored.
    #[schema(value_type = Option<Object>)]
    pub(in crate::rest) secret: Option<Secret>,
    /// Whether anything is sent; yes if absent.
    #[serde(default = "yes")]
    pub(in crate::rest) enabled: bool,
    /// For an update: the version that it is made from.
    pub(in crate::rest) version: Option<i64>,
}

fn yes() -> bool {
    true
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ChannelView {
    id: String,
    /// Name of the token that made it.
    owner: String,
    name: String,
    kind: String,
    /// Without secrets.
    #[schema(value_type = Object)]
    configuration: Value,
    /// Whether a secret is stored.
    has_secret: bool,
    enabled: bool,
    /// Why it is not enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// What an update is to name.
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The key with which the messages of a webhook are signed, if it was just made. It is never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rest) generated_key: Option<String>,
}

/// A page of channels.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct ChannelPage {
    /// By id.
    pub(in crate::rest) channels: Vec<ChannelView>,
    /// What to give as `after` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::rest) next: Option<String>,
}

/// What a channel answered to a test.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::rest) struct TestView {
    /// `accepted`, `slower`, `failed`, `unknown`, `refused` or `moved`.
    pub(in crate::rest) outcome: &'static str,
    /// What the channel answered, or why it failed.
    pub(in crate::rest) detail: String,
}

impl From<store::Channel> for ChannelView {
    fn from(channel: store::Channel) -> Self {
        Self {
            id: channel.id,
            owner: channel.tenant,
            name: channel.name,
            kind: channel.kind,
            configuration: channel.configuration,
            has_secret: channel.sealed_secret.is_some(),
            enabled: channel.enabled,
            disabled_reason: channel.disabled_reason,
            version: channel.version,
            created_at: channel.created_at,
            updated_at: channel.updated_at,
            generated_key: None,
        }
    }
}
