//! The authorities whose certificates clients present, each for as long as its own is valid.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::security::tls::{Place, TlsProblem, certificates, check_times, wrong};

/// Verifies certificates of clients. Each authority has a verifier of its own: one verifier for all
/// would trust an authority beyond the end of its certificate, which it does not look at.
#[derive(Debug)]
pub(crate) struct Authorities {
    first: Authority,
    others: Vec<Authority>,
    subjects: Vec<DistinguishedName>,
    /// Whether clients without a certificate are let in.
    are_optional: bool,
}

#[derive(Debug)]
struct Authority {
    expires: DateTime<Utc>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// Of a file in PEM. All have to be valid now.
    ///
    /// # Errors
    /// [`TlsProblem`].
    pub(crate) fn read(
        place: &Place,
        pem: &[u8],
        are_optional: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsProblem> {
        let read = certificates(place, pem)?.into_iter();
        let mut authorities = read
            .map(|certificate| Authority::read(place, certificate, provider))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter();
        let none = || wrong(place, "holds no certificate in PEM");
        let first = authorities.next().ok_or_else(none)?;
        let others: Vec<_> = authorities.collect();
        let subjects = std::iter::once(&first).chain(&others);
        Ok(Self {
            subjects: subjects
                .flat_map(|authority| authority.verifier.root_hint_subjects())
                .cloned()
                .collect(),
            first,
            others,
            are_optional,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Authority> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// When the first of them expires.
    pub(crate) fn expires(&self) -> DateTime<Utc> {
        let others = self.others.iter().map(|authority| authority.expires);
        others.fold(self.first.expires, DateTime::min)
    }

    /// When the next of those that are valid at a time expires; `None` if none is.
    pub(crate) fn next_expires(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ends = self.all().map(|authority| authority.expires);
        ends.filter(|expires| *expires >= at).min()
    }
}

impl Authority {
    fn read(
        place: &Place,
        certificate: CertificateDer<'static>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsProblem> {
        let expires = check_times(place, &certificate)?;
        if !may_vouch(&certificate) {
            let problem = "holds a certificate that is no authority's: its basic constraints do not \
                           say CA, or its key is not for signing certificates";
            return Err(wrong(place, problem));
        }
        let mut root = RootCertStore::empty();
        let added = root.add(certificate);
        added.map_err(|error| wrong(place, format!("is no authority: {error}")))?;
        let provider = Arc::clone(provider);
        let verifier = WebPkiClientVerifier::builder_with_provider(root.into(), provider).build();
        Ok(Self {
            expires,
            verifier: verifier.map_err(|error| wrong(place, error))?,
        })
    }

    /// Whether it is valid, also during the last second of it.
    fn is_valid(&self, now: UnixTime) -> bool {
        u64::try_from(self.expires.timestamp()).is_ok_and(|expires| now.as_secs() <= expires)
    }
}

/// Whether a certificate may vouch for others. The library takes any as an anchor of trust, with
/// which whoever holds the key of a server or client could let others in.
fn may_vouch(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let is_ca = read
        .basic_constraints()
        .is_ok_and(|basic| basic.is_some_and(|b| b.value.ca));
    let signs = read
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    is_ca && signs
}

impl ClientCertVerifier for Authorities {
    fn client_auth_mandatory(&self) -> bool {
        !self.are_optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for authority in self.all().filter(|authority| authority.is_valid(now)) {
            match authority
                .verifier
                .verify_client_cert(end_entity, intermediates, now)
            {
                Err(error) if is_of_another(&error) => {}
                // What its own authority says of it.
                Err(error) => refused = error,
                verified => return verified,
            }
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.first.verifier;
        verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.first.verifier;
        verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.verifier.supported_verify_schemes()
    }
}

fn is_of_another(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer)
    )
}
