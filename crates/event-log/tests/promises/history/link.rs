//! A link to the database that can be made to swallow everything, as a partition does.

use std::{net::SocketAddr, str::FromStr};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

pub(super) struct Link {
    address: SocketAddr,
    carries: watch::Sender<bool>,
}

impl Link {
    pub(super) async fn to(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (carries, carrying) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(carry(from_client, to_server, carrying.clone()));
                tokio::spawn(carry(from_server, to_client, carrying.clone()));
            }
        });
        Self { address, carries }
    }

    /// `url` by way of this link, without encryption.
    pub(super) fn url(&self, url: &str) -> String {
        let (rest, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
        let (user, _) = rest.rsplit_once('@').unwrap();
        format!("{user}@{}/{database}?sslmode=disable", self.address)
    }

    pub(super) fn carry(&self, carries: bool) {
        self.carries.send_replace(carries);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut carrying: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if carrying.wait_for(|carries| *carries).await.is_err() || read == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..read]).await?;
    }
}
