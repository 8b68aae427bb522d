//! What `/debug/state` shows.

use std::time::Instant;

use metallb_bgp::session::{NegotiatedSnapshot, PeerSnapshot};
use serde_json::{Value, json};

use crate::announcer::Announcer;

/// The announcements as JSON.
pub(crate) fn announcements(node: &str, announcer: &Announcer) -> Value {
    let announced: Vec<Value> = announcer
        .engine()
        .announced()
        .map(|entry| {
            let owner = announcer.engine().layer2_owner(entry.address).map(ToString::to_string);
            json!({
                "service": entry.service.to_string(),
                "protocol": entry.protocol.as_str(),
                "ip": entry.address,
                "layer2Owner": owner,
            })
        })
        .collect();
    let problems: Vec<String> = announcer.problems().iter().map(ToString::to_string).collect();
    json!({ "node": node, "announced": announced, "configurationProblems": problems })
}

/// The sessions as JSON.
pub(crate) fn sessions(now: Instant, peers: &[PeerSnapshot]) -> Value {
    peers.iter().map(|peer| session(now, peer)).collect()
}

fn session(now: Instant, peer: &PeerSnapshot) -> Value {
    let ago = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at).as_secs());
    json!({
        "peer": peer.peer.as_str(),
        "remote": peer.remote,
        "local": peer.local,
        "localASN": peer.local_asn.value(),
        "routerID": peer.router_id.map(|id| id.to_string()),
        "state": peer.state.to_string(),
        "forSeconds": ago(peer.since),
        "lastError": peer.last_error.as_ref().map(ToString::to_string),
        "lastErrorSecondsAgo": ago(peer.last_error_at),
        "negotiated": peer.negotiated.as_ref().map(negotiated),
        "advertised": peer.advertised_v4.saturating_add(peer.advertised_v6),
        "unsendable": peer.unsendable,
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

fn negotiated(agreed: &NegotiatedSnapshot) -> Value {
    json!({
        "remoteASN": agreed.remote_asn.value(),
        "remoteRouterID": agreed.remote_router_id.to_string(),
        "holdTimeSeconds": agreed.hold_time.as_secs(),
        "keepaliveTimeSeconds": agreed.keepalive_time.as_secs_f64(),
        "families": agreed.families.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "peerCapabilities": agreed.peer_capabilities,
        "gracefulRestart": agreed.graceful_restart,
    })
}
