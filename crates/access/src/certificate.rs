//! What a client's certificate proves, and how an entry names one.

use sha2::{Digest, Sha256};

use crate::{name::Name, secret::hex};

const URI: &str = "URI:";
const DNS: &str = "DNS:";
const SHA256: &str = "SHA256:";

/// A certificate that a client showed and a trusted authority has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: String,
    /// In the form of entries, the most exact first.
    names: Vec<String>,
}

impl Certificate {
    /// Of its subject, of its alternative names and of its whole encoded form.
    pub fn new<'a>(
        subject: &Name,
        uris: impl IntoIterator<Item = &'a str>,
        dns: impl IntoIterator<Item = &'a str>,
        encoded: &[u8],
    ) -> Self {
        let uris = uris.into_iter().map(|uri| format!("{URI}{uri}"));
        let dns = dns
            .into_iter()
            .map(|name| format!("{DNS}{}", name.to_ascii_lowercase()));
        let names = [format!("{SHA256}{}", hex(&Sha256::digest(encoded)))];
        let names = names.into_iter().chain(uris).chain(dns);
        let own = (!subject.is_empty()).then(|| subject.to_string());
        Self {
            subject: own.clone().unwrap_or_default(),
            names: names.chain(own).collect(),
        }
    }

    /// For people: its subject, or its fingerprint if it has none.
    pub fn shown(&self) -> &str {
        let fingerprint = self.names.first().map_or("", String::as_str);
        Some(self.subject.as_str())
            .filter(|s| !s.is_empty())
            .unwrap_or(fingerprint)
    }

    /// What an entry may name it by, the most exact first: fingerprint, URIs, DNS names, subject.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// What an entry names a certificate by, in the one form in which it is compared.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn read_name(written: &str) -> Result<String, String> {
    if let Some(uri) = written.strip_prefix(URI) {
        return match uri.is_empty() || uri.chars().any(|c| c.is_control() || c.is_whitespace()) {
            true => Err("is no URI of a certificate, such as URI:spiffe://example/orders".into()),
            false => Ok(written.to_owned()),
        };
    }
    if let Some(name) = written.strip_prefix(DNS) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_*".contains(c);
        return match name.is_empty() || !name.chars().all(allowed) {
            true => Err("is no DNS name of a certificate, such as DNS:orders.example".into()),
            false => Ok(format!("{DNS}{}", name.to_ascii_lowercase())),
        };
    }
    if let Some(digest) = written.strip_prefix(SHA256) {
        let digest = digest.replace(':', "").to_ascii_lowercase();
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        return match is_digest {
            true => Ok(format!("{SHA256}{digest}")),
            false => Err("is no SHA-256 of a certificate: 64 hexadecimal digits".into()),
        };
    }
    let name: Name = written.parse()?;
    Ok(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        let digest = "AB:".repeat(31) + "CD";
        for (written, form) in [
            ("CN = grafana", "CN=grafana".to_owned()),
            ("DNS:Orders.Example", "DNS:orders.example".to_owned()),
            ("URI:spiffe://a/B", "URI:spiffe://a/B".to_owned()),
            (
                &*format!("SHA256:{digest}"),
                format!("SHA256:{}cd", "ab".repeat(31)),
            ),
        ] {
            assert_eq!(read_name(written).as_ref(), Ok(&form));
            assert_eq!(read_name(&form), Ok(form.clone()), "its own form");
        }
        for written in ["URI:", "URI:a b", "DNS:", "DNS:a,b", "SHA256:ab", "uri:a"] {
            assert!(read_name(written).is_err(), "{written}");
        }
    }
}
