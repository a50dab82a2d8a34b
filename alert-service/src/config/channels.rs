use std::path::PathBuf;

use documented::{Documented, DocumentedFields};
use ipnet::IpNet;
use service::config::{Reader, Toml};
use url::Url;

use super::ChannelsConfig;
use crate::channel::{SmtpConfig, SmtpCredentials, SmtpTls, TELEGRAM_URL};

/// `[mail]`: the mail server that sends for channels of kind mail, and signs (DKIM).
#[derive(Debug, Documented, DocumentedFields)]
#[expect(dead_code, reason = "its comments describe the settings")]
struct MailSettings {
    /// Name of the mail server; without it there is no mail.
    host: String,
    /// Its port.
    port: u16,
    /// How the connection is encrypted: `starttls`, from the first byte (`implicit`), or not (`none`).
    tls: String,
    /// User, where the server asks for one.
    user: String,
    /// Password of the user.
    password: String,
    /// Address of the sender.
    from: String,
    /// Domain of message ids.
    domain: String,
}

pub(super) fn read(reader: &mut Reader) -> ChannelsConfig {
    reader.section::<ChannelsConfig>("channels");
    let key_files = listed(reader, "channels.key_files", "list of paths");
    let prefixes = listed(reader, "channels.allowed_prefixes", "list of networks");
    let parsed: Vec<Result<IpNet, String>> = prefixes
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|_| format!("\"{text}\" is no network such as 10.1.0.0/16"))
        })
        .collect();
    let mut allowed_prefixes = Vec::new();
    for prefix in parsed {
        match prefix {
            Ok(prefix) => allowed_prefixes.push(prefix),
            Err(problem) => reader.refuse("channels.allowed_prefixes", problem),
        }
    }
    ChannelsConfig {
        key_files: key_files.into_iter().map(PathBuf::from).collect(),
        allowed_prefixes,
        http_allowed: reader.switch("channels.http_allowed", false),
        telegram_url: telegram_url(reader),
        telegram_polling: reader.switch("channels.telegram_polling", false),
        begin_with_log: reader.switch("channels.begin_with_log", false),
    }
}

#[expect(
    clippy::unwrap_used,
    reason = "the default is a URL, as a test that starts without settings shows"
)]
fn telegram_url(reader: &mut Reader) -> Url {
    let text = reader.text_or("channels.telegram_url", TELEGRAM_URL);
    text.parse().unwrap_or_else(|error| {
        reader.refuse("channels.telegram_url", format!("is no URL: {error}"));
        TELEGRAM_URL.parse().unwrap()
    })
}

fn listed(reader: &mut Reader, key: &'static str, form: &str) -> Vec<String> {
    let texts = reader.texts(key).unwrap_or_default();
    let none: Toml = Vec::<String>::new().into();
    reader.asked(key, form, Some(none), Some(texts.clone().into()));
    texts
}

pub(super) fn read_mail(reader: &mut Reader) -> Option<SmtpConfig> {
    reader.section::<MailSettings>("mail");
    let mut text = |key| {
        let text = reader.text(key);
        reader.asked(key, "text", None, text.clone().map(Toml::from));
        text.unwrap_or_default()
    };
    let (host, user) = (text("mail.host"), text("mail.user"));
    let (from, domain) = (text("mail.from"), text("mail.domain"));
    let port = reader.number("mail.port", 587, 1..=65_535);
    let words = [
        ("starttls", SmtpTls::StartTls),
        ("implicit", SmtpTls::Implicit),
        ("none", SmtpTls::None),
    ];
    let tls = reader.word("mail.tls", &words, 0);
    let password = reader.secret("mail.password", "mail.password_file", &[]);
    if host.is_empty() {
        return None;
    }
    for (key, given) in [("mail.from", &from), ("mail.domain", &domain)] {
        if given.is_empty() {
            reader.refuse(key, "is required where mail.host is set");
        }
    }
    if user.is_empty() != password.is_none() {
        reader.refuse(
            "mail.user",
            "and mail.password belong together; give both or neither",
        );
    }
    Some(SmtpConfig {
        host,
        port: u16::try_from(port).unwrap_or(587),
        tls,
        credentials: password.map(|password| SmtpCredentials { user, password }),
        from,
        domain,
    })
}
