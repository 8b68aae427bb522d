//! What the daemons say about themselves: their metrics, read through the API server.
//!
//! `/debug/state` says more, and listens on loopback only, where the API server's proxy does not get. The names of the
//! metrics are stable, so that daemons of another version are understood, too.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use http::Request;
use kube::Client;
use metallb_k8s::retry::describe;

use crate::daemon::Daemon;
use crate::snapshot::Snapshot;

/// What was heard, by pod, and why nothing was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voices {
    pub(crate) heard: BTreeMap<String, Voice>,
    /// Pods that do not answer, with the reason.
    pub(crate) silent: BTreeMap<String, String>,
    /// The server's words, when the asker may not go through it to pods.
    pub(crate) refused: Option<String>,
}

/// What one daemon says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Voice {
    pub(crate) version: Option<String>,
    /// Of controllers: whether it leads.
    pub(crate) leads: Option<bool>,
    pub(crate) sessions: Vec<Session>,
}

/// What a speaker says about a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Session {
    /// Address of the peer, perhaps with its port.
    pub(crate) peer: String,
    pub(crate) vrf: Option<String>,
    /// As RFC 4271 calls it.
    pub(crate) state: String,
    /// Prefixes that the peer was told.
    pub(crate) prefixes: u64,
    /// Code and subcode of the NOTIFICATION that last ended it; 0 and 0 for an error without one.
    pub(crate) error: Option<(u8, u8)>,
    /// Whether BFD is up, where it runs.
    pub(crate) bfd: Option<bool>,
}

impl Session {
    pub(crate) fn is_up(&self) -> bool {
        self.state == ESTABLISHED
    }
}

/// The daemons among the pods of a snapshot.
pub(crate) fn daemons(snapshot: &Snapshot) -> Vec<Daemon> {
    snapshot.of("Pod").filter_map(Daemon::cut).collect()
}

impl Voices {
    /// Asks these pods. One that does not answer is noted; when the first may not be asked, no other is.
    pub(crate) async fn hear(client: &Client, namespace: &str, daemons: &[Daemon]) -> Self {
        let mut voices = Self::default();
        let mut daemons = daemons.iter().filter(|daemon| daemon.ready);
        let Some(first) = daemons.next() else { return voices };
        voices.note(first, ask(client, namespace, first).await);
        if voices.refused.is_none() {
            let asked = daemons.map(async |daemon| (daemon, ask(client, namespace, daemon).await));
            let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
            for (daemon, answer) in answers {
                voices.note(daemon, answer);
            }
        }
        voices
    }

    fn note(&mut self, daemon: &Daemon, answer: Result<String, Silence>) {
        match answer {
            Ok(text) => _ = self.heard.insert(daemon.pod.clone(), Voice::parse(&text)),
            Err(Silence::Refused(words)) => self.refused = Some(words),
            Err(Silence::Away(why)) => _ = self.silent.insert(daemon.pod.clone(), why),
        }
    }

    /// What a pod says; `None` when it was not heard.
    pub(crate) fn of(&self, pod: &str) -> Option<&Voice> {
        self.heard.get(pod)
    }

    /// For tests, and for what is not asked over a network.
    #[cfg(test)]
    pub(crate) fn say(&mut self, pod: &str, metrics: &str) {
        self.heard.insert(pod.to_owned(), Voice::parse(metrics));
    }
}

/// Why a pod was not heard.
enum Silence {
    Refused(String),
    Away(String),
}

