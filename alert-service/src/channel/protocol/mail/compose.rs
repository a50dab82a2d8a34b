use std::time::SystemTime;

use chrono::{DateTime, Utc};
use lettre::{
    Address,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use url::Url;

use super::Mail;
use crate::channel::{
    Message,
    render::{Unit, cut, facts, heading, links, tidy},
};

/// The longest text and the longest list of facts, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const FACTS_BYTES_MAX: usize = 16 * 1024;

impl Mail {
    /// A mail that is the same mail at every attempt, by its id.
    pub(super) fn compose(
        &self,
        to: &Address,
        message: &Message,
        now: DateTime<Utc>,
    ) -> Result<lettre::Message, lettre::error::Error> {
        let domain = &self.config.domain;
        // No mail has this id: it is what all of one alert answer, so that they stand together.
        let alert = format!("<{}@{domain}>", message.alert_id);
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{}@{domain}>", message.delivery_id)))
            .in_reply_to(alert.clone())
            .references(alert)
            .subject(heading(message))
            .raw_header(header("Auto-Submitted", "auto-generated"));
        let unsubscribe_url = message.unsubscribe_url.as_ref();
        if let Some(url) = unsubscribe_url {
            builder = builder
                .raw_header(header("List-Unsubscribe", &format!("<{url}>")))
                .raw_header(header(
                    "List-Unsubscribe-Post",
                    "List-Unsubscribe=One-Click",
                ));
        }
        let text = tidy(&message.text);
        let text = cut(&text, TEXT_BYTES_MAX, Unit::Bytes);
        let facts = facts(message, now);
        let facts = cut(&facts, FACTS_BYTES_MAX, Unit::Bytes);
        builder.multipart(MultiPart::alternative_plain_html(
            plain(message, &text, &facts, unsubscribe_url),
            html(message, &text, &facts, unsubscribe_url),
        ))
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn plain(message: &Message, text: &str, facts: &str, unsubscribe_url: Option<&Url>) -> String {
    let mut plain = format!("{}\n\n", heading(message));
    if !text.is_empty() {
        plain.push_str(&format!("{text}\n\n"));
    }
    plain.push_str(&format!("{facts}\n\n"));
    for (label, url) in links(message) {
        plain.push_str(&format!("{label}: {url}\n"));
    }
    if let Some(url) = unsubscribe_url {
        plain.push_str(&format!("\n-- \nUnsubscribe: {url}\n"));
    }
    plain
}

fn html(message: &Message, text: &str, facts: &str, unsubscribe_url: Option<&Url>) -> String {
    let mut html = format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h2>{}</h2>",
        escape(&heading(message))
    );
    if !text.is_empty() {
        html.push_str(&format!("<p>{}</p>", lines(text)));
    }
    html.push_str(&format!("<p style=\"color:#555\">{}</p>", lines(facts)));
    let links = links(message).map(|(label, url)| link(&label, url));
    html.push_str(&format!("<p>{}</p>", links.collect::<Vec<_>>().join(" · ")));
    if let Some(url) = unsubscribe_url {
        html.push_str(&format!("<p>{}</p>", link("Unsubscribe", url)));
    }
    html.push_str("</body></html>");
    html
}

fn link(label: &str, url: &Url) -> String {
    format!("<a href=\"{}\">{}</a>", escape(url.as_str()), escape(label))
}

fn lines(text: &str) -> String {
    escape(text).replace('\n', "<br>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
