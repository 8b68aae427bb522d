//! The choice of next hops.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{AddressState, AddressTable, InterfaceIndex, InternalAddresses, shares_prefix};

/// What is asked about a session.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// Our end of the connection.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// The interface of our address ([`AddressTable::follow`]); `None` when none has held it since the connection was
    /// opened.
    pub interface: Option<InterfaceIndex>,
    /// For sessions that are bound to a loopback address.
    pub internal: InternalAddresses,
    /// What is in use: it stays where others are not better.
    pub current: InternalAddresses,
    /// Whether this speaker announces an address itself: it belongs to a service, whoever holds it.
    pub announced: &'a dyn Fn(IpAddr) -> bool,
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("interface", &self.interface)
            .field("internal", &self.internal)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// The next hops of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Of IPv4.
    pub v4: Result<Chosen<Ipv4Addr>, NoNextHop>,
    /// Of IPv6: global or unique local.
    pub v6: Result<Chosen<Ipv6Addr>, NoNextHop>,
    /// The link-local address of the session's interface, if the peer is on the same link (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
}

impl Choice {
    /// The addresses without their reasons.
    pub const fn addresses(&self) -> InternalAddresses {
        let v4 = match self.v4 {
            Ok(chosen) => Some(chosen.address),
            Err(_) => None,
        };
        let v6 = match self.v6 {
            Ok(chosen) => Some(chosen.address),
            Err(_) => None,
        };
        InternalAddresses { v4, v6 }
    }
}

/// An address, and why it was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<A> {
    /// The address.
    pub address: A,
    /// Why.
    pub basis: Basis,
}

/// Why an address is a next hop. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Basis {
    /// It is the session's own.
    Session,
    /// It is the best one on the session's interface.
    Interface,
    /// It is the node's InternalIP, and the session is bound to a loopback address.
    InternalIp,
    /// It is the best one of all interfaces, and the session is bound to a loopback address.
    Node,
}

impl Basis {
    /// In words, for logs and states.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "address of the session",
            Self::Interface => "address of the session's interface",
            Self::InternalIp => "InternalIP of the node",
            Self::Node => "address of another interface",
        }
    }
}

/// Why there is no next hop of a family: what is wrong with the best of the addresses that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NoNextHop {
    /// An address is there, and is tentative or a duplicate.
    Unusable,
    /// The only address is one that this speaker announces.
    Announced,
    /// The only address is the peer's own.
    OfPeer,
    /// There is no address of the family that routers can send to.
    NoAddress,
}

impl NoNextHop {
    /// A label for metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unusable => "unusable",
            Self::Announced => "announced",
            Self::OfPeer => "ofPeer",
            Self::NoAddress => "noAddress",
        }
    }
}

impl fmt::Display for NoNextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unusable => "the address is tentative, or another machine has it too",
            Self::Announced => "the only address is itself announced for a service",
            Self::OfPeer => "the only address is the router's own",
            Self::NoAddress => {
                "the session's interface has no address of the family that a router can send to"
            }
        })
    }
}

impl AddressTable {
    /// The next hops of a session: its own address, else the best one of its interface; where it is bound to a loopback
    /// address, the node's InternalIP, else the best one of all interfaces.
    ///
    /// Never chosen are loopback, unspecified and multicast addresses, link-local ones, those that are tentative or
    /// duplicates, the peer's own, and those that this speaker announces. Deprecated ones, those that will not last,
    /// host routes, and temporary or secondary ones come last, in this order.
    #[must_use]
    pub fn choose(&self, query: &Query<'_>) -> Choice {
        let v4 = self.best(query, IpAddr::is_ipv4).and_then(|chosen| match chosen.address {
            IpAddr::V4(address) => Ok(Chosen { address, basis: chosen.basis }),
            IpAddr::V6(_) => Err(NoNextHop::NoAddress),
        });
        let v6 = self.best(query, IpAddr::is_ipv6).and_then(|chosen| match chosen.address {
            IpAddr::V6(address) => Ok(Chosen { address, basis: chosen.basis }),
            IpAddr::V4(_) => Err(NoNextHop::NoAddress),
        });
        Choice { v4, v6, link_local: self.link_local(query) }
    }

