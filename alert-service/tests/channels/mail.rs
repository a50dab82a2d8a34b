use std::time::{Duration, Instant};

use alert_service::channel::{
    Channel, Message, MessageKind, Secret, Sender, SenderConfig, SenderError, SmtpConfig,
    SmtpCredentials, SmtpTls,
};
use mail_parser::{MessageParser, MimeHeaders};
use ulid::Ulid;

use crate::support::{
    sample::{config, hostile_messages, message, now, reason},
    smtp_server::{Manner, SmtpServer},
};

fn to() -> Channel {
    Channel::Mail {
        to: "person@example.com".to_owned(),
    }
}

fn smtp(server: &SmtpServer) -> SmtpConfig {
    SmtpConfig {
        host: server.address.ip().to_string(),
        port: server.address.port(),
        tls: SmtpTls::None,
        credentials: None,
        from: "ATLAS Alerts <alerts@example.org>".to_owned(),
        domain: "example.org".to_owned(),
    }
}

fn with(smtp: SmtpConfig) -> SenderConfig {
    let mut config = config();
    config.smtp = Some(smtp);
    config
}

fn sender(server: &SmtpServer) -> Sender {
    Sender::new(with(smtp(server))).unwrap()
}

fn impatient(server: &SmtpServer) -> Sender {
    let mut config = with(smtp(server));
    config.connect_timeout = Duration::from_millis(200);
    config.answer_timeout = Duration::from_millis(300);
    Sender::new(config).unwrap()
}

/// What is left of one attempt, and how many mails the server has then.
async fn attempt(manner: Manner, expected: &str) -> (String, usize) {
    let server = SmtpServer::start(manner).await;
    let outcome = sender(&server)
        .send(&to(), &Secret::default(), &message())
        .await;
    (reason(outcome, expected), server.take().len())
}

