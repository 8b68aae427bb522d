//! Peers of a range on several interfaces.

use std::net::{Ipv6Addr, SocketAddrV6};

use metallb_bgp::io::tokio::ListenRange;
use metallb_bgp::session::{OfferedFamilies, PeerConfig, PeerSnapshot, StopReason};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Asn, RemoteAs};
use nix::net::if_::if_nametoindex;

use crate::lab::Lab;
use crate::support::{mk_peer, mk_speaker, prefix, snapshot_until, to, up};

/// A pair of interfaces with the same addresses as every other pair.
fn connect(lab: &Lab, near: &str, far: &str) {
    lab.speaker_ip(&["link", "add", near, "type", "veth", "peer", "name", far]).unwrap();
    for (device, address) in [(near, "fe80::a/64"), (far, "fe80::b/64")] {
        lab.speaker_ip(&["addr", "add", address, "dev", device, "nodad"]).unwrap();
        lab.speaker_ip(&["link", "set", device, "up"]).unwrap();
    }
}

// req: T8
#[test]
fn the_same_link_local_address_is_another_peer_on_another_interface() {
    let Some(mut lab) = Lab::new(&["ip", "nsenter", "setpriv"]) else { return };
    lab.run(async |lab| {
        let (collector, _events) = mk_speaker(200, &["[::]:0"]);
        let mut template = PeerConfig::new("[::]:0".parse().unwrap(), Asn::new(64512), RemoteAs::Any, 0);
        template.families = OfferedFamilies::Ipv6;
        collector.set_listen_range("nodes".into(), ListenRange::new(prefix("fe80::/10"), template));
        let port = collector.listening()[0].port();
        let (speaker, _states) = mk_speaker(2, &[]);
        let mut names = Vec::new();
        for (near, far) in [("near1", "far1"), ("near2", "far2")] {
            connect(lab, near, far);
            let remote: Ipv6Addr = "fe80::a".parse().unwrap();
            let scope = if_nametoindex(far).unwrap();
            let mut peer = mk_peer(SocketAddrV6::new(remote, port, 0, scope).into(), 64513, 64512);
            peer.local_address = Some("fe80::b".parse().unwrap());
            speaker.set_peer(far.into(), peer);
            names.push(format!("nodes/fe80::b%{}", if_nametoindex(near).unwrap()));
            snapshot_until(&collector, &names[names.len() - 1], "established", up).await;
        }
        // Each has a place of its own in the table, and keeps it when the other goes.
        speaker.remove_peer(&"far1".into(), StopReason::Deconfigured);
        collector.set_prefix(prefix("2001:db8:1::1/128"), to(&names[1], RouteAttributes::new()));
        let told = |s: &PeerSnapshot| s.advertised_v6 == 1;
        let second = snapshot_until(&collector, &names[1], "the route", told).await;
        assert_eq!(second.counters.established, 1);
    });
}
