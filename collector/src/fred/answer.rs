//! FRED's answers, read strictly.

use chrono::NaiveDate;
use reqwest::StatusCode;
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

use super::{FredError, error::UNARCHIVED, redact::redacted};

/// Of a text that is not understood, the words for people are among these first bytes.
const BEGINNING_BYTES: usize = 4_096;

/// What FRED says about a series.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FredSeries {
    /// Its id, as FRED writes it.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Such as `Monthly`, or qualified: `Weekly, Ending Friday`.
    pub frequency: String,
    /// The units of its values, such as `Percent`.
    pub units: String,
    /// Such as `Seasonally Adjusted Annual Rate`.
    pub seasonal_adjustment: String,
}

/// A value of a date, and the days on which it was the known one (within the period asked for).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FredObservation {
    /// The first of the days.
    pub realtime_start: NaiveDate,
    /// The last of the days; 9999-12-31 if it still is.
    pub realtime_end: NaiveDate,
    /// The date that the value is for.
    pub date: NaiveDate,
    /// Absent where FRED says ".".
    #[serde(deserialize_with = "value")]
    pub value: Option<Decimal>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SeriesAnswer {
    pub(crate) seriess: [FredSeries; 1],
}

#[derive(Debug, Deserialize)]
pub(crate) struct ObservationsAnswer {
    pub(crate) count: usize,
    pub(crate) observations: Vec<FredObservation>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct VintageDatesAnswer {
    pub(crate) count: usize,
    pub(crate) vintage_dates: Vec<NaiveDate>,
}

#[derive(Deserialize)]
struct Refusal {
    error_message: String,
}

fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    if text == "." {
        return Ok(None);
    }
    let unexpected = || {
        let expected = &"a decimal of at most 28 significant digits, or \".\"";
        de::Error::invalid_value(de::Unexpected::Str(&text), expected)
    };
    atlas_events::parse_decimal(&text)
        .map(Some)
        .ok_or_else(unexpected)
}

/// Reads a good answer.
pub(crate) fn decode<'a, A: Deserialize<'a>>(
    body: &'a [u8],
    key: &SecretString,
) -> Result<A, FredError> {
    serde_json::from_slice(body).map_err(|error| FredError::Malformed {
        problem: match markup(body, key) {
            Some(markup) => format!("{markup} where JSON was asked for"),
            None if error.is_data() => {
                let error = redacted(&error.to_string(), key);
                format!("JSON of another shape than documented ({error})")
            }
            None => format!("malformed JSON ({error})"),
        },
    })
}

/// Understands a bad answer.
pub(crate) fn refusal(
    status: StatusCode,
    body: &[u8],
    series_id: &str,
    key: &SecretString,
) -> FredError {
    let message = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => redacted(&refusal.error_message, key),
        Err(_) => markup(body, key).unwrap_or_else(|| {
            let beginning = &body[..body.len().min(BEGINNING_BYTES)];
            redacted(&String::from_utf8_lossy(beginning), key)
        }),
    };
    let unknown = message.contains("series does not exist") && !message.contains(UNARCHIVED);
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND if unknown => FredError::SeriesNotFound {
            series_id: series_id.to_owned(),
        },
        StatusCode::UNAUTHORIZED => FredError::KeyRefused { message },
        _ if status.is_client_error() && message.contains("api_key") => {
            FredError::KeyRefused { message }
        }
        StatusCode::BAD_REQUEST => FredError::BadRequest { message },
        _ => FredError::Http { status, message },
    }
}

