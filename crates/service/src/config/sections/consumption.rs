//! `[consumer]` of services that consume logs.

use access::{CredentialError, CredentialFiles};
use consumer::{ConsumerError, Source};

use crate::config::{Reader, Toml};

/// The key of the sources.
pub const SOURCES_KEY: &str = "consumer.sources";

/// A log that is consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Stays the same for as long as the checkpoint is to be found.
    pub name: String,
    /// Such as `http://127.0.0.1:5001`.
    pub url: String,
}

/// The sources, over gRPC.
///
/// # Errors
/// [`ConsumerError::Address`].
pub fn sources(
    sources: &[SourceConfig],
    credentials: &CredentialFiles,
) -> Result<Vec<Source>, ConsumerError> {
    let grpc =
        |source: &SourceConfig| Source::grpc_with(&source.name, &source.url, credentials.clone());
    sources.iter().map(grpc).collect()
}

/// Reads what the servers of the sources ask for.
pub fn read_credentials(reader: &mut Reader) -> CredentialFiles {
    let files = CredentialFiles {
        token: reader.path("consumer.token_file"),
        ca: reader.path("consumer.ca"),
        certificate: reader.path("consumer.certificate"),
        key: reader.path("consumer.key"),
    };
    if let Err(error) = files.read() {
        let key = match &error {
            CredentialError::NoToken(_) => "consumer.token_file",
            CredentialError::Half => "consumer.certificate",
            CredentialError::Unreadable { file, .. } => match Some(file) {
                file if file == files.token.as_ref() => "consumer.token_file",
                file if file == files.ca.as_ref() => "consumer.ca",
                file if file == files.certificate.as_ref() => "consumer.certificate",
                _ => "consumer.key",
            },
        };
        reader.refuse(key, error);
    }
    let meanings = [
        (
            "consumer.token_file",
            "Holds the token for the sources, and nothing else.",
        ),
        (
            "consumer.ca",
            "Authorities of the sources, in PEM; those of the system if absent.",
        ),
        (
            "consumer.certificate",
            "Certificate for the sources, with its chain, in PEM.",
        ),
        ("consumer.key", "The key of the certificate, in PEM."),
    ];
    for (key, meaning) in meanings {
        reader.describe(key, meaning);
    }
    files
}

/// Reads `consumer.sources`: `http://…` for one source, or `name=http://…,name=http://…`. The default name is that of
/// a source without one, and the default URL is consumed where none is set.
pub fn read_sources(
    reader: &mut Reader,
    (default_name, default_url): (&str, &str),
) -> Vec<SourceConfig> {
    let text = reader.texts(SOURCES_KEY);
    let mut sources: Vec<SourceConfig> = Vec::new();
    for entry in text.unwrap_or_else(|| vec![default_url.to_owned()]) {
        let (name, url) = match entry.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name.trim(), url.trim()),
            _ => (default_name, entry.trim()),
        };
        if let Err(error) = Source::grpc(name, url) {
            reader.refuse(SOURCES_KEY, error);
        }
        if sources.iter().any(|source| source.name == name) {
            let problem = format!(
                "two sources are named \"{name}\"; write NAME=URL with a name of its own for each"
            );
            reader.refuse(SOURCES_KEY, problem);
        }
        sources.push(SourceConfig {
            name: name.to_owned(),
            url: url.to_owned(),
        });
    }
    if sources.is_empty() {
        reader.refuse(
            SOURCES_KEY,
            format!("names no source, such as [\"{default_url}\"]"),
        );
    }
    let default = Toml::from(vec![format!("{default_name}={default_url}")]);
    let shown = sources.iter().map(|s| format!("{}={}", s.name, s.url));
    let shown: Vec<_> = shown.collect();
    reader.asked(
        SOURCES_KEY,
        "list of NAME=URL",
        Some(default),
        Some(shown.into()),
    );
    sources
}
