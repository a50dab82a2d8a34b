//! A connection on which COPY does not wait.
//!
//! sqlx 0.9 leaves Nagle's algorithm on and sends the end of a COPY in a write of its own, which the
//! system then holds back until the data before it are acknowledged: 40 ms. It takes no socket of
//! ours, but it does connect to Unix-domain sockets. So between it and the server stands one, whose
//! other side goes on over TCP without delay. Once sqlx sets `TCP_NODELAY` this file can go.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::PathBuf, process};

use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader, copy_buf},
    net::{TcpStream, UnixListener, UnixStream},
    time::timeout,
    try_join,
};
use tracing::{debug, warn};

use crate::{LogError, database};

const BUFFER_BYTES: usize = 128 * 1024;

/// What the connections are on which COPY runs, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyPath {
    /// TCP behind a socket that has a name but no file, which Linux has.
    AbstractSocket,
    /// TCP behind a socket in the folder for temporary files.
    SocketFile,
    /// A socket of the database itself.
    DatabaseSocket,
    /// TCP alone: COPY would wait, so that large groups are stored more slowly.
    None,
}

impl CopyPath {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::AbstractSocket, "abstract_socket"),
        (Self::SocketFile, "socket_file"),
        (Self::DatabaseSocket, "database_socket"),
        (Self::None, "none"),
    ];
}

/// Where one connection will be accepted, of this process only.
pub(crate) struct ProxySocket {
    place: Place,
    listener: UnixListener,
}

/// What sqlx takes for the folder of a socket.
enum Place {
    /// A name without a file: it begins with a NUL and goes with its listener.
    Name(PathBuf),
    /// A folder that nobody else may enter. It goes once this is dropped; what is connected stays so.
    Folder(PathBuf),
}

impl Place {
    fn path(&self) -> &PathBuf {
        match self {
            Self::Name(path) | Self::Folder(path) => path,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Folder(folder) = self {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl ProxySocket {
    /// A socket to the port that `options` name, and which way COPY goes with it; no socket if they
    /// name a socket, so that none is needed, or none can be made here.
    pub(crate) fn new(options: &PgConnectOptions) -> (Option<Self>, CopyPath) {
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return (None, CopyPath::DatabaseSocket);
        }
        match Self::without_file(options) {
            Ok(socket) => return (Some(socket), CopyPath::AbstractSocket),
            Err(error) => debug!(%error, "no socket without a file"),
        }
        match Self::in_folder(options) {
            Ok(socket) => (Some(socket), CopyPath::SocketFile),
            Err(error) => {
                warn!(
                    %error,
                    "large groups are stored more slowly: cannot create a socket in the folder \
                     for temporary files"
                );
                (None, CopyPath::None)
            }
        }
    }

    fn without_file(options: &PgConnectOptions) -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Self::at(Place::Name(format!("\0{}", name()).into()), options)
    }

    fn in_folder(options: &PgConnectOptions) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(name());
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Self::at(Place::Folder(folder), options)
    }

    /// The name in a place is what sqlx looks for there.
    fn at(place: Place, options: &PgConnectOptions) -> io::Result<Self> {
        let name = place
            .path()
            .join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = UnixListener::bind(name)?;
        Ok(Self { place, listener })
    }

    /// Connects through it. TLS, if asked for, is between sqlx and the server as ever.
    pub(crate) async fn connect(
        self,
        options: &PgConnectOptions,
    ) -> Result<PgConnection, LogError> {
        let address = (options.get_host(), options.get_port());
        let connecting = timeout(database::CONNECT_TIMEOUT, TcpStream::connect(address));
        let connected = connecting.await.map_err(|_| database::no_answer())?;
        let remote = connected.map_err(sqlx::Error::Io)?;
        remote.set_nodelay(true).map_err(sqlx::Error::Io)?;
        let through = options.clone().socket(self.place.path());
        let forward = async {
            let local = self.accept().await.map_err(sqlx::Error::Io)?;
            tokio::spawn(relay(local, remote));
            Ok(())
        };
        let (connection, ()) = try_join!(database::connect_session(&through), forward)?;
        Ok(connection)
    }

    /// The connection of this process: anybody on the machine may connect to a name.
    async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let own = i32::try_from(process::id()).ok();
            match stream.peer_cred()?.pid() {
                pid if pid.is_none() || pid == own => return Ok(stream),
                pid => warn!(?pid, "another process wanted a connection to the database"),
            }
        }
    }
}

fn name() -> String {
    format!("atlas-{}", uuid::Uuid::new_v4().simple())
}

/// Ends when either side does, and with it the other: a server that has fallen silent would never.
async fn relay(local: UnixStream, remote: TcpStream) {
    let (from_local, to_local) = local.into_split();
    let (from_remote, to_remote) = remote.into_split();
    tokio::select! {
        () = pass(from_local, to_remote) => {}
        () = pass(from_remote, to_local) => {}
    }
}

async fn pass(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let _ = copy_buf(&mut from, &mut to).await;
}
