//! A stand between the log and its database that loses connections at the worst moment.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex},
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The connection is lost before the database hears of it.
    BeforeCommit,
    /// The database commits; the connection is lost before its answer arrives.
    AfterCommit,
}

/// A proxy in front of a database, for as long as the test's runtime lives.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    upcoming: Upcoming,
}

/// What becomes of each of the next commits; all goes well with those after.
type Upcoming = Arc<Mutex<VecDeque<Option<Loss>>>>;

impl Proxy {
    pub(crate) async fn start(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            upcoming: Arc::default(),
        };
        let upcoming = Arc::clone(&proxy.upcoming);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                // Either side may end a connection whenever it likes.
                tokio::spawn(relay(client, server, Arc::clone(&upcoming)));
            }
        });
        proxy
    }

    /// `url` by way of this proxy, without encryption.
    pub(crate) fn url(&self, url: &str) -> String {
        let (rest, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
        let (user, _) = rest.rsplit_once('@').unwrap();
        format!("{user}@{}/{database}?sslmode=disable", self.address)
    }

    /// Sets what becomes of the next commits.
    pub(crate) fn plan(&self, upcoming: &[Option<Loss>]) {
        *self.upcoming.lock().unwrap() = upcoming.iter().copied().collect();
    }
}

async fn relay(client: TcpStream, server: TcpStream, upcoming: Upcoming) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut request = vec![0; 64 * 1024];
    let mut answer = vec![0; 64 * 1024];
    let mut begun = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let sent = &request[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                // A simple query, which travels alone because the client waits for its answer.
                let query = sent.first() == Some(&b'Q');
                let commits = query && sent.ends_with(b"commit\0");
                begun = (begun || query && sent.ends_with(b"begin\0")) && !commits;
                // Or what appends, known by the channel it notifies, and is a transaction itself.
                let appends = sent.first() == Some(&b'B') && holds(sent, b"event_log_");
                let planned = (commits || appends && !begun).then(|| upcoming.lock().unwrap().pop_front());
                let loss = planned.flatten().flatten();
                if loss == Some(Loss::BeforeCommit) {
                    return Ok(());
                }
                to_server.write_all(sent).await?;
                if loss == Some(Loss::AfterCommit) {
                    from_server.readable().await?;
                    return Ok(());
                }
            }
            read = from_server.read(&mut answer) => {
                let sent = &answer[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                to_client.write_all(sent).await?;
            }
        }
    }
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
