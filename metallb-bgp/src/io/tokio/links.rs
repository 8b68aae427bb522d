//! The interfaces with unnumbered peers: [`Link`]s with their sockets.

mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

use self::socket::{LinkSocket, Packet};
use super::engine::now;
use crate::addresses::{AddressTable, InterfaceIndex};
use crate::unnumbered::{Link, NoNeighbor, Outcome, Received};

/// All interfaces with unnumbered peers.
pub(super) struct Links {
    ports: BTreeMap<String, Port>,
    seed: u64,
    timer: Pin<Box<Sleep>>,
}

/// Something that sessions over an interface should know.
pub(super) struct Change {
    pub(super) interface: String,
    /// Sessions that wait should try now.
    pub(super) calls: bool,
}

/// An interface.
struct Port {
    link: Link,
    socket: Option<LinkSocket>,
    trouble: Trouble,
    /// How many messages may still be read before `refill`.
    budget: u32,
    refill: Option<Instant>,
}

/// What does not work.
#[derive(Default)]
struct Trouble {
    /// The socket could not be opened, and is tried again then.
    deaf: Option<(Option<i32>, Option<Instant>)>,
    /// Why a message could not be sent, as it was told last.
    sending: Option<io::ErrorKind>,
}

impl Links {
    /// None; the times of their messages come from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let timer = Box::pin(sleep_until(now().into()));
        Self { ports: BTreeMap::new(), seed, timer }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Has these interfaces followed and no others.
    pub(super) fn want(&mut self, wanted: &BTreeSet<&str>, table: &AddressTable) {
        self.ports.retain(|name, _| wanted.contains(name.as_str()));
        for name in wanted {
            if !self.ports.contains_key(*name) {
                let seed = name.bytes().fold(self.seed, |seed, octet| seed.rotate_left(5) ^ u64::from(octet));
                let mut port = Port::new(Link::new(seed));
                port.follow(name, table);
                self.ports.insert((*name).to_owned(), port);
            }
        }
    }

    /// Takes the interfaces and addresses of the machine as they are now.
    pub(super) fn apply(&mut self, table: &AddressTable) {
        for (name, port) in &mut self.ports {
            port.follow(name, table);
        }
    }

    /// With whom there may be a session over an interface.
    pub(super) fn neighbors(&self, interface: &str) -> Result<Vec<IpAddr>, NoNeighbor> {
        self.ports.get(interface).map_or(Err(NoNeighbor::NoInterface), Port::neighbors)
    }

    /// The interfaces on which we make ourselves known.
    pub(super) fn spoken(&self) -> Vec<InterfaceIndex> {
        self.ports.values().filter_map(|port| port.link.listens_on()).collect()
    }

    /// The index of an interface, if there is one.
    pub(super) fn index(&self, interface: &str) -> Option<InterfaceIndex> {
        self.ports.get(interface)?.link.index()
    }