    fn best(&self, query: &Query<'_>, of_family: fn(&IpAddr) -> bool) -> Result<Chosen<IpAddr>, NoNextHop> {
        let mut best: Option<(Rank, Chosen<IpAddr>)> = None;
        let mut reason = NoNextHop::NoAddress;
        for (address, basis, state) in self.candidates(query) {
            if !of_family(&address) || !is_reachable(address) {
                continue;
            }
            if let Some(objection) = objection(query, address, &state) {
                reason = reason.min(objection);
                continue;
            }
            let rank = Rank::new(query, address, basis, &state);
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, Chosen { address, basis }));
            }
        }
        best.map(|(_, chosen)| chosen).ok_or(reason)
    }

    /// Everything that may be considered for a session, with why.
    fn candidates<'a>(
        &'a self,
        query: &'a Query<'_>,
    ) -> impl Iterator<Item = (IpAddr, Basis, AddressState)> + 'a {
        let own = query.local.ip().to_canonical();
        let on_loopback = own.is_loopback() || query.interface.is_some_and(|index| self.is_loopback(index));
        // What no interface ever held is routed to us in another way.
        let foreign = query.interface.is_none().then_some((own, Basis::Session, AddressState::default()));
        let near = query.interface.and_then(|index| self.addresses.get(&index)).into_iter().flatten();
        let near =
            near.filter(move |(address, _)| !on_loopback || **address == own).map(move |(address, state)| {
                let basis = if *address == own { Basis::Session } else { Basis::Interface };
                (*address, basis, *state)
            });
        let internal = [query.internal.v4.map(IpAddr::V4), query.internal.v6.map(IpAddr::V6)];
        let internal = internal.into_iter().flatten().filter(move |_| on_loopback);
        let internal = internal.map(|address| (address, Basis::InternalIp, self.state_of(address)));
        let all = self.addresses.iter().filter(move |_| on_loopback).flat_map(|(_, addresses)| addresses);
        let others = all.map(|(address, state)| (*address, Basis::Node, *state));
        foreign.into_iter().chain(near).chain(internal).chain(others)
    }

    fn is_loopback(&self, index: InterfaceIndex) -> bool {
        self.links.get(&index).is_some_and(|link| link.loopback)
    }

    /// The state of an address wherever it is; that of a good one if nothing is known.
    fn state_of(&self, address: IpAddr) -> AddressState {
        self.addresses.values().find_map(|all| all.get(&address)).copied().unwrap_or_default()
    }

    fn link_local(&self, query: &Query<'_>) -> Option<Ipv6Addr> {
        let (own, peer) = (query.local.ip().to_canonical(), query.remote.ip().to_canonical());
        let addresses = self.addresses.get(&query.interface?)?;
        // Only on IPv6 sessions: elsewhere routers do not know which link it belongs to, and FRR resets the session.
        let near = addresses.get(&own).is_some_and(|state| shares_prefix(own, peer, state.prefix));
        let mut usable = addresses.iter().filter(|(address, state)| !state.unusable && **address != peer);
        usable.find_map(|(address, _)| match address {
            IpAddr::V6(v6) if own.is_ipv6() && near && v6.is_unicast_link_local() => Some(*v6),
            _ => None,
        })
    }
}

/// How good an address is; the least is the best.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    basis: Basis,
    /// Deprecated, far from the peer, will not last, a host route, temporary or secondary: the worst first.
    flaws: [bool; 5],
    replaces_current: bool,
    address: IpAddr,
}

impl Rank {
    fn new(query: &Query<'_>, address: IpAddr, basis: Basis, state: &AddressState) -> Self {
        let peer = query.remote.ip().to_canonical();
        let same_family = peer.is_ipv4() == address.is_ipv4();
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let flaws = [
            state.deprecated,
            same_family && !shares_prefix(address, peer, state.prefix),
            state.valid_for.is_some_and(|valid| valid < SHORT),
            state.prefix >= whole,
            state.secondary,
        ];
        let current = query.current.v4.map(IpAddr::V4) == Some(address)
            || query.current.v6.map(IpAddr::V6) == Some(address);
        Self { basis, flaws, replaces_current: !current, address }
    }
}

/// Whether machines elsewhere can send to an address.
fn is_reachable(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return false;
    }
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    }
}

fn objection(query: &Query<'_>, address: IpAddr, state: &AddressState) -> Option<NoNextHop> {
    if state.unusable {
        return Some(NoNextHop::Unusable);
    }
    if address == query.remote.ip().to_canonical() {
        return Some(NoNextHop::OfPeer);
    }
    (query.announced)(address).then_some(NoNextHop::Announced)
}

/// An address that is valid for less will not last: routers that go on advertising one say longer (RFC 4862 §5.5.3).
const SHORT: Duration = Duration::from_secs(7200);
