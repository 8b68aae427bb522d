//! Following the machine's interfaces and addresses by netlink: subscribe first, then list, and list again whenever the
//! kernel had to drop messages.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::addresses::{AddressFact, AddressState, AddressTable, InterfaceIndex, Link};

/// The addresses of the machine, whenever they change.
pub(super) struct AddressSource {
    tables: mpsc::Receiver<Option<AddressTable>>,
    _task: Task,
}

impl AddressSource {
    /// Begins to follow the addresses of this network namespace, in a task of its own.
    pub(super) fn open() -> Self {
        let (sender, tables) = mpsc::channel(1);
        Self { tables, _task: Task::spawn(follow(sender)) }
    }

    /// The addresses as they are now, if they changed; `None` inside when the kernel does not say.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<AddressTable>> {
        match self.tables.poll_recv(cx) {
            Poll::Ready(Some(table)) => Poll::Ready(table),
            // The task ends with this value only.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Task {
    #[expect(clippy::disallowed_methods, reason = "the driver's follower of netlink; it ends with its owner")]
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(tables: mpsc::Sender<Option<AddressTable>>) {
    let mut known = false;
    loop {
        let Err(error) = watch(&tables, &mut known).await else { return };
        tracing::warn!(%error, "cannot follow the addresses of this machine, trying again");
        // Sessions need not wait for what may never come; what was known stays.
        if !known && tables.send(None).await.is_err() {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Sends the table whenever it changes; returns when nobody takes it any more.
async fn watch(tables: &mpsc::Sender<Option<AddressTable>>, known: &mut bool) -> io::Result<()> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    let _connection = Task::spawn(connection);
    let mut table = list(&handle).await?;
    *known = true;
    if tables.send(Some(table.clone())).await.is_err() {
        return Ok(());
    }
    loop {
        let mut changed = table.clone();
        match next(&mut messages).await {
            Some(News::Facts(facts)) => {
                for fact in facts {
                    changed.apply(fact);
                }
            }
            Some(News::Overrun) => changed = list(&handle).await?,
            None => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        if changed != table {
            table = changed;
            if tables.send(Some(table.clone())).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// What netlink said.
enum News {
    Facts(Vec<AddressFact>),
    /// Messages were lost: everything is to be listed again.
    Overrun,
}

async fn list(handle: &Handle) -> io::Result<AddressTable> {
    let mut table = AddressTable::default();
    let mut links = handle.link().get().execute();
    while let Some(message) = links.try_next().await.map_err(io::Error::other)? {
        if let Some(fact) = link_fact(&message) {
            table.apply(fact);
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.map_err(io::Error::other)? {
        if let Some(fact) = address_fact(&message) {
            table.apply(fact);
        }
    }
    Ok(table)
}

/// Everything that has been reported since, [`MAX_FACTS`] at most; `None` when the connection is gone.
async fn next(
    messages: &mut UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
) -> Option<News> {
    let (first, _) = messages.next().await?;
    let mut facts = Vec::new();
    let mut message = Some(first);
    while let Some(current) = message.take() {
        match current.payload {
            NetlinkPayload::InnerMessage(inner) => facts.extend(fact(&inner)),
            NetlinkPayload::Overrun(_) => return Some(News::Overrun),
            _ => {}
        }
        if facts.len() < MAX_FACTS {
            message = messages.try_recv().ok().map(|(message, _)| message);
        }
    }
    Some(News::Facts(facts))
}

fn fact(message: &RouteNetlinkMessage) -> Option<AddressFact> {
    match message {
        RouteNetlinkMessage::NewLink(link) => link_fact(link),
        // Bridges report the ports that leave them in messages of their own family.
        RouteNetlinkMessage::DelLink(link) if is_of_family(link) => None,
        RouteNetlinkMessage::DelLink(link) => Some(AddressFact::LinkGone(InterfaceIndex(link.header.index))),
        RouteNetlinkMessage::NewAddress(address) => address_fact(address),
        RouteNetlinkMessage::DelAddress(address) => {
            let index = InterfaceIndex(address.header.index);
            Some(AddressFact::AddressGone(index, own_address(address)?))
        }
        _ => None,
    }
}

fn is_of_family(message: &LinkMessage) -> bool {
    u8::from(message.header.interface_family) != FAMILY_UNSPECIFIED
}

/// What a message says of a link; `None` for reports of bridges and wireless cards, which say only a part.
fn link_fact(message: &LinkMessage) -> Option<AddressFact> {
    if is_of_family(message) {
        return None;
    }
    let flags = message.header.flags;
    let mut link = Link {
        loopback: flags.contains(LinkFlags::Loopback),
        running: flags.contains(LinkFlags::Up | LinkFlags::Running),
        ..Link::default()
    };
    let mut whole = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::CarrierUpCount(count) => link.carrier_ups = *count,
            LinkAttribute::Mtu(_) => whole = true,
            _ => {}
        }
    }
    whole.then_some(AddressFact::Link(InterfaceIndex(message.header.index), link))
}

/// On a point-to-point link the address is the other end's, and the local one ours.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn address_fact(message: &AddressMessage) -> Option<AddressFact> {
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut valid_for = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::CacheInfo(info) if info.ifa_valid != FOREVER => {
                valid_for = Some(Duration::from_secs(u64::from(info.ifa_valid)));
            }
            _ => {}
        }
    }
    // An optimistic address may be used while it is tentative (RFC 4429).
    let tentative = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
    let state = AddressState {
        prefix: message.header.prefix_len,
        unusable: tentative || flags.contains(AddressFlags::Dadfailed),
        deprecated: flags.contains(AddressFlags::Deprecated),
        secondary: flags.contains(AddressFlags::Secondary),
        valid_for,
    };
    Some(AddressFact::Address(InterfaceIndex(message.header.index), own_address(message)?, state))
}

/// Changes taken before others have their turn again.
const MAX_FACTS: usize = 1024;
/// The pause before netlink is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// AF_UNSPEC.
const FAMILY_UNSPECIFIED: u8 = 0;
/// INFINITY_LIFE_TIME.
const FOREVER: u32 = u32::MAX;
