//! The choice of next hops, a second time: lists instead of maps, sentences instead of ranks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use metallb_bgp::addresses::{
    AddressFact, AddressState, AddressTable, Basis, Choice, InterfaceIndex, InternalAddresses, Link,
    NoNextHop, Query,
};

/// Plays a history that octets describe, asks the table and the model after each fact, and compares.
///
/// # Panics
/// When the table does not choose as the model.
pub(crate) fn compare_histories(octets: &[u8]) {
    let mut table = AddressTable::default();
    let mut model = Model::default();
    for chunk in octets.chunks_exact(6) {
        let &[kind, index, address, prefix, flags, question] = chunk else { return };
        let interface = InterfaceIndex(u32::from(index % 4));
        let fact = fact(kind, interface, (address, prefix, flags));
        model.apply(&fact);
        table.apply(fact);
        let announced = |ip: IpAddr| ip == at(question >> 3);
        let question = Query {
            local: SocketAddr::new(at(question), 179),
            remote: SocketAddr::new(at(question.wrapping_mul(7).wrapping_add(flags)), 179),
            interface: (flags & 0x40 == 0).then_some(interface),
            internal: InternalAddresses {
                v4: "192.0.2.9".parse().ok().filter(|_| index & 0x10 == 0),
                v6: "2001:db8::9".parse().ok().filter(|_| index & 0x20 == 0),
            },
            current: InternalAddresses::default(),
            announced: &announced,
        };
        let choice = table.choose(&question);
        assert_eq!(
            choice.v4.map(|chosen| (IpAddr::V4(chosen.address), chosen.basis)),
            model.choose(&question, true)
        );
        assert_eq!(
            choice.v6.map(|chosen| (IpAddr::V6(chosen.address), chosen.basis)),
            model.choose(&question, false)
        );
        never(&choice, &question);
        // What is chosen stays chosen.
        let again = table.choose(&Query { current: choice.addresses(), ..question });
        assert_eq!(again, choice);
    }
}

/// What no next hop may be, whatever else is true.
fn never(choice: &Choice, question: &Query<'_>) {
    let chosen = choice.addresses();
    for ip in chosen.v4.map(IpAddr::V4).into_iter().chain(chosen.v6.map(IpAddr::V6)) {
        assert!(!ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast(), "{ip}");
        assert!(!ip.to_string().starts_with("169.254.") && !ip.to_string().starts_with("fe80:"), "{ip}");
        assert_ne!(ip, question.remote.ip());
        assert!(!(question.announced)(ip), "{ip}");
    }
}

fn fact(kind: u8, interface: InterfaceIndex, (address, prefix, flags): (u8, u8, u8)) -> AddressFact {
    let ip = at(address);
    match kind % 8 {
        0 => AddressFact::LinkGone(interface),
        1 => AddressFact::AddressGone(interface, ip),
        2 => AddressFact::Link(
            interface,
            Link { loopback: flags & 1 == 0, running: flags & 2 == 0, ..Link::default() },
        ),
        _ => {
            let longest = if ip.is_ipv4() { 32 } else { 128 };
            let state = AddressState {
                prefix: prefix.min(longest),
                unusable: flags & 0x3 == 3,
                deprecated: flags & 0x4 != 0,
                secondary: flags & 0x8 != 0,
                valid_for: (flags & 0x10 != 0).then(|| Duration::from_secs(u64::from(flags) * 60)),
            };
            AddressFact::Address(interface, ip, state)
        }
    }
}

fn at(number: u8) -> IpAddr {
    const ALL: [&str; 16] = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.9",
        "198.51.100.1",
        "10.0.0.1",
        "127.0.0.1",
        "169.254.0.1",
        "0.0.0.0",
        "2001:db8::1",
        "2001:db8::2",
        "2001:db8::9",
        "2001:db8:1::1",
        "fd00::1",
        "::1",
        "fe80::1",
        "ff02::1",
    ];
    let text = ALL.iter().cycle().nth(usize::from(number)).copied().unwrap_or("192.0.2.1");
    text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[derive(Default)]
struct Model {
    loopbacks: Vec<(InterfaceIndex, bool)>,
    addresses: Vec<(InterfaceIndex, IpAddr, AddressState)>,
}

type Found = (IpAddr, Basis, AddressState);

impl Model {
    fn apply(&mut self, fact: &AddressFact) {
        match fact {
            AddressFact::Link(index, link) => {
                self.loopbacks.retain(|(other, _)| other != index);
                self.loopbacks.push((*index, link.loopback));
            }
            AddressFact::LinkGone(index) => {
                self.loopbacks.retain(|(other, _)| other != index);
                self.addresses.retain(|(other, ..)| other != index);
            }
            AddressFact::Address(index, ip, state) => {
                self.addresses.retain(|(i, a, _)| (i, a) != (index, ip));
                self.addresses.push((*index, *ip, *state));
            }
            AddressFact::AddressGone(index, ip) => {
                self.addresses.retain(|(i, a, _)| (i, a) != (index, ip));
            }
        }
        self.addresses.sort_by_key(|(index, ip, _)| (*index, *ip));
    }