    /// Reads, sends and does what is due. Returns whether anything happened, and what sessions should know.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_own: impl Fn(Ipv6Addr) -> bool,
    ) -> (bool, Vec<Change>) {
        let mut changes = Vec::new();
        let mut progress = false;
        let time = now();
        for (name, port) in &mut self.ports {
            let before = port.neighbors();
            port.link.handle_timeout(time);
            port.adjust_socket(name, time);
            let (read, calls) = port.receive(cx, time, &is_own);
            progress |= read | port.send(name);
            if calls || port.neighbors() != before {
                changes.push(Change { interface: name.clone(), calls });
            }
        }
        progress |= self.poll_timer(cx);
        (progress, changes)
    }

    /// Whether something is due already; else it will be called when it is.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(next) = self.ports.values().filter_map(Port::next_timeout).min() else { return false };
        let next = tokio::time::Instant::from_std(next);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl Port {
    fn new(link: Link) -> Self {
        Self { link, socket: None, trouble: Trouble::default(), budget: BUDGET, refill: None }
    }

    fn follow(&mut self, name: &str, table: &AddressTable) {
        let time = now();
        self.link.handle_interface(time, table.interface(name));
        self.adjust_socket(name, time);
    }

    fn neighbors(&self) -> Result<Vec<IpAddr>, NoNeighbor> {
        match (self.link.neighbors(), self.trouble.deaf) {
            (Err(NoNeighbor::Silent), Some((error, _))) => Err(NoNeighbor::Deaf(error)),
            (neighbors, _) => neighbors,
        }
    }

    /// Opens the socket, or another one, or closes it, as the link wants it.
    fn adjust_socket(&mut self, name: &str, time: Instant) {
        let Some(index) = self.link.listens_on() else {
            // What could not be opened is not tried again either.
            (self.socket, self.trouble) = (None, Trouble::default());
            return;
        };
        if self.socket.as_ref().map(LinkSocket::index) == Some(index) {
            return;
        }
        self.socket = None;
        if self.trouble.deaf.is_some_and(|(_, again)| again.is_some_and(|again| again > time)) {
            return;
        }
        match LinkSocket::open(index) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.trouble = Trouble::default();
            }
            Err(error) => {
                let number = error.raw_os_error();
                if self.trouble.deaf.map(|(before, _)| before) != Some(number) {
                    tracing::warn!(protocol = "bgp", interface = name, %error, "router advertisements cannot be received");
                }
                self.trouble.deaf = Some((number, time.checked_add(RETRY)));
            }
        }
    }

    /// Reads what there is, but not more than [`BUDGET`] messages in [`REFILL`]: what comes faster is no router. Returns
    /// whether anything was read, and whether sessions should try now.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        time: Instant,
        is_own: &impl Fn(Ipv6Addr) -> bool,
    ) -> (bool, bool) {
        if self.refill.is_none_or(|at| at <= time) {
            (self.budget, self.refill) = (BUDGET, None);
        }
        let (mut read, mut calls) = (false, false);
        let Some(socket) = &mut self.socket else { return (false, false) };
        while self.budget > 0 {
            let Poll::Ready(packet) = socket.poll_receive(cx) else { break };
            (self.budget, read) = (self.budget - 1, true);
            if self.refill.is_none() {
                self.refill = time.checked_add(REFILL);
            }
            match packet {
                Ok(Packet { envelope, octets }) => {
                    let received = Received { envelope, is_own: is_own(envelope.source), octets };
                    match self.link.handle_message(time, &received) {
                        Ok(Outcome::Heard { calls: true }) => calls = true,
                        Ok(_) => {}
                        Err(error) => {
                            tracing::debug!(protocol = "bgp", source = %envelope.source, %error, "message of a router dropped");
                        }
                    }
                }
                // A network that is down, for example: netlink says the same.
                Err(error) => {
                    tracing::debug!(protocol = "bgp", %error, "router advertisements cannot be read");
                }
            }
        }
        (read, calls)
    }

    fn send(&mut self, name: &str) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut progress = false;
        while let Some(message) = self.link.poll_transmit() {
            progress = true;
            let error = socket.send(&message).err();
            let kind = error.as_ref().map(io::Error::kind);
            if let Some(error) = error
                && self.trouble.sending != kind
            {
                tracing::warn!(protocol = "bgp", interface = name, %error, "router advertisements cannot be sent");
            }
            self.trouble.sending = kind;
        }
        progress
    }

    fn next_timeout(&self) -> Option<Instant> {
        let paused = self.refill.filter(|_| self.budget == 0);
        let retry = self.trouble.deaf.and_then(|(_, again)| again);
        self.link.next_timeout().into_iter().chain(paused).chain(retry).min()
    }
}

/// Messages that are read from one interface before it waits for [`REFILL`].
const BUDGET: u32 = 32;
const REFILL: Duration = Duration::from_millis(100);
/// The pause before a socket that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{AddressFact, AddressState, Link as Facts};

    fn mk_table(running: bool) -> AddressTable {
        let mut table = AddressTable::default();
        // Nobody has this interface: its socket cannot be opened, whatever the rights of the test.
        let index = InterfaceIndex(0x7fff_0000);
        let facts = Facts { name: "eth7".to_owned(), running, ..Facts::default() };
        table.apply(AddressFact::Link(index, facts));
        let state = AddressState { prefix: 64, ..AddressState::default() };
        table.apply(AddressFact::Address(index, "fe80::1".parse().unwrap(), state));
        table
    }

    // req: !J7
    #[tokio::test]
    async fn an_interface_that_goes_down_while_its_socket_cannot_be_opened_leaves_nothing_due() {
        let mut port = Port::new(Link::new(7));
        port.follow("eth7", &mk_table(true));
        assert!(matches!(port.neighbors(), Err(NoNeighbor::Deaf(_))));
        assert!(port.next_timeout().is_some(), "it is tried again");
        port.follow("eth7", &mk_table(false));
        assert_eq!((port.neighbors(), port.next_timeout()), (Err(NoNeighbor::Down), None));
        port.follow("eth7", &mk_table(true));
        assert!(matches!(port.neighbors(), Err(NoNeighbor::Deaf(_))), "at once");
    }
}
