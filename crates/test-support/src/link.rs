use std::{net::SocketAddr, str::FromStr};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

/// A link to a database that can be made to swallow what is sent, as a partition or a firewall that has
/// forgotten its connections does: nothing is closed. It lasts as long as the test's runtime.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_cut: bool,
    /// Connections with smaller numbers are silent for ever.
    first_alive: u64,
    opened: u64,
}

impl Link {
    /// To the database at a URL.
    pub async fn to(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::default());
        let states = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let number = states.borrow().opened;
                states.send_modify(|state| state.opened += 1);
                tokio::spawn(carry(from_client, to_server, number, states.subscribe()));
                tokio::spawn(carry(from_server, to_client, number, states.subscribe()));
            }
        });
        Self { address, state }
    }

    /// `url` by way of this link, without encryption.
    pub fn url(&self, url: &str) -> String {
        let (rest, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
        let (user, _) = rest.rsplit_once('@').unwrap();
        format!("{user}@{}/{database}?sslmode=disable", self.address)
    }

    /// Whether it carries anything. What was sent meanwhile arrives once it does again.
    pub fn carry(&self, carries: bool) {
        self.state.send_modify(|state| state.is_cut = !carries);
    }

    /// Carries nothing more of the connections that are open; new ones work.
    pub fn forget_connections(&self) {
        self.state
            .send_modify(|state| state.first_alive = state.opened);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut states: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        let carries = |state: &State| !state.is_cut && number >= state.first_alive;
        if states.wait_for(carries).await.is_err() || read == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..read]).await?;
    }
}
