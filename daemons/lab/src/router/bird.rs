//! BIRD 2 as the router, run and asked through its control socket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{RouterRoute, RouterSession, find};
use crate::error::Error;
use crate::net::Room;
use crate::process::{Child, Program};
use crate::scenario::{BFD_INTERVAL, BFD_MULTIPLIER, Place, ROUTER_ASN, segment};
use crate::state::StateDir;
use crate::wait;

/// How long BIRD may take to open its control socket.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long BIRD may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// BIRD, running.
#[derive(Debug)]
pub(crate) struct Bird {
    socket: PathBuf,
    _child: Child,
}

/// Where BIRD is.
pub(crate) fn program() -> Result<PathBuf, Error> {
    find("bird", &["/usr/sbin", "/usr/local/sbin"]).ok_or_else(|| Error::RouterProgram {
        router: "--router bird",
        program: "bird".to_owned(),
        package: "bird2",
    })
}

impl Bird {
    pub(crate) async fn start(room: &Arc<Room>, dir: &StateDir, bfd: bool) -> Result<Self, Error> {
        let (config, socket) = (dir.path().join("bird.conf"), dir.path().join("bird.ctl"));
        StateDir::write(&config, configuration(bfd).as_bytes())?;
        let start = Program::new("bird", &program()?, dir.log("router"))
            .arg("-f")
            .args([&"-c".into(), &config, &"-s".into(), &socket])
            .args([&"-P".into(), &dir.path().join("bird.pid")]);
        let child = Child::start(room, start).await?;
        wait::until(
            START_LIMIT,
            "BIRD's control socket",
            &format!("see {}", dir.log("router").display()),
            || async { Ok(socket.exists().then_some(())) },
        )
        .await?;
        Ok(Self { socket, _child: child })
    }

    pub(crate) async fn sessions(&self) -> Result<Vec<RouterSession>, Error> {
        Ok(parse_sessions(&self.ask("show protocols all").await?))
    }

    pub(crate) async fn received(&self) -> Result<Vec<RouterRoute>, Error> {
        Ok(parse_routes(&self.ask("show route all").await?))
    }

    /// Sends a command, returns the lines of the answer without their codes.
    async fn ask(&self, command: &str) -> Result<Vec<String>, Error> {
        let doing = || format!("asking BIRD to {command:?}");
        tokio::time::timeout(ANSWER_LIMIT, exchange(&self.socket, command))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(Error::io(doing()))
    }
}

async fn exchange(socket: &PathBuf, command: &str) -> std::io::Result<Vec<String>> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    stream.get_mut().write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        let coded = text.get(..4).is_some_and(|code| code.bytes().all(|octet| octet.is_ascii_digit()));
        answer.push(if coded { text.get(5..) } else { text.get(1..) }.unwrap_or_default().to_owned());
        // "NNNN text" ends an answer, "NNNN-text" and " text" continue it.
        if coded && text.as_bytes().get(4).is_none_or(|mark| *mark == b' ') {
            return Ok(answer);
        }
    }
}

/// Takes sessions from the whole segment, several paths per prefix into the kernel.
fn configuration(bfd: bool) -> String {
    let (watch, watched) = if bfd { (watch(), " bfd on;") } else { (String::new(), "") };
    let begin =
        format!("router id {};\nlog stderr all;\nprotocol device {{ scan time 1; }}\n", Place::router().v4);
    let kernels = ["ipv4", "ipv6"].map(|family| {
        format!(
            "protocol kernel kernel_{family} {{ {family} {{ import none; export where source = RTS_BGP; }}; \
             merge paths on limit 64; }}\n"
        )
    });
    let sessions = segment().into_iter().zip(Place::router().addresses()).map(|(net, (local, _))| {
        let family = if net.is_ipv4() { 4 } else { 6 };
        format!(
            "protocol bgp segment{family} {{ local {local} as {ROUTER_ASN}; neighbor range {net} external; \
             dynamic name \"node{family}_\"; passive; direct;{watched} error wait time 1, 2;\n  \
             ipv4 {{ import all; export none; extended next hop on; }};\n  \
             ipv6 {{ import all; export none; }};\n}}\n"
        )
    });
    [begin, watch].into_iter().chain(kernels).chain(sessions).collect()
}

/// BFD on the segment.
fn watch() -> String {
    let interval = BFD_INTERVAL.as_millis();
    format!(
        "protocol bfd {{ interface \"eth0\" {{ min rx interval {interval} ms; min tx interval {interval} ms; \
         multiplier {BFD_MULTIPLIER}; }}; }}\n"
    )
}

