//! How many of something clients may have at once: in all, and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Places that others leave to clients on the same machine, so that health checks get through.
const LOCAL_RESERVE: usize = 16;

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// In all.
    pub places_max: usize,
    /// For one address; of IPv6, for one network of 64 bits.
    pub per_address_max: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// All are taken.
    #[error("all of them are taken")]
    Full,
    /// The address has as many as it may.
    #[error("your address has as many as it may")]
    Address,
}

/// Places for connections, or for streams that need no token. Clones are the same.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: PlaceLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_origin: HashMap<IpAddr, usize>,
}

impl Places {
    /// None of them taken.
    pub fn new(limits: PlaceLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            taken: Mutex::default(),
        }))
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.taken().all
    }

    /// A place for a client at an address, until it is dropped.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let PlaceLimits {
            places_max,
            per_address_max,
        } = self.0.limits;
        let origin = origin(address);
        let left = match address.to_canonical().is_loopback() {
            true => 0,
            false => LOCAL_RESERVE.min(places_max / 4),
        };
        let mut taken = self.0.taken();
        let of_origin = taken.by_origin.get(&origin).copied().unwrap_or_default();
        if of_origin >= per_address_max {
            return Err(NoPlace::Address);
        }
        if taken.all + left >= places_max {
            return Err(NoPlace::Full);
        }
        taken.all += 1;
        taken.by_origin.insert(origin, of_origin + 1);
        drop(taken);
        Ok(Place {
            places: self.clone(),
            origin,
        })
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    origin: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken();
        taken.all -= 1;
        if let Some(of_origin) = taken.by_origin.get_mut(&self.origin) {
            *of_origin -= 1;
            if *of_origin == 0 {
                taken.by_origin.remove(&self.origin);
            }
        }
    }
}

/// What counts as one address: of IPv6 the network, since whoever has one address of it has all.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
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

    fn places(places_max: usize, per_address_max: usize) -> Places {
        Places::new(PlaceLimits {
            places_max,
            per_address_max,
        })
    }

    fn take(places: &Places, address: &str) -> Result<Place, NoPlace> {
        places.take(address.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let places = places(100, 2);
        let first = take(&places, "192.0.2.1").unwrap();
        let _second = take(&places, "::ffff:192.0.2.1").unwrap();
        let refused = take(&places, "192.0.2.1").unwrap_err();
        assert_eq!(refused, NoPlace::Address);
        let _other = take(&places, "192.0.2.2").unwrap();
        drop(first);
        take(&places, "192.0.2.1").unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = places(100, 1);
        let _first = take(&places, "2001:db8:0:1::1").unwrap();
        let refused = take(&places, "2001:db8:0:1:ffff::2").unwrap_err();
        assert_eq!(refused, NoPlace::Address);
        take(&places, "2001:db8:0:2::1").unwrap();
    }

    #[test]
    fn the_same_machine_gets_through_when_others_have_all_they_may() {
        let places = places(8, 100);
        let others: Vec<_> = (0..6)
            .map(|n| take(&places, &format!("192.0.2.{n}")).unwrap())
            .collect();
        let refused = take(&places, "192.0.2.9").unwrap_err();
        assert_eq!(refused, NoPlace::Full);
        let _local = take(&places, "127.0.0.1").unwrap();
        let _local = take(&places, "::1").unwrap();
        assert_eq!(take(&places, "::1").unwrap_err(), NoPlace::Full);
        drop(others);
        assert_eq!(places.taken(), 2);
        assert_eq!(places.0.taken().by_origin.len(), 2);
    }
}
