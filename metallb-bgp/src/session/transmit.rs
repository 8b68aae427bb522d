//! Octets for the socket: messages of the state machine, then what the table has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use super::connection::{Connection, ConnectionId, Direction, Endpoints};
use super::{Event, NextHops, PeerConfig, Session, WithheldReason};
use crate::addresses::NoNextHop;
use crate::fsm::State;
use crate::table::{AdvTable, Announced, Mark, PeerSlot, Prefixes, RouteAttributes, Sink};
use crate::types::{AsPath, Asn, Attributes, Community, Families, Family, NextHop, PeerKind};
use crate::wire::header::{Header, MessageLimit, MessageType};
use crate::wire::negotiate::Negotiated;
use crate::wire::pack::{
    Announcements, AttributeBlock, DEFAULT_LOCAL_PREF, WirePrefix, Withdrawals, encode_end_of_rib,
};
use crate::wire::refresh::{RefreshSubtype, RouteRefresh};

impl Session {
    /// Appends what is to be written on a connection next, about [`TRANSMIT_SIZE`] octets at most at a time;
    /// returns whether anything was appended. Call it when the socket has taken what was given before, so that a
    /// slow peer gets the latest state of each route instead of its history.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        table: &mut AdvTable,
        out: &mut Vec<u8>,
    ) -> bool {
        let now = self.tick(now);
        self.settle(table);
        let Some(direction) = self.direction_of(id) else { return false };
        let start = out.len();
        if let Some(connection) = self.connection_mut(direction) {
            out.append(&mut connection.out);
        }
        self.pull(direction, table, out);
        let written = out.get(start..).unwrap_or_default();
        let updates = self.note_messages(direction, written);
        if updates {
            // RFC 4271 §8.2.2: the keepalive timer restarts with every UPDATE sent, too.
            self.restart_keepalive(now, direction);
        }
        out.len() > start
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) would append something.
    pub fn has_transmit(&self, id: ConnectionId, table: &AdvTable) -> bool {
        let Some(connection) = self.direction_of(id).and_then(|d| self.connection(d)) else { return false };
        let establishing = connection.state == State::Established && connection.slot.is_none();
        let work = connection.slot.is_some_and(|slot| table.has_work(slot));
        !connection.out.is_empty() || establishing || work || !connection.refresh.is_empty()
    }

    /// Takes routes from the table until there is enough for one write.
    fn pull(&mut self, direction: Direction, table: &mut AdvTable, out: &mut Vec<u8>) {
        let Some(slot) = self.attach(direction, table) else { return };
        if !table.has_work(slot) {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let Some(connection) = self.connection(direction) else { return };
        let Some(export) = Export::new(connection, &self.config) else { return };
        let mut withheld = [None; 2];
        for (family, withheld) in export.negotiated.families.iter().zip(&mut withheld) {
            let mut writer = Writer { export: &export, family, out, scratch: &mut scratch, withheld: None };
            while writer.out.len() < TRANSMIT_SIZE && table.pull(slot, family, &mut writer) {}
            *withheld = writer.withheld.map(|reason| (family, reason));
        }
        self.scratch = scratch;
        for (family, reason) in withheld.into_iter().flatten() {
            self.withhold(direction, family, reason);
        }
        if !table.owes_end_of_rib(slot) {
            self.restarting = false;
            self.complete(direction);
        }
    }

    /// Tells once in a session that everything has been handed out.
    fn complete(&mut self, direction: Direction) {
        let Some(connection) = self.connection_mut(direction) else { return };
        if !std::mem::replace(&mut connection.is_complete, true) {
            self.events.push_back(Event::Advertised { peer: self.key.clone() });
        }
    }

    /// The connection's place in the table; taken when it is established.
    fn attach(&mut self, direction: Direction, table: &mut AdvTable) -> Option<PeerSlot> {
        let connection = match direction {
            Direction::Outgoing => &mut self.outgoing,
            Direction::Incoming => self.incoming.as_mut()?,
        };
        if connection.state != State::Established {
            return None;
        }
        let negotiated = connection.negotiated.as_ref()?;
        if connection.slot.is_none() {
            connection.slot = table.attach(&self.key, negotiated.families, negotiated.enhanced_refresh);
        }
        let slot = connection.slot?;
        for family in std::mem::take(&mut connection.refresh).iter() {
            table.refresh(slot, family);
        }
        if connection.deferral_over {
            table.release_end_of_rib(slot);
        }
        Some(slot)
    }

    /// Counts messages that were handed out and remembers their ends; returns whether there were UPDATEs.
    fn note_messages(&mut self, direction: Direction, written: &[u8]) -> bool {
        let mut rest = written;
        let (mut updates, mut refreshes, mut messages) = (0, 0, 0);
        let Some(connection) = self.connection_mut(direction) else { return false };
        while let Some((length, kind)) = message(rest) {
            messages += 1;
            updates += u64::from(kind == MessageType::Update.code());
            refreshes += u64::from(kind == MessageType::RouteRefresh.code());
            connection.in_flight.push_back(u32::from(length));
            rest = rest.get(usize::from(length)..).unwrap_or_default();
        }
        connection.in_flight_octets += written.len();
        self.counters.messages_sent += messages;
        self.counters.updates_sent += updates;
        self.counters.refreshes_sent += refreshes;
        updates > 0
    }

    /// Routes of a family have no next hop on this connection: the user is told once for each reason.
    fn withhold(&mut self, direction: Direction, family: Family, reason: WithheldReason) {
        let Some(connection) = self.connection_mut(direction) else { return };
        if connection.withheld.contains(&(family, reason)) {
            return;
        }
        connection.withheld.retain(|(other, _)| *other != family);
        connection.withheld.push((family, reason));
        self.events.push_back(Event::RoutesWithheld { peer: self.key.clone(), family, reason: Some(reason) });
    }

    /// The machine's addresses changed: the ends of a connection are the same, and routes point to what `endpoints` says
    /// now. Each family whose next hop is another one is sent again, without a reset; routes that waited for one go out,
    /// and those that lost it are withdrawn.
    pub fn handle_addresses(&mut self, now: Instant, id: ConnectionId, endpoints: Endpoints) {
        self.tick(now);
        let Some(direction) = self.direction_of(id) else { return };
        let hops = |session: &Self| {
            let export = session.connection(direction).and_then(|c| Export::new(c, &session.config))?;
            Some([Family::Ipv4Unicast, Family::Ipv6Unicast].map(|family| (family, export.next_hop(family))))
        };
        let before = hops(self);
        match self.connection_mut(direction) {
            Some(connection) if connection.endpoints.is_some() => connection.endpoints = Some(endpoints),
            _ => return,
        }
        let (Some(before), Some(after)) = (before, hops(self)) else { return };
        for ((family, _), _) in before.into_iter().zip(after).filter(|(old, new)| old != new) {
            self.resend_family(direction, family);
        }
        self.release_those_with_next_hop(direction);
    }

    /// Says of families whose routes were withheld and that have a next hop now that they are not any more.
    pub(super) fn release_those_with_next_hop(&mut self, direction: Direction) {
        let Some(connection) = self.connection(direction) else { return };
        let Some(export) = Export::new(connection, &self.config) else { return };
        let withheld = connection.withheld.iter().map(|(family, _)| *family);
        let released: Families = withheld.filter(|family| export.next_hop(*family).is_ok()).collect();
        for family in released.iter() {
            self.release(direction, family);
        }
    }

    /// A family has a next hop again.
    fn release(&mut self, direction: Direction, family: Family) {
        let Some(connection) = self.connection_mut(direction) else { return };
        let before = connection.withheld.len();
        connection.withheld.retain(|(other, _)| *other != family);
        if connection.withheld.len() < before {
            self.events.push_back(Event::RoutesWithheld { peer: self.key.clone(), family, reason: None });
        }
    }

    fn resend_family(&mut self, direction: Direction, family: Family) {
        let Some(connection) = self.connection_mut(direction) else { return };
        let agreed = connection.negotiated.as_ref().is_some_and(|n| n.families.contains(family));
        if connection.state == State::Established && agreed {
            connection.refresh = connection.refresh.with(family);
        }
    }

    /// Appends withdrawals of everything the peer holds to the connection's last words.
    pub(super) fn withdraw_all(&mut self, direction: Direction, table: &mut AdvTable) {
        let mut out = Vec::new();
        let Some(connection) = self.connection(direction) else { return };
        let Some(slot) = connection.slot else { return };
        let Some(export) = Export::new(connection, &self.config) else { return };
        for family in export.negotiated.families.iter() {
            let mut scratch = Scratch::default();
            let (export, out, scratch) = (&export, &mut out, &mut scratch);
            let mut writer = Writer { export, family, out, scratch, withheld: None };
            table.withdraw_all(slot, family, &mut writer);
        }
        self.note_messages(direction, &out);
        if let Some(connection) = self.connection_mut(direction) {
            connection.out.append(&mut out);
        }
    }
}