fn parse_sessions(lines: &[String]) -> Vec<RouterSession> {
    let mut sessions: Vec<RouterSession> = Vec::new();
    let mut name = String::new();
    let mut state = String::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            words.first().copied().unwrap_or_default().clone_into(&mut name);
            continue;
        }
        match words.as_slice() {
            ["BGP", "state:", value] => (*value).clone_into(&mut state),
            ["Neighbor", "address:", address] => {
                if let Ok(peer) = address.parse() {
                    sessions.push(RouterSession { peer, asn: None, state: state.clone(), prefixes: 0 });
                }
            }
            ["Neighbor", "AS:", asn] if name.starts_with("node") => {
                if let Some(session) = sessions.last_mut() {
                    session.asn = asn.parse().ok();
                }
            }
            ["Routes:", imported, "imported,", ..] if name.starts_with("node") => {
                if let Some(session) = sessions.last_mut() {
                    session.prefixes += imported.parse::<u64>().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    sessions
}

fn parse_routes(lines: &[String]) -> Vec<RouterRoute> {
    let mut routes = Vec::new();
    let (mut prefix, mut known) = (String::new(), BTreeMap::new());
    for line in lines.iter().map(String::as_str).chain(["end"]) {
        if let Some((key, value)) =
            line.trim().split_once(": ").filter(|_| line.starts_with('\t') || line.starts_with(' '))
        {
            known.insert(key.to_owned(), value.to_owned());
            continue;
        }
        if line.contains("unicast") || line == "end" || line.starts_with("Table") {
            routes.extend(route(&prefix, &known));
            known.clear();
        }
        if let Some(first) = line.split_whitespace().next().filter(|word| word.contains('/')) {
            first.clone_into(&mut prefix);
        }
    }
    routes
}

fn route(prefix: &str, known: &BTreeMap<String, String>) -> Option<RouterRoute> {
    // An IPv6 next hop may be followed by the link-local one.
    let next_hop: IpAddr = known.get("BGP.next_hop")?.split_whitespace().next()?.parse().ok()?;
    let values = |key: &str| {
        let text = known.get(key).cloned().unwrap_or_default();
        text.split(')')
            .map(|value| value.trim().trim_start_matches('(').replace(',', ":").replace(' ', ""))
            .filter(|value| !value.is_empty())
            .collect::<Vec<_>>()
    };
    Some(RouterRoute {
        prefix: prefix.to_owned(),
        next_hop,
        as_path: known.get("BGP.as_path").cloned().unwrap_or_default(),
        communities: values("BGP.community").into_iter().chain(values("BGP.large_community")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn routes_are_read_with_their_communities() {
        let text = "Table master4:\n\
            198.51.100.1/32      unicast [node4_1 10:00:00.000] * (100) [AS64512i]\n\
            \tvia 192.0.2.11 on eth0\n\
            \tType: BGP univ\n\
            \tBGP.origin: IGP\n\
            \tBGP.as_path: 64512\n\
            \tBGP.next_hop: 192.0.2.11\n\
            \tBGP.community: (64512,100) (64512,200)\n\
            \x20                    unicast [node4_2 10:00:00.000] (100) [AS64512i]\n\
            \tvia 192.0.2.12 on eth0\n\
            \tBGP.as_path: 64512\n\
            \tBGP.next_hop: 192.0.2.12\n";
        let routes = parse_routes(&lines(text));
        let seen: Vec<_> = routes.iter().map(|r| (r.prefix.as_str(), r.next_hop.to_string())).collect();
        assert_eq!(
            seen,
            [("198.51.100.1/32", "192.0.2.11".to_owned()), ("198.51.100.1/32", "192.0.2.12".to_owned()),]
        );
        assert_eq!(routes[0].communities, ["64512:100", "64512:200"]);
    }

    #[test]
    fn sessions_are_read_with_state_and_count() {
        let text = "Name       Proto      Table      State  Since         Info\n\
            node4_1    BGP        ---        up     10:00:00.000  Established\n\
            \x20 BGP state:          Established\n\
            \x20   Neighbor address: 192.0.2.11\n\
            \x20   Neighbor AS:      64512\n\
            \x20 Channel ipv4\n\
            \x20   Routes:         2 imported, 0 exported, 2 preferred\n";
        let expected = RouterSession {
            peer: "192.0.2.11".parse().unwrap(),
            asn: Some(64512),
            state: "Established".into(),
            prefixes: 2,
        };
        assert_eq!(parse_sessions(&lines(text)), [expected]);
    }
}
