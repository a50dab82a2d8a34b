use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::{StartError, config::CommonConfig};

/// Where a service is served.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// REST, health and metrics.
    pub rest: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}

/// What a service is served on.
#[derive(Debug)]
pub struct Listeners {
    /// REST, health and metrics.
    pub rest: TcpListener,
    /// gRPC.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Listens at the addresses of a configuration; port 0 takes a free one.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn bind(config: &impl AsRef<CommonConfig>) -> Result<Self, StartError> {
        let CommonConfig { rest, grpc, .. } = config.as_ref();
        Ok(Self {
            rest: bind("REST", "REST__ADDRESS", rest.address).await?,
            grpc: bind("gRPC", "GRPC__ADDRESS", grpc.address).await?,
        })
    }

    /// The addresses that are listened at.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn addresses(&self) -> Result<Addresses, StartError> {
        let local = |listener: &TcpListener, part| {
            let refused = |source| StartError::Listen {
                part,
                key: "its address",
                address: SocketAddr::from(([0, 0, 0, 0], 0)),
                source,
            };
            listener.local_addr().map_err(refused)
        };
        Ok(Addresses {
            rest: local(&self.rest, "REST")?,
            grpc: local(&self.grpc, "gRPC")?,
        })
    }
}

async fn bind(
    part: &'static str,
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| StartError::Listen {
        part,
        key,
        address,
        source,
    })
}
