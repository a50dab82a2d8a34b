//! Reading requests, so that whatever is wrong with one becomes a problem that names the field.

use std::{convert::Infallible, fmt, str::FromStr};

use access::Access;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::problem::{Problem, ProblemKind};

/// The years of dates and times.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9_999;

/// The parameters of a query; repeated ones are lists.
#[derive(Debug)]
pub struct Query<T>(
    /// What was read.
    pub T,
);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if query.contains("%00") {
            return Err(holds_nul("query"));
        }
        let deserializer = serde_html_form::Deserializer::from_bytes(query.as_bytes());
        serde_path_to_error::deserialize(deserializer)
            .map(Self)
            .map_err(|error| at_path(&error, "query"))
    }
}

/// What whoever made the request may do.
#[derive(Debug)]
pub struct Caller(
    /// As the guard has found: nothing where no guard was asked.
    pub Access,
);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<access::Caller>();
        Ok(Self(caller.map_or_else(Access::nothing, |caller| {
            caller.access.clone()
        })))
    }
}

/// The one variable part of a path.
#[derive(Debug)]
pub struct Id(
    /// The part, decoded.
    pub String,
);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |problem: String| {
            let kind = ProblemKind::InvalidRequest;
            Problem::field(kind, "path", problem)
        };
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| refused(rejection.body_text()))?;
        // No id holds one, and the database takes no NUL.
        if id.chars().any(char::is_control) {
            return Err(refused("holds a control character".to_owned()));
        }
        Ok(Self(id))
    }
}

/// Nothing that is stored holds one.
fn holds_nul(field: &str) -> Problem {
    Problem::field(ProblemKind::InvalidRequest, field, "holds a NUL character")
}

/// A body in JSON.
#[derive(Debug)]
pub struct Json<T>(
    /// What was read.
    pub T,
);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let text = JsonText::from_request(request, state).await?;
        text.read().map(Self)
    }
}

/// A body in JSON that was not read yet, for those who look at it first.
#[derive(Debug)]
pub struct JsonText(
    /// As it arrived.
    pub Bytes,
);

impl JsonText {
    /// Reads it.
    ///
    /// # Errors
    /// [`ProblemKind::InvalidRequest`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.0);
        let value =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
                match error.inner().classify() {
                    serde_json::error::Category::Data => at_path(&error, "body"),
                    _ => malformed(error.inner()),
                }
            })?;
        deserializer.end().map_err(|error| malformed(&error))?;
        Ok(value)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_media_type(request.headers())?;
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(unreadable)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = match essence {
        "" => "send the body as application/json, and say so in the header content-type".to_owned(),
        other => format!("the body is said to be {other}; it is to be application/json"),
    };
    Err(Problem::new(ProblemKind::UnsupportedMediaType, detail))
}

fn unreadable(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let most = atlas_events::MESSAGE_BYTES_MAX / 1024 / 1024;
        let detail = format!("the body has more than {most} MiB");
        return Problem::new(ProblemKind::TooLarge, detail);
    }
    Problem::new(
        ProblemKind::InvalidRequest,
        "the body ended before it was complete",
    )
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::field(
        ProblemKind::InvalidRequest,
        "body",
        format!("is not valid JSON: {error}"),
    )
}

/// A value that does not fit, with its path in what was read.
pub fn at_path<E: fmt::Display>(error: &serde_path_to_error::Error<E>, root: &str) -> Problem {
    let field = field_of(error, root);
    Problem::field(
        ProblemKind::InvalidRequest,
        field,
        error.inner().to_string(),
    )
}

/// The path at which reading failed; `root` if it is the whole.
pub fn field_of<E>(error: &serde_path_to_error::Error<E>, root: &str) -> String {
    match error.path().to_string().as_str() {
        "." => root.to_owned(),
        path => path.to_owned(),
    }
}

/// Checks a page's length against its bounds.
///
/// # Errors
/// [`ProblemKind::InvalidRequest`].
pub fn check_limit(limit: Option<u32>, default: usize, most: usize) -> Result<usize, Problem> {
    let Some(limit) = limit else {
        return Ok(default);
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::field(
        ProblemKind::InvalidRequest,
        "limit",
        format!("is to be from 1 to {most}"),
    ))
}

/// For `#[serde(deserialize_with)]`: a time, or a date, which means its first moment in UTC.
///
/// # Errors
/// The text is none.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    optional(deserializer, |text| {
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
        time.ok()
            .filter(|time| YEARS.contains(&time.year()))
            .or_else(|| Some(parse_date(text)?.and_hms_opt(0, 0, 0)?.and_utc()))
            .ok_or("is neither a time such as 2024-05-01T12:00:00Z nor a date such as 2024-05-01")
    })
}

/// For `#[serde(deserialize_with)]`: a calendar date.
///
/// # Errors
/// The text is none.
pub fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    optional(deserializer, |text| {
        parse_date(text).ok_or("is not a date such as 2024-05-01")
    })
}

/// For `#[serde(deserialize_with)]`: whatever can be read from a text.
///
/// # Errors
/// The text is none.
pub fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    optional(deserializer, str::parse)
}

fn optional<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse(&text))
        .transpose()
        .map_err(serde::de::Error::custom)
}

/// Years that the contract knows; the database does not know all that can be written.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    date.filter(|date| YEARS.contains(&date.year()))
}
