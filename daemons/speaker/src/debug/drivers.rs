//! What the drivers know.

use std::time::{Duration, Instant};

use metallb_arp::io::linux;
use metallb_bgp::addresses::{Choice, Chosen, NoNextHop};
use metallb_bgp::bfd::wire::Discriminator;
use metallb_bgp::bfd::{Hops, PathSnapshot};
use metallb_bgp::io::bfd::BfdSnapshot;
use metallb_bgp::session::{NegotiatedSnapshot, PeerSnapshot, Withheld};
use metallb_core::membership::View;
use serde::Serialize;
use serde_json::{Value, json};

use crate::membership::Numbers;
use crate::translate;

/// The sessions as JSON.
pub(super) fn sessions(now: Instant, peers: &[PeerSnapshot]) -> Value {
    peers.iter().map(|peer| session(now, peer)).collect()
}

/// BFD as JSON.
pub(super) fn bfd(now: Instant, snapshot: &BfdSnapshot) -> Value {
    let closed = snapshot.closed_ports.iter();
    json!({
        "sessions": snapshot.sessions.iter().map(|path| bfd_session(now, path)).collect::<Vec<_>>(),
        "closedPorts": closed.map(|(address, reason)| format!("{address}: {reason}")).collect::<Vec<_>>(),
        "sendErrors": snapshot.send_errors,
        "ignored": {
            "malformed": snapshot.stats.malformed,
            "unknown": snapshot.stats.unknown,
            "tooFar": snapshot.stats.too_far,
            "authenticated": snapshot.stats.authenticated,
        },
    })
}

/// ARP and NDP as JSON.
pub(super) fn layer2(snapshot: &linux::Snapshot) -> Value {
    let interface = |interface: &metallb_arp::responder::Interface| {
        json!({
            "name": interface.name,
            "mac": interface.mac.to_string(),
            "linkLocal": interface.link_local,
        })
    };
    let address = |(address, counters): (&std::net::IpAddr, &metallb_arp::responder::Counters)| {
        json!({
            "ip": address,
            "requests": counters.requests,
            "responses": counters.responses,
            "gratuitous": counters.gratuitous,
            "conflicts": counters.conflicts,
            "handovers": counters.handovers,
        })
    };
    json!({
        "interfaces": snapshot.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "addresses": snapshot.addresses.iter().map(address).collect::<Vec<_>>(),
        "malformed": snapshot.frames.malformed,
        "unsent": snapshot.unsent,
        "eventsDropped": snapshot.events_dropped,
    })
}

