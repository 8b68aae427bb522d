//! How BGP sessions stand, by everything that says something about them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kube::Client;
use kube::api::ListParams;
use metallb_bgp::wire::notification::Notification;
use metallb_core::config::{Peer, PeerEndpoint};
use metallb_core::keys::InterfaceName;
use serde_json::Value;

use crate::cluster::every_as;
use crate::daemon::Daemon;
use crate::exit::Trouble;
use crate::kinds;
use crate::snapshot::{Snapshot, text};
use crate::voices::{ESTABLISHED, Session};

/// How a session between a node and a peer stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// As RFC 4271 calls it; `None` when nobody says.
    pub(crate) state: Option<String>,
    /// Prefixes that the peer was told.
    pub(crate) prefixes: Option<u64>,
    /// Whether BFD is up, where it runs.
    pub(crate) bfd: Option<bool>,
    /// Why it is not established, or why nobody says.
    pub(crate) why: Option<String>,
}

impl Standing {
    pub(crate) fn is_up(&self) -> bool {
        self.state.as_deref() == Some(ESTABLISHED)
    }

    /// Whether it is known not to be established.
    pub(crate) fn is_down(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state != ESTABLISHED)
    }
}

/// Everything in a snapshot that says how sessions stand.
#[derive(Debug)]
pub(crate) struct Witness<'a> {
    snapshot: &'a Snapshot,
    /// By node.
    speakers: BTreeMap<String, Daemon>,
    /// Node and words of the events about sessions, the last ones last.
    events: Vec<(&'a str, &'a str)>,
}

impl<'a> Witness<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let mut events: Vec<&Value> = snapshot.of("Event").collect();
        events.sort_by_key(|event| time(event));
        let words = events.iter().map(|event| (text(event, "/involvedObject/name"), text(event, "/message")));
        Self {
            snapshot,
            speakers: snapshot.daemons("speaker").map(|daemon| (daemon.node.clone(), daemon)).collect(),
            events: words.collect(),
        }
    }

    /// How it stands with the session of a node with a peer.
    pub(crate) fn standing(&self, node: &str, peer: &Peer) -> Standing {
        let Some(speaker) = self.speakers.get(node) else {
            let sees = self.snapshot.sees("Pod");
            let why = if sees { "no speaker runs there" } else { "the pods of MetalLB cannot be seen" };
            let state = sees.then(|| NONE.to_owned());
            return Standing { state, why: Some(why.to_owned()), ..Standing::default() };
        };
        let Some(voice) = self.snapshot.voices.of(&speaker.pod) else {
            // The last words may be from before it came up again.
            let last = self.last_words(node, peer).map(|words| format!("; the last heard of it: {words}"));
            let why = self.silence(speaker) + last.as_deref().unwrap_or_default();
            return Standing { why: Some(why), ..Standing::default() };
        };
        let Some(session) = voice.sessions.iter().find(|session| is_of(session, peer)) else {
            let why = self.last_words(node, peer);
            let why = why.unwrap_or_else(|| format!("{} has no such session", speaker.pod));
            return Standing { state: Some(NONE.to_owned()), why: Some(why), ..Standing::default() };
        };
        let why = || self.last_words(node, peer).or_else(|| session.error.map(named));
        Standing {
            state: Some(session.state.clone()),
            prefixes: Some(session.prefixes),
            bfd: session.bfd,
            why: if session.is_up() { None } else { why() },
        }
    }

    /// Why the speaker of a node cannot take sessions over.
    pub(crate) fn obstacle(&self, node: &str) -> Option<String> {
        let Some(speaker) = self.speakers.get(node) else {
            return Some("no speaker runs there".to_owned());
        };
        let Some(voice) = self.snapshot.voices.of(&speaker.pod) else { return Some(self.silence(speaker)) };
        let foreign =
            || format!("{} is MetalLB's own speaker, which would write the object again", speaker.pod);
        voice.version.is_none().then(foreign)
    }

    /// Why a speaker was not heard.
    fn silence(&self, speaker: &Daemon) -> String {
        let voices = &self.snapshot.voices;
        match (&voices.refused, voices.silent.get(&speaker.pod)) {
            (Some(why), _) | (None, Some(why)) => format!("{} cannot be asked: {why}", speaker.pod),
            (None, None) if !speaker.ready => format!("{} is not ready", speaker.pod),
            (None, None) => format!("{} was not asked", speaker.pod),
        }
    }

    /// The last that the node's speaker said about a session that is down, in an event.
    fn last_words(&self, node: &str, peer: &Peer) -> Option<String> {
        let start = format!("BGP session {} ", peer.name);
        let held = format!("BGPPeer {:?}: ", peer.name.as_str());
        let words =
            self.events.iter().rev().filter(|(about, _)| *about == node).find_map(|(_, message)| {
                message.strip_prefix(&start).or_else(|| message.strip_prefix(&held))
            })?;
        let cut = ["is down: ", "does not come up: "].iter().find_map(|cut| words.strip_prefix(cut));
        Some(cut.unwrap_or(words).to_owned())
    }
}

/// Whether a session is the one with that peer. One that is unnumbered is named by its interface.
fn is_of(session: &Session, peer: &Peer) -> bool {
    let name = match session.peer.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_string(),
        Err(_) => session.peer.clone(),
    };
    let is_there = match &peer.endpoint {
        PeerEndpoint::Address(address) => name == address.to_string(),
        PeerEndpoint::Interface(interface) => name == interface.as_str(),
    };
    is_there && session.vrf.as_deref() == peer.vrf.as_ref().map(InterfaceName::as_str)
}

/// When it was seen last, in the form that sorts.
fn time(event: &Value) -> &str {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.into_iter().map(|path| text(event, path)).find(|time| !time.is_empty()).unwrap_or_default()
}

/// What a NOTIFICATION means; 0 stands for none.
fn named((code, subcode): (u8, u8)) -> String {
    if code == 0 {
        return "no connection, or it broke without a NOTIFICATION".to_owned();
    }
    Notification::new(code, subcode).to_string()
}

/// Lists what speakers said about sessions that are down into a snapshot that has peers.
pub(crate) async fn gather_events(client: &Client, snapshot: &mut Snapshot) -> Result<(), Trouble> {
    if snapshot.of("BGPPeer").next().is_none() {
        return Ok(());
    }
    for reason in ["BGPPeerDown", "BGPPathMTU", "BGPPeerHeldBack"] {
        let params = ListParams::default().fields(&format!("reason={reason}"));
        let mut events = Vec::new();
        let take = |mut event: Value| {
            if let Value::Object(fields) = &mut event {
                fields.insert("kind".to_owned(), Value::from("Event"));
            }
            events.push(event);
        };
        let listed = every_as(client, "", kinds::EVENTS, params, take).await;
        let is_refused = listed.is_err();
        snapshot.objects.append(&mut events);
        snapshot.note(kinds::EVENTS, listed)?;
        if is_refused {
            break;
        }
    }
    Ok(())
}

/// The state of a session that does not exist.
const NONE: &str = "None";
