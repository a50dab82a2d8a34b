//! Signed links: what whoever reads a message may do with its alerts, without a login.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;
use ulid::Ulid;
use url::Url;

use crate::channel::Seal;

/// What keeps these keys apart from all others that are derived from the same file.
const PURPOSE: &[u8] = b"atlas alert-service links 1";
const UNSUBSCRIBING: &[u8] = b"atlas alert-service unsubscribing 1";
/// How long a link holds after the deadline of its message.
const HOLDS: TimeDelta = TimeDelta::days(7);
/// How long a snooze by a link lasts.
pub(crate) const SNOOZE: TimeDelta = TimeDelta::hours(4);
const PAYLOAD_BYTES: usize = 1 + 8 + 16;
const TAG_BYTES: usize = 32;

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Acknowledge,
    Snooze,
    Resolve,
}

impl Action {
    const ALL: [Self; 3] = [Self::Acknowledge, Self::Snooze, Self::Resolve];

    /// On the button.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledge",
            Self::Snooze => "Snooze 4 h",
            Self::Resolve => "Resolve",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Acknowledge => 1,
            Self::Snooze => 2,
            Self::Resolve => 3,
        }
    }
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) action: Action,
    /// The message that it stands in, and so the alerts that it acts on.
    pub(crate) delivery_id: Ulid,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Whose message it is: bound to the link, and not shown in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) alert_id: &'a str,
}

/// Keys of links: the first signs, all verify.
pub(crate) struct LinkKeys {
    pub(super) acting: Vec<hmac::Key>,
    pub(super) unsubscribing: Vec<hmac::Key>,
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys")
    }
}

impl LinkKeys {
    /// Derived from the keys that seal, which it says nothing about.
    pub(crate) fn of(seal: &Seal) -> Self {
        Self {
            acting: seal.derived(PURPOSE),
            unsubscribing: seal.derived(UNSUBSCRIBING),
        }
    }
}

/// Makes and reads links.
#[derive(Debug)]
pub(crate) struct Links {
    /// Where people reach the service, without a trailing slash.
    pub(super) base: String,
    pub(super) keys: LinkKeys,
}

impl Links {
    pub(crate) fn new(base: &Url, keys: LinkKeys) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        Self { base, keys }
    }

    /// The links of a message to a channel of some kind. Everybody who reads a topic of ntfy sees them: these do not
    /// end an alert. A log is no place for them.
    pub(crate) fn of_message(
        &self,
        (kind, delivery_id, deadline): (&str, Ulid, DateTime<Utc>),
        bound: Bound<'_>,
    ) -> Vec<(Action, Url)> {
        let offered: &[Action] = match kind {
            "log" => &[],
            "ntfy" => &Action::ALL[..2],
            _ => &Action::ALL,
        };
        let link = |action: &Action| {
            let link = Link {
                action: *action,
                delivery_id,
                expires_at: deadline + HOLDS,
            };
            let token = self.token(&link, bound)?;
            let url = format!("{}/a/{token}", self.base).parse().ok()?;
            Some((*action, url))
        };
        offered.iter().filter_map(link).collect()
    }

    fn token(&self, link: &Link, bound: Bound<'_>) -> Option<String> {
        let mut bytes = payload(link);
        let tag = hmac::sign(self.keys.acting.first()?, &signed(&bytes, bound));
        bytes.extend_from_slice(tag.as_ref());
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token says it is for. Nothing of it holds before [`Links::is_genuine`].
    pub(crate) fn read(&self, token: &str) -> Option<Link> {
        let bytes = decoded(token)?;
        let (code, rest) = bytes[..PAYLOAD_BYTES].split_first()?;
        let (expiry, id) = rest.split_first_chunk::<8>()?;
        let action = Action::ALL
            .into_iter()
            .find(|action| action.code() == *code);
        Some(Link {
            action: action?,
            delivery_id: Ulid::from_bytes(*id.first_chunk()?),
            expires_at: DateTime::from_timestamp(i64::from_be_bytes(*expiry), 0)?,
        })
    }

    /// Whether this service made the token, for this message.
    pub(crate) fn is_genuine(&self, token: &str, bound: Bound<'_>) -> bool {
        let Some(bytes) = decoded(token) else {
            return false;
        };
        let (payload, tag) = bytes.split_at(PAYLOAD_BYTES);
        let signed = signed(payload, bound);
        let mut keys = self.keys.acting.iter();
        keys.any(|key| hmac::verify(key, &signed, tag).is_ok())
    }
}

