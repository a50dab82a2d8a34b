//! Certificates: read, checked, and taken up again when their files change.

mod authorities;
pub(crate) mod certificate;
pub(crate) mod lasting;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use metrics::{counter, gauge};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, ServerSessionMemoryCache},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::sync::watch;
use tracing::{info, warn};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use authorities::Authorities;
use lasting::Trust;

/// TLS sessions that clients may take up again, of a listener that asks for no certificates.
const SESSIONS_MAX: usize = 1_024;

/// A setting, and the file that it names.
pub(crate) type Place = (&'static str, PathBuf);

/// The files of a listener, with the settings that name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate with the chain to its authority, in PEM.
    pub certificate: (&'static str, PathBuf),
    /// Its key, in PEM.
    pub key: (&'static str, PathBuf),
    /// Authorities whose certificates clients present, in PEM; `None`: clients present none.
    pub client_ca: Option<(&'static str, PathBuf)>,
    /// Whether clients without a certificate are let in, to be asked for a token.
    pub client_optional: bool,
}

/// Why certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {}: {problem}", .file.display())]
pub struct TlsProblem {
    /// The setting that names the file.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What the files hold, compared to notice changes.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// The certificate of a listener, as it is now.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    protocols: &'static [&'static [u8]],
    current: RwLock<Current>,
    /// Sent anew when the authorities of clients have changed.
    trust: watch::Sender<Trust>,
}

/// What the files make of a listener.
struct Loaded {
    config: ServerConfig,
    expires: DateTime<Utc>,
    trust: Trust,
}

struct Current {
    config: Arc<ServerConfig>,
    expires: DateTime<Utc>,
    /// What was read last, usable or not.
    seen: Result<Contents, TlsProblem>,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// That they can be used now.
    ///
    /// # Errors
    /// [`TlsProblem`].
    pub fn check(&self) -> Result<(), TlsProblem> {
        let contents = Contents::read(self)?;
        self.load(&contents, &[]).map(drop)
    }

    fn load(&self, contents: &Contents, protocols: &[&[u8]]) -> Result<Loaded, TlsProblem> {
        let provider = Arc::new(ring::default_provider());
        let (key, expires) = self.certified_key(contents, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&self.certificate, error))?;
        let trust: Trust = match self.client_ca.as_ref().zip(contents.client_ca.as_deref()) {
            None => None,
            Some((place, pem)) => {
                let read = Authorities::read(place, pem, self.client_optional, &provider)?;
                Some(Arc::new(read))
            }
        };
        let builder = match trust.clone() {
            None => builder.with_no_client_auth(),
            Some(authorities) => builder.with_client_cert_verifier(authorities),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = match trust {
            None => ServerSessionMemoryCache::new(SESSIONS_MAX),
            // A session that is taken up again brings the certificate of the first one along, which
            // nobody checks any more.
            Some(_) => Arc::new(NoServerSessionStorage {}),
        };
        if trust.is_some() {
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded {
            config,
            expires,
            trust,
        })
    }

    pub(crate) fn certified_key(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<(CertifiedKey, DateTime<Utc>), TlsProblem> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let expires = check_times(&self.certificate, &chain[0])?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|_| wrong(&self.key, "holds no private key in PEM"))?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| wrong(&self.key, "is a key of a kind that TLS here does not know"))?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| {
            let certificate = self.certificate.1.display();
            wrong(
                &self.key,
                format!("is not the key of the certificate in {certificate}"),
            )
        })?;
        Ok((certified, expires))
    }
}

impl Contents {
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsProblem> {
        let read = |place: &Place| {
            super::file::read(&place.1)
                .map_err(|error| wrong(place, format!("cannot be read: {error}")))
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_ref().map(read).transpose()?,
        })
    }
}

pub(crate) fn wrong(place: &Place, problem: impl ToString) -> TlsProblem {
    TlsProblem {
        key: place.0,
        file: place.1.clone(),
        problem: problem.to_string(),
    }
}

pub(crate) fn certificates(
    place: &Place,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let none = || wrong(place, "holds no certificate in PEM");
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|_| none())?;
    if chain.is_empty() {
        return Err(none());
    }
    Ok(chain)
}

/// That a certificate is valid now; gives when it expires.
pub(crate) fn check_times(
    place: &Place,
    certificate: &CertificateDer<'_>,
) -> Result<DateTime<Utc>, TlsProblem> {
    let unreadable = |_| wrong(place, "holds a certificate that cannot be read");
    let (_, read) = X509Certificate::from_der(certificate).map_err(unreadable)?;
    let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let begins = time(read.validity().not_before.timestamp());
    let expires = time(read.validity().not_after.timestamp());
    let now = Utc::now();
    if now < begins {
        return Err(wrong(place, format!("is not valid before {begins}")));
    }
    if now >= expires {
        return Err(wrong(place, format!("has expired on {expires}")));
    }
    Ok(expires)
}

impl Tls {
    pub(crate) fn open(
        files: TlsFiles,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, TlsProblem> {
        let contents = Contents::read(&files)?;
        let loaded = files.load(&contents, protocols)?;
        let current = RwLock::new(Current {
            config: Arc::new(loaded.config),
            expires: loaded.expires,
            seen: Ok(contents),
        });
        Ok(Self {
            files,
            protocols,
            current,
            trust: watch::Sender::new(loaded.trust),
        })
    }

    /// What the next handshake is to use.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.config)
    }

    /// What the certificates of those who are connected are checked with.
    pub(crate) fn trust(&self) -> watch::Receiver<Trust> {
        self.trust.subscribe()
    }

    /// Uses what the files contain now, if that has changed and is valid; else what is in use
    /// stays, and the reason is logged once.
    pub(crate) async fn reload(&self, prefix: &'static str, listener: &'static str) {
        let files = self.files.clone();
        let reading = tokio::task::spawn_blocking(move || Contents::read(&files));
        let Ok(read) = reading.await else {
            return;
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if read != current.seen {
            let loaded = match &read {
                Ok(contents) => self.files.load(contents, self.protocols),
                Err(problem) => Err(problem.clone()),
            };
            match loaded {
                Ok(Loaded {
                    config,
                    expires,
                    trust,
                }) => {
                    info!(listener, %expires, "a new certificate is in use");
                    current.config = Arc::new(config);
                    current.expires = expires;
                    self.trust.send_replace(trust);
                }
                Err(problem) => {
                    warn!(listener, %problem, "the certificate in use stays");
                    counter!(format!("{prefix}_security_reload_failures_total"), "what" => "certificate")
                        .increment(1);
                }
            }
            current.seen = read;
        }
        let authorities = self.trust.borrow().as_ref().map(|trust| trust.expires());
        let own = Some((current.expires, "certificate"));
        for (expires, what) in own
            .into_iter()
            .chain(authorities.map(|at| (at, "client_ca")))
        {
            let seconds = (expires - Utc::now()).as_seconds_f64();
            gauge!(
                format!("{prefix}_tls_certificate_expires_seconds"),
                "listener" => listener,
                "what" => what,
            )
            .set(seconds);
        }
    }
}
