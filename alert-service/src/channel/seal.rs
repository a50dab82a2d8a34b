use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretSlice};
use thiserror::Error;
use ulid::Ulid;

/// The bytes of a key.
const KEY_BYTES: usize = 32;
/// The one format of what is sealed: this byte, the key's id, the nonce, the sealed bytes with their tag.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_LEN;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Error)]
pub enum SealError {
    /// A key file cannot be read.
    #[error("cannot read the key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file has another length.
    #[error("the key file {path} has {bytes} bytes instead of 32")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: usize,
    },
    /// No key was given.
    #[error("there is no key to seal secrets with")]
    NoKey,
    /// It was sealed with a key that is not in the list.
    #[error("the secret was sealed with a key that is not configured")]
    UnknownKey,
    /// It was changed, or belongs to another channel.
    #[error("the sealed secret is damaged or belongs to another channel")]
    Damaged,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Encrypts what is stored of secrets (AES-256-GCM), each for one channel.
pub struct Seal {
    /// The first seals, all open.
    keys: Vec<Key>,
    random: SystemRandom,
}

struct Key {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
    /// What keys for other purposes are derived with.
    root: hmac::Key,
}

impl Seal {
    /// Reads keys from files of 32 bytes each. The first seals; all open, so that a key is replaced by
    /// a new first one, and dropped when [`Seal::is_newest`] holds for all that is stored.
    ///
    /// # Errors
    /// [`SealError::File`], [`SealError::Length`], and [`SealError::NoKey`] for an empty list.
    pub fn from_files<P: AsRef<Path>>(paths: &[P]) -> Result<Self, SealError> {
        let read = paths.iter().map(|path| read_key(path.as_ref()));
        let keys = read.collect::<Result<Vec<_>, _>>()?;
        Self::of(keys)
    }

    /// The same from keys in memory.
    ///
    /// # Errors
    /// [`SealError::NoKey`] for an empty list.
    pub fn from_keys(keys: &[[u8; KEY_BYTES]]) -> Result<Self, SealError> {
        Self::of(keys.iter().filter_map(|key| Key::new(key)).collect())
    }

    fn of(keys: Vec<Key>) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Err(SealError::NoKey);
        }
        Ok(Self {
            keys,
            random: SystemRandom::new(),
        })
    }

    /// Seals bytes for a channel.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, channel_id: Ulid, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0_u8; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| SealError::Random)?;
        let mut body = plain.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(channel_id.to_bytes()),
                &mut body,
            )
            .map_err(|_| SealError::Damaged)?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + body.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what was sealed for this channel.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], [`SealError::Damaged`].
    pub fn open(&self, channel_id: Ulid, sealed: &[u8]) -> Result<SecretSlice<u8>, SealError> {
        let (id, rest) = split(sealed).ok_or(SealError::Damaged)?;
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or(SealError::UnknownKey)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut body = body.to_vec();
        let length = key
            .key
            .open_in_place(nonce, Aad::from(channel_id.to_bytes()), &mut body)
            .map_err(|_| SealError::Damaged)?
            .len();
        body.truncate(length);
        Ok(body.into())
    }

    /// Keys for another purpose, one of each key file in their order. They say nothing about those that seal.
    #[must_use]
    pub fn derived(&self, purpose: &[u8]) -> Vec<hmac::Key> {
        let derived = self.keys.iter().map(|key| hmac::sign(&key.root, purpose));
        derived
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
            .collect()
    }

    /// Whether it was sealed with the key that seals now.
    #[must_use]
    pub fn is_newest(&self, sealed: &[u8]) -> bool {
        let newest = self.keys.first().map(|key| key.id.as_slice());
        split(sealed).map(|(id, _)| id) == newest
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        // A digest of 32 random bytes tells nothing about them.
        let digest = digest::digest(&digest::SHA256, bytes);
        let id = digest.as_ref().first_chunk()?;
        Some(Self {
            id: *id,
            key: LessSafeKey::new(key),
            root: hmac::Key::new(hmac::HMAC_SHA256, bytes),
        })
    }
}

fn read_key(path: &Path) -> Result<Key, SealError> {
    let bytes = fs::read(path).map_err(|source| SealError::File {
        path: path.to_owned(),
        source,
    })?;
    let bytes = SecretSlice::from(bytes);
    let bytes = bytes.expose_secret();
    Key::new(bytes).ok_or_else(|| SealError::Length {
        path: path.to_owned(),
        bytes: bytes.len(),
    })
}

/// The key's id and what follows it.
fn split(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (format, rest) = sealed.split_first()?;
    (*format == FORMAT)
        .then_some(rest)?
        .split_at_checked(KEY_ID_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(keys: &[u8]) -> Seal {
        let keys: Vec<_> = keys.iter().map(|byte| [*byte; KEY_BYTES]).collect();
        Seal::from_keys(&keys).unwrap()
    }

    #[test]
    fn a_secret_opens_for_its_channel_alone() {
        let (seal, id) = (seal(&[1]), Ulid::from(7_u128));
        let sealed = seal.seal(id, b"secret").unwrap();
        assert_eq!(seal.open(id, &sealed).unwrap().expose_secret(), b"secret");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        let other = seal.open(Ulid::from(8_u128), &sealed);
        assert!(matches!(other, Err(SealError::Damaged)));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let (seal, id) = (seal(&[1]), Ulid::from(7_u128));
        let sealed = seal.seal(id, b"secret").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(seal.open(id, &changed).is_err(), "byte {place}");
            assert!(seal.open(id, &sealed[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn equal_secrets_are_sealed_differently() {
        let (seal, id) = (seal(&[1]), Ulid::from(7_u128));
        assert_ne!(seal.seal(id, b"a").unwrap(), seal.seal(id, b"a").unwrap());
    }

    #[test]
    fn a_new_first_key_seals_and_the_old_one_still_opens() {
        let id = Ulid::from(7_u128);
        let (old, both, new) = (seal(&[1]), seal(&[2, 1]), seal(&[2]));
        let sealed = old.seal(id, b"secret").unwrap();
        assert_eq!(both.open(id, &sealed).unwrap().expose_secret(), b"secret");
        assert!(old.is_newest(&sealed) && !both.is_newest(&sealed));
        let again = both.seal(id, b"secret").unwrap();
        assert!(both.is_newest(&again));
        assert_eq!(new.open(id, &again).unwrap().expose_secret(), b"secret");
        assert!(matches!(new.open(id, &sealed), Err(SealError::UnknownKey)));
    }

    #[test]
    fn a_key_file_has_32_bytes() {
        let folder = std::env::temp_dir().join(format!("seal-{}", Ulid::generate()));
        fs::create_dir(&folder).unwrap();
        let (good, short) = (folder.join("good"), folder.join("short"));
        fs::write(&good, [1; 32]).unwrap();
        fs::write(&short, [1; 31]).unwrap();
        assert!(Seal::from_files(&[&good]).is_ok());
        let error = Seal::from_files(&[&good, &short]).unwrap_err();
        assert!(matches!(error, SealError::Length { bytes: 31, .. }));
        let missing = Seal::from_files(&[folder.join("missing")]).unwrap_err();
        assert!(matches!(missing, SealError::File { .. }));
        assert!(matches!(
            Seal::from_files::<PathBuf>(&[]),
            Err(SealError::NoKey)
        ));
        fs::remove_dir_all(&folder).unwrap();
    }
}
