//! Following the machine's interfaces by netlink: subscribe first, then list, and list again whenever
//! the kernel had to drop messages.

use std::io;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoPortKind, LinkAttribute, LinkEvent, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};

use super::links::{Fact, Link, Links};
use super::{Error, Operation};
use crate::responder::{InterfaceIndex, Subnet};
use crate::wire::MacAddr;

/// A subscription to link and address changes.
#[derive(Debug)]
pub(super) struct Netlink {
    handle: Handle,
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
}

/// What netlink said.
#[derive(Debug)]
pub(super) enum News {
    Facts(Vec<Fact>),
    /// Messages were lost: list everything again.
    Overrun,
    /// The connection is gone.
    Closed,
}

impl Netlink {
    /// Subscribes; the connection runs on `runtime`.
    pub(super) fn open(runtime: &tokio::runtime::Runtime) -> Result<Self, Error> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let _context = runtime.enter();
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&groups)
            .map_err(|error| Error::io(Operation::FollowInterfaces, &error))?;
        runtime.spawn(connection);
        Ok(Self { handle, messages })
    }

    /// Lists all interfaces and addresses.
    pub(super) async fn list(&self) -> Result<Links, Error> {
        let mut links = Links::default();
        let mut messages = self.handle.link().get().execute();
        while let Some(message) = messages.try_next().await.map_err(|error| failed(&error))? {
            if let Some(fact) = link_fact(&message) {
                links.apply(fact);
            }
        }
        let mut messages = self.handle.address().get().execute();
        while let Some(message) = messages.try_next().await.map_err(|error| failed(&error))? {
            if let Some((index, subnet, usable)) = address_of(&message) {
                links.apply(Fact::Address(index, subnet, usable));
            }
        }
        Ok(links)
    }

    /// Waits for changes and returns all that have been reported, [`MAX_NEWS`] at most. Safe to cancel.
    pub(super) async fn next(&mut self) -> News {
        let Some((first, _)) = self.messages.next().await else { return News::Closed };
        let mut facts = Vec::new();
        let mut message = Some(first);
        while let Some(current) = message.take() {
            match current.payload {
                NetlinkPayload::InnerMessage(inner) => facts.extend(fact(&inner)),
                NetlinkPayload::Overrun(_) => return News::Overrun,
                _ => {}
            }
            if facts.len() < MAX_NEWS {
                message = self.messages.try_recv().ok().map(|(message, _)| message);
            }
        }
        News::Facts(facts)
    }
}

fn failed(error: &rtnetlink::Error) -> Error {
    let code = match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    };
    Error::Io { operation: Operation::FollowInterfaces, code, kind: io::ErrorKind::Other }
}

fn fact(message: &RouteNetlinkMessage) -> Option<Fact> {
    match message {
        RouteNetlinkMessage::NewLink(link) if is_bridge_port_report(link) => None,
        RouteNetlinkMessage::NewLink(link) => link_fact(link),
        RouteNetlinkMessage::DelLink(link) if is_bridge_port_report(link) => None,
        RouteNetlinkMessage::DelLink(link) => Some(Fact::LinkGone(InterfaceIndex(link.header.index))),
        RouteNetlinkMessage::NewAddress(address) => {
            address_of(address).map(|(index, subnet, usable)| Fact::Address(index, subnet, usable))
        }
        RouteNetlinkMessage::DelAddress(address) => {
            address_of(address).map(|(index, subnet, _)| Fact::AddressGone(index, subnet.address))
        }
        _ => None,
    }
}

/// Bridges and IPv6 report about links too, in messages of their own families that say nothing of the
/// link's existence.
fn is_bridge_port_report(message: &LinkMessage) -> bool {
    u8::from(message.header.interface_family) != FAMILY_UNSPECIFIED
}

/// What a message says of a link; `None` for the events of wireless cards, which come as link messages with
/// a name and nothing else.
fn link_fact(message: &LinkMessage) -> Option<Fact> {
    let mut name = String::new();
    let mut mac = None;
    let mut has_master = false;
    let mut in_vrf = false;
    let mut carrier_ups = 0;
    let mut notify_peers = false;
    let mut whole = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Address(octets) => {
                mac = <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddr::new);
            }
            LinkAttribute::Mtu(_) => whole = true,
            LinkAttribute::CarrierUpCount(count) => carrier_ups = *count,
            LinkAttribute::Event(event) => {
                notify_peers = matches!(event, LinkEvent::NotifyPeers | LinkEvent::BondingFailover);
            }
            LinkAttribute::Controller(index) => has_master = *index != 0,
            LinkAttribute::LinkInfo(infos) => {
                in_vrf = infos.iter().any(|info| matches!(info, LinkInfo::PortKind(InfoPortKind::Vrf)));
            }
            _ => {}
        }
    }
    let flags = message.header.flags;
    let running = flags.contains(LinkFlags::Up | LinkFlags::Running)
        && !flags.intersects(LinkFlags::Loopback | LinkFlags::Noarp);
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let mac = mac.filter(|mac: &MacAddr| ethernet && mac.is_unicast());
    let enslaved = has_master && !in_vrf;
    let link = Link { name, mac, running, enslaved, carrier_ups, notify_peers };
    whole.then_some(Fact::Link(InterfaceIndex(message.header.index), link))
}

fn address_of(message: &AddressMessage) -> Option<(InterfaceIndex, Subnet, bool)> {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut address = None;
    let mut local = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let usable = !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    let subnet = Subnet { address: local.or(address)?, prefix: message.header.prefix_len };
    Some((InterfaceIndex(message.header.index), subnet, usable))
}

/// Changes looked at before packets have their turn again.
const MAX_NEWS: usize = 256;
/// AF_UNSPEC.
const FAMILY_UNSPECIFIED: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 2;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::Running;
        message.attributes = attributes;
        message
    }

    fn whole() -> Vec<LinkAttribute> {
        vec![
            LinkAttribute::IfName("eth0".into()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::CarrierUpCount(3),
        ]
    }

    fn link(attributes: Vec<LinkAttribute>) -> Link {
        let Some(Fact::Link(_, link)) = link_fact(&message(attributes)) else { panic!("no link") };
        link
    }

    #[test]
    fn a_link_is_read_with_its_hardware_address_and_the_state_of_its_carrier() {
        let link = link(whole());
        assert_eq!((link.name.as_str(), link.mac), ("eth0", Some(MacAddr::new([2, 0, 0, 0, 0, 1]))));
        assert!(link.running && !link.enslaved && !link.notify_peers);
        assert_eq!(link.carrier_ups, 3);
    }

    #[test]
    fn a_failover_asks_to_notify_peers() {
        for event in [LinkEvent::NotifyPeers, LinkEvent::BondingFailover] {
            assert!(link([whole(), vec![LinkAttribute::Event(event)]].concat()).notify_peers);
        }
        assert!(!link([whole(), vec![LinkAttribute::Event(LinkEvent::Features)]].concat()).notify_peers);
    }

    #[test]
    fn an_event_of_a_wireless_card_says_nothing_of_the_link() {
        assert_eq!(link_fact(&message(vec![LinkAttribute::IfName("wlan0".into())])), None);
    }

    #[test]
    fn ports_of_bridges_are_told_from_members_of_a_vrf() {
        let in_bridge = [whole(), vec![LinkAttribute::Controller(7)]].concat();
        assert!(link(in_bridge.clone()).enslaved);
        let vrf = LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(InfoPortKind::Vrf)]);
        assert!(!link([in_bridge, vec![vrf]].concat()).enslaved);
    }
}