/// Length and type of the message at the front.
fn message(octets: &[u8]) -> Option<(u16, u8)> {
    let header = octets.get(..Header::LEN)?;
    let &[high, low, kind] = header.last_chunk()?;
    let length = u16::from_be_bytes([high, low]);
    (usize::from(length) >= Header::LEN).then_some((length, kind))
}

/// How routes look on one connection.
struct Export<'a> {
    negotiated: &'a Negotiated,
    local_asn: Asn,
    next_hops: NextHops,
    /// Of an unnumbered peer over IPv6 IPv4 routes, too, point to the link: an IPv4 address need not mean anything there.
    prefers_ipv6: bool,
    graceful_shutdown: bool,
    endpoints: Endpoints,
}

impl<'a> Export<'a> {
    fn new(connection: &'a Connection, config: &PeerConfig) -> Option<Self> {
        Some(Self {
            negotiated: connection.negotiated.as_ref()?,
            local_asn: connection.sent_open.as_ref()?.asn,
            next_hops: config.next_hops,
            prefers_ipv6: config.interface.is_some() && config.next_hops.v4.is_none(),
            graceful_shutdown: config.graceful_shutdown,
            endpoints: connection.endpoints?,
        })
    }

    /// Makes `attributes` those of a route on the wire; `None` when there is no next hop for it.
    fn attributes(&self, route: &RouteAttributes, family: Family, attributes: &mut Attributes) -> Option<()> {
        attributes.next_hop = self.next_hop(family).ok()?;
        match self.negotiated.peer {
            PeerKind::Internal => {
                attributes.as_path = AsPath::default();
                attributes.local_pref = Some(route.local_pref().unwrap_or(DEFAULT_LOCAL_PREF));
            }
            PeerKind::External => {
                attributes.local_pref = None;
                if !attributes.as_path.asns().eq([self.local_asn]) {
                    attributes.as_path = AsPath::sequence([self.local_asn]);
                }
            }
        }
        attributes.med = route.med();
        attributes.communities.clear();
        attributes.communities.extend_from_slice(route.communities());
        attributes.large_communities.clear();
        attributes.large_communities.extend_from_slice(route.large_communities());
        if self.graceful_shutdown {
            attributes.local_pref = attributes.local_pref.map(|_| 0);
            attributes.communities.push(Community::GRACEFUL_SHUTDOWN);
        }
        Some(())
    }