/// The other speakers as JSON.
pub(super) fn membership(view: &View, numbers: Option<&Numbers>) -> Value {
    let dropped = numbers.map(|numbers| numbers.dropped.as_slice()).unwrap_or_default();
    let dropped = dropped.iter().map(|(reason, count)| (reason.as_str(), *count));
    json!({
        "members": words(view.members.iter()),
        "settled": view.settled,
        "reunions": view.reunions,
        "suspicions": numbers.map(|numbers| numbers.suspicions),
        "dropped": dropped.collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn bfd_session(now: Instant, path: &PathSnapshot) -> Value {
    let session = &path.session;
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    json!({
        "peer": path.user.as_str(),
        "remote": path.path.remote,
        "hops": match path.path.hops { Hops::One => "one", Hops::Several => "several" },
        "state": session.state.to_string(),
        "forSeconds": now.saturating_duration_since(session.since).as_secs(),
        "diagnostic": session.diagnostic.to_string(),
        "remoteState": session.remote_state.to_string(),
        "remoteDiagnostic": session.remote_diagnostic.to_string(),
        "localDiscriminator": session.local_discriminator.value(),
        "remoteDiscriminator": session.remote_discriminator.map(Discriminator::value),
        "transmitIntervalMillis": millis(session.transmit_interval),
        "detectionTimeMillis": session.detection_time.map(millis),
        "remoteTransmitIntervalMillis": millis(session.remote_transmit_interval),
        "remoteReceiveIntervalMillis": millis(session.remote_receive_interval),
        "remoteDetectMultiplier": session.remote_detect_multiplier,
        "polling": session.polling,
        "packetsReceived": session.counters.packets_received,
        "packetsSent": session.counters.packets_sent,
        "upEvents": session.counters.up_events,
        "downEvents": session.counters.down_events,
    })
}

fn session(now: Instant, peer: &PeerSnapshot) -> Value {
    let ago = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at).as_secs());
    json!({
        "peer": peer.peer.as_str(),
        "remote": (!peer.remote.ip().is_unspecified()).then_some(peer.remote),
        "interface": peer.interface,
        "local": peer.local,
        "localASN": peer.local_asn.value(),
        "routerID": peer.router_id.map(|id| id.to_string()),
        "state": peer.state.to_string(),
        "forSeconds": ago(peer.since),
        "lastError": last_error(peer),
        "lastErrorSecondsAgo": ago(peer.last_error_at),
        "negotiated": peer.negotiated.as_ref().map(negotiated),
        "advertised": peer.advertised_v4.saturating_add(peer.advertised_v6),
        "unsendable": peer.unsendable,
        "withheld": peer.withheld.iter().map(withheld).collect::<Vec<_>>(),
        "nextHops": peer.next_hops.as_ref().map(next_hops),
        "givenUp": peer.given_up,
        "nextAttemptInSeconds": peer.next_attempt.map(|at| at.saturating_duration_since(now).as_secs_f64()),
        "queuedChanges": peer.queued_changes,
        "pending": peer.pending,
        "messagesSent": peer.counters.messages_sent,
        "messagesReceived": peer.counters.messages_received,
        "updatesSent": peer.counters.updates_sent,
        "updatesReceived": peer.counters.updates_received,
        "established": peer.counters.established,
        "connectAttempts": peer.counters.connect_attempts,
    })
}

/// Why the session ended, and what that may come from.
fn last_error(peer: &PeerSnapshot) -> Option<String> {
    let reason = peer.last_error.as_ref()?;
    Some(match peer.unacknowledged {
        Some(segments) => format!("{reason}: {}", segments.explain(&translate::SETTINGS)),
        None => reason.to_string(),
    })
}

fn negotiated(agreed: &NegotiatedSnapshot) -> Value {
    json!({
        "remoteASN": agreed.remote_asn.value(),
        "remoteRouterID": agreed.remote_router_id.to_string(),
        "holdTimeSeconds": agreed.hold_time.as_secs(),
        "keepaliveTimeSeconds": agreed.keepalive_time.as_secs_f64(),
        "families": words(&agreed.families),
        "missingFamilies": words(&agreed.missing_families),
        "peerCapabilities": agreed.peer_capabilities,
        "gracefulRestart": agreed.graceful_restart,
        "extendedMessages": agreed.extended_messages,
        "routeRefresh": agreed.route_refresh,
        "enhancedRouteRefresh": agreed.enhanced_route_refresh,
        "extendedNextHop": agreed.extended_next_hop,
        "longLivedGracefulRestart": agreed.long_lived_graceful_restart,
    })
}

fn withheld(withheld: &Withheld) -> Value {
    json!({
        "family": withheld.family.to_string(),
        "reason": withheld.reason.label(),
        "message": withheld.reason.to_string(),
        "routes": withheld.routes,
    })
}

fn next_hops(choice: &Choice) -> Value {
    json!({
        "ipv4": next_hop(&choice.v4),
        "ipv6": next_hop(&choice.v6),
        "linkLocal": choice.link_local,
    })
}

fn next_hop<A: Serialize>(chosen: &Result<Chosen<A>, NoNextHop>) -> Value {
    match chosen {
        Ok(chosen) => json!({ "address": chosen.address, "basis": chosen.basis.name() }),
        Err(reason) => json!({ "reason": reason.reason(), "message": reason.to_string() }),
    }
}

fn words(items: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}
