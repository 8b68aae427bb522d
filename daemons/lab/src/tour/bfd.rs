//! BFD: a link that is cut, and how much sooner that is known with it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metallb_core::config::Peer;
use serde_json::Value;

use super::bgp::leads_to_router;
use super::failure::{HOLD_MARGIN, PATIENCE, WITHDRAWAL_LIMIT, remove};
use super::{Step, Stop, Tour, within};
use crate::api;
use crate::control::SpeakerSession;
use crate::error::Error;
use crate::options::RouterKind;
use crate::report::ms;

/// How long a path has been up before it is cut: FRR makes its side anew once after a session of BGP is established.
const LASTING_SECONDS: u64 = 2;

/// How long a router may take to end the sessions whose BFD was switched off, and they to come back.
const RESET_LIMIT: Duration = Duration::from_secs(10);

/// Sessions of all nodes, by node and peer.
type Sessions = BTreeMap<(String, String), SpeakerSession>;

impl Tour<'_> {
    /// A node's link is cut under the eyes of BFD; returns the node, and what was measured.
    pub(super) async fn cut_watched(&self) -> Result<(String, String), Stop> {
        self.reporter.title("A link is cut, with BFD and without");
        let watched = |peer: &Peer| leads_to_router(peer) && peer.bfd.is_some();
        if !self.lab.loaded.config.peers().values().any(|peer| watched(peer)) {
            return Err(Stop::NotShown(
                "no BGPPeer that leads to this lab's router has a bfdProfile".to_owned(),
            ));
        }
        let Some(node) = Self::leaver(&self.all_wanted()) else {
            return Err(Stop::NotShown("no address has paths by two nodes".to_owned()));
        };
        let detection = self.until_watched().await?;
        self.reporter.note(format!("the link of {node} is cut; its speaker runs on"));
        let took = self.cut(&node, PATIENCE).await?;
        let figure = format!("{node} gone after {}, detection time {}", ms(took), ms(detection));
        self.reporter.saw(format!("router's kernel: {figure}"));
        if took > WITHDRAWAL_LIMIT + detection {
            return Err(Stop::Failed(format!(
                "it took {}, more than {}",
                ms(took),
                ms(WITHDRAWAL_LIMIT + detection)
            )));
        }
        Ok((node, figure))
    }

    /// The peers lose their BFD profile, no session ends, and the same link is cut again.
    pub(super) async fn cut_unwatched(&self, node: &str) -> Step {
        let hold = self.hold_time()?;
        self.until_watched().await?;
        let before = self.sessions().await?;
        self.set_profiles(false)?;
        self.until_sessions("BFD going with the profile", |session| session.bfd.is_none()).await?;
        if self.lab.router.kind() == RouterKind::BuiltIn {
            self.same_sessions(&before).await?;
            self.reporter
                .saw("BFDProfile taken from the BGPPeers: no path is watched, every session goes on");
        } else {
            self.reporter.saw("BFDProfile taken from the BGPPeers: no path is watched");
            self.reporter
                .note("this router may take that for a failure and end the sessions, which then come back");
            // One that leaves them alone, as RFC 5882 asks for, ends the wait by its limit.
            within(RESET_LIMIT, async || {
                let now = self.sessions().await?;
                let is_new = |key, session: &SpeakerSession| {
                    before.get(key).is_some_and(|earlier| earlier.established < session.established)
                };
                Ok(now.iter().all(|(key, session)| is_new(key, session)).then_some(()))
            })
            .await?;
            let up = |session: &SpeakerSession| session.state == "Established" && session.bfd.is_none();
            self.until_sessions("sessions without BFD", up).await?;
        }
        self.reporter.note(format!("the link of {node} is cut again"));
        let took = self.cut(node, hold + HOLD_MARGIN).await?;
        let figure = format!("{node} gone after {}, hold time {} s", ms(took), hold.as_secs());
        self.reporter.saw(format!("router's kernel: {figure}"));
        Ok(figure)
    }

    /// The profile comes back to sessions that live.
    pub(super) async fn watch_again(&self) -> Step {
        let before = self.sessions().await?;
        let begun = Instant::now();
        self.set_profiles(true)?;
        let up = |session: &SpeakerSession| session.bfd.as_ref().is_some_and(|path| path.state == "Up");
        self.until_sessions("BFD coming up", up).await?;
        let took = begun.elapsed();
        self.same_sessions(&before).await?;
        let count = before.len();
        self.reporter.saw(format!("BFD is up on {count} paths after {}, every session goes on", ms(took)));
        Ok(format!("{count} paths up after {}", ms(took)))
    }

    /// Cuts a node's link, waits until the router's kernel has no path by it, and mends all.
    async fn cut(&self, node: &str, limit: Duration) -> Result<Duration, Stop> {
        let wanted = self.all_wanted();
        self.await_paths(&wanted).await?;
        let without = remove(&wanted, node);
        let begun = Instant::now();
        self.lab.cut(self.lab.node(node)?).await?;
        let gone = within(limit, async || Ok(self.exactly(&without).await?.map(|()| begun.elapsed()))).await;
        self.lab.heal(self.lab.node(node)?).await?;
        let took = gone?.ok_or_else(|| {
            Stop::Failed(format!(
                "the router still sends to {node} {} s after its link was cut",
                limit.as_secs()
            ))
        })?;
        self.await_paths(&wanted).await?;
        Ok(took)
    }

    /// Waits until every path that is to be watched has been up for a while; returns the longest detection time.
    async fn until_watched(&self) -> Result<Duration, Stop> {
        let lasting = |session: &SpeakerSession| {
            let path = session.bfd.as_ref();
            let up = path.is_some_and(|path| path.state == "Up" && path.for_seconds >= LASTING_SECONDS);
            up && session.state == "Established"
        };
        let sessions = self.until_sessions("BFD coming up", lasting).await?;
        let millis = sessions.values().filter_map(|session| session.bfd.as_ref()?.detection_time_millis);
        let longest = millis.fold(0.0, f64::max);
        self.reporter.saw(format!("BFD is up on {} paths, detection time {longest} ms", sessions.len()));
        Ok(Duration::from_secs_f64(longest / 1000.0))
    }

    /// Waits until all sessions that have or had a profile are so.
    async fn until_sessions(
        &self,
        what: &str,
        so: impl Fn(&SpeakerSession) -> bool,
    ) -> Result<Sessions, Stop> {
        let mut last = Sessions::new();
        let there = within(PATIENCE, async || {
            last = self.sessions().await?;
            Ok((!last.is_empty() && last.values().all(&so)).then_some(()))
        })
        .await?;
        if there.is_some() {
            return Ok(last);
        }
        let others = last.iter().filter(|(_, session)| !so(session));
        let others: Vec<_> = others.map(|((node, _), session)| format!("{node} to {session}")).collect();
        Err(Stop::Failed(format!("{what}: not within {} s: {}", PATIENCE.as_secs(), others.join("; "))))
    }

    /// The sessions of peers that have a profile in the configuration.
    async fn sessions(&self) -> Result<Sessions, Error> {
        let peers = self.lab.loaded.config.peers();
        let watched = |session: &SpeakerSession| {
            peers.iter().any(|(name, peer)| peer.bfd.is_some() && name.as_str() == session.peer)
        };
        let mut all = Sessions::new();
        for (name, node) in &self.lab.nodes {
            let sessions = self.lab.speaker_sessions(node).await?;
            let watched = sessions.into_iter().filter(|session| watched(session));
            all.extend(watched.map(|session| ((name.clone(), session.peer.clone()), session)));
        }
        Ok(all)
    }

    /// No session is another than before.
    async fn same_sessions(&self, before: &Sessions) -> Result<(), Stop> {
        let after = self.sessions().await?;
        for (key, session) in before {
            let same = after
                .get(key)
                .is_some_and(|now| now.state == session.state && now.established == session.established);
            if !same {
                let (node, peer) = key;
                let now = after.get(key).map_or_else(|| "gone".to_owned(), ToString::to_string);
                return Err(Stop::Failed(format!(
                    "the session of {node} with {peer} did not live on: {now}"
                )));
            }
        }
        Ok(())
    }

    /// Writes the peers with their BFD profile or without.
    fn set_profiles(&self, with: bool) -> Result<(), Error> {
        let peers = self.lab.loaded.documents.iter().filter(|document| document.kind() == "BGPPeer");
        for document in peers {
            let mut object = document.value.clone();
            if !with && let Some(spec) = object.pointer_mut("/spec").and_then(Value::as_object_mut) {
                spec.remove("bfdProfile");
            }
            api::put(&self.lab.server, &object)?;
        }
        Ok(())
    }
}
