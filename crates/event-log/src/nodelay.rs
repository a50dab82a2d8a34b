//! A connection on which COPY does not wait.
//!
//! sqlx 0.9 leaves Nagle's algorithm on and sends the end of a COPY in a write of its own, which the
//! system then holds back until the data before it are acknowledged: 40 ms. It takes no socket of
//! ours, but it does connect to Unix-domain sockets. So between it and the server stands one, whose
//! other side goes on over TCP without delay. Once sqlx sets `TCP_NODELAY` this file can go.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::PathBuf};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpStream, UnixListener},
    try_join,
};

const BUFFER_BYTES: usize = 128 * 1024;

/// Where one connection will be accepted: a socket in a folder that nobody else may enter. The
/// folder goes once it is dropped; what is connected stays so.
pub(crate) struct Doorway {
    folder: PathBuf,
    listener: UnixListener,
}

impl Drop for Doorway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Doorway {
    /// A doorway to the port that `options` name; `None` if they name a socket, so that none is
    /// needed.
    ///
    /// # Errors
    /// If no folder or socket can be made here.
    pub(crate) fn new(options: &PgConnectOptions) -> io::Result<Option<Self>> {
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok(None);
        }
        let name = format!("atlas-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        // The name is what sqlx looks for in the folder.
        let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{}", options.get_port())))
            .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok(Some(Self { folder, listener }))
    }

    /// Connects through it. TLS, if asked for, is between sqlx and the server as ever.
    pub(crate) async fn connect(self, options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
        let mut remote = TcpStream::connect((options.get_host(), options.get_port())).await?;
        remote.set_nodelay(true)?;
        let through = options.clone().socket(&self.folder);
        let forward = async {
            let (mut local, _) = self.listener.accept().await?;
            // Ends when either side does.
            tokio::spawn(async move {
                let (to, from) = (BUFFER_BYTES, BUFFER_BYTES);
                let _ = copy_bidirectional_with_sizes(&mut local, &mut remote, to, from).await;
            });
            Ok(())
        };
        let (connection, ()) = try_join!(PgConnection::connect_with(&through), forward)?;
        Ok(connection)
    }
}
