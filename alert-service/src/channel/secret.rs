use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use ulid::Ulid;

use super::seal::{Seal, SealError};

/// What a key of a webhook starts with, by Standard Webhooks 1.0.0.
pub(super) const KEY_PREFIX: &str = "whsec_";

/// What a channel needs and never shows again. Each kind of channel uses some of the fields; those that
/// it does not use are an error of [`Channel::check`](super::Channel::check).
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secret {
    /// Webhook: `whsec_` and base64 of the 24 to 64 bytes that sign.
    pub key: Option<SecretString>,
    /// Webhook: the key before. Messages carry both signatures while the receiver changes over.
    pub previous_key: Option<SecretString>,
    /// Slack: the address that messages are sent to.
    pub url: Option<SecretString>,
    /// ntfy: the access token. Telegram: the token of the bot.
    pub token: Option<SecretString>,
    /// ntfy: the user, where no token is used.
    pub user: Option<SecretString>,
    /// ntfy: the password of the user.
    pub password: Option<SecretString>,
}

impl Secret {
    /// A new key for a webhook: `whsec_` and base64 of 32 random bytes.
    ///
    /// # Errors
    /// [`SealError::Random`] if the system gives no random bytes.
    pub fn new_webhook_key() -> Result<SecretString, SealError> {
        let mut bytes = [0_u8; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| SealError::Random)?;
        Ok(SecretString::from(format!(
            "{KEY_PREFIX}{}",
            STANDARD.encode(bytes)
        )))
    }

    /// The secret as it is stored, readable with a key of `seal` and for this channel alone.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, seal: &Seal, channel_id: Ulid) -> Result<Vec<u8>, SealError> {
        let set: serde_json::Map<String, serde_json::Value> = self
            .fields()
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .map(|(name, value)| (name.to_owned(), value.expose_secret().into()))
            .collect();
        let plain = SecretString::from(serde_json::Value::from(set).to_string());
        seal.seal(channel_id, plain.expose_secret().as_bytes())
    }

    /// Reads what [`Secret::seal`] made for this channel.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], and [`SealError::Damaged`] also where it was sealed for another channel.
    pub fn open(seal: &Seal, channel_id: Ulid, sealed: &[u8]) -> Result<Self, SealError> {
        let plain = seal.open(channel_id, sealed)?;
        serde_json::from_slice(plain.expose_secret()).map_err(|_| SealError::Damaged)
    }

    /// Whether no field is set.
    pub fn is_empty(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.is_none())
    }

    /// Every field with its name.
    pub(super) fn fields(&self) -> [(&'static str, Option<&SecretString>); 6] {
        [
            ("key", self.key.as_ref()),
            ("previous_key", self.previous_key.as_ref()),
            ("url", self.url.as_ref()),
            ("token", self.token.as_ref()),
            ("user", self.user.as_ref()),
            ("password", self.password.as_ref()),
        ]
    }
}

impl fmt::Debug for Secret {
    /// The names of the fields that are set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self
            .fields()
            .into_iter()
            .filter(|(_, value)| value.is_some());
        f.debug_set().entries(set.map(|(name, _)| name)).finish()
    }
}

/// The text of a secret field, if it is set.
pub(super) fn exposed(field: Option<&SecretString>) -> Option<&str> {
    field.map(ExposeSecret::expose_secret)
}
