//! Links that end mail to a channel with one click (RFC 8058).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use ulid::Ulid;
use url::Url;

use super::Links;

const ID_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// What a link ends. It holds for as long as the channel of this tenant leads to this address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscription<'a> {
    pub(crate) channel_id: Ulid,
    pub(crate) tenant: &'a str,
    /// Of mail.
    pub(crate) to: &'a str,
}

impl Subscription<'_> {
    /// No address has a NUL.
    fn signed(&self) -> Vec<u8> {
        let id = self.channel_id.to_bytes();
        [&id[..], self.to.as_bytes(), b"\0", self.tenant.as_bytes()].concat()
    }
}

impl Links {
    /// The link for a mail; `None` where REST is not reached by https, which RFC 8058 asks for.
    pub(crate) fn unsubscribing(&self, subscription: Subscription<'_>) -> Option<Url> {
        let key = self.keys.unsubscribing.first()?;
        let tag = hmac::sign(key, &subscription.signed());
        let id = subscription.channel_id.to_bytes();
        let token = URL_SAFE_NO_PAD.encode([&id[..], tag.as_ref()].concat());
        let url: Url = format!("{}/u/{token}", self.base).parse().ok()?;
        (url.scheme() == "https").then_some(url)
    }

    /// The channel that a token says it is for. Nothing of it holds before [`Links::ends`].
    pub(crate) fn subscribed(&self, token: &str) -> Option<Ulid> {
        let (id, _) = decoded(token)?;
        Some(Ulid::from_bytes(id))
    }

    /// Whether this service made the token, for this subscription.
    pub(crate) fn ends(&self, token: &str, subscription: Subscription<'_>) -> bool {
        let Some((_, tag)) = decoded(token) else {
            return false;
        };
        let signed = subscription.signed();
        let mut keys = self.keys.unsubscribing.iter();
        keys.any(|key| hmac::verify(key, &signed, &tag).is_ok())
    }
}

fn decoded(token: &str) -> Option<([u8; ID_BYTES], [u8; TAG_BYTES])> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (id, tag) = bytes.split_first_chunk()?;
    Some((*id, tag.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calm::LinkKeys, channel::Seal};

    const SUBSCRIPTION: Subscription<'static> = Subscription {
        channel_id: Ulid(7),
        tenant: "ann",
        to: "ann@example.org",
    };

    fn links(base: &str, key: u8) -> Links {
        let seal = Seal::from_keys(&[[key; 32]]).unwrap();
        Links::new(&base.parse().unwrap(), LinkKeys::of(&seal))
    }

    #[test]
    fn a_link_ends_mail_of_one_channel_to_one_address_of_one_tenant() {
        let links = links("https://alerts.example.org/atlas/", 1);
        let url = links.unsubscribing(SUBSCRIPTION).unwrap().to_string();
        let token = url.strip_prefix("https://alerts.example.org/atlas/u/");
        let token = token.unwrap();
        assert_eq!(links.subscribed(token), Some(Ulid(7)));
        assert!(links.ends(token, SUBSCRIPTION));
        let others = [
            Subscription {
                channel_id: Ulid(8),
                ..SUBSCRIPTION
            },
            Subscription {
                tenant: "bob",
                ..SUBSCRIPTION
            },
            Subscription {
                to: "bob@example.org",
                ..SUBSCRIPTION
            },
        ];
        for other in others {
            assert!(!links.ends(token, other), "{other:?}");
        }
        assert!(!self::links("https://x/", 2).ends(token, SUBSCRIPTION));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_found() {
        let links = links("https://x/", 1);
        let url = links.unsubscribing(SUBSCRIPTION).unwrap().to_string();
        let token = url.strip_prefix("https://x/u/").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        // The id is compared by whoever looks the channel up.
        for bit in ID_BYTES * 8..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(!links.ends(&changed, SUBSCRIPTION), "bit {bit}");
        }
        for length in 0..token.len() {
            assert!(!links.ends(&token[..length], SUBSCRIPTION), "{length}");
            assert!(links.subscribed(&token[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn without_https_there_is_no_link() {
        assert!(links("http://x/", 1).unsubscribing(SUBSCRIPTION).is_none());
    }
}