    /// RFC 4271 §5.1.3, RFC 2545 §3, RFC 8950 §4: never the peer's own address.
    fn next_hop(&self, family: Family) -> Result<NextHop, WithheldReason> {
        let hop = match (family, self.v4(), self.v6()) {
            (Family::Ipv4Unicast, _, Ok(hop)) if self.prefers_ipv6 && self.negotiated.extended_next_hop => {
                hop
            }
            (Family::Ipv4Unicast, Ok(address), _) => NextHop::V4(address),
            (Family::Ipv4Unicast, Err(_), Ok(hop)) if self.negotiated.extended_next_hop => hop,
            (Family::Ipv4Unicast, Err(reason), Ok(_)) if !self.negotiated.extended_next_hop => {
                return Err(WithheldReason::NoExtendedNextHop(reason));
            }
            (Family::Ipv4Unicast, Err(reason), _) | (Family::Ipv6Unicast, _, Err(reason)) => {
                return Err(WithheldReason::NoNextHop(reason));
            }
            (Family::Ipv6Unicast, _, Ok(hop)) => hop,
        };
        let of_peer = hop.address() == self.endpoints.remote.ip().to_canonical();
        if of_peer { Err(WithheldReason::NoNextHop(NoNextHop::OfPeer)) } else { Ok(hop) }
    }

    fn v4(&self) -> Result<Ipv4Addr, NoNextHop> {
        let chosen = self.endpoints.next_hops.v4.map(|chosen| chosen.address);
        self.next_hops.v4.map_or(chosen, Ok)
    }