async fn ask(client: &Client, namespace: &str, daemon: &Daemon) -> Result<String, Silence> {
    let Some(port) = daemon.metrics_port() else {
        return Err(Silence::Away("its metrics are switched off (--port=0)".to_owned()));
    };
    let pod = &daemon.pod;
    let path = format!("/api/v1/namespaces/{namespace}/pods/http:{pod}:{port}/proxy/metrics");
    let request = Request::get(path).body(Vec::new()).map_err(|error| Silence::Away(error.to_string()))?;
    match tokio::time::timeout(PATIENCE, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Silence::Refused(status.message)),
        Ok(Err(kube::Error::Api(status))) => Err(Silence::Away(status.message)),
        Ok(Err(error)) => Err(Silence::Away(describe(&error))),
        Err(_) => Err(Silence::Away(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

impl Voice {
    /// Reads metrics in the text format; what is not known is skipped.
    fn parse(text: &str) -> Self {
        let mut voice = Self::default();
        let mut sessions: BTreeMap<(String, Option<String>), Session> = BTreeMap::new();
        let mut bfd: BTreeMap<(String, Option<String>), bool> = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with(PREFIX)) {
            let Some((name, labels, value)) = series(line) else { continue };
            let label = |name: &str| labels.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
            match name {
                "metallb_build_info" => voice.version = label("version").cloned(),
                "metallb_controller_leader" => voice.leads = Some(value > 0.0),
                _ => {}
            }
            let Some(peer) = label("peer") else { continue };
            let key = (peer.clone(), label("vrf").cloned());
            if name == "metallb_bfd_session_up" {
                bfd.insert(key, value > 0.0);
                continue;
            }
            if !name.starts_with("metallb_bgp_") {
                continue;
            }
            let session = sessions.entry(key).or_insert_with_key(|(peer, vrf)| Session {
                peer: peer.clone(),
                vrf: vrf.clone(),
                ..Session::default()
            });
            match name {
                // MetalLB's own daemons have no metric of the state.
                "metallb_bgp_session_up" if value > 0.0 => ESTABLISHED.clone_into(&mut session.state),
                "metallb_bgp_session_up" if session.state.is_empty() => "Down".clone_into(&mut session.state),
                "metallb_bgp_state" if value > 0.0 => {
                    session.state = label("state").cloned().unwrap_or_default();
                }
                "metallb_bgp_announced_prefixes_total" => session.prefixes = number(value),
                "metallb_bgp_last_error_info" => {
                    let part = |name: &str| label(name).and_then(|text| text.parse().ok());
                    session.error = part("code").zip(part("subcode"));
                }
                _ => {}
            }
        }
        for ((peer, vrf), mut session) in sessions {
            // BFD has no port.
            let address = peer.parse::<std::net::SocketAddr>().map(|peer| peer.ip().to_string());
            session.bfd = bfd.get(&(address.unwrap_or(peer), vrf)).copied();
            voice.sessions.push(session);
        }
        voice
    }
}

/// Labels with their values, unescaped.
type Labels<'a> = Vec<(&'a str, String)>;

/// Name, labels and value of a line.
fn series(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        return Some((name, Vec::new(), value.split(' ').next()?.parse().ok()?));
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((label, value));
        rest = after;
    }
    let value = rest.strip_prefix('}')?.trim_start().split(' ').next()?.parse().ok()?;
    Some((name, labels, value))
}

/// A label's value up to its closing quote, and what comes after.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at.saturating_add(1)..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, written as a float")]
fn number(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// What the state of a session is called in which routes are exchanged.
pub(crate) const ESTABLISHED: &str = "Established";
const PREFIX: &str = "metallb_";
/// How long a pod may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many pods are asked at once.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# HELP metallb_bgp_session_up 1 if the session is established
metallb_bgp_session_up{node="node-a",peer="192.0.2.1"} 1
metallb_bgp_session_up{node="node-a",peer="192.0.2.2",vrf="blue"} 0
metallb_bgp_state{node="node-a",peer="192.0.2.1",state="Established"} 1
metallb_bgp_state{node="node-a",peer="192.0.2.1",state="Idle"} 0
metallb_bgp_state{node="node-a",peer="192.0.2.2",vrf="blue",state="Connect"} 1
metallb_bgp_announced_prefixes_total{node="node-a",peer="192.0.2.1"} 12
metallb_bgp_last_error_info{code="2",node="node-a",peer="192.0.2.2",subcode="2",vrf="blue"} 1
metallb_bfd_session_up{node="node-a",peer="192.0.2.1"} 1
metallb_build_info{commit="unknown",version="0.1.0"} 1
metallb_speaker_announced{ip="192.0.2.9",service="a/b",node="x"} 1
process_open_fds 12
"#;

    #[test]
    fn a_speakers_sessions_are_read() {
        let voice = Voice::parse(METRICS);
        assert_eq!(voice.version.as_deref(), Some("0.1.0"));
        let up = Session {
            peer: "192.0.2.1".to_owned(),
            state: "Established".to_owned(),
            prefixes: 12,
            bfd: Some(true),
            ..Session::default()
        };
        let down = Session {
            peer: "192.0.2.2".to_owned(),
            vrf: Some("blue".to_owned()),
            state: "Connect".to_owned(),
            error: Some((2, 2)),
            ..Session::default()
        };
        assert_eq!(voice.sessions, [up, down]);
    }

    #[test]
    fn a_daemon_of_another_version_is_understood_as_far_as_it_goes() {
        let voice = Voice::parse(
            "metallb_bgp_session_up{peer=\"192.0.2.1:179\"} 0\nmetallb_new{a=\"b} 1\nmetallb_controller_leader 1\n",
        );
        assert_eq!((voice.version, voice.leads), (None, Some(true)));
        assert_eq!(voice.sessions.first().map(|session| session.state.as_str()), Some("Down"));
    }

    #[test]
    fn a_label_may_hold_anything() {
        let (name, labels, value) = series(r#"metallb_x{a="1\"2\\3\n4",b="}"} 7 1700000000"#).unwrap();
        assert_eq!((name, value), ("metallb_x", 7.0));
        assert_eq!(labels, [("a", "1\"2\\3\n4".to_owned()), ("b", "}".to_owned())]);
    }
}
