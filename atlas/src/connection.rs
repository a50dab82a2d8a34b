//! How the command line reaches a server.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;

/// The library closes a connection on which too many small messages lie unread instead of slowing
/// the sender down; how many depends on this window. Its adaptive window would reset it.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Connects to a server such as `http://127.0.0.1:5001` (or without the `http://`).
///
/// # Errors
/// [`Failure::Usage`] for an address that cannot be read, [`Failure::Unreachable`].
pub(crate) async fn connect(server: &str) -> Result<Channel, Failure> {
    endpoint(server)?
        .connect()
        .await
        .map_err(|error| Failure::unreachable(server, &error))
}

fn endpoint(server: &str) -> Result<Endpoint, Failure> {
    let address = match server.contains("://") {
        true => server.to_owned(),
        false => format!("http://{server}"),
    };
    let endpoint = Endpoint::from_shared(address)
        .map_err(|error| Failure::Usage(format!("\"{server}\" is no address: {error}")))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20)))
}
