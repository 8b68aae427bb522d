//! Layer 2: the client resolves the address, and asks it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metallb_core::keys::Family;

use super::start::word;
use super::{Step, Stop, Target, Tour, list, on_segment, within};
use crate::client;
use crate::cluster;
use crate::error::Error;
use crate::http::Answer;
use crate::net::{MacAddr, links, routes};
use crate::observer::Observer;
use crate::report::ms;

/// How long the first answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long one try to ask may take.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// How long a speaker may take to write who announces.
const STATUS_LIMIT: Duration = Duration::from_secs(1);
/// How long network and API may name different nodes.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(5);

/// Three witnesses of who answers for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) node: String,
    pub(super) mac: MacAddr,
}

impl Tour<'_> {
    /// Shows that the client reaches an address of this family by ARP or NDP.
    pub(super) async fn resolve(&self, family: Family) -> Step {
        self.reporter.title(&format!("Layer 2 over {}", word(family)));
        let Some(target) = Self::first(&self.targets.layer2, family) else {
            let why = format!("no service has an {} address that an L2Advertisement announces", word(family));
            return Err(Stop::NotShown(why));
        };
        self.make_reachable(target).await?;
        let begun = Instant::now();
        let owner = self.witness(target, None).await?;
        Ok(format!("{} is {} at {}, {}", target.address, owner.node, owner.mac, ms(begun.elapsed())))
    }

    /// An address outside of the segment is resolved there too when the client is told so.
    pub(super) async fn make_reachable(&self, target: &Target) -> Result<(), Error> {
        if on_segment(target.address) {
            return Ok(());
        }
        routes::add_on_link(&self.lab.client, target.address.into()).await
    }

    /// Asks kernel, backend and API who answers for an address until all three agree, on `expected`
    /// if that is given. An address may move between two answers; then everybody is asked again.
    pub(super) async fn witness(&self, target: &Target, expected: Option<&str>) -> Result<Owner, Stop> {
        let begun = Instant::now();
        loop {
            let owner = self.answering(target, expected).await?;
            match self.api_agrees(target, &owner.node).await? {
                Ok(()) => return Ok(owner),
                Err(disagreement) if begun.elapsed() > AGREEMENT_LIMIT => {
                    return Err(Stop::Failed(disagreement));
                }
                Err(disagreement) => self.reporter.saw(format!("{disagreement}: asking again")),
            }
        }
    }

    /// Asks kernel and backend who answers until both agree, on `expected` if that is given.
    async fn answering(&self, target: &Target, expected: Option<&str>) -> Result<Owner, Stop> {
        let protocol = protocol(target);
        let macs = self.node_macs().await?;
        let mut observer = Observer::start(&self.lab.client).await?;
        let mut last = String::from("nothing was observed");
        let seen = within(ANSWER_LIMIT, async || {
            let begun = Instant::now();
            let (answer, mac) = client::resolve_and_get(&self.lab.client, target.socket(), TRY_LIMIT).await?;
            let took = begun.elapsed();
            let (answer, mac) = match (answer, mac) {
                (Ok(answer), Some(mac)) => (answer, mac),
                (Err(error), Some(mac)) => {
                    last = format!("{} is at {mac}, but HTTP: {error}", target.address);
                    return Ok(None);
                }
                (answer, None) => {
                    let http = answer.map_or_else(|error| error.to_string(), |answer| answer.node);
                    last = format!("{protocol} did not resolve {} (HTTP: {http})", target.address);
                    return Ok(None);
                }
            };
            let by_mac = macs.get(&mac).cloned().unwrap_or_else(|| "no node".to_owned());
            last = format!("the hardware address {mac} is {by_mac}'s, but {} answered", answer.node);
            let agreed = by_mac == answer.node && expected.is_none_or(|node| node == by_mac);
            Ok(agreed.then_some((answer, mac, took)))
        })
        .await?;
        let Some((answer, mac, took)) = seen else {
            return Err(Stop::Failed(match expected {
                Some(node) => format!("{node} should answer for {}; last seen: {last}", target.address),
                None => last,
            }));
        };
        if let Some(claim) = observer.find(target.address, |claim| claim.mac == mac) {
            let (form, address) = (claim.form, claim.address);
            self.reporter.saw(format!("packet on the client's eth0: {form}, {address} is at {mac}"));
        }
        self.saw_answer(target, &answer, mac, took);
        Ok(Owner { node: answer.node, mac })
    }

    fn saw_answer(&self, target: &Target, answer: &Answer, mac: MacAddr, took: Duration) {
        let address = target.address;
        self.reporter.saw(format!(
            "client's neighbour table: {address} is at {mac}, by {}; that is {}'s eth0",
            protocol(target),
            answer.node
        ));
        self.reporter.saw(format!(
            "HTTP {} from {}, {} with resolution: {:?}",
            answer.status.as_u16(),
            target.socket(),
            ms(took),
            answer.body.trim_end()
        ));
    }

    /// The API must name the node that the network shows; what it says instead, if it does not.
    async fn api_agrees(&self, target: &Target, node: &str) -> Result<Result<(), String>, Stop> {
        let mut last = None;
        let agreed = within(STATUS_LIMIT, async || {
            let mut owners = cluster::layer2_owners(&self.lab.api).await?;
            last = owners.remove(&target.service.key);
            Ok((last.as_deref() == Some(node)).then_some(()))
        })
        .await?;
        if agreed.is_none() {
            let says = last.unwrap_or_else(|| "nobody".to_owned());
            return Ok(Err(format!("{node} answers, but the ServiceL2Status names {says}")));
        }
        self.reporter.saw(format!("ServiceL2Status of {}: node {node}", target.service.key));
        Ok(Ok(()))
    }

    /// The hardware address of every node's eth0, from its kernel.
    async fn node_macs(&self) -> Result<BTreeMap<MacAddr, String>, Error> {
        let mut macs = BTreeMap::new();
        for (name, node) in &self.lab.nodes {
            if let Some(mac) = links::mac(&node.host.room, "eth0").await? {
                macs.insert(mac, name.clone());
            }
        }
        Ok(macs)
    }

    /// Names of nodes and how often each answered.
    pub(super) fn shares(counts: &BTreeMap<String, usize>) -> String {
        list(counts.iter().map(|(node, count)| format!("{node} {count}")))
    }
}

/// What resolves the address on the segment.
const fn protocol(target: &Target) -> &'static str {
    if target.address.is_ipv4() { "ARP" } else { "NDP" }
}
