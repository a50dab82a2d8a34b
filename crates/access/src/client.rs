//! A client's credentials, and the authorities that it trusts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Secret;

/// Files of a client. None are needed for a server that asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialFiles {
    /// Holds a token and nothing else.
    pub token: Option<PathBuf>,
    /// Authorities to trust, in PEM; those of the system if absent.
    pub ca: Option<PathBuf>,
    /// Certificate to present, with the chain to its authority, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
}

/// What the files held.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The token to send.
    pub token: Option<Secret>,
    /// Authorities to trust, in PEM; those of the system if absent.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key to present, in PEM.
    pub identity: Option<(Vec<u8>, Secret)>,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no token that could be sent.
    #[error("{0}: does not hold one token on one line")]
    NoToken(PathBuf),
    /// Certificate and key go together.
    #[error("give the certificate and the key together")]
    Half,
}

impl CredentialFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn read(&self) -> Result<Credentials, CredentialError> {
        let token = self.token.as_deref().map(read_token).transpose()?;
        let ca = self.ca.as_deref().map(read).transpose()?;
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let key_text = String::from_utf8_lossy(&read(key)?).into_owned();
                Some((read(certificate)?, Secret::new(key_text)))
            }
            (None, None) => None,
            _ => return Err(CredentialError::Half),
        };
        Ok(Credentials {
            token,
            ca,
            identity,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CredentialError> {
    fs::read(file).map_err(|source| CredentialError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

fn read_token(file: &Path) -> Result<Secret, CredentialError> {
    let text = String::from_utf8_lossy(&read(file)?).trim().to_owned();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialError::NoToken(file.to_owned()));
    }
    Ok(Secret::new(text))
}
