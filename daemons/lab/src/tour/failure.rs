//! What happens when something breaks, measured from where it matters.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use metallb_core::keys::Family;

use super::bgp::{Paths, leads_to_router};
use super::{Step, Stop, Target, Tour, list, within};
use crate::client::{self, Probe, Prober, Takeover};
use crate::observer::Observer;
use crate::report::ms;

/// Longest outage of a Layer 2 address whose node dies.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(2);
/// Longest time from the stop of a session until the router's kernel has no path of it.
pub(super) const WITHDRAWAL_LIMIT: Duration = Duration::from_secs(1);
/// How long is waited for what should happen sooner, to say how late it is.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Answers that are waited for before anything is broken.
const WARM_UP: usize = 20;
/// Hold times longer than this are not waited for.
const HOLD_LIMIT: Duration = Duration::from_secs(15);
/// What the router may take beyond the hold time, for its timers' and the kernel's sake.
pub(super) const HOLD_MARGIN: Duration = Duration::from_secs(3);

/// A node that died.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) node: String,
    pub(super) at: Instant,
    /// What was measured.
    pub(super) figure: String,
}

impl Tour<'_> {
    /// The owner of the Layer 2 addresses dies; returns what was measured.
    pub(super) async fn takeover(&self) -> Result<Death, Stop> {
        self.reporter.title("The owner dies");
        if self.lab.nodes.len() < 2 {
            return Err(Stop::NotShown("there is no second node; use --nodes".to_owned()));
        }
        let targets: Vec<&Target> = [Family::V4, Family::V6]
            .into_iter()
            .filter_map(|family| Self::first(&self.targets.layer2, family))
            .collect();
        let Some(first) = targets.first() else {
            return Err(Stop::NotShown("no address is announced by Layer 2".to_owned()));
        };
        let owner = self.witness(first, None).await?.node;
        let mut probers = Vec::new();
        // The addresses of one service have one owner; those of two need not.
        for target in targets.iter().filter(|target| target.service.key == first.service.key) {
            let (prober, last) = self.probe(target, &owner).await?;
            probers.push((*target, prober, last));
        }
        let mut observer = Observer::start(&self.lab.client).await?;
        self.reporter.note(format!("link and speaker of {owner} go at once, as if its power did"));
        let begun = Instant::now();
        self.lab.kill(self.lab.node(&owner)?).await?;
        let mut takeovers = Vec::new();
        for (target, mut prober, last) in probers {
            let seen = client::takeover(&mut prober, target.address, last, PATIENCE).await;
            let Some(takeover) = seen else {
                let address = target.address;
                let why = format!("nobody answers for {address} {} s after {owner} died", PATIENCE.as_secs());
                return Err(Stop::Failed(why));
            };
            self.saw_claim(&mut observer, &takeover, begun);
            self.saw_takeover(&takeover, begun);
            takeovers.push(takeover);
        }
        let new = takeovers.first().map(|takeover| takeover.to.clone());
        self.witness(first, new.as_deref()).await?;
        let worst = takeovers.iter().map(|takeover| takeover.outage).max().unwrap_or_default();
        if worst > TAKEOVER_LIMIT {
            let why = format!("the outage was {}, more than {}", ms(worst), ms(TAKEOVER_LIMIT));
            return Err(Stop::Failed(why));
        }
        let outages = list(takeovers.iter().map(|t| format!("{} {}", t.address, ms(t.outage))));
        let figure = format!("{owner} to {}, outage {outages}", new.unwrap_or_default());
        Ok(Death { node: owner, at: begun, figure })
    }

    async fn probe(&self, target: &Target, owner: &str) -> Result<(Prober, Probe), Stop> {
        let mut prober = Prober::start(&self.lab.client, target.socket());
        for answers in 1.. {
            match prober.next(PATIENCE).await {
                Some(probe) if probe.node == owner && answers < WARM_UP => {}
                Some(probe) if probe.node == owner => return Ok((prober, probe)),
                Some(probe) => {
                    let why = format!("{} answers for {}, not {owner}", probe.node, target.address);
                    return Err(Stop::Failed(why));
                }
                None => break,
            }
        }
        Err(Stop::Failed(format!("nobody answers for {}", target.address)))
    }

    /// The packet with which the new owner takes the address.
    fn saw_claim(&self, observer: &mut Observer, takeover: &Takeover, begun: Instant) {
        let Some(node) = self.lab.nodes.get(&takeover.to) else { return };
        let mac = node.host.place.mac;
        if let Some(claim) = observer.find(takeover.address, |claim| claim.mac == mac && claim.at > begun) {
            let after = ms(claim.at.saturating_duration_since(begun));
            let (form, address) = (claim.form, claim.address);
            self.reporter.saw(format!(
                "packet on the client's eth0, {after} after the cut: {form}, {address} is at {mac}, {}'s eth0",
                takeover.to
            ));
        }
    }

    fn saw_takeover(&self, takeover: &Takeover, begun: Instant) {
        let Takeover { address, from, to, outage } = takeover;
        self.reporter.saw(format!(
            "client, a new connection every {}: {address} answered by {to} instead of {from}; {} without an \
             answer ({} after it changed)",
            ms(client::PROBE_INTERVAL),
            ms(*outage),
            ms(begun.elapsed())
        ));
    }

    /// A dead node says no goodbye: its paths go when the hold time is over.
    pub(super) async fn dead_paths(&self, dead: &str, died: Instant) -> Step {
        let wanted = self.all_wanted();
        let without = remove(&wanted, dead);
        if wanted.is_empty() || wanted == without {
            return Err(Stop::NotShown(format!("the router has no path by {dead}")));
        }
        let hold = self.hold_time()?;
        let limit = (hold + HOLD_MARGIN).saturating_sub(died.elapsed());
        let gone = within(limit, async || self.exactly(&without).await).await?;
        let took = died.elapsed();
        if gone.is_none() {
            let why = format!(
                "the router still sends to {dead} {} s after it died",
                (hold + HOLD_MARGIN).as_secs()
            );
            return Err(Stop::Failed(why));
        }
        self.reporter.saw(format!(
            "router's kernel: no path by {dead} any more, {} after its death; hold time {} s",
            ms(took),
            hold.as_secs()
        ));
        Ok(format!("{dead} gone after {}, hold time {} s", ms(took), hold.as_secs()))
    }

    /// The longest hold time of a session with the router, where that is worth waiting for.
    pub(super) fn hold_time(&self) -> Result<Duration, Stop> {
        let peers = self.lab.loaded.config.peers();
        let hold = peers.values().filter(|peer| leads_to_router(peer)).map(|peer| peer.hold_time).max();
        hold.filter(|hold| !hold.is_zero() && *hold <= HOLD_LIMIT).ok_or_else(|| {
            let limit = HOLD_LIMIT.as_secs();
            Stop::NotShown(format!("the hold time of your peers is not between 3 s and {limit} s"))
        })
    }

    /// The dead node comes back and everything is as before.
    pub(super) async fn revive(&self, dead: &str) -> Step {
        let target = self.targets.layer2.first();
        let mut probing = None;
        if let Some(target) = target {
            let owner = self.witness(target, None).await?.node;
            probing = Some(self.probe(target, &owner).await?);
        }
        self.reporter.note(format!("{dead} gets its link back and a new speaker"));
        let begun = Instant::now();
        self.lab.heal(self.lab.node(dead)?).await?;
        self.reporter.saw(format!("the speaker on {dead} answers /readyz after {}", ms(begun.elapsed())));
        let mut figure = String::new();
        if let (Some(target), Some((mut prober, last))) = (target, probing) {
            let address = target.address;
            let Some(back) = client::takeover(&mut prober, address, last, PATIENCE).await else {
                let why = format!("{dead} does not answer for {address} {} s later", PATIENCE.as_secs());
                return Err(Stop::Failed(why));
            };
            self.saw_takeover(&back, begun);
            self.witness(target, Some(dead)).await?;
            figure = format!(", {address} without an answer for {}", ms(back.outage));
        }
        let wanted = self.all_wanted();
        self.await_paths(&wanted).await?;
        if !wanted.is_empty() {
            self.reporter.saw(format!("router's kernel: paths by {} again", list(names(&wanted))));
        }
        Ok(format!("after {}{figure}", ms(begun.elapsed())))
    }

    /// A node's speaker is asked to end, as in an update; returns the node, and what was measured.
    pub(super) async fn withdraw(&self) -> Result<(String, String), Stop> {
        self.reporter.title("A session stops");
        let wanted = self.all_wanted();
        let Some(node) = Self::leaver(&wanted) else {
            let why = if self.broken.is_empty() {
                "no address has paths by two nodes"
            } else {
                "the routes did not come up"
            };
            return Err(Stop::NotShown(why.to_owned()));
        };
        self.await_paths(&wanted).await?;
        let without = remove(&wanted, &node);
        self.reporter.note(format!("SIGTERM to the speaker on {node}"));
        let begun = Instant::now();
        let watch = within(PATIENCE, async || Ok(self.exactly(&without).await?.map(|()| begun.elapsed())));
        let (gone, stopped) = tokio::join!(watch, self.lab.stop_speaker(self.lab.node(&node)?));
        stopped?;
        let Some(took) = gone? else {
            let why = format!("the router still sends to {node} {} s after it stopped", PATIENCE.as_secs());
            return Err(Stop::Failed(why));
        };
        self.reporter
            .saw(format!("router's kernel: no path by {node} any more, {} after the signal", ms(took)));
        for family in [Family::V4, Family::V6].into_iter().filter(|family| !self.broken.contains(family)) {
            if let Ok(target) = self.bgp_target(family) {
                let nodes: BTreeSet<String> = names(&remove(&self.wanted(target), &node));
                self.ask_over_routes(target, &nodes).await?;
            }
        }
        if took > WITHDRAWAL_LIMIT {
            return Err(Stop::Failed(format!("it took {}, more than {}", ms(took), ms(WITHDRAWAL_LIMIT))));
        }
        Ok((node.clone(), format!("{node} withdrawn {} after the signal", ms(took))))
    }

    /// The stopped speaker starts again.
    pub(super) async fn resume(&self, node: &str) -> Step {
        let begun = Instant::now();
        self.lab.start_speaker(self.lab.node(node)?).await?;
        self.await_paths(&self.all_wanted()).await?;
        self.reporter
            .saw(format!("router's kernel: paths by {node} again, {} after its start", ms(begun.elapsed())));
        Ok(format!("after {}", ms(begun.elapsed())))
    }

    /// All paths that the configuration asks for, of both families.
    pub(super) fn all_wanted(&self) -> Paths {
        let families = [Family::V4, Family::V6].into_iter().filter(|family| !self.broken.contains(family));
        let targets = families.filter_map(|family| self.bgp_target(family).ok());
        targets.flat_map(|target| self.wanted(target)).collect()
    }

    /// A node whose paths are not the only ones; the last, because the first often owns more.
    pub(super) fn leaver(wanted: &Paths) -> Option<String> {
        let alone: BTreeSet<&String> = wanted.values().filter(|nodes| nodes.len() < 2).flatten().collect();
        wanted.values().flatten().filter(|node| !alone.contains(node)).max().cloned()
    }

    pub(super) async fn exactly(&self, wanted: &Paths) -> Result<Option<()>, crate::error::Error> {
        let paths = self.paths().await?;
        let same = wanted.iter().all(|(prefix, nodes)| match paths.get(prefix) {
            Some(found) => found == nodes,
            None => nodes.is_empty(),
        });
        Ok(same.then_some(()))
    }
}

pub(super) fn remove(paths: &Paths, node: &str) -> Paths {
    let without = |nodes: &BTreeSet<String>| nodes.iter().filter(|name| *name != node).cloned().collect();
    paths.iter().map(|(prefix, nodes)| (*prefix, without(nodes))).collect()
}

fn names(paths: &Paths) -> BTreeSet<String> {
    paths.values().flatten().cloned().collect()
}
