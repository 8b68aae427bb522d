//! What a session tells a router about itself: that the node is drained, and which role it has.

use metallb_bgp::session::{CloseReason, PeerSnapshot};
use metallb_bgp::table::RouteAttributes;
use metallb_bgp::wire::open::{Role, RolePolicy};

use crate::basics::{bird_config, frr_config, mk_router};
use crate::lab::{Lab, eventually, router};
use crate::routers::{Bird, Frr};
use crate::support::{mk_speaker, prefix, snapshot_until, to, up};

const ROUTE: &str = "198.51.100.1/32";

/// Whether there is a session, or was none because of the roles.
fn is_decided(snapshot: &PeerSnapshot) -> bool {
    let mismatch = |reason: &CloseReason| reason.to_string().contains("Role Mismatch (2/11)");
    up(snapshot) || snapshot.last_error.as_ref().is_some_and(mismatch)
}

// req: C9
#[test]
fn frr_sees_a_drained_node_and_its_return_without_a_reset() {
    for asn in [64513, 64512] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let frr = Frr::start(lab, &frr_config("192.0.2.2", asn, "")).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            speaker.set_prefix(prefix(ROUTE), to("router", RouteAttributes::new()));
            speaker.table_complete();
            let mut peer = mk_router(router(false), asn);
            speaker.set_peer("router".into(), peer.clone());
            for (drained, preference) in [(false, 100), (true, 0), (false, 100)] {
                peer.graceful_shutdown = drained;
                speaker.set_peer("router".into(), peer.clone());
                // FRR lowers the preference of what an external peer marks by itself.
                let seen = async || {
                    let route = frr.route(ROUTE);
                    let marked = route["community"]["string"] == "graceful-shutdown";
                    let preferred = route["locPrf"].as_u64().unwrap_or(100) == preference;
                    (route["valid"] == true && marked == drained && preferred).then_some(())
                };
                eventually(&format!("drained: {drained}"), seen).await;
            }
            assert_eq!(frr.neighbour("192.0.2.2")["connectionsEstablished"], 1);
        });
    }
}

// req: C9, !C9
#[test]
fn bird_and_we_agree_on_roles_or_have_no_session() {
    for (theirs, strict, fits) in [
        ("local role provider;", true, true),
        ("local role customer;", false, false),
        ("", false, true),
        ("", true, false),
    ] {
        let Some(mut lab) = Lab::new(&["bird", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let _bird = Bird::start(lab, &bird_config("192.0.2.2", "192.0.2.1", 64513, theirs)).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            let mut peer = mk_router(router(false), 64513);
            peer.role = Some(RolePolicy { role: Role::Customer, strict });
            speaker.set_peer("router".into(), peer);
            let snapshot = snapshot_until(&speaker, "router", "decided", is_decided).await;
            assert_eq!(up(&snapshot), fits, "{theirs} strict: {strict}: {:?}", snapshot.last_error);
        });
    }
}

// req: C9, !C9
#[test]
fn frr_and_we_agree_on_roles_or_have_no_session() {
    for (theirs, fits) in [("provider", true), ("peer", false)] {
        let Some(mut lab) = Lab::new(&["bgpd", "ip", "nsenter", "setpriv"]) else { return };
        lab.run(async |lab| {
            let more = format!(" neighbor 192.0.2.2 local-role {theirs} strict-mode\n");
            let _frr = Frr::start(lab, &frr_config("192.0.2.2", 64513, &more)).await;
            let (speaker, _events) = mk_speaker(2, &[]);
            let mut peer = mk_router(router(false), 64513);
            peer.role = Some(RolePolicy { role: Role::Customer, strict: true });
            speaker.set_peer("router".into(), peer);
            let snapshot = snapshot_until(&speaker, "router", "decided", is_decided).await;
            assert_eq!(up(&snapshot), fits, "{theirs}: {:?}", snapshot.last_error);
            if fits {
                let said = snapshot.negotiated.unwrap().peer_capabilities;
                assert!(said.contains(&"role provider".to_owned()), "{said:?}");
            }
        });
    }
}
