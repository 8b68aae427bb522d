//! What `/debug/state` shows: `docs/debug-state.md`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use metallb_core::ipam::{Explanation, Outcome, Verdict};
use metallb_core::keys::{PoolName, ServiceKey};
use metallb_runtime::http::{DebugState, Piece};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::configured::Configured;
use crate::leader::Leader;

/// A decision about a service that is known.
pub(crate) type Explained = (ServiceKey, Explanation);

/// What is known at the moment of the question; what was decided for each service is asked for afterwards.
#[derive(Debug)]
pub(crate) struct Own {
    leader: bool,
    services: Vec<ServiceKey>,
    pools: usize,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    leader: bool,
    allocations: Vec<AllocationState>,
    configuration_problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AllocationState {
    service: String,
    addresses: Vec<IpAddr>,
    pools: Vec<String>,
    held: Vec<HeldState>,
    outcome: Reason,
    missing: Option<Reason>,
    /// How many pools there are of each verdict.
    weighed: BTreeMap<&'static str, usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdicts: Vec<PoolState>,
}

#[derive(Debug, Serialize)]
struct HeldState {
    address: IpAddr,
    pool: String,
}

#[derive(Debug, Serialize)]
struct PoolState {
    pool: String,
    #[serde(flatten)]
    verdict: Reason,
}

/// A stable word, and the sentence where there is more to say.
#[derive(Debug, Serialize)]
struct Reason {
    reason: &'static str,
    message: Option<String>,
}

impl Reason {
    fn new(reason: &'static str, message: &impl ToString) -> Self {
        Self { reason, message: Some(message.to_string()) }
    }
}

impl Own {
    /// Of one service, or of all that want addresses or have some; `None` when that one is not known.
    pub(crate) fn new(
        leader: Option<&Leader>,
        configured: &Configured,
        only: Option<&ServiceKey>,
    ) -> Option<Self> {
        let services = match (leader, only) {
            (Some(leader), None) => leader.services().cloned().collect(),
            (Some(leader), Some(service)) => {
                vec![leader.assigner().explain(service).map(|_| service.clone())?]
            }
            (None, None) => Vec::new(),
            (None, Some(_)) => return None,
        };
        Some(Self {
            leader: leader.is_some(),
            services,
            pools: leader.map_or(0, |leader| leader.config().pools().len()),
            problems: configured.problems.iter().map(ToString::to_string).collect(),
        })
    }
}

/// What was decided for some services.
pub(crate) fn explained(leader: Option<&Leader>, services: Vec<ServiceKey>) -> Vec<Explained> {
    let Some(leader) = leader else { return Vec::new() };
    let explain = |service: ServiceKey| {
        let explanation = leader.assigner().explain(&service)?;
        Some((service, explanation))
    };
    services.into_iter().filter_map(explain).collect()
}

/// Answers a question, having the owner explain one piece after the other.
pub(crate) async fn answer(asked: DebugState, own: Own, owner: mpsc::Sender<Piece<Explained>>) {
    let in_full = asked.service.is_some();
    let Own { leader, services, pools, problems } = own;
    let show = |explained| AllocationState::new(explained, in_full);
    // Without an owner, or who asked, there is nobody who waits for an answer.
    let Some(allocations) = asked.explain(&owner, services, pools, show).await else { return };
    let state = State { leader, allocations, configuration_problems: problems };
    asked.answer(Some(&state));
}

impl AllocationState {
    fn new((service, explanation): Explained, in_full: bool) -> Self {
        let Explanation { allocation, outcome, pools: verdicts, .. } = explanation;
        let mut weighed = BTreeMap::new();
        for (_, verdict) in &verdicts {
            *weighed.entry(verdict.reason()).or_insert(0) += 1;
        }
        let outcome = match &outcome {
            Outcome::Invalid(error) => Reason::new(outcome.reason(), error),
            Outcome::Failed(error) => Reason::new(outcome.reason(), error),
            _ => Reason { reason: outcome.reason(), message: None },
        };
        let allocation = allocation.as_ref();
        let held = allocation.into_iter().flat_map(|allocation| &allocation.held);
        let held = held.map(|(address, pool)| HeldState { address: *address, pool: pool.to_string() });
        let verdict = |(pool, verdict): (PoolName, Verdict)| PoolState {
            pool: pool.to_string(),
            verdict: Reason::new(verdict.reason(), &verdict),
        };
        let pools = allocation.into_iter().flat_map(|allocation| &allocation.pools);
        Self {
            service: service.to_string(),
            addresses: allocation.map(|allocation| allocation.addresses.clone()).unwrap_or_default(),
            pools: pools.map(ToString::to_string).collect(),
            held: held.collect(),
            outcome,
            missing: allocation
                .and_then(|allocation| allocation.missing.as_ref())
                .map(|error| Reason::new(error.reason(), error)),
            weighed,
            verdicts: if in_full { verdicts.into_iter().map(verdict).collect() } else { Vec::new() },
        }
    }
}
