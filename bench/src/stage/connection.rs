//! How load reaches the server.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use tonic::transport::{Channel, Endpoint};

/// As every client should: see the notes on windows in the command line's connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Connections that are made at once.
const DIALS_MAX: usize = 50;

pub(crate) async fn connect(address: &str) -> Result<Channel> {
    Endpoint::from_shared(address.to_owned())?
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .connect()
        .await
        .with_context(|| format!("cannot connect to {address}"))
}

/// Connections of their own for `count` clients.
pub(crate) async fn connect_many(address: &str, count: usize) -> Result<Vec<Channel>> {
    stream::iter(0..count)
        .map(|_| connect(address))
        .buffer_unordered(DIALS_MAX)
        .try_collect()
        .await
}
