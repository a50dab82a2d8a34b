use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Which addresses the URLs of users may lead to: global ones, and what an operator allows besides.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    /// Prefixes that are allowed although they are not global.
    pub allowed_prefixes: Vec<IpNet>,
    /// Whether `http` is allowed, where everybody on the way reads what is sent.
    pub http_allowed: bool,
}

/// Networks of IPv4 that are not the public internet, from the IANA special-purpose registry.
const DENIED_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks within 2000::/3 that are not the public internet: protocol assignments with Teredo,
/// documentation (two), 6to4, which carries any IPv4 address. All outside 2000::/3 is denied as well.
const DENIED_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// What NAT64 translates to the IPv4 address in the last 32 bits.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// The longest URL of a user.
const URL_BYTES_MAX: usize = 2000;

/// Names that are never public.
const DENIED_NAMES: [&str; 4] = ["localhost", "internal", "local", "home.arpa"];

impl AddressRules {
    /// Whether an address may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let meant = meant(address);
        let listed = |ip: &IpAddr| self.allowed_prefixes.iter().any(|net| net.contains(ip));
        listed(&address) || listed(&meant) || is_global(meant)
    }

    /// What is wrong with a URL, before its name is resolved. The resolver applies
    /// [`AddressRules::allows`] to what the name leads to.
    ///
    /// # Errors
    /// For people.
    pub fn check(&self, url: &Url) -> Result<(), String> {
        match url.scheme() {
            "https" => {}
            "http" if self.http_allowed => {}
            "http" => return Err("must begin with https".to_owned()),
            other => return Err(format!("must begin with https, not {other}")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and no password".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if port < 1024 && port != 443 && port != 80 {
            return Err(format!(
                "port {port} is not allowed: 80, 443, or from 1024 on"
            ));
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(format!("must have at most {URL_BYTES_MAX} bytes"));
        }
        let denied = match url.host() {
            None => return Err("has no host".to_owned()),
            Some(Host::Ipv4(ip)) => !self.allows(ip.into()),
            Some(Host::Ipv6(ip)) => !self.allows(ip.into()),
            Some(Host::Domain(name)) => self.allowed_prefixes.is_empty() && is_denied_name(name),
        };
        if denied {
            return Err("leads to an address that is not public".to_owned());
        }
        Ok(())
    }
}

/// The IPv4 address that an IPv6 address stands for, if it does.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    if contains_v6(NAT64, v6) {
        let [.., a, b, c, d] = v6.octets();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => !DENIED_V4
            .iter()
            .any(|(net, bits)| Ipv4Net::new_assert(*net, *bits).contains(&ip)),
        IpAddr::V6(ip) => {
            contains_v6(GLOBAL_V6, ip) && !DENIED_V6.iter().any(|net| contains_v6(*net, ip))
        }
    }
}

fn contains_v6((net, bits): (Ipv6Addr, u8), ip: Ipv6Addr) -> bool {
    Ipv6Net::new_assert(net, bits).contains(&ip)
}

fn is_denied_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    DENIED_NAMES.iter().any(|denied| {
        name.strip_suffix(denied)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
    })
}
