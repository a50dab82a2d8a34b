//! How many connections a listener has: in all, and from one address.

use std::{net::IpAddr, sync::Arc};

use access::{NoPlace, PlaceLimits, Places};
use metrics::{Counter, Gauge, counter, gauge};

use crate::security::incoming::descriptors::Descriptor;

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
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

impl From<NoPlace> for Refused {
    fn from(none: NoPlace) -> Self {
        match none {
            NoPlace::Full => Self::Full,
            NoPlace::Address => Self::Address,
        }
    }
}

/// The connections of a listener. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Inner>);

struct Inner {
    places: Places,
    current: Gauge,
    refused: [Counter; 3],
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// No connections yet. `prefix` is the first part of the names of metrics.
    pub(crate) fn new(limits: PlaceLimits, prefix: &str, listener: &'static str) -> Self {
        let refused = Refused::ALL.map(|refused| {
            let name = format!("{prefix}_connections_refused_total");
            let counter = counter!(name, "listener" => listener, "reason" => refused.label());
            counter.increment(0);
            counter
        });
        let current = gauge!(format!("{prefix}_connections"), "listener" => listener);
        current.set(0);
        Self(Arc::new(Inner {
            places: Places::new(limits),
            current,
            refused,
        }))
    }

    /// A place for a connection from an address, until it is dropped.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Place, Refused> {
        let place = self.place(address);
        if let Err(refused) = &place {
            self.0.refused[*refused as usize].increment(1);
        }
        place
    }

    fn place(&self, address: IpAddr) -> Result<Place, Refused> {
        let taken = self.0.places.take(address)?;
        let descriptor = Descriptor::take().ok_or(Refused::Descriptors)?;
        self.0.current.increment(1);
        Ok(Place {
            current: self.0.current.clone(),
            _taken: taken,
            _descriptor: descriptor,
        })
    }
}

/// The place of a connection among those of its listener.
pub(crate) struct Place {
    current: Gauge,
    _taken: access::Place,
    _descriptor: Descriptor,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.current.decrement(1);
    }
}
