//! The pages that links in messages lead to.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// No script, no style, no frame; the button posts to where the page came from.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; sandbox allow-forms",
);

/// A button that posts to the address of the page.
pub(super) fn button(label: &str) -> String {
    format!("<form method=\"post\"><button>{label}</button></form>")
}

/// A page with a heading, a list of texts, and perhaps a button. The heading is ours.
pub(super) fn html(status: StatusCode, heading: &str, items: &[String], form: &str) -> Response {
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>", escaped(item)))
        .collect();
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>{heading}</title>\
         <h1>{heading}</h1><ul>{items}</ul>{form}</html>"
    );
    let media_type = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (status, headers, text).into_response()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
