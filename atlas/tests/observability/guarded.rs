//! A collector that asks for tokens, with TLS for gRPC, and clients that it does not let in.

use std::{fs, path::PathBuf};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::process::Service;

pub(crate) struct Guarded {
    service: Service,
    folder: PathBuf,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Guarded {
    pub(crate) fn start(database_url: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("atlas-guarded-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let settings = [
            format!("database.url={database_url}"),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            // Prometheus comes without TLS and, on loopback, without a token.
            "rest.tls=false".to_owned(),
            format!("tls.certificate={}", file("server.pem", &issued.cert.pem())),
            format!(
                "tls.key={}",
                file("server.key", &issued.signing_key.serialize_pem())
            ),
            format!("auth.tokens_file={}", file("tokens.toml", "")),
            "security.reload_interval_milliseconds=100".to_owned(),
        ];
        Self {
            service: Service::start("collector", &settings),
            folder,
        }
    }

    pub(crate) fn rest(&self) -> &String {
        &self.service.rest
    }

    /// Somebody without a token, and somebody without TLS.
    pub(crate) async fn turn_away(&self, client: &reqwest::Client) {
        let url = format!("http://{}/v1/log", self.rest());
        let denied = client.get(url).send().await.unwrap();
        assert_eq!(denied.status(), 401);
        let grpc = self.service.grpc.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(grpc).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\n").await.unwrap();
        // The answer does not matter; the connection ends.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}
