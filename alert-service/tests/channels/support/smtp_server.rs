use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What a server does that does not simply take mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Replies to a command of this name with this line.
    Replies(&'static str, &'static str),
    /// Never replies to a command of this name.
    Silent(&'static str),
    /// Never replies once it has the mail, although it took it.
    SilentAfterMail,
    /// Closes the connection once it has the mail.
    ClosesAfterMail,
    /// Accepts a connection and says nothing.
    NeverGreets,
}

/// A mail as it came.
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
}

/// A mail server: the part of RFC 5321 that a client uses, over TCP.
pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl SmtpServer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let for_sessions = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = for_sessions.clone();
                // A client that closes the connection ends its session with an error.
                tokio::spawn(async move { session(stream, manner, &shared).await.ok() });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.mails.lock().unwrap())
    }

    /// The commands of all sessions.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }
}

async fn session(stream: TcpStream, manner: Manner, shared: &Shared) -> std::io::Result<()> {
    if manner == Manner::NeverGreets {
        pending::<()>().await;
    }
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.example.org ESMTP\r\n").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let command = std::mem::take(&mut line).trim_end().to_owned();
        shared.commands.lock().unwrap().push(command.clone());
        let upper = command.to_ascii_uppercase();
        let reply = match manner {
            Manner::Replies(name, reply) if upper.starts_with(name) => reply,
            Manner::Silent(name) if upper.starts_with(name) => pending().await,
            _ if upper.starts_with("EHLO") => "250-mail.example.org\r\n250 8BITMIME",
            _ if upper.starts_with("MAIL FROM:") => {
                from = path(&command);
                "250 2.1.0 ok"
            }
            _ if upper.starts_with("RCPT TO:") => {
                to.push(path(&command));
                "250 2.1.5 ok"
            }
            _ if upper == "DATA" && to.is_empty() => "503 5.5.1 no recipients",
            _ if upper == "DATA" => {
                stream.write_all(b"354 go ahead\r\n").await?;
                let data = data(&mut stream).await?;
                let (from, to) = (from.clone(), std::mem::take(&mut to));
                shared
                    .mails
                    .lock()
                    .unwrap()
                    .push(Received { from, to, data });
                match manner {
                    Manner::SilentAfterMail => pending().await,
                    Manner::ClosesAfterMail => return Ok(()),
                    Manner::Replies("MESSAGE", reply) => reply,
                    _ => "250 2.0.0 queued as 4F1A",
                }
            }
            _ if upper == "QUIT" => "221 2.0.0 bye",
            _ => "502 5.5.1 unknown command",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// The address in `MAIL FROM:<address>`.
fn path(command: &str) -> String {
    let start = command.find('<').unwrap() + 1;
    command[start..command.find('>').unwrap()].to_owned()
}

/// The mail until the line with a single dot, without the dots that were doubled.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
