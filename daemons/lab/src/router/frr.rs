//! FRR as the router: `zebra` for the kernel's table and `bgpd`, asked through their vty sockets.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{User, chown};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{RouterRoute, RouterSession, find};
use crate::error::Error;
use crate::net::Room;
use crate::process::{Child, Program};
use crate::scenario::{BFD_INTERVAL, BFD_MULTIPLIER, Place, ROUTER_ASN, segment};
use crate::state::StateDir;
use crate::wait;

/// The daemons in the order they are started.
pub(crate) fn daemons(bfd: bool) -> &'static [&'static str] {
    if bfd { &["zebra", "bfdd", "bgpd"] } else { &["zebra", "bgpd"] }
}

/// The user they change to.
const USER: &str = "frr";
/// The profile of BFD.
const PROFILE: &str = "nodes";
/// How long a daemon may take to open its socket.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long a daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// FRR, running.
#[derive(Debug)]
pub(crate) struct Frr {
    vty: PathBuf,
    _children: Vec<Child>,
}

/// Where a daemon is.
pub(crate) fn program(daemon: &str) -> Result<PathBuf, Error> {
    find(daemon, &["/usr/lib/frr", "/usr/libexec/frr"]).ok_or_else(|| Error::RouterProgram {
        router: "--router frr",
        program: daemon.to_owned(),
        package: "frr",
    })
}

impl Frr {
    pub(crate) async fn start(room: &Arc<Room>, dir: &StateDir, bfd: bool) -> Result<Self, Error> {
        let own = own_directory(dir)?;
        let zebra_socket = own.join("zserv.api");
        let mut children = Vec::new();
        for daemon in daemons(bfd) {
            let file = own.join(format!("{daemon}.conf"));
            hand_over(&file, &configuration(daemon, bfd))?;
            let start = Program::new(daemon, &program(daemon)?, dir.log("router"))
                .args(["-P", "0", "--log", "stdout"])
                .args([&PathBuf::from("-f"), &file])
                .args([&"-i".into(), &own.join(format!("{daemon}.pid"))])
                .args([&"-z".into(), &zebra_socket])
                .args([&"--vty_socket".into(), &own]);
            // Beside the others, and not where a bfdd of the machine would have its own.
            let start = match *daemon {
                "bfdd" => start.args([&"--bfdctl".into(), &own.join("bfdd.sock")]),
                _ => start,
            };
            children.push(Child::start(room, start).await?);
            let sockets = [own.join(format!("{daemon}.vty")), zebra_socket.clone()];
            let hint = format!("see {}", dir.log("router").display());
            wait::until(START_LIMIT, &format!("{daemon}'s socket"), &hint, || async {
                Ok(sockets.iter().all(|socket| socket.exists()).then_some(()))
            })
            .await?;
        }
        Ok(Self { vty: own.join("bgpd.vty"), _children: children })
    }

    pub(crate) async fn sessions(&self) -> Result<Vec<RouterSession>, Error> {
        let mut sessions = Vec::new();
        let summary = self.json("show bgp summary json").await?;
        for family in ["ipv4Unicast", "ipv6Unicast"] {
            let peers = summary.pointer(&format!("/{family}/peers")).and_then(Value::as_object);
            sessions.extend(peers.into_iter().flatten().filter_map(|(peer, found)| session(peer, found)));
        }
        // A session with both families is listed under both.
        sessions.sort();
        let mut merged: Vec<RouterSession> = Vec::new();
        for session in sessions {
            match merged.last_mut().filter(|last| last.peer == session.peer) {
                Some(last) => last.prefixes += session.prefixes,
                None => merged.push(session),
            }
        }
        Ok(merged)
    }

    pub(crate) async fn received(&self) -> Result<Vec<RouterRoute>, Error> {
        let mut found = Vec::new();
        for family in ["ipv4", "ipv6"] {
            let table = self.json(&format!("show bgp {family} unicast json")).await?;
            let prefixes = table.pointer("/routes").and_then(Value::as_object);
            for prefix in prefixes.into_iter().flatten().map(|(prefix, _)| prefix) {
                let detail = self.json(&format!("show bgp {family} unicast {prefix} json")).await?;
                let paths = detail.pointer("/paths").and_then(Value::as_array);
                found.extend(paths.into_iter().flatten().filter_map(|path| route(prefix, path)));
            }
        }
        Ok(found)
    }

