//! Routes that cannot be sent to a peer, for now or for good.

use metallb_bgp::session::{OfferedFamilies, PeerConfig};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::types::{Community, Family};
use metallb_bgp::wire::capability::Capability;

use crate::support::{Bench, messages, mk_config};

fn both() -> Vec<Capability> {
    Family::ALL.iter().map(|family| Capability::from(*family)).collect()
}

fn dual(next_hop: Option<&str>) -> PeerConfig {
    let mut config = mk_config();
    config.families = OfferedFamilies::Both;
    config.next_hops.v6 = next_hop.map(|address| address.parse().unwrap());
    config
}

/// Announced and unsendable IPv6 prefixes.
fn counts(bench: &Bench) -> (u64, u64) {
    let snapshot = bench.snapshot();
    (snapshot.advertised_v6, snapshot.unsendable)
}

// req: A6
#[test]
fn routes_that_lacked_a_next_hop_are_sent_when_there_is_one() {
    let mut bench = Bench::new(dual(None));
    bench.announce("2001:db8::/64", RouteAttributes::new());
    bench.table.complete();
    bench.start();
    let id = bench.connect();
    bench.establish(id, 90, both());
    assert_eq!(counts(&bench), (0, 1));
    bench.reconfigure(dual(Some("2001:db8:1::1")));
    let told = bench.transmit(id);
    assert!(messages(&told).iter().any(|(kind, length)| *kind == 2 && *length > 40), "{told:?}");
    assert_eq!(counts(&bench), (1, 0));
}

// req: !A6
#[test]
fn routes_that_lose_their_next_hop_are_withdrawn() {
    let mut bench = Bench::new(dual(Some("2001:db8:1::1")));
    bench.announce("2001:db8::/64", RouteAttributes::new());
    bench.table.complete();
    bench.start();
    let id = bench.connect();
    bench.establish(id, 90, both());
    assert_eq!(counts(&bench), (1, 0));
    bench.reconfigure(dual(None));
    let withdrawal = 19 + 4 + 6 + 9;
    assert_eq!(messages(&bench.transmit(id)), [(2, withdrawal)]);
    assert_eq!(counts(&bench), (0, 1));
    bench.withdraw("2001:db8::/64");
    assert_eq!(messages(&bench.transmit(id)), [], "the peer does not hold it any more");
    assert_eq!(counts(&bench), (0, 0));
}

// req: A6
#[test]
fn a_prefix_that_fits_is_sent_and_withdrawn_though_a_longer_one_does_not() {
    let mut config = mk_config();
    config.extended_messages = false;
    let mut bench = Bench::new(config);
    // Room for a prefix of two octets, not of five.
    let communities = (0..1010).map(|n| Community(0x1_0000 + n));
    let attributes = RouteAttributes::new().with_med(Some(1)).with_communities(communities);
    for prefix in ["10.0.0.0/8", "11.1.1.1/32", "12.0.0.0/8"] {
        bench.announce(prefix, attributes.clone());
    }
    bench.table.complete();
    bench.start();
    let id = bench.connect();
    bench.establish(id, 90, Vec::new());
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.advertised_v4, snapshot.unsendable), (2, 1));
    for prefix in ["10.0.0.0/8", "12.0.0.0/8"] {
        bench.withdraw(prefix);
    }
    assert_eq!(messages(&bench.transmit(id)), [(2, 23 + 4)]);
    bench.withdraw("11.1.1.1/32");
    assert_eq!(messages(&bench.transmit(id)), []);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.advertised_v4, snapshot.unsendable), (0, 0));
}

// req: !A6
#[test]
fn a_route_whose_new_attributes_do_not_fit_is_withdrawn_and_comes_back_with_shorter_ones() {
    let mut config = mk_config();
    config.extended_messages = false;
    let (mut bench, id) = Bench::established(config, 90, Vec::new());
    let long = RouteAttributes::new().with_communities((0..2000).map(|n| Community(0x1_0000 + n)));
    bench.announce("11.1.1.1/32", RouteAttributes::new());
    bench.announce("11.1.1.2/32", RouteAttributes::new());
    bench.transmit(id);
    assert_eq!(bench.snapshot().advertised_v4, 2);
    bench.announce("11.1.1.1/32", long);
    assert_eq!(messages(&bench.transmit(id)), [(2, 23 + 5)]);
    assert_eq!((bench.snapshot().advertised_v4, bench.snapshot().unsendable), (1, 1));
    bench.announce("11.1.1.1/32", RouteAttributes::new());
    assert_eq!(messages(&bench.transmit(id)).len(), 1);
    assert_eq!((bench.snapshot().advertised_v4, bench.snapshot().unsendable), (2, 0));
}
