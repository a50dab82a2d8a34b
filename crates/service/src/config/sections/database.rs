use std::time::Duration;

use documented::{Documented, DocumentedFields};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::{
    Reader,
    sections::{connection_string, small},
};

/// Further names of `database.url`, weakest first.
const VARIABLES: [&str; 2] = ["CONNECTIONSTRINGS__ATLAS", "DATABASE_URL"];

/// `[database]`: where everything is kept.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct DatabaseConfig {
    /// Required: `postgres://user:password@host:5432/database`, or
    /// `Host=…;Port=…;Database=…;Username=…`. Keep passwords out of it.
    pub url: SecretString,
    /// The schema that holds the log and the tables of the service; made if it is not there.
    pub schema: String,
    /// At most this many connections, besides a few for storing events. Two follow what other
    /// processes append; of the others half at the most read stored events for clients.
    pub connections_max: u32,
    /// A start waits this long for a database that cannot be reached or is starting.
    pub wait: Duration,
}

impl DatabaseConfig {
    /// Reads the section; `schema` is the default.
    pub fn read(reader: &mut Reader, schema: &str) -> Self {
        reader.section::<Self>("database");
        let url = url(reader);
        let schema = reader.text_or("database.schema", schema);
        if let Err(error) = event_log::connect_options("postgres://localhost", &schema) {
            reader.refuse("database.schema", error);
        }
        Self {
            url: SecretString::from(url),
            schema,
            connections_max: small(reader.number("database.connections_max", 16, 4..=1_000)),
            wait: reader.seconds("database.wait_seconds", 30, 0..=3_600),
        }
    }
}

fn url(reader: &mut Reader) -> String {
    let given = reader.secret("database.url", "database.url_file", &VARIABLES);
    let password = reader.secret("database.password", "database.password_file", &[]);
    reader.describe("database.password", "The password, where the URL has none.");
    let Some(given) = given else {
        if !reader.has_problem("database.url_file") {
            let problem =
                "is required: set DATABASE_URL to postgres://user:password@host:5432/database";
            reader.refuse("database.url", problem);
        }
        return String::new();
    };
    let url = connection_string::to_url(given.expose_secret())
        .and_then(|url| with_password(url, password.as_ref()));
    match url {
        Ok(url) => {
            // From a file it is as secret as the file is.
            if reader.is_given("database.url") {
                reader.show("database.url", connection_string::masked(&url));
            }
            url
        }
        Err(problem) => {
            reader.refuse("database.url", problem);
            String::new()
        }
    }
}

fn with_password(url: String, password: Option<&SecretString>) -> Result<String, String> {
    let Some(password) = password else {
        return Ok(url);
    };
    let mut url = Url::parse(&url).map_err(|error| format!("is not a URL: {error}"))?;
    if url.password().is_some() {
        return Err("holds a password, and database.password is another; give one".to_owned());
    }
    if url.username().is_empty() {
        return Err("names no user, whose password is database.password".to_owned());
    }
    url.set_password(Some(password.expose_secret()))
        .map_err(|()| "takes no password".to_owned())?;
    Ok(url.into())
}