    async fn json(&self, command: &str) -> Result<Value, Error> {
        let text = tokio::time::timeout(ANSWER_LIMIT, ask(&self.vty, command))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(Error::io(format!("asking bgpd to {command:?}")))?;
        serde_json::from_str(&text).map_err(|error| Error::Router {
            router: "FRR",
            reason: format!("the answer to {command:?} is not JSON: {error}"),
        })
    }
}

/// Sends a command to a vty socket. An answer ends with three zero octets and a status octet.
async fn ask(vty: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(vty).await?;
    let mut answer = String::new();
    for line in ["enable", command] {
        stream.write_all(line.as_bytes()).await?;
        stream.write_all(&[0]).await?;
        let mut octets = Vec::new();
        while octets.len() < 4 || octets.get(octets.len() - 4..octets.len() - 1) != Some(&[0, 0, 0]) {
            octets.push(stream.read_u8().await?);
        }
        octets.truncate(octets.len() - 4);
        answer = String::from_utf8_lossy(&octets).into_owned();
    }
    Ok(answer)
}

/// A directory that belongs to FRR's user; everything in it goes with the lab's own.
fn own_directory(dir: &StateDir) -> Result<PathBuf, Error> {
    let own = dir.path().join("frr");
    std::fs::create_dir(&own).map_err(Error::io(format!("making {}", own.display())))?;
    give(&own)?;
    Ok(own)
}

fn hand_over(path: &Path, content: &str) -> Result<(), Error> {
    std::fs::write(path, content).map_err(Error::io(format!("writing {}", path.display())))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640))
        .map_err(Error::io(format!("writing {}", path.display())))?;
    give(path)
}

fn give(path: &Path) -> Result<(), Error> {
    let user = User::from_name(USER).map_err(Error::sys("looking for FRR's user"))?.ok_or_else(|| {
        Error::Router { router: "FRR", reason: format!("there is no user {USER}; reinstall the package frr") }
    })?;
    chown(path, Some(user.uid), Some(user.gid))
        .map_err(Error::sys(format!("giving {} to FRR", path.display())))
}

/// The configuration of a daemon; zebra needs none.
fn configuration(daemon: &str, bfd: bool) -> String {
    match daemon {
        "bgpd" => sessions(bfd),
        "bfdd" => profile(),
        _ => String::new(),
    }
}

/// BFD's side of it.
fn profile() -> String {
    let interval = BFD_INTERVAL.as_millis();
    format!(
        "bfd\n profile {PROFILE}\n  transmit-interval {interval}\n  receive-interval {interval}\n  \
         detect-multiplier {BFD_MULTIPLIER}\n exit\nexit\n"
    )
}

/// Takes sessions from the whole segment, several paths per prefix.
fn sessions(bfd: bool) -> String {
    let watched = if bfd {
        format!(" neighbor NODES bfd\n neighbor NODES bfd profile {PROFILE}\n")
    } else {
        String::new()
    };
    let begin = format!(
        "router bgp {ROUTER_ASN}\n bgp router-id {}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n bgp bestpath as-path multipath-relax\n \
         neighbor NODES peer-group\n neighbor NODES remote-as external\n",
        Place::router().v4
    );
    let ranges = segment().map(|net| format!(" bgp listen range {net} peer-group NODES\n"));
    let families = ["ipv4", "ipv6"].map(|family| {
        format!(
            " address-family {family} unicast\n  neighbor NODES activate\n  maximum-paths 64\n exit-address-family\n"
        )
    });
    [begin, watched].into_iter().chain(ranges).chain(families).collect()
}

fn session(peer: &str, found: &Value) -> Option<RouterSession> {
    Some(RouterSession {
        peer: peer.parse().ok()?,
        asn: found.get("remoteAs").and_then(Value::as_u64).and_then(|asn| u32::try_from(asn).ok()),
        state: found.get("state").and_then(Value::as_str).unwrap_or_default().to_owned(),
        prefixes: found.get("pfxRcd").and_then(Value::as_u64).unwrap_or_default(),
    })
}

fn route(prefix: &str, path: &Value) -> Option<RouterRoute> {
    let texts = |pointer: &str| path.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    // The global next hop comes first; a link-local one may follow.
    let hops = path.pointer("/nexthops").and_then(Value::as_array)?;
    let global = |hop: &&Value| hop.get("scope").and_then(Value::as_str) != Some("link-local");
    let next_hop: IpAddr = hops.iter().find(global)?.get("ip")?.as_str()?.parse().ok()?;
    let communities = [texts("/community/string"), texts("/largeCommunity/string")];
    Some(RouterRoute {
        prefix: prefix.to_owned(),
        next_hop,
        as_path: texts("/aspath/string"),
        communities: communities.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect(),
    })
}