fn payload(link: &Link) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES + TAG_BYTES);
    bytes.push(link.action.code());
    bytes.extend_from_slice(&link.expires_at.timestamp().to_be_bytes());
    bytes.extend_from_slice(&link.delivery_id.to_bytes());
    bytes
}

/// The tenant comes last: the rest has one length.
fn signed(payload: &[u8], bound: Bound<'_>) -> Vec<u8> {
    let alert_id = bound.alert_id.as_bytes();
    [payload, alert_id, b"\0", bound.tenant.as_bytes()].concat()
}

fn decoded(token: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    (bytes.len() == PAYLOAD_BYTES + TAG_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound<'static> = Bound {
        tenant: "ann",
        alert_id: "01JNABCDEFGHJKMNPQRSTVWXYZ",
    };

    fn links(keys: &[u8]) -> Links {
        let keys: Vec<_> = keys.iter().map(|byte| [*byte; 32]).collect();
        let seal = Seal::from_keys(&keys).unwrap();
        let base = "https://alerts.example.org/atlas/".parse().unwrap();
        Links::new(&base, LinkKeys::of(&seal))
    }

    fn made(links: &Links, kind: &str) -> Vec<(Action, String)> {
        let message = (kind, Ulid::from(7_u128), DateTime::UNIX_EPOCH);
        let made = links.of_message(message, BOUND).into_iter();
        made.map(|(action, url)| (action, url.to_string()))
            .collect()
    }

    fn token(url: &str) -> String {
        let token = url.strip_prefix("https://alerts.example.org/atlas/a/");
        token.unwrap().to_owned()
    }

    #[test]
    fn a_link_is_for_one_action_message_alert_and_tenant() {
        let links = links(&[1]);
        let all = made(&links, "mail");
        assert_eq!(all.len(), 3);
        for (action, url) in &all {
            let token = token(url);
            let link = links.read(&token).unwrap();
            assert_eq!(
                (link.action, link.delivery_id),
                (*action, Ulid::from(7_u128))
            );
            assert_eq!(link.expires_at, DateTime::UNIX_EPOCH + TimeDelta::days(7));
            assert!(links.is_genuine(&token, BOUND));
            let tenant = Bound {
                tenant: "bob",
                ..BOUND
            };
            let alert = Bound {
                alert_id: "01JNABCDEFGHJKMNPQRSTVWXY0",
                ..BOUND
            };
            assert!(!links.is_genuine(&token, tenant) && !links.is_genuine(&token, alert));
        }
        assert_eq!(made(&links, "ntfy").len(), 2);
        assert!(made(&links, "log").is_empty());
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let links = links(&[1]);
        let token = token(&made(&links, "mail")[0].1);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(!links.is_genuine(&changed, BOUND), "bit {bit}");
        }
        for length in 0..token.len() {
            assert!(!links.is_genuine(&token[..length], BOUND), "{length}");
            assert!(links.read(&token[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn an_old_key_verifies_and_signs_no_more() {
        let (old, both, new) = (links(&[1]), links(&[2, 1]), links(&[2]));
        let token_old = token(&made(&old, "mail")[0].1);
        assert!(both.is_genuine(&token_old, BOUND) && !new.is_genuine(&token_old, BOUND));
        let token_both = token(&made(&both, "mail")[0].1);
        assert!(new.is_genuine(&token_both, BOUND) && !old.is_genuine(&token_both, BOUND));
    }
}