    fn v6(&self) -> Result<NextHop, NoNextHop> {
        if let Some(global) = self.next_hops.v6 {
            return Ok(NextHop::V6 { global, link_local: None });
        }
        let local = match self.endpoints.local.ip() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        };
        let chosen = &self.endpoints.next_hops;
        let link_local = local.filter(Ipv6Addr::is_unicast_link_local).or(chosen.link_local);
        match (chosen.v6, link_local) {
            (Ok(chosen), link_local) => Ok(NextHop::V6 { global: chosen.address, link_local }),
            // As most routers do it, where RFC 2545 knows no way.
            (Err(_), Some(global)) => Ok(NextHop::V6 { global, link_local }),
            (Err(reason), None) => Err(reason),
        }
    }
}

/// Writes one family's messages.
struct Writer<'a> {
    export: &'a Export<'a>,
    family: Family,
    out: &'a mut Vec<u8>,
    scratch: &'a mut Scratch,
    /// Routes were left out for this reason.
    withheld: Option<WithheldReason>,
}

/// Memory for the attributes of the next group of routes, so that a change need not ask for any.
#[derive(Debug)]
pub(super) struct Scratch {
    attributes: Attributes,
    block: AttributeBlock,
}

impl Default for Scratch {
    fn default() -> Self {
        let nowhere = NextHop::V4(Ipv4Addr::UNSPECIFIED);
        Self { attributes: Attributes::originate(nowhere), block: AttributeBlock::empty() }
    }
}

impl Writer<'_> {
    const fn limit(&self) -> MessageLimit {
        self.export.negotiated.send_limit
    }

    /// Writes routes with the attributes of the block in the scratch memory.
    fn announce_as<P: WirePrefix>(&mut self, prefixes: &[P], more: bool) -> Announced {
        let (limit, block) = (self.limit(), &self.scratch.block);
        let mut messages = Announcements::new(block, prefixes, limit);
        let mut announced = Announced::default();
        loop {
            let start = self.out.len();
            match messages.write_next(self.out) {
                Ok(0) => return announced,
                Ok(count) if more && announced.done + count == prefixes.len() => {
                    self.out.truncate(start);
                    return announced;
                }
                Ok(count) => announced.done += count,
                Err(_) => {
                    // The next one does not fit even alone; a shorter one behind it may.
                    announced.unsendable.push(announced.done);
                    announced.done += 1;
                    let rest = prefixes.get(announced.done..).unwrap_or_default();
                    messages = Announcements::new(block, rest, limit);
                }
            }
        }
    }

    fn withdraw_as<P: WirePrefix>(&mut self, prefixes: &[P]) {
        let mut messages = Withdrawals::new(self.family, prefixes, self.limit());
        // The table keeps families apart, so the only error there is cannot occur.
        while messages.write_next(self.out).is_ok_and(|count| count > 0) {}
    }
}

impl Sink for Writer<'_> {
    fn announce(&mut self, attributes: &RouteAttributes, prefixes: Prefixes<'_>, more: bool) -> Announced {
        if let Err(reason) = self.export.next_hop(self.family) {
            self.withheld = Some(reason);
            return Announced::none(prefixes.len());
        }
        let encoding = self.export.negotiated.encoding();
        let Scratch { attributes: list, block } = &mut *self.scratch;
        // With more attributes than their length field can count.
        let encoded = self.export.attributes(attributes, self.family, list);
        if encoded.and_then(|()| block.replace(list, self.family, encoding).ok()).is_none() {
            return Announced::none(prefixes.len());
        }
        match prefixes {
            Prefixes::V4(prefixes) => self.announce_as(prefixes, more),
            Prefixes::V6(prefixes) => self.announce_as(prefixes, more),
        }
    }

    fn withdraw(&mut self, prefixes: Prefixes<'_>) {
        match prefixes {
            Prefixes::V4(prefixes) => self.withdraw_as(prefixes),
            Prefixes::V6(prefixes) => self.withdraw_as(prefixes),
        }
    }

    fn mark(&mut self, mark: Mark) {
        let subtype = match mark {
            Mark::EndOfRib => return encode_end_of_rib(self.family, self.out),
            Mark::BeginRefresh => RefreshSubtype::Begin,
            Mark::EndRefresh => RefreshSubtype::End,
        };
        RouteRefresh { family: self.family.afi_safi(), subtype }.encode(self.out);
    }
}

/// How much [`Session::poll_transmit`] gives at a time; one message or one batch of changes may go beyond.
pub const TRANSMIT_SIZE: usize = 1 << 16;
