//! The speaker's metrics, computed from its state and its drivers'.

mod bgp;

use std::net::IpAddr;
use std::sync::Arc;

use metallb_arp::io::linux;
use metallb_bgp::io::tokio::Speaker as BgpSpeaker;
use metallb_core::announce::Announced;
use metallb_k8s::write::Stats;
use metallb_runtime::common_metrics;
use metallb_runtime::metrics::{Family, Kind, number};

use crate::announcer::Announcer;
use crate::inputs::Inputs;
use crate::membership;

pub(crate) use bgp::Labels;

/// What the owner of the announcements knows itself. What is long is put into words by [`announced`] and
/// [`ownership_changes`], elsewhere.
pub(crate) fn own(announcer: &Announcer, inputs: &Inputs, stats: &Arc<Stats>) -> Vec<Family> {
    let mut families = common_metrics::api_client(stats);
    let objects = if announcer.is_started() { inputs.configuration.object_ids() } else { Vec::new() };
    families.extend(common_metrics::configuration(announcer.judgement(), &objects, announcer.problems()));
    families.extend(common_metrics::process(inputs.queue.depth(), inputs.queue.oldest()));
    families
}

/// How often addresses came and left.
pub(crate) fn ownership_changes(changes: &[(IpAddr, u64)]) -> Family {
    let mut family = Family::new(
        "metallb_layer2_ownership_changes_total",
        Kind::Counter,
        "Times the address came to this node or left it",
    );
    for (address, count) in changes {
        family.push(vec![("ip", address.to_string())], number(*count));
    }
    family
}

/// What is announced from this node.
pub(crate) fn announced(node: &str, announced: &[Announced]) -> Family {
    let mut family =
        Family::new("metallb_speaker_announced", Kind::Gauge, "Services announced from this node");
    for entry in announced {
        let labels = vec![
            ("service", entry.service.to_string()),
            ("protocol", entry.protocol.as_str().to_owned()),
            ("node", node.to_owned()),
            ("ip", entry.address.to_string()),
        ];
        family.push(labels, 1.0);
    }
    family
}

/// What there is before anything is known.
pub(crate) fn starting(stats: &Stats) -> Vec<Family> {
    let mut families = common_metrics::api_client(stats);
    families.extend(common_metrics::configuration(None, &[], &[]));
    families.extend(common_metrics::process(0, std::time::Duration::ZERO));
    families
}

/// What the drivers know.
pub(crate) async fn drivers(
    labels: &Labels,
    layer2: &linux::Handle,
    sessions: &BgpSpeaker,
    membership: Option<&membership::Handle>,
) -> Vec<Family> {
    let mut families = Vec::new();
    if let Ok(snapshot) = layer2.snapshot().await {
        families.extend(self::layer2(labels.node(), &snapshot));
    }
    families.extend(bgp::sessions(labels, &sessions.snapshot().await));
    families.extend(bgp::paths(labels, &sessions.bfd_snapshot().await));
    if let Some(membership) = membership
        && let Some(numbers) = membership.numbers().await
    {
        families.extend(members(numbers));
    }
    families
}

fn layer2(node: &str, snapshot: &linux::Snapshot) -> Vec<Family> {
    // Both spellings are in use in published guides.
    let names: [(&'static str, &'static str, AddressNumber); 6] = [
        ("metallb_layer2_requests_received", "Requests for announced addresses", |counters| {
            counters.requests
        }),
        ("metallb_layer2_requests_received_total", "Requests for announced addresses", |counters| {
            counters.requests
        }),
        ("metallb_layer2_responses_sent", "Answers to them", |counters| counters.responses),
        ("metallb_layer2_responses_sent_total", "Answers to them", |counters| counters.responses),
        ("metallb_layer2_gratuitous_sent", "Unsolicited announcements", |counters| counters.gratuitous),
        ("metallb_layer2_gratuitous_sent_total", "Unsolicited announcements", |counters| counters.gratuitous),
    ];
    let mut families: Vec<Family> = names
        .into_iter()
        .map(|(name, help, count)| {
            let mut family = Family::new(name, Kind::Counter, help);
            for (address, counters) in &snapshot.addresses {
                let labels = vec![("node", node.to_owned()), ("ip", address.to_string())];
                family.push(labels, number(count(counters)));
            }
            family
        })
        .collect();
    let mut conflicts = Family::new(
        "metallb_layer2_conflicts_total",
        Kind::Counter,
        "Claims of other machines to the address",
    );
    for (address, counters) in &snapshot.addresses {
        conflicts.push(vec![("ip", address.to_string())], number(counters.conflicts));
    }
    families.push(conflicts);
    families.push(Family::single(
        "metallb_layer2_malformed_total",
        Kind::Counter,
        "Frames that could not be read",
        number(snapshot.frames.malformed),
    ));
    families
}

/// A number of an address.
type AddressNumber = fn(&metallb_arp::responder::Counters) -> u64;

fn members(numbers: membership::Numbers) -> [Family; 3] {
    let members = u64::try_from(numbers.members).unwrap_or(u64::MAX);
    let mut dropped =
        Family::new("metallb_membership_dropped_total", Kind::Counter, "Heartbeats that were dropped");
    for (reason, count) in numbers.dropped {
        dropped.push(vec![("reason", reason.as_str().to_owned())], number(count));
    }
    [
        Family::single("metallb_membership_members", Kind::Gauge, "Speakers that live", number(members)),
        Family::single(
            "metallb_membership_suspicions_total",
            Kind::Counter,
            "Times at which another speaker was not heard any more",
            number(numbers.suspicions),
        ),
        dropped,
    ]
}
