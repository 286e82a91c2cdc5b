//! Which addresses a channel may reach: public ones, unless its settings allow private ones.
//!
//! The check stands in the resolver that the connection uses, so that what was checked is what is
//! connected to; hosts that are addresses never reach a resolver and are checked by [`check_url`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why a destination is not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Plain text over a network that is not ours.
    #[error("must be https; or set allow_private = true for a receiver inside your network")]
    NotHttps,
    /// Not a web address with a host.
    #[error("must be an https address with a host")]
    NoHost,
    /// Name or password in the address.
    #[error("must not hold a user or a password; they would be shown with the address")]
    Credentials,
    /// The host is an address that is not public.
    #[error("{0} is not a public address; set allow_private = true if it is your receiver")]
    Private(IpAddr),
    /// The host's name has none but private addresses.
    #[error("`{0}` has no public address; set allow_private = true if it is your receiver")]
    PrivateName(String),
}

/// Networks that are not public. Source: the special-purpose address registries of IANA.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this host
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // shared by carriers
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // the host of Azure's machines
    v4(169, 254, 0, 0, 16),   // link-local, cloud metadata
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, broadcast
];

/// The only IPv6 network that is public, but for the ones below.
const UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// Parts of it that are not, or that lead to an IPv4 address of someone's choice.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 23),     // protocol assignments, Teredo
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x2002, 0, 0], 16),     // 6to4
    v6([0x3fff, 0, 0], 20),     // documentation
];

/// IPv4 addresses behind a translator (RFC 6052).
const TRANSLATED_V6: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(head: [u16; 3], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, 0), length)
}

/// Whether the address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            if address.to_ipv4_mapped().is_some() || TRANSLATED_V6.contains(&address) {
                return is_public(Ipv4Addr::new(a, b, c, d).into());
            }
            UNICAST_V6.contains(&address)
                && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// Checks all of an address that can be checked without a resolver.
pub fn check_url(url: &Url, allow_private: bool) -> Result<(), DestinationError> {
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        "http" => return Err(DestinationError::NotHttps),
        _ => return Err(DestinationError::NoHost),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(DestinationError::Credentials);
    }
    let address: IpAddr = match url.host() {
        None => return Err(DestinationError::NoHost),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
    };
    let allowed = allow_private || is_public(address);
    if allowed { Ok(()) } else { Err(DestinationError::Private(address)) }
}

/// Resolves through another resolver, and returns only addresses that may be reached.
pub struct GuardedResolver {
    lookup: Arc<dyn Resolve>,
    allow_private: bool,
}

impl GuardedResolver {
    /// Guards `lookup`.
    pub fn new(lookup: Arc<dyn Resolve>, allow_private: bool) -> Self {
        Self { lookup, allow_private }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let text = name.as_str().to_owned();
        let found = self.lookup.resolve(name);
        let allow_private = self.allow_private;
        Box::pin(async move {
            let allowed = |address: &SocketAddr| allow_private || is_public(address.ip());
            let addresses: Vec<SocketAddr> = found.await?.filter(allowed).collect();
            if addresses.is_empty() {
                return Err(DestinationError::PrivateName(text).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the system.
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 stands for the port of the address that is connected to.
            let addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
