use std::time::Duration;

use lettre::{
    Address,
    transport::smtp::{
        self,
        authentication::Mechanism,
        client::AsyncSmtpConnection,
        commands::{Data, Mail as MailFrom, Rcpt},
        response::Response,
    },
};
use thiserror::Error;
use tokio::time::Instant;

use super::{Mail, SmtpTls};
use crate::channel::{
    Outcome,
    outcome::{disabled, failed, refused},
    render::clean,
    web::KEPT_BYTES_MAX,
};

/// Codes of a recipient that the server does not have, rather than one that it does not want now.
const NO_SUCH_RECIPIENT: [u16; 3] = [550, 551, 553];
/// How long the farewell may take, on which nothing depends.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a step of the session failed.
#[derive(Debug, Error)]
pub(super) enum StepError {
    /// The server refuses, or the connection is lost.
    #[error("{step}: {text}")]
    Smtp {
        step: &'static str,
        text: String,
        /// The server's code, if it answered.
        code: Option<u16>,
    },
    /// Nothing came in time.
    #[error("{step}: no reply in time")]
    Timeout { step: &'static str },
}

impl StepError {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Smtp { code, .. } => *code,
            Self::Timeout { .. } => None,
        }
    }

    fn is_permanent(&self) -> bool {
        self.code().is_some_and(|code| code >= 500)
    }
}

/// A connection to the mail server, ready for one mail.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    clock: StepClock,
}

/// The time-outs of the steps: each its own, and one for all.
struct StepClock {
    reply_timeout: Duration,
    deadline: Instant,
}

impl StepClock {
    /// Does one step within a reply's time.
    async fn step<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, StepError> {
        self.step_within(step, self.reply_timeout, work).await
    }

    async fn step_within<T>(
        &self,
        step: &'static str,
        timeout: Duration,
        work: impl Future<Output = Result<T, smtp::Error>>,
    ) -> Result<T, StepError> {
        let until = self.deadline.min(Instant::now() + timeout);
        match tokio::time::timeout_at(until, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StepError::Smtp {
                step,
                text: clean(&error.to_string(), KEPT_BYTES_MAX - 64),
                code: error.status().map(u16::from),
            }),
            Err(_) => Err(StepError::Timeout { step }),
        }
    }
}

impl Session {
    /// Connects, encrypts and authenticates. No failure here concerns one mail.
    pub(super) async fn open(mail: &Mail, deadline: Instant) -> Result<Self, StepError> {
        let (config, timeouts) = (&mail.config, &mail.timeouts);
        let clock = StepClock {
            reply_timeout: timeouts.reply,
            deadline,
        };
        let implicit = mail.tls.clone().filter(|_| config.tls == SmtpTls::Implicit);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            (config.host.as_str(), config.port),
            Some(timeouts.connect),
            &mail.hello,
            implicit,
            None,
        );
        let greeting_timeout = timeouts.connect + timeouts.reply;
        let mut connection = clock
            .step_within("connect", greeting_timeout, connecting)
            .await?;
        if config.tls == SmtpTls::StartTls
            && let Some(tls) = mail.tls.clone()
        {
            let starting = connection.starttls(tls, &mail.hello);
            clock.step("STARTTLS", starting).await?;
        }
        if let Some(credentials) = &mail.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let authenticating = connection.auth(&mechanisms, credentials);
            clock.step("AUTH", authenticating).await?;
        }
        Ok(Self { connection, clock })
    }

    /// Hands over one mail. Until the last byte of it nothing is delivered; after that an answer that
    /// does not come leaves it unknown.
    pub(super) async fn deliver(&mut self, from: Address, to: Address, mail: &[u8]) -> Outcome {
        let sender = MailFrom::new(Some(from), Vec::new());
        if let Err(error) = self.command("MAIL FROM", sender).await {
            return before_data(&error);
        }
        let recipient = Rcpt::new(to, Vec::new());
        if let Err(error) = self.command("RCPT TO", recipient).await {
            return match error.code() {
                Some(code) if NO_SUCH_RECIPIENT.contains(&code) && !is_policy(&error) => {
                    disabled(error.to_string())
                }
                _ => before_data(&error),
            };
        }
        if let Err(error) = self.command("DATA", Data).await {
            return before_data(&error);
        }
        let sending = self.connection.message(mail);
        match self.clock.step("message", sending).await {
            Ok(response) => Outcome::Accepted {
                receipt: receipt(&response),
            },
            Err(error) if error.is_permanent() => refused(error.to_string()),
            Err(error) if error.code().is_some() => failed(error.to_string()),
            Err(error) => Outcome::Unknown {
                reason: error.to_string(),
            },
        }
    }

    /// Ends the connection. What was delivered stays so, whatever comes of it.
    pub(super) async fn end(mut self) {
        let _ = tokio::time::timeout(END_TIMEOUT, self.connection.abort()).await;
    }

    async fn command(
        &mut self,
        name: &'static str,
        command: impl std::fmt::Display,
    ) -> Result<Response, StepError> {
        let sent = self.connection.command(command);
        self.clock.step(name, sent).await
    }
}

fn before_data(error: &StepError) -> Outcome {
    match error.is_permanent() {
        true => refused(error.to_string()),
        false => failed(error.to_string()),
    }
}

/// Whether an enhanced code says that it is about policy (RFC 3463): the recipient exists.
fn is_policy(error: &StepError) -> bool {
    error.to_string().contains(" 5.7.")
}

/// What the server calls the mail, or says.
fn receipt(response: &Response) -> Option<String> {
    let text = response.message().collect::<Vec<_>>().join(" ");
    Some(clean(&text, KEPT_BYTES_MAX)).filter(|text| !text.is_empty())
}
