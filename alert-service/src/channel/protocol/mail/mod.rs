//! Mail: one message to one recipient over a connection of its own, so that each refusal concerns it alone.

mod compose;
mod session;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use lettre::{
    Address,
    message::Mailbox,
    transport::smtp::{authentication::Credentials, client::TlsParameters, extension::ClientId},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::channel::{
    Message, Outcome, Problem,
    outcome::{failed, refused},
};
use session::Session;

/// The mail server that mail is handed to. It signs with DKIM, `List-Unsubscribe` and
/// `List-Unsubscribe-Post` included.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// Its name.
    pub host: String,
    /// Usually 587, or 465 for [`SmtpTls::Implicit`].
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// Who sends, where the server asks.
    pub credentials: Option<SmtpCredentials>,
    /// The sender: `alerts@example.org` or `Alerts <alerts@example.org>`.
    pub from: String,
    /// The domain of message ids, and the name that the server is greeted with.
    pub domain: String,
}

/// Encryption of the connection to the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// None. Credentials are refused then.
    None,
    /// Begun with STARTTLS; a server without it is not used.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// User and password for the mail server.
#[derive(Clone)]
pub struct SmtpCredentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

impl fmt::Debug for SmtpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpCredentials").finish_non_exhaustive()
    }
}

/// The longest address: 64 bytes, an @, and 255 bytes.
const TO_BYTES_MAX: usize = 320;

/// What is wrong with the address.
pub(in crate::channel) fn check(to: &str) -> Option<Problem> {
    match to.parse::<Address>() {
        // Others need an extension that not every server on the way has.
        Ok(_) if to.is_ascii() && to.len() <= TO_BYTES_MAX => None,
        _ => Some(Problem::new(
            "to",
            "must be one address, in ASCII, without a name",
        )),
    }
}

/// Hands mail to the server.
pub(in crate::channel) struct Mail {
    config: SmtpConfig,
    from: Mailbox,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    hello: ClientId,
    timeouts: Timeouts,
}

/// How long the parts of an attempt may take.
pub(in crate::channel) struct Timeouts {
    pub(in crate::channel) connect: Duration,
    /// For each reply.
    pub(in crate::channel) reply: Duration,
}

impl Mail {
    pub(in crate::channel) fn new(config: SmtpConfig, timeouts: Timeouts) -> Result<Self, Problem> {
        let from: Mailbox = config
            .from
            .parse()
            .map_err(|_| Problem::new("from", "must be an address, or a name and an address"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        if config.domain.is_empty() || !config.domain.bytes().all(plain) {
            return Err(Problem::new("domain", "must be a domain, in ASCII"));
        }
        if config.tls == SmtpTls::None && config.credentials.is_some() {
            return Err(Problem::new("credentials", "need an encrypted connection"));
        }
        let tls = match config.tls {
            SmtpTls::None => None,
            SmtpTls::StartTls | SmtpTls::Implicit => Some(
                TlsParameters::new_rustls(config.host.clone())
                    .map_err(|error| Problem::new("host", error.to_string()))?,
            ),
        };
        let credentials = config.credentials.as_ref();
        let credentials = credentials.map(|given| {
            let password = given.password.expose_secret().to_owned();
            Credentials::new(given.user.clone(), password)
        });
        Ok(Self {
            hello: ClientId::Domain(config.domain.clone()),
            from,
            tls,
            credentials,
            timeouts,
            config,
        })
    }

    /// Sends a message, in an attempt that ends at `deadline`.
    pub(in crate::channel) async fn send(
        &self,
        deadline: Instant,
        to: &str,
        message: &Message,
        now: DateTime<Utc>,
    ) -> Outcome {
        let Ok(to) = to.parse::<Address>() else {
            return refused("to is no address");
        };
        let mail = match self.compose(&to, message, now) {
            Ok(mail) => mail.formatted(),
            Err(error) => return refused(format!("cannot compose the mail: {error}")),
        };
        let mut session = match Session::open(self, deadline).await {
            Ok(session) => session,
            Err(error) => return failed(error.to_string()),
        };
        let outcome = session.deliver(self.from.email.clone(), to, &mail).await;
        session.end().await;
        outcome
    }
}
