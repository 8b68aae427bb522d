//! Kernel switches of one namespace.

use std::fs;

use super::Room;
use crate::error::Error;

/// Switches of every place in the lab: addresses are usable at once and only those that the lab
/// gives exist; nothing is learned from redirects or router advertisements.
const EVERYWHERE: &[(&str, &str)] = &[
    ("ipv6/conf/all/disable_ipv6", "0"),
    ("ipv6/conf/default/disable_ipv6", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Rootless and root alike; a backend may have to listen on port 80 for a service.
    ("ipv4/ip_unprivileged_port_start", "0"),
];

/// A node does not answer ARP for the service addresses on its loopback; only a speaker does.
const NODE: &[(&str, &str)] = &[
    ("ipv4/conf/all/arp_ignore", "1"),
    ("ipv4/conf/default/arp_ignore", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    ("ipv4/conf/default/arp_announce", "2"),
];

/// The router forwards, and spreads flows by address and port.
const ROUTER: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    ("ipv4/fib_multipath_hash_policy", "1"),
    ("ipv6/fib_multipath_hash_policy", "1"),
];

/// What a place is, as far as its switches go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment,
    Node,
    Client,
    Router,
}

/// Sets the switches of a place; before its links appear, because they inherit them.
pub(crate) async fn set(room: &Room, kind: Kind) -> Result<(), Error> {
    let more: &'static [(&str, &str)] = match kind {
        Kind::Node => NODE,
        Kind::Router => ROUTER,
        Kind::Segment | Kind::Client => &[],
    };
    let name = room.name().to_owned();
    room.run(async move {
        for (switch, value) in EVERYWHERE.iter().chain(more) {
            let path = format!("/proc/sys/net/{switch}");
            fs::write(&path, value).map_err(Error::io(format!("setting {path} to {value} in {name}")))?;
        }
        Ok(())
    })
    .await?
}
