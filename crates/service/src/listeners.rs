use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::StartError;

/// Where a service is to be served.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// REST, health and metrics; port 0 takes a free one.
    pub rest: SocketAddr,
    /// gRPC; port 0 takes a free one.
    pub grpc: SocketAddr,
}

/// Where a service is served.
#[derive(Debug)]
pub struct Listeners {
    /// REST, health and metrics.
    pub rest: TcpListener,
    /// gRPC.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Listens at the addresses of a configuration.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn bind(addresses: impl Into<Addresses>) -> Result<Self, StartError> {
        let Addresses { rest, grpc } = addresses.into();
        Ok(Self {
            rest: bind("REST", "REST__ADDRESS", rest).await?,
            grpc: bind("gRPC", "GRPC__ADDRESS", grpc).await?,
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
