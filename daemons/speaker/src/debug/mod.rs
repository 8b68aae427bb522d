//! What `/debug/state` shows: `docs/debug-state.md`.

mod drivers;
mod services;

use std::time::Instant;

use metallb_arp::io::linux;
use metallb_bgp::io::tokio::Speaker as BgpSpeaker;
use metallb_core::announce::{Announced, Explanation};
use metallb_core::keys::{NodeName, ServiceKey};
use metallb_core::membership::View;
use metallb_runtime::http::{DebugState, Piece};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::announcer::Announcer;
use crate::membership;
use services::ServiceState;

/// What the owner of the announcements knows at the moment of the question; how each service is announced is asked for
/// afterwards.
pub(crate) struct Own {
    node: String,
    announced: Vec<(Announced, Option<NodeName>)>,
    services: Vec<ServiceKey>,
    /// How many nodes are weighed for each of them.
    nodes: usize,
    problems: Vec<String>,
    layer2: linux::Handle,
    bgp: BgpSpeaker,
    membership: Option<(membership::Handle, View)>,
}

#[derive(Debug, Serialize)]
struct State {
    announcements: Announcements,
    services: Vec<ServiceState>,
    sessions: Value,
    bfd: Value,
    layer2: Option<Value>,
    membership: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Announcements {
    node: String,
    announced: Vec<AnnouncedState>,
    configuration_problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnnouncedState {
    service: String,
    protocol: &'static str,
    ip: std::net::IpAddr,
    layer2_owner: Option<String>,
}

impl Own {
    /// Of one service, or of all, on a node of so many; `None` when that one is not known.
    pub(crate) fn new(
        (node, nodes): (&str, usize),
        announcer: &Announcer,
        membership: Option<(membership::Handle, View)>,
        only: Option<&ServiceKey>,
    ) -> Option<Self> {
        let engine = announcer.engine();
        let services = match only {
            Some(service) => vec![engine.explain(service).map(|_| service.clone())?],
            None => announcer.services().cloned().collect(),
        };
        let announced = engine.announced().filter(|entry| only.is_none_or(|only| *only == entry.service));
        let owned = |entry: Announced| {
            let owner = engine.layer2_owner(entry.address).cloned();
            (entry, owner)
        };
        Some(Self {
            node: node.to_owned(),
            announced: announced.map(owned).collect(),
            services,
            nodes,
            problems: announcer.problems().iter().map(ToString::to_string).collect(),
            layer2: announcer.drivers().layer2.clone(),
            bgp: announcer.drivers().bgp.clone(),
            membership,
        })
    }

    fn announcements(&self) -> Announcements {
        let state = |(entry, owner): &&(Announced, Option<NodeName>)| AnnouncedState {
            service: entry.service.to_string(),
            protocol: entry.protocol.as_str(),
            ip: entry.address,
            layer2_owner: owner.as_ref().map(ToString::to_string),
        };
        // In an order that does not change from one answer to the next.
        let mut announced: Vec<_> = self.announced.iter().collect();
        announced.sort_unstable();
        Announcements {
            node: self.node.clone(),
            announced: announced.iter().map(state).collect(),
            configuration_problems: self.problems.clone(),
        }
    }
}

/// How some services are announced.
pub(crate) fn explained(announcer: &Announcer, services: &[ServiceKey]) -> Vec<Explanation> {
    services.iter().filter_map(|service| announcer.engine().explain(service)).collect()
}

/// Answers a question, having the owner explain one piece after the other.
pub(crate) async fn answer(asked: DebugState, own: Own, owner: mpsc::Sender<Piece<Explanation>>) {
    let in_full = asked.service.is_some();
    let show = |explanation| ServiceState::new(&explanation, in_full);
    let announcements = own.announcements();
    // Without an owner, or who asked, there is nobody who waits for an answer.
    let Some(services) = asked.explain(&owner, own.services, own.nodes, show).await else { return };
    let sessions = drivers::sessions(Instant::now(), &own.bgp.snapshot().await);
    let bfd = drivers::bfd(Instant::now(), &own.bgp.bfd_snapshot().await);
    let layer2 = own.layer2.snapshot().await.ok().map(|snapshot| drivers::layer2(&snapshot));
    let membership = match own.membership {
        Some((handle, view)) => Some(drivers::membership(&view, handle.numbers().await.as_ref())),
        None => None,
    };
    let state = State { announcements, services, sessions, bfd, layer2, membership };
    asked.answer(Some(&state));
}
