//! A stand between the log and its database that loses connections at the worst moment, or lets them
//! fall silent.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
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

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The beginning of a transaction.
    Begin,
    /// Rows of a COPY.
    Rows,
    /// The end of a transaction.
    Commit,
    /// A statement that appends and may be a transaction itself.
    Statement,
    /// The test that the driver makes of a connection that comes back to its pool, after that of the log.
    Release,
}

/// Which of the two is the first that is swallowed. The connection stays open, and nothing passes any
/// more in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swallow {
    Request,
    Answer,
}

/// A proxy in front of a database, for as long as the test's runtime lives.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    upcoming: Upcoming,
    links: Arc<Links>,
}

/// What is done to connections, and what was seen of them.
#[derive(Debug, Default)]
struct Links {
    /// Whether each of them has fallen silent.
    silent: Mutex<Vec<Link>>,
    /// Where the next that comes to it falls silent.
    swallow: Mutex<Option<(Step, Swallow)>>,
    /// Drop the options of the startup packet.
    strip_options: AtomicBool,
    rollbacks: AtomicUsize,
}

#[derive(Debug, Clone, Default)]
struct Link {
    silent: Arc<AtomicBool>,
    listens: Arc<AtomicBool>,
    /// Whether its last request was the log's test of a connection that comes back.
    is_back: Arc<AtomicBool>,
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
            links: Arc::default(),
        };
        let (upcoming, links) = (Arc::clone(&proxy.upcoming), Arc::clone(&proxy.links));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                // Either side may end a connection whenever it likes.
                tokio::spawn(relay(
                    client,
                    server,
                    Arc::clone(&upcoming),
                    Arc::clone(&links),
                ));
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

    /// The connection that comes to this step next falls silent there.
    pub(crate) fn swallow(&self, step: Step, first: Swallow) {
        *self.links.swallow.lock().unwrap() = Some((step, first));
    }

    /// Whether a connection has come to the step that was to be swallowed.
    pub(crate) fn has_swallowed(&self) -> bool {
        self.links.swallow.lock().unwrap().is_none()
    }

    /// All connections that there are fall silent; new ones do not.
    pub(crate) fn silence_existing(&self) {
        for link in &*self.links.silent.lock().unwrap() {
            link.silent.store(true, Ordering::SeqCst);
        }
    }

    /// Those that listen for notifications fall silent; how many there are.
    pub(crate) fn silence_listeners(&self) -> usize {
        let links = self.links.silent.lock().unwrap();
        let listening = links
            .iter()
            .filter(|link| link.listens.load(Ordering::SeqCst));
        listening
            .inspect(|link| link.silent.store(true, Ordering::SeqCst))
            .count()
    }

    /// How many connections have listened for notifications.
    pub(crate) fn listeners(&self) -> usize {
        let links = self.links.silent.lock().unwrap();
        let listening = |link: &&Link| link.listens.load(Ordering::SeqCst);
        links.iter().filter(listening).count()
    }

    /// From now on the options of startup packets are dropped, as poolers can do.
    pub(crate) fn strip_options(&self) {
        self.links.strip_options.store(true, Ordering::SeqCst);
    }

    /// How many statements were rollbacks.
    pub(crate) fn rollbacks(&self) -> usize {
        self.links.rollbacks.load(Ordering::SeqCst)
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    upcoming: Upcoming,
    links: Arc<Links>,
) -> std::io::Result<()> {
    let link = Link::default();
    links.silent.lock().unwrap().push(link.clone());
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut request = vec![0; 64 * 1024];
    let mut answer = vec![0; 64 * 1024];
    let (mut begun, mut started) = (false, false);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => {
                let sent = &request[..read?];
                if sent.is_empty() {
                    if link.silent.load(Ordering::SeqCst) {
                        // The server never hears of it.
                        std::future::pending::<()>().await;
                    }
                    return Ok(());
                }
                if !std::mem::replace(&mut started, true)
                    && links.strip_options.load(Ordering::SeqCst)
                {
                    to_server.write_all(&without_options(sent)).await?;
                    continue;
                }
                links.note(&link, sent);
                match links.swallowed(&link, sent) {
                    Some(Swallow::Request) => link.silent.store(true, Ordering::SeqCst),
                    Some(Swallow::Answer) => {
                        to_server.write_all(sent).await?;
                        link.silent.store(true, Ordering::SeqCst);
                    }
                    None => {}
                }
                if link.silent.load(Ordering::SeqCst) {
                    continue;
                }
                // A simple query, which travels alone because the client waits for its answer.
                let query = sent.first() == Some(&b'Q');
                let commits = query && sent.ends_with(b"commit\0");
                begun = (begun || query && sent.ends_with(b"begin\0")) && !commits;
                // Or what appends, known by the channel it notifies, and is a transaction itself.
                let appends = is_statement(sent);
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
                if link.silent.load(Ordering::SeqCst) {
                    if sent.is_empty() {
                        // Nor does the client of this.
                        std::future::pending::<()>().await;
                    }
                    continue;
                }
                if sent.is_empty() {
                    return Ok(());
                }
                to_client.write_all(sent).await?;
            }
        }
    }
}

impl Links {
    fn note(&self, link: &Link, sent: &[u8]) {
        if holds(sent, b"LISTEN ") {
            link.listens.store(true, Ordering::SeqCst);
        }
        let rolls_back = holds(&sent.to_ascii_lowercase(), b"rollback");
        if sent.first() == Some(&b'Q') && rolls_back {
            self.rollbacks.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn swallowed(&self, link: &Link, sent: &[u8]) -> Option<Swallow> {
        let is_test = holds(sent, b"now() = statement_timestamp()");
        let was_back = link.is_back.swap(is_test, Ordering::SeqCst);
        let query = sent.first() == Some(&b'Q');
        let mut swallow = self.swallow.lock().unwrap();
        let (step, first) = (*swallow)?;
        let here = match step {
            Step::Begin => query && holds(sent, b"begin"),
            Step::Rows => sent.first() == Some(&b'd'),
            Step::Commit => query && sent.ends_with(b"commit\0"),
            Step::Statement => is_statement(sent),
            // A message to synchronize, alone.
            Step::Release => was_back && sent == b"S\0\0\0\x04",
        };
        here.then(|| *swallow = None).map(|()| first)
    }
}

fn is_statement(sent: &[u8]) -> bool {
    sent.first() == Some(&b'B') && holds(sent, b"event_log_")
}

/// A startup packet without its `options`: strings, each with a NUL behind it.
fn without_options(packet: &[u8]) -> Vec<u8> {
    let (fixed, strings) = packet.split_at(8);
    let strings: Vec<&[u8]> = strings.split(|byte| *byte == 0).collect();
    let pairs = strings.chunks(2).take_while(|pair| !pair[0].is_empty());
    let kept = pairs.filter(|pair| pair[0] != b"options").flatten();
    let mut stripped: Vec<u8> = kept.flat_map(|text| [*text, &b"\0"[..]].concat()).collect();
    stripped.push(0);
    let length = u32::try_from(stripped.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &fixed[4..], &stripped].concat()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
