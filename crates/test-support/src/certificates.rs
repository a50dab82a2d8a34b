//! Certificates, made anew for each test.

use std::time::{Duration, SystemTime};

pub use rcgen::DnType;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType, date_time_ymd,
};

/// What signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, for those who trust it.
    pub pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// When certificates are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// Until some years ago.
    Past,
    /// In some decades.
    Future,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If there is no entropy.
    pub fn new(name: &str) -> Self {
        Self::of(params(name, Validity::Now))
    }

    /// One whose own certificate is valid for so long, to the second.
    ///
    /// # Panics
    /// If there is no entropy.
    pub fn lasting(name: &str, valid: Duration) -> Self {
        let mut params = params(name, Validity::Now);
        params.not_after = (SystemTime::now() + valid).into();
        Self::of(params)
    }

    fn of(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate of a server on the loopback.
    pub fn server(&self) -> Issued {
        self.issue("server", Validity::Now)
    }

    /// A certificate of a client, with `CN=name` as its subject.
    pub fn client(&self, name: &str) -> Issued {
        self.issue(name, Validity::Now)
    }

    /// A certificate with `CN=name` as its subject, for servers on the loopback and for clients.
    ///
    /// # Panics
    /// If there is no entropy.
    pub fn issue(&self, name: &str, validity: Validity) -> Issued {
        self.sign(params(name, validity))
    }

    /// A certificate of a client with these names as parts of its subject, in their order, and a URI.
    ///
    /// # Panics
    /// If there is no entropy.
    pub fn client_named(&self, parts: &[(DnType, &str)], uri: &str) -> Issued {
        let mut params = params("", Validity::Now);
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let uri = uri.try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        self.sign(params)
    }

    /// A certificate with `CN=name` as its subject that is valid for so long, to the second.
    ///
    /// # Panics
    /// If there is no entropy.
    pub fn issue_for(&self, name: &str, valid: Duration) -> Issued {
        let mut params = params(name, Validity::Now);
        params.not_after = (SystemTime::now() + valid).into();
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Issued {
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let (begins, ends) = match validity {
        Validity::Past => (2001, 2002),
        Validity::Now => (2020, 2090),
        Validity::Future => (2080, 2090),
    };
    params.not_before = date_time_ymd(begins, 1, 1);
    params.not_after = date_time_ymd(ends, 1, 1);
    params
}
