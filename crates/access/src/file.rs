//! The file of tokens: TOML, one `[[token]]` for each.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use atlas_events::WantedEvents;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::{Entry, Identity, Scope, certificate::read_name};

const NAME_CHARS_MAX: usize = 100;

/// Why a file of tokens cannot be used. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is not TOML of the right shape.
    #[error("{0}")]
    Toml(String),
    /// An entry is wrong.
    #[error("token \"{name}\": {field} {problem}")]
    Entry {
        /// Its name, or its number if it has none.
        name: String,
        /// The field at fault.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    token: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    #[serde(default)]
    name: String,
    sha256: Option<String>,
    certificate: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    sources: Option<Vec<String>>,
    event_types: Option<Vec<String>>,
    series: Option<Vec<String>>,
    expires: Option<String>,
    events_per_second: Option<NonZeroU32>,
    batch_bytes_max: Option<u64>,
    streams_max: Option<u32>,
}

/// Reads the text of a file.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Entry>, FileError> {
    let written: Written = toml::from_str(text).map_err(|error| place(text, &error))?;
    let mut entries: Vec<Entry> = Vec::with_capacity(written.token.len());
    let mut names = BTreeSet::new();
    for (index, token) in written.token.into_iter().enumerate() {
        let name = match token.name.as_str() {
            "" => format!("number {}", index + 1),
            name => name.to_owned(),
        };
        let wrong = |field, problem: String| FileError::Entry {
            name: name.clone(),
            field,
            problem,
        };
        let entry = read(token).map_err(|(field, problem)| wrong(field, problem))?;
        if !names.insert(entry.name.to_string()) {
            return Err(wrong("name", "is there twice".to_owned()));
        }
        if let Some(other) = entries.iter().find(|e| e.identity == entry.identity) {
            let problem = format!("is that of \"{}\" too", other.name);
            return Err(wrong(identity_field(&entry), problem));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Where the mistake is, without the text around it: somebody may have written a token there.
fn place(text: &str, error: &toml::de::Error) -> FileError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let message = error.message();
    FileError::Toml(match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message.to_owned(),
    })
}

fn identity_field(entry: &Entry) -> &'static str {
    match entry.identity {
        Identity::Token(_) => "sha256",
        Identity::Certificate(_) => "certificate",
    }
}

fn read(written: WrittenEntry) -> Result<Entry, (&'static str, String)> {
    let chars = written.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || written.name.chars().any(char::is_control) {
        return Err((
            "name",
            format!("is to have 1 to {NAME_CHARS_MAX} characters"),
        ));
    }
    let identity = match (written.sha256, written.certificate) {
        (Some(hash), None) => {
            let hash = hash
                .parse()
                .map_err(|problem: &str| ("sha256", problem.to_owned()))?;
            Identity::Token(hash)
        }
        (None, Some(written)) if !written.is_empty() => {
            let name = read_name(&written).map_err(|problem| ("certificate", problem))?;
            Identity::Certificate(name)
        }
        _ => {
            let problem = "or certificate: exactly one of the two is to be given";
            return Err(("sha256", problem.to_owned()));
        }
    };
    let scopes: Result<Vec<Scope>, _> = written.scopes.iter().map(|text| text.parse()).collect();
    let scopes = scopes.map_err(|problem| ("scopes", problem))?;
    if scopes.is_empty() {
        return Err(("scopes", format!("names none of {}", Scope::known())));
    }
    let limited = |field, list: Option<Vec<String>>| match list {
        Some(list) if list.is_empty() => {
            Err((field, "is empty; leave it out for no limit".to_owned()))
        }
        list => Ok(list.map(Arc::<[String]>::from)),
    };
    let event_types = limited("event_types", written.event_types)?;
    let series = limited("series", written.series)?;
    let owned = |list: &Option<Arc<[String]>>| list.as_deref().unwrap_or_default().to_vec();
    WantedEvents::new(owned(&event_types), owned(&series)).map_err(|violation| {
        let field = if violation.field.starts_with("series") {
            "series"
        } else {
            "event_types"
        };
        (field, violation.problem)
    })?;
    let time = |text: String| {
        let time = DateTime::parse_from_rfc3339(&text).map(|time| time.with_timezone(&Utc));
        time.map_err(|_| {
            (
                "expires",
                "is not a time such as 2027-01-31T00:00:00Z".to_owned(),
            )
        })
    };
    Ok(Entry {
        name: written.name.into(),
        identity,
        scopes,
        sources: limited("sources", written.sources)?,
        event_types,
        series,
        expires: written.expires.map(time).transpose()?,
        events_per_second: written.events_per_second,
        batch_bytes_max: written.batch_bytes_max,
        streams_max: written.streams_max,
    })
}

