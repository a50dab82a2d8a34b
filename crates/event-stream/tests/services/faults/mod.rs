//! Tests of faults: outages, proxies, shutdown, several servers.

mod outage;
mod proxied;
mod shutdown;
