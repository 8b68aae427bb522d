//! The TTL of packets, as a filter at the router sees it, and what we take of the router's.

use metallb_bgp::session::{PeerSnapshot, TtlPolicy};

use crate::basics::{bird_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::Bird;
use crate::support::{mk_speaker, snapshot_until, up};

/// Refuses what comes to the router's port 179 with another TTL.
fn demand(lab: &Lab, ttl: u8) {
    lab.nft(&format!(
        "table inet hops {{
  chain input {{
    type filter hook input priority 0;
    tcp dport 179 ip ttl != {ttl} reject with tcp reset;
    tcp dport 179 ip6 hoplimit != {ttl} reject with tcp reset;
  }}
}}
"
    ));
}

/// A router that demands a TTL, and our policy: what became of the session.
fn meet(
    v6: bool,
    demanded: u8,
    policy: TtlPolicy,
    wanted: fn(&PeerSnapshot) -> bool,
) -> Option<PeerSnapshot> {
    let mut lab = Lab::new(&["bird", "nft", "ip", "nsenter", "setpriv"])?;
    eprintln!("{policy:?}, {demanded} demanded");
    let end = lab.run(async |lab| {
        demand(lab, demanded);
        let (us, them) = if v6 { ("2001:db8:ff::2", "2001:db8:ff::1") } else { ("192.0.2.2", "192.0.2.1") };
        // With security it sends 255, which GTSM asks for.
        let security = if demanded == 255 { "ttl security on;" } else { "" };
        let _bird = Bird::start(lab, &bird_config(us, them, 64513, security)).await;
        let (speaker, _events) = mk_speaker(2, &[]);
        let mut peer = mk_router(router(v6), 64513);
        peer.ttl = policy;
        speaker.set_peer("router".into(), peer);
        snapshot_until(&speaker, "router", "as wanted", wanted).await
    });
    Some(end)
}

// req: T3, T4
#[test]
fn packets_leave_with_the_ttl_of_the_policy() {
    for v6 in [false, true] {
        for (demanded, policy) in [
            (64, TtlPolicy::System),
            (1, TtlPolicy::Exact(1)),
            (7, TtlPolicy::Exact(7)),
            (200, TtlPolicy::Multihop(200)),
            (255, TtlPolicy::Multihop(255)),
            (255, TtlPolicy::Gtsm { hops: 1 }),
            (255, TtlPolicy::Gtsm { hops: 3 }),
        ] {
            let Some(met) = meet(v6, demanded, policy, up) else { return };
            // The router may need a moment until it takes connections; what the filter refuses is told otherwise.
            let refused = met.last_error.filter(|error| error.to_string().to_lowercase().contains("refused"));
            assert_eq!(refused, None, "{policy:?}");
        }
    }
}

// req: !T4
#[test]
fn packets_do_not_leave_with_the_ttl_of_another_policy() {
    for v6 in [false, true] {
        for (demanded, policy) in
            [(64, TtlPolicy::Exact(1)), (1, TtlPolicy::System), (255, TtlPolicy::Exact(254))]
        {
            let Some(met) = meet(v6, demanded, policy, |s| s.last_error.is_some()) else { return };
            let error = met.last_error.unwrap().to_string().to_lowercase();
            assert!(error.contains("connection refused"), "{error}");
            assert_eq!(met.counters.established, 0);
        }
    }
}

// req: !T3
#[test]
fn a_router_that_does_not_send_with_255_is_not_heard_where_we_demand_that() {
    for v6 in [false, true] {
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let (us, them) =
                if v6 { ("2001:db8:ff::2", "2001:db8:ff::1") } else { ("192.0.2.2", "192.0.2.1") };
            let _bird = Bird::start(lab, &bird_config(us, them, 64513, "")).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            let mut peer = mk_router(router(v6), 64513);
            peer.ttl = TtlPolicy::Gtsm { hops: 1 };
            let before = lab.speaker_netstat("TCPMinTTLDrop");
            speaker.set_peer("router".into(), peer.clone());
            let dropped = async || (lab.speaker_netstat("TCPMinTTLDrop") > before).then_some(());
            eventually("its packets are dropped", dropped).await;
            let down = snapshot_until(&speaker, "router", "a snapshot", |_| true).await;
            assert_eq!((down.counters.established, down.counters.messages_received), (0, 0));
            peer.ttl = TtlPolicy::System;
            speaker.set_peer("router".into(), peer);
            snapshot_until(&speaker, "router", "established", up).await;
        });
    }
}
