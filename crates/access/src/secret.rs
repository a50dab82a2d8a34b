//! Tokens as clients present them, and what is kept of them.

use std::{fmt, str::FromStr};

use rand::{TryRngCore, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// By which scanners of repositories and logs recognise a token.
const PREFIX: &str = "atlas_";
const BYTES: usize = 32;

/// A bearer token. `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// A new token with 256 bits of the operating system's entropy.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub fn generate() -> Result<Self, rand::rand_core::OsError> {
        let mut bytes = [0; BYTES];
        OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", hex(&bytes)).into()))
    }

    /// A token that was given.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text, to be sent, or printed once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }
}

/// SHA-256 of a token.
///
/// A fast hash is right here: a token holds 256 random bits, so that there is no list of likely ones
/// to try, which is what slow password hashes are for; and it is computed for each call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; BYTES]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl FromStr for TokenHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = "is not the SHA-256 of a token, 64 hexadecimal digits";
        let is_hex = text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(problem);
        }
        let mut bytes = [0; BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or(problem)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| problem)?;
        }
        Ok(Self(bytes))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_found_again_by_their_hash() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(one.expose().len(), PREFIX.len() + 2 * BYTES);
        assert_ne!(one.expose(), other.expose());
        let kept: TokenHash = one.hash().to_string().parse().unwrap();
        assert!(kept.is(&one.hash()));
        assert!(!kept.is(&other.hash()));
        assert!(!format!("{one:?} {kept:?}").contains(&one.expose()[6..]));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(text.parse::<TokenHash>().is_err(), "{text}");
        }
    }
}