/// The text that [`parse`] reads the same entry from.
pub fn render(entry: &Entry) -> String {
    let text = |text: &str| toml::Value::from(text).to_string();
    let list = |list: &[String]| {
        let quoted: Vec<_> = list.iter().map(|entry| text(entry)).collect();
        format!("[{}]", quoted.join(", "))
    };
    let scopes: Vec<_> = entry.scopes.iter().map(ToString::to_string).collect();
    let (key, identity) = match &entry.identity {
        Identity::Token(hash) => ("sha256", hash.to_string()),
        Identity::Certificate(name) => ("certificate", name.clone()),
    };
    let fields = [
        ("name", Some(text(&entry.name))),
        (key, Some(text(&identity))),
        ("scopes", Some(list(&scopes))),
        ("sources", entry.sources.as_deref().map(list)),
        ("event_types", entry.event_types.as_deref().map(list)),
        ("series", entry.series.as_deref().map(list)),
        (
            "expires",
            entry
                .expires
                .map(|at| text(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))),
        ),
        (
            "events_per_second",
            entry.events_per_second.map(|n| n.to_string()),
        ),
        (
            "batch_bytes_max",
            entry.batch_bytes_max.map(|n| n.to_string()),
        ),
        ("streams_max", entry.streams_max.map(|n| n.to_string())),
    ];
    let lines = fields
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key} = {}\n", value?)));
    format!("[[token]]\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn entry() -> Entry {
        let secret = Secret::new("atlas_x".to_owned());
        Entry::new("a \"b\"", Identity::Token(secret.hash()), vec![Scope::Read])
    }

    #[test]
    fn what_is_written_is_read() {
        let list = |name: &str| Some(Arc::<[String]>::from(vec![name.to_owned()]));
        let limited = Entry {
            sources: list("Shop"),
            event_types: list("custom:OrderPlaced"),
            series: list("UNRATE"),
            expires: Some("2027-01-31T00:00:00Z".parse().unwrap()),
            events_per_second: NonZeroU32::new(7),
            batch_bytes_max: Some(8),
            streams_max: Some(9),
            ..entry()
        };
        let by_certificate = Entry {
            name: "c".into(),
            identity: Identity::Certificate("CN=c, O=d".to_owned()),
            scopes: Scope::ALL.to_vec(),
            ..entry()
        };
        let text = format!("{}\n{}", render(&limited), render(&by_certificate));
        assert_eq!(parse(&text).unwrap(), [limited, by_certificate]);
    }

    #[track_caller]
    fn check(text: &str, words: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn mistakes_name_the_token_and_the_field() {
        let good = render(&entry());
        let with = |line: &str| format!("{good}{line}\n");
        check("[[token]]\nname = 3", "line 2");
        check(&with("serie = [\"A\"]"), "serie");
        check(&with("series = []"), "token \"a \"b\"\": series is empty");
        check(&with("event_types = [\"Nope\"]"), "\"Nope\" is not known");
        check(&with("expires = \"soon\""), "expires is not a time");
        check(&with("certificate = \"CN=a\""), "exactly one of the two");
        check(&good.replace("read", "write"), "\"write\" is no scope");
        check(
            &good.replace("scopes = [\"read\"]", ""),
            "scopes names none",
        );
        check(
            &good.replace("sha256 = \"", "sha256 = \"0"),
            "64 hexadecimal digits",
        );
        check(&format!("{good}{good}"), "name is there twice");
        let renamed = good.replace("\\\"b\\\"", "c").replace("'a \"b\"'", "'a c'");
        check(&format!("{good}{renamed}"), "sha256 is that of");
        check("[[token]]\nscopes = [\"read\"]", "number 1");
        let certified = "[[token]]\nname = \"x\"\nscopes = [\"read\"]\ncertificate = ";
        let error = "token \"x\": certificate has no attribute in \"John\"";
        check(&format!("{certified}\"CN=Doe, John\""), error);
        let other = certified.replace("\"x\"", "\"y\"");
        let twice = format!("{certified}\"CN=a,O=b\"\n{other}\"cn = a, o = b\"");
        check(&twice, "certificate is that of");
    }

    #[test]
    fn a_token_that_was_written_by_mistake_is_not_repeated() {
        let error = parse("atlas_secret").unwrap_err().to_string();
        assert!(!error.contains("atlas_secret"), "{error}");
    }
}
