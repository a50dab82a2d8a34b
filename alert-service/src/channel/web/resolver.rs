use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::AddressRules;

/// All addresses of a name are denied.
#[derive(Debug, Error)]
#[error("the host's name leads to an address that is not public")]
pub(super) struct Denied;

/// Resolves names and drops the addresses that are denied. Only what it gives is connected to, so a name
/// that leads elsewhere a moment later gains nothing.
pub(super) struct FilteringResolver {
    pub(super) rules: Arc<AddressRules>,
    pub(super) inner: Arc<dyn Resolve>,
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, resolving) = (self.rules.clone(), self.inner.resolve(name));
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.collect();
            let any = !found.is_empty();
            let allowed: Vec<_> = found
                .into_iter()
                .filter(|address| rules.allows(address.ip()))
                .collect();
            if any && allowed.is_empty() {
                return Err(Denied.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
