//! FRED's errors, in its words.

use axum::http::StatusCode;
use serde::Serialize;

/// An answer that says what was wrong with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error_code: u16,
    error_message: &'a str,
}

impl Refusal {
    pub(crate) fn bad_request(reason: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: format!("Bad Request.  {reason}"),
        }
    }

    pub(crate) fn api_key(problem: &str) -> Self {
        Self::bad_request(format_args!(
            "{problem}  Read https://fred.stlouisfed.org/docs/api/api_key.html for more information."
        ))
    }

    pub(crate) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: "Not Found".to_owned(),
        }
    }

    pub(crate) fn too_many_requests() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: "Too Many Requests.  Exceeded Rate Limit".to_owned(),
        }
    }

    pub(crate) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "Internal Server Error".to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Envelope {
            error_code: self.status.as_u16(),
            error_message: &self.message,
        })
    }

    pub(crate) fn to_xml(&self) -> String {
        let message = crate::server::answer::escaped(&self.message);
        format!(
            r#"<error code="{}" message="{message}"/>"#,
            self.status.as_u16()
        )
    }
}