    fn choose(&self, question: &Query<'_>, v4: bool) -> Result<(IpAddr, Basis), NoNextHop> {
        let sets = self.sets(question);
        let sets =
            sets.map(|set| set.into_iter().filter(|found| found.0.is_ipv4() == v4).collect::<Vec<Found>>());
        let usable = |found: &&Found| {
            let (ip, _, state) = found;
            !state.unusable && *ip != question.remote.ip() && !(question.announced)(*ip)
        };
        for set in &sets {
            // From the least flaw to the greatest, each sentence of its own.
            let mut left: Vec<&Found> = set.iter().filter(usable).collect();
            keep_where_possible(&mut left, |(_, _, state)| !state.deprecated);
            keep_where_possible(&mut left, |(ip, _, state)| near(question.remote.ip(), *ip, state.prefix));
            keep_where_possible(&mut left, |(_, _, state)| {
                state.valid_for.is_none_or(|valid| valid >= Duration::from_secs(2 * 60 * 60))
            });
            keep_where_possible(&mut left, |(ip, _, state)| {
                state.prefix < if ip.is_ipv4() { 32 } else { 128 }
            });
            keep_where_possible(&mut left, |(_, _, state)| !state.secondary);
            if let Some((ip, basis, _)) = left.into_iter().min_by_key(|(ip, ..)| *ip) {
                return Ok((*ip, *basis));
            }
        }
        let all = || sets.iter().flatten();
        if all().any(|(_, _, state)| state.unusable) {
            return Err(NoNextHop::Unusable);
        }
        if all().any(|(ip, ..)| *ip != question.remote.ip() && (question.announced)(*ip)) {
            return Err(NoNextHop::Announced);
        }
        if all().next().is_some() { Err(NoNextHop::OfPeer) } else { Err(NoNextHop::NoAddress) }
    }

    /// What may be considered: own, of the interface, internal, all others.
    fn sets(&self, question: &Query<'_>) -> [Vec<Found>; 4] {
        let own = question.local.ip();
        let index = question.interface;
        let loopback = own.is_loopback() || self.loopbacks.iter().any(|(i, is)| Some(*i) == index && *is);
        let on_interface = self.addresses.iter().filter(|(i, ..)| Some(*i) == index);
        let session = match index {
            None => vec![(own, Basis::Session, AddressState::default())],
            Some(_) => on_interface
                .clone()
                .filter(|(_, ip, _)| *ip == own)
                .map(|(_, ip, s)| (*ip, Basis::Session, *s))
                .collect(),
        };
        let interface: Vec<Found> = if loopback {
            Vec::new()
        } else {
            on_interface
                .filter(|(_, ip, _)| *ip != own)
                .map(|(_, ip, s)| (*ip, Basis::Interface, *s))
                .collect()
        };
        let mut internal = Vec::new();
        let mut others = Vec::new();
        if loopback {
            let given = [question.internal.v4.map(IpAddr::V4), question.internal.v6.map(IpAddr::V6)];
            for ip in given.into_iter().flatten() {
                let state = self.addresses.iter().find(|(_, a, _)| *a == ip).map(|(_, _, state)| *state);
                internal.push((ip, Basis::InternalIp, state.unwrap_or_default()));
            }
            others.extend(self.addresses.iter().map(|(_, ip, state)| (*ip, Basis::Node, *state)));
        }
        [session, interface, internal, others]
            .map(|set| set.into_iter().filter(|(ip, ..)| is_global(*ip)).collect())
    }
}

fn keep_where_possible(list: &mut Vec<&Found>, wanted: impl Fn(&Found) -> bool) {
    if list.iter().any(|found| wanted(found)) {
        list.retain(|found| wanted(found));
    }
}

/// In the prefix with the peer; of another family nobody can say.
fn near(peer: IpAddr, ip: IpAddr, prefix: u8) -> bool {
    let bits = |ip: IpAddr| -> Vec<bool> {
        let octets = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
    };
    let (a, b) = (bits(peer), bits(ip));
    a.len() != b.len() || a.iter().zip(&b).take(usize::from(prefix)).all(|(a, b)| a == b)
}

fn is_global(ip: IpAddr) -> bool {
    let text = ip.to_string();
    let local = ["127.", "169.254.", "0.", "fe80:", "ff"].iter().any(|prefix| text.starts_with(prefix));
    !local && !["::1", "::"].contains(&text.as_str())
}
