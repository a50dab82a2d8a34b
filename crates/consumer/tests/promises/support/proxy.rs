//! A stand between a client and its server that can be cut, and that loses connections at the worst
//! moment of a database's client.

use std::{
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy, for as long as the test's runtime lives.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    server: Arc<Mutex<String>>,
    open: watch::Sender<bool>,
    losses: Arc<Losses>,
}

/// How often commits are to be lost.
#[derive(Debug, Default)]
struct Losses {
    /// One in this many; 0: none.
    one_in: AtomicU32,
    before: AtomicU32,
    after: AtomicU32,
}

impl Proxy {
    /// In front of a server at `host:port`.
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            server: Arc::new(Mutex::new(server.to_owned())),
            open: watch::Sender::new(true),
            losses: Arc::default(),
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !*this.open.borrow() {
                    continue;
                }
                let server = this.server.lock().unwrap().clone();
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let (losses, mut open) = (Arc::clone(&this.losses), this.open.subscribe());
                tokio::spawn(async move {
                    // Either side may end a connection whenever it likes.
                    tokio::select! {
                        _ = relay(client, server, &losses) => {}
                        _ = open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        proxy
    }

    /// In front of the database at a URL.
    pub(crate) async fn of_database(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        Self::start(&format!("{}:{}", options.get_host(), options.get_port())).await
    }

    /// The database's URL by way of this proxy, without encryption.
    pub(crate) fn database_url(&self, url: &str) -> String {
        let (rest, database) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
        let (user, _) = rest.rsplit_once('@').unwrap();
        format!("{user}@{}/{database}?sslmode=disable", self.address)
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends all connections and accepts no more.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Leads to another server from now on.
    pub(crate) fn redirect(&self, server: &str) {
        *self.server.lock().unwrap() = server.to_owned();
    }

    /// Loses one in so many commits: every other of these before the database hears of it, the rest
    /// after it has committed and before its answer arrives.
    pub(crate) fn lose_commits(&self, one_in: u32) {
        self.losses.one_in.store(one_in, Ordering::Relaxed);
    }

    /// How many commits were lost before, and after the database heard of them.
    pub(crate) fn lost(&self) -> (u32, u32) {
        let Losses { before, after, .. } = &*self.losses;
        (
            before.load(Ordering::Relaxed),
            after.load(Ordering::Relaxed),
        )
    }
}

async fn relay(client: TcpStream, server: TcpStream, losses: &Losses) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut request = vec![0; 64 * 1024];
    let mut answer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let sent = &request[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                let is_lost = is_commit(sent) && losses.next();
                if is_lost && losses.before.load(Ordering::Relaxed) <= losses.after.load(Ordering::Relaxed) {
                    losses.before.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                to_server.write_all(sent).await?;
                if is_lost {
                    losses.after.fetch_add(1, Ordering::Relaxed);
                    // Its answer says that the commit is done, and goes no further.
                    return from_server.read(&mut answer).await.map(drop);
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

/// A simple query, which travels alone because the client waits for its answer.
fn is_commit(sent: &[u8]) -> bool {
    let text = sent.len().checked_sub(7).map(|start| &sent[start..]);
    sent.first() == Some(&b'Q') && text.is_some_and(|text| text.eq_ignore_ascii_case(b"commit\0"))
}

impl Losses {
    fn next(&self) -> bool {
        let one_in = self.one_in.load(Ordering::Relaxed);
        one_in > 0 && rand::random_range(0..one_in) == 0
    }
}
