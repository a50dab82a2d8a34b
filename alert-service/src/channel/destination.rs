use std::fmt;

use ring::digest;
use url::Url;

/// So many bytes tell addresses apart.
const DIGEST_BYTES: usize = 8;

/// What limits, pauses and circuit breakers are kept for: an address, a bot, an ntfy or mail
/// server. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(String);

impl Destination {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The host and port of a URL.
    pub(super) fn host(kind: &str, url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        Self(format!("{kind}:{host}:{port}"))
    }

    /// The host and port of a URL, and a digest of the whole, which may be secret: on a host that many
    /// use, a pause for one of them is none for the others.
    pub(super) fn address(kind: &str, url: &Url) -> Self {
        let Self(host) = Self::host(kind, url);
        let digest = digest::digest(&digest::SHA256, url.as_str().as_bytes());
        let digest = digest.as_ref().iter().take(DIGEST_BYTES);
        let digest: String = digest.map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{host}:{digest}"))
    }

    /// As text, at most 2,100 bytes, stable over releases.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a field of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: `url`, `secret.token`, …
    pub field: String,
    /// What is wrong with it, to follow the field's name. Holds nothing of a secret.
    pub message: String,
}

impl Problem {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.message)
    }
}