/// What a text in angle brackets is, with the words that it has for people.
fn markup(body: &[u8], key: &SecretString) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('<') {
        return None;
    }
    let between = |start: &str, end: &str| {
        let found = text.split_once(start)?.1.split_once(end)?.0;
        Some(redacted(found, key)).filter(|words| !words.is_empty())
    };
    let beginning = text.get(..text.len().min(15)).unwrap_or(text);
    let html = ["<!doctype html", "<html"];
    let is_html = html.iter().any(|start| {
        let beginning = beginning.get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    });
    let (kind, words) = if is_html {
        ("an HTML page", between("<title>", "</title>"))
    } else {
        ("XML", between("message=\"", "\""))
    };
    Some(match words {
        Some(words) => format!("{kind} ({words})"),
        None => kind.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretString {
        SecretString::from("0123456789abcdef0123456789abcdef")
    }

    #[track_caller]
    fn check_row(value: &str, expected: Option<Option<&str>>) {
        let json = format!(
            r#"{{"count":1,"observations":[{{"realtime_start":"2024-10-10","realtime_end":"9999-12-31",
                "date":"2024-09-01","value":{value}}}]}}"#
        );
        let decoded = decode::<ObservationsAnswer>(json.as_bytes(), &key()).ok();
        let found = decoded.map(|answer| answer.observations[0].value.map(|v| v.to_string()));
        assert_eq!(found, expected.map(|v| v.map(str::to_owned)), "{value}");
    }

    #[test]
    fn values_are_exact_decimals_or_absent() {
        check_row(r#""4.6900000000""#, Some(Some("4.6900000000")));
        check_row(r#""-0.1""#, Some(Some("-0.1")));
        check_row(r#"".""#, Some(None));
        for bad in [
            r#""""#,
            r#""NaN""#,
            r#""1e5""#,
            "4.69",
            "null",
            r#""1,000""#,
        ] {
            check_row(bad, None);
        }
    }

    #[track_caller]
    fn check_refusal(status: u16, body: &str, code: &str, text: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let error = refusal(status, body.as_bytes(), "NOPE", &key());
        assert_eq!(error.code(), code, "{body}");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn refusals_are_distinguished() {
        let json = |message: &str| format!(r#"{{"error_code":400,"error_message":"{message}"}}"#);
        let unknown = json("Bad Request.  The series does not exist.");
        check_refusal(400, &unknown, "SERIES_NOT_FOUND", "NOPE");
        check_refusal(404, &unknown, "SERIES_NOT_FOUND", "NOPE");
        let unarchived = json("Bad Request.  The series does not exist in ALFRED but may in FRED.");
        check_refusal(400, &unarchived, "BAD_REQUEST", "ALFRED");
        let key = json("Bad Request.  The value for variable api_key is not registered.");
        check_refusal(400, &key, "KEY_REFUSED", "not registered");
        let xml =
            r#"<error code="400" message="Bad Request.  Variable api_key has not been set."/>"#;
        check_refusal(400, xml, "KEY_REFUSED", "has not been set");
        check_refusal(400, &json("Variable limit"), "BAD_REQUEST", "limit");
        check_refusal(400, r#"{"code":400,"message":"No"}"#, "BAD_REQUEST", "No");
        check_refusal(404, "Not Found", "HTTP_404", "404");
        check_refusal(
            404,
            &json("Not Found.  No such path."),
            "HTTP_404",
            ": Not Found.  No such",
        );
        check_refusal(404, "", "HTTP_404", "404 Not Found");
        check_refusal(403, "<html><title>No</title>", "HTTP_403", "HTML page (No)");
        check_refusal(503, "<html>", "HTTP_503", "503");
    }

    #[track_caller]
    fn check_malformed(body: &str, text: &str) {
        let error = decode::<SeriesAnswer>(body.as_bytes(), &key()).unwrap_err();
        assert_eq!(error.code(), "MALFORMED_RESPONSE", "{body}");
        assert!(error.to_string().contains(text), "{error}");
    }

    #[test]
    fn a_malformed_answer_is_called_what_it_is() {
        check_malformed(r#"{"seriess":["#, "malformed JSON");
        check_malformed("", "malformed JSON");
        check_malformed(r#"{"seriess":[]}"#, "another shape");
        check_malformed(r#"{"series":1}"#, "another shape");
        check_malformed("<?xml version=\"1.0\"?><seriess/>", "XML where JSON");
        check_malformed(
            "\u{feff}<!DOCTYPE html><html><title>Maintenance</title>",
            "an HTML page (Maintenance) where JSON",
        );
        check_malformed(
            "<HTML>0123456789abcdef0123456789abcdef<title>0123456789abcdef0123456789abcdef</title>",
            "an HTML page ([key])",
        );
    }
}
