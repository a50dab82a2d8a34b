//! How many connections a listener has: in all, and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use metrics::{Counter, Gauge, counter, gauge};

use super::descriptors::Descriptor;

/// Connections that others leave to clients on the same machine, so that health checks get through.
const LOCAL_RESERVE: usize = 16;

/// How many connections a listener may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionLimits {
    /// In all.
    pub(super) connections_max: usize,
    /// From one address; of IPv6, from one network of 64 bits.
    pub(super) per_address_max: usize,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The listener has as many as it may.
    Full,
    /// The address has as many as it may.
    Address,
    /// There are too few file descriptors.
    Descriptors,
}

impl Refused {
    const ALL: [Self; 3] = [Self::Full, Self::Address, Self::Descriptors];

    fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Descriptors => "descriptors",
        }
    }
}

/// The connections of a listener. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    current: Gauge,
    refused: [Counter; 3],
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_origin: HashMap<IpAddr, usize>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// No connections yet. `prefix` is the first part of the names of metrics.
    pub(super) fn new(limits: ConnectionLimits, prefix: &str, listener: &'static str) -> Self {
        let refused = Refused::ALL.map(|refused| {
            let name = format!("{prefix}_connections_refused_total");
            let counter = counter!(name, "listener" => listener, "reason" => refused.label());
            counter.increment(0);
            counter
        });
        let current = gauge!(format!("{prefix}_connections"), "listener" => listener);
        current.set(0);
        Self(Arc::new(Inner {
            limits,
            open: Mutex::default(),
            current,
            refused,
        }))
    }

    /// A place for a connection from an address, until it is dropped.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Place, Refused> {
        let place = self.place(address);
        if let Err(refused) = &place {
            self.0.refused[*refused as usize].increment(1);
        }
        place
    }

    fn place(&self, address: IpAddr) -> Result<Place, Refused> {
        let ConnectionLimits {
            connections_max,
            per_address_max,
        } = self.0.limits;
        let origin = origin(address);
        let left = match address.to_canonical().is_loopback() {
            true => 0,
            false => LOCAL_RESERVE.min(connections_max / 4),
        };
        let mut open = self.0.open();
        let of_origin = open.by_origin.get(&origin).copied().unwrap_or_default();
        if of_origin >= per_address_max {
            return Err(Refused::Address);
        }
        if open.all >= connections_max - left {
            return Err(Refused::Full);
        }
        let descriptor = Descriptor::take().ok_or(Refused::Descriptors)?;
        open.all += 1;
        open.by_origin.insert(origin, of_origin + 1);
        drop(open);
        self.0.current.increment(1);
        Ok(Place {
            connections: Arc::clone(&self.0),
            origin,
            _descriptor: descriptor,
        })
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a connection among those of its listener.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Inner>,
    origin: IpAddr,
    _descriptor: Descriptor,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all -= 1;
        if let Some(of_origin) = open.by_origin.get_mut(&self.origin) {
            *of_origin -= 1;
            if *of_origin == 0 {
                open.by_origin.remove(&self.origin);
            }
        }
        drop(open);
        self.connections.current.decrement(1);
    }
}

/// What counts as one address: of IPv6 the network, since whoever has one address of it has all.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections_max: usize, per_address_max: usize) -> Connections {
        let limits = ConnectionLimits {
            connections_max,
            per_address_max,
        };
        Connections::new(limits, "test", "rest")
    }

    fn admit(connections: &Connections, address: &str) -> Result<Place, Refused> {
        connections.admit(address.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let connections = connections(100, 2);
        let first = admit(&connections, "192.0.2.1").unwrap();
        let _second = admit(&connections, "::ffff:192.0.2.1").unwrap();
        let refused = admit(&connections, "192.0.2.1").unwrap_err();
        assert_eq!(refused, Refused::Address);
        let _other = admit(&connections, "192.0.2.2").unwrap();
        drop(first);
        admit(&connections, "192.0.2.1").unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let connections = connections(100, 1);
        let _first = admit(&connections, "2001:db8:0:1::1").unwrap();
        let refused = admit(&connections, "2001:db8:0:1:ffff::2").unwrap_err();
        assert_eq!(refused, Refused::Address);
        admit(&connections, "2001:db8:0:2::1").unwrap();
    }

    #[test]
    fn the_same_machine_gets_through_when_others_have_all_they_may() {
        let connections = connections(8, 100);
        let others: Vec<_> = (0..6)
            .map(|n| admit(&connections, &format!("192.0.2.{n}")).unwrap())
            .collect();
        let refused = admit(&connections, "192.0.2.9").unwrap_err();
        assert_eq!(refused, Refused::Full);
        let _local = admit(&connections, "127.0.0.1").unwrap();
        let _local = admit(&connections, "::1").unwrap();
        assert_eq!(admit(&connections, "::1").unwrap_err(), Refused::Full);
        drop(others);
        assert_eq!(connections.0.open().all, 2);
        assert_eq!(connections.0.open().by_origin.len(), 2);
    }
}
