use access::{CredentialError, CredentialFiles};
use service::config::{Reader, Toml};

use super::{ConsumptionConfig, SourceConfig};

const SOURCE_NAME: &str = "threshold-engine";
const SOURCE_URL: &str = "http://127.0.0.1:5101";
pub(super) const SOURCES_KEY: &str = "consumer.sources";

pub(super) fn read(reader: &mut Reader) -> ConsumptionConfig {
    reader.section::<ConsumptionConfig>("consumer");
    let sources = sources(reader);
    let events = reader.number("consumer.batch_events_max", 500, 1..=100_000);
    ConsumptionConfig {
        sources,
        credentials: credentials(reader),
        batch_events_max: usize::try_from(events).unwrap_or(usize::MAX),
        stopped_grace: reader.seconds("consumer.stopped_grace_seconds", 20, 0..=3_600),
    }
}

fn credentials(reader: &mut Reader) -> CredentialFiles {
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

/// `http://…` for one source, or `name=http://…,name=http://…`.
fn sources(reader: &mut Reader) -> Vec<SourceConfig> {
    let text = reader.texts(SOURCES_KEY);
    let mut sources: Vec<SourceConfig> = Vec::new();
    for entry in text.unwrap_or_else(|| vec![SOURCE_URL.to_owned()]) {
        let (name, url) = match entry.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name.trim(), url.trim()),
            _ => (SOURCE_NAME, entry.trim()),
        };
        if let Err(error) = consumer::Source::grpc(name, url) {
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
            "names no source, such as [\"http://127.0.0.1:5101\"]",
        );
    }
    let default = Toml::from(vec![format!("{SOURCE_NAME}={SOURCE_URL}")]);
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
