use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{StatusCode, header::RETRY_AFTER};
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::KEPT_BYTES_MAX;
use crate::channel::{Outcome, outcome::failed, render::clean};

/// How much of an answer is read.
const READ_BYTES_MAX: usize = 64 * 1024;
/// The pause where a destination asks for one without its length.
const PAUSE_DEFAULT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// An answer of any status, with the beginning of its body.
pub(in crate::channel) struct Answer {
    pub(in crate::channel) status: StatusCode,
    retry_after: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the body until its end, its bound or the deadline: the status says what became of the
    /// message, so a body that breaks off changes nothing.
    pub(super) async fn read(mut response: Response, deadline: Instant) -> Self {
        let mut body = Vec::new();
        let reading = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = READ_BYTES_MAX.saturating_sub(body.len());
                body.extend(chunk.into_iter().take(room));
                if body.len() == READ_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout_at(deadline, reading).await;
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        Self {
            status: response.status(),
            retry_after: retry_after.map(str::to_owned),
            body,
        }
    }

    /// The body as JSON, if it is.
    pub(in crate::channel) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The beginning of the body, for people.
    pub(in crate::channel) fn text(&self) -> String {
        clean(&String::from_utf8_lossy(&self.body), KEPT_BYTES_MAX)
    }

    /// What to keep of an accepted message.
    pub(in crate::channel) fn receipt(&self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    /// The status and the beginning of the body.
    pub(in crate::channel) fn reason(&self) -> String {
        let note = if self.status.is_redirection() {
            "; redirects are not followed"
        } else {
            ""
        };
        let text = format!("answered {}{note} {}", self.status, self.text());
        clean(&text, KEPT_BYTES_MAX)
    }

    /// What a failure means that every HTTP server may answer: come later, or it failed.
    pub(in crate::channel) fn failure(&self, now: DateTime<Utc>) -> Outcome {
        let busy = matches!(self.status.as_u16(), 502..=504) && self.retry_after.is_some();
        if self.status == StatusCode::TOO_MANY_REQUESTS || busy {
            return Outcome::Slower {
                pause: self.pause(now),
                reason: self.reason(),
            };
        }
        failed(self.reason())
    }

    /// What `Retry-After` asks for, within bounds.
    pub(in crate::channel) fn pause(&self, now: DateTime<Utc>) -> Duration {
        let asked = self.retry_after.as_deref().map(str::trim);
        asked
            .and_then(|text| seconds(text).or_else(|| until(text, now)))
            .map_or(PAUSE_DEFAULT, pause)
    }
}

/// A pause within bounds: from a second to an hour.
pub(in crate::channel) fn pause(asked: Duration) -> Duration {
    asked.clamp(PAUSE_MIN, PAUSE_MAX)
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // So many seconds that they are no number are more than the bound.
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn until(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}
