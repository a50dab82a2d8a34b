use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use alert_service::channel::{Channel, Secret, Sender, SmtpConfig, SmtpTls};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

use crate::{
    support::sample::{config, message, reason},
    webhook::keyed,
};

/// A server with a certificate that nobody has signed, and how many bytes it could read.
async fn self_signed() -> (SocketAddr, Arc<AtomicUsize>) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read_bytes = Arc::<AtomicUsize>::default();
    let for_sessions = read_bytes.clone();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let mut bytes = [0; 1024];
            // A client that does not trust the certificate ends the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await
                && let Ok(count) = stream.read(&mut bytes).await
            {
                for_sessions.fetch_add(count, Ordering::Relaxed);
            }
        }
    });
    (address, read_bytes)
}

#[tokio::test]
async fn nothing_is_sent_to_a_webhook_without_a_trusted_certificate() {
    let (address, read_bytes) = self_signed().await;
    let channel = Channel::Webhook {
        url: format!("https://{address}/").parse().unwrap(),
    };
    let sender = Sender::new(config()).unwrap();
    let outcome = sender.send(&channel, &keyed(), &message()).await;
    let reason = reason(outcome, "failed");
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(read_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn nothing_is_sent_to_a_mail_server_without_a_trusted_certificate() {
    let (address, read_bytes) = self_signed().await;
    let mut config = config();
    config.smtp = Some(SmtpConfig {
        host: address.ip().to_string(),
        port: address.port(),
        tls: SmtpTls::Implicit,
        credentials: None,
        from: "alerts@example.org".to_owned(),
        domain: "example.org".to_owned(),
    });
    let channel = Channel::Mail {
        to: "person@example.com".to_owned(),
    };
    let sender = Sender::new(config).unwrap();
    let outcome = sender.send(&channel, &Secret::default(), &message()).await;
    let reason = reason(outcome, "failed");
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(read_bytes.load(Ordering::Relaxed), 0);
}