#[tokio::test]
async fn a_mail_is_plain_and_html_to_one_recipient() {
    let server = SmtpServer::start(Manner::Takes).await;
    let mut message = message();
    message.title = "Ertrag <b>fällt</b>".to_owned();
    message.text = "1 < 2 & \"so\" weiter\n.\n..punkt".to_owned();
    let outcome = sender(&server)
        .send(&to(), &Secret::default(), &message)
        .await;
    assert_eq!(reason(outcome, "accepted"), "2.0.0 queued as 4F1A");
    let [received] = server.take().try_into().ok().unwrap();
    assert_eq!(received.from, "alerts@example.org");
    assert_eq!(received.to, ["person@example.com"]);
    let mail = MessageParser::default().parse(&received.data).unwrap();
    assert_eq!(mail.subject(), Some("Critical: Ertrag <b>fällt</b>"));
    assert_eq!(
        mail.message_id(),
        Some("01JNABCDEFGHJKMNPQRSTVWXYZ@example.org")
    );
    assert_eq!(mail.date().unwrap().to_timestamp(), now().timestamp());
    let content_type = mail.content_type().unwrap();
    assert_eq!(content_type.subtype(), Some("alternative"));
    let plain = mail.body_text(0).unwrap().replace("\r\n", "\n");
    for part in [
        "1 < 2 & \"so\" weiter\n.\n..punkt\n",
        "series: fred/T10Y2Y",
        "Open: https://atlas.example.org/alerts/7?a=1&b=2",
        "Acknowledge: https://atlas.example.org/a/token",
    ] {
        assert!(plain.contains(part), "{part} in {plain}");
    }
    let html = mail.body_html(0).unwrap().replace("\r\n", "\n");
    for part in [
        "<h2>Critical: Ertrag &lt;b&gt;fällt&lt;/b&gt;</h2>",
        "1 &lt; 2 &amp; &quot;so&quot; weiter<br>\n.<br>\n..punkt",
        "<a href=\"https://atlas.example.org/alerts/7?a=1&amp;b=2\">Open</a>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(mail.header_raw("List-Unsubscribe").is_none());
}

#[tokio::test]
async fn attempts_have_one_id_and_an_alert_is_one_thread() {
    let server = SmtpServer::start(Manner::Takes).await;
    let sender = sender(&server);
    let (first, mut second) = (message(), message());
    second.delivery_id = Ulid::from(99_u128);
    second.kind = MessageKind::Resolved;
    for message in [&first, &first, &second] {
        let outcome = sender.send(&to(), &Secret::default(), message).await;
        reason(outcome, "accepted");
    }
    let mails = server.take();
    let mails: Vec<_> = mails
        .iter()
        .map(|mail| MessageParser::default().parse(&mail.data).unwrap())
        .collect();
    assert_eq!(mails[0].message_id(), mails[1].message_id());
    assert_ne!(mails[0].message_id(), mails[2].message_id());
    let alert = format!("{}@example.org", first.alert_id);
    for mail in &mails {
        assert_eq!(mail.in_reply_to().as_text(), Some(alert.as_str()));
        assert_eq!(mail.references().as_text(), Some(alert.as_str()));
    }
}

#[tokio::test]
async fn one_click_unsubscribes() {
    let server = SmtpServer::start(Manner::Takes).await;
    let long = format!("https://atlas.example.org/u/{}", "token".repeat(30));
    let message = Message {
        unsubscribe_url: Some(long.parse().unwrap()),
        ..message()
    };
    let outcome = sender(&server)
        .send(&to(), &Secret::default(), &message)
        .await;
    reason(outcome, "accepted");
    let [received] = server.take().try_into().ok().unwrap();
    let mail = MessageParser::default().parse(&received.data).unwrap();
    let raw = |name: &str| mail.header_raw(name).unwrap().trim().to_owned();
    assert_eq!(raw("List-Unsubscribe"), format!("<{long}>"));
    assert_eq!(raw("List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    assert!(
        mail.body_text(0)
            .unwrap()
            .contains(&format!("Unsubscribe: {long}"))
    );
}

#[tokio::test]
async fn nothing_from_outside_becomes_a_header() {
    let server = SmtpServer::start(Manner::Takes).await;
    for mut message in hostile_messages() {
        message
            .title
            .insert_str(0, "a\r\nBcc: b@example.com\r\n\r\nbody ");
        let outcome = sender(&server)
            .send(&to(), &Secret::default(), &message)
            .await;
        reason(outcome, "accepted");
        let [received] = server.take().try_into().ok().unwrap();
        assert_eq!(received.to, ["person@example.com"]);
        let mail = MessageParser::default().parse(&received.data).unwrap();
        assert!(mail.bcc().is_none());
        assert!(mail.subject().unwrap().contains("Bcc: b@example.com"));
        assert!(received.data.len() < 1 << 20);
        assert!(received.data.lines().all(|line| line.len() <= 998));
    }
}

#[tokio::test]
async fn a_temporary_refusal_is_tried_again() {
    for (command, reply) in [
        ("RCPT", "450 4.7.1 greylisted, come back in 5 minutes"),
        ("RCPT", "452 4.2.2 mailbox full"),
        ("MAIL", "421 4.3.2 shutting down"),
        ("DATA", "451 4.3.0 error in processing"),
        ("MESSAGE", "451 4.3.0 error in processing"),
    ] {
        let (reason, _) = attempt(Manner::Replies(command, reply), "failed").await;
        assert!(reason.contains(&reply[..3]), "{reason}");
    }
}

#[tokio::test]
async fn a_permanent_refusal_is_final() {
    for (command, reply, expected) in [
        ("RCPT", "550 5.1.1 no such user", "disabled"),
        ("RCPT", "550 5.7.1 rejected by policy", "refused"),
        ("RCPT", "554 5.7.1 relay access denied", "refused"),
        ("MAIL", "550 5.1.8 sender rejected", "refused"),
        ("DATA", "554 5.5.1 no", "refused"),
        ("MESSAGE", "554 5.6.0 looks like spam", "refused"),
    ] {
        let (reason, _) = attempt(Manner::Replies(command, reply), expected).await;
        assert!(reason.contains(&reply[..3]), "{reason}");
    }
}

#[tokio::test]
async fn a_lost_reply_to_the_mail_leaves_it_unknown() {
    for manner in [Manner::SilentAfterMail, Manner::ClosesAfterMail] {
        let server = SmtpServer::start(manner).await;
        let outcome = impatient(&server)
            .send(&to(), &Secret::default(), &message())
            .await;
        reason(outcome, "unknown");
        assert_eq!(server.take().len(), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_tried_again() {
    let server = SmtpServer::start(Manner::NeverGreets).await;
    let outcome = impatient(&server)
        .send(&to(), &Secret::default(), &message())
        .await;
    assert_eq!(reason(outcome, "failed"), "connect: no reply in time");
    let mut away = smtp(&server);
    away.port = 9;
    let sender = Sender::new(with(away)).unwrap();
    let outcome = sender.send(&to(), &Secret::default(), &message()).await;
    reason(outcome, "failed");
}

#[tokio::test]
async fn until_the_mail_is_handed_over_it_is_not_unknown() {
    for (silent, step) in [
        ("EHLO", "connect"),
        ("MAIL", "MAIL FROM"),
        ("RCPT", "RCPT TO"),
        ("DATA", "DATA"),
    ] {
        let server = SmtpServer::start(Manner::Silent(silent)).await;
        let mut config = with(smtp(&server));
        // The time for the whole attempt ends before that for one reply.
        config.total_timeout = Duration::from_millis(500);
        let begun = Instant::now();
        let sender = Sender::new(config).unwrap();
        let outcome = sender.send(&to(), &Secret::default(), &message()).await;
        let expected = format!("{step}: no reply in time");
        assert_eq!(reason(outcome, "failed"), expected);
        assert!(server.take().is_empty());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn without_encryption_nothing_is_sent_where_it_is_asked_for() {
    let server = SmtpServer::start(Manner::Takes).await;
    let mut smtp = smtp(&server);
    smtp.tls = SmtpTls::StartTls;
    smtp.credentials = Some(SmtpCredentials {
        user: "user".to_owned(),
        password: "password".into(),
    });
    let sender = Sender::new(with(smtp)).unwrap();
    let outcome = sender.send(&to(), &Secret::default(), &message()).await;
    let reason = reason(outcome, "failed");
    assert!(reason.starts_with("STARTTLS"), "{reason}");
    let commands = server.commands();
    assert!(
        commands.iter().all(|line| line.starts_with("EHLO")),
        "{commands:?}"
    );
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_an_error() {
    let server = SmtpServer::start(Manner::Takes).await;
    let field = |change: &dyn Fn(&mut SmtpConfig)| {
        let mut smtp = smtp(&server);
        change(&mut smtp);
        match Sender::new(with(smtp)) {
            Err(SenderError::Smtp(problem)) => problem.field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(&|smtp| smtp.from = "nobody".to_owned()), "from");
    assert_eq!(field(&|smtp| smtp.domain = "a b".to_owned()), "domain");
    let credentials = SmtpCredentials {
        user: "u".to_owned(),
        password: "hidden".into(),
    };
    assert!(!format!("{credentials:?}").contains("hidden"));
    let given = |smtp: &mut SmtpConfig| smtp.credentials = Some(credentials.clone());
    assert_eq!(field(&given), "credentials");
}
