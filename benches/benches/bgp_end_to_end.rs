//! The speaker over loopback sockets: the first dump of 100 000 prefixes, then single changes for eight peers.
//! Prints one table and one line of JSON; `--test` runs a small size once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark, not a library"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ipnetwork::{IpNetwork, Ipv4Network};
use metallb_bgp::io::tokio::{Shutdown, Speaker, SpeakerConfig};
use metallb_bgp::session::{PeerConfig, PeerKey};
use metallb_bgp::table::{Announcement, RouteAttributes};
use metallb_bgp::types::{Asn, Community, Family, HoldTime, RemoteAs, RouterId};
use metallb_bgp::wire::capability::Capability;
use metallb_bgp::wire::keepalive;
use metallb_bgp::wire::open::Open;

const PEERS: u32 = 8;

/// What a receiver saw, with the time.
enum Seen {
    /// KEEPALIVE is about to be sent: the speaker may send routes once it has it.
    Open(Instant),
    /// End-of-RIB has arrived: messages and octets of UPDATEs before it.
    End(Instant, usize, usize),
    /// An UPDATE after End-of-RIB.
    Change(Instant),
}

/// A router that says OPEN and KEEPALIVE and counts what it is told.
fn receive(listener: &TcpListener, seen: &mpsc::Sender<Seen>) {
    let (mut stream, _) = listener.accept().unwrap();
    let id = RouterId::new(Ipv4Addr::new(10, 0, 0, 9)).unwrap();
    let capabilities = vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi())];
    let mut out = Vec::new();
    Open::new(Asn::new(64512), HoldTime::DEFAULT, id, capabilities).encode(&mut out).unwrap();
    keepalive::encode(&mut out);
    seen.send(Seen::Open(Instant::now())).unwrap();
    stream.write_all(&out).unwrap();
    count(&mut stream, seen);
}

fn count(stream: &mut TcpStream, seen: &mpsc::Sender<Seen>) {
    let mut buffer = vec![0; 1 << 17];
    let (mut filled, mut messages, mut octets, mut ended) = (0, 0, 0, false);
    loop {
        let read = stream.read(buffer.get_mut(filled..).unwrap()).unwrap_or(0);
        if read == 0 {
            return;
        }
        let now = Instant::now();
        filled += read;
        let mut at = 0;
        while let Some([high, low, kind]) = buffer.get(at + 16..(at + 19).min(filled)) {
            let (length, kind) = (usize::from(u16::from_be_bytes([*high, *low])), *kind);
            if at + length > filled {
                break;
            }
            at += length;
            let report = match (kind, ended) {
                (2, true) => Some(Seen::Change(now)),
                (2, false) if length == 23 => {
                    ended = true;
                    Some(Seen::End(now, messages, octets))
                }
                (2, false) => {
                    messages += 1;
                    octets += length;
                    None
                }
                _ => None,
            };
            if report.is_some_and(|report| seen.send(report).is_err()) {
                return;
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

fn prefix(n: u32) -> IpNetwork {
    IpNetwork::V4(Ipv4Network::new(Ipv4Addr::from_bits(0x0a00_0000 + n), 32).unwrap())
}

fn routes(community: u32) -> Vec<Announcement> {
    let peers = (0..PEERS).map(|n| PeerKey::new(format!("peer-{n}"))).collect();
    vec![Announcement { peers, attributes: RouteAttributes::new().with_communities([Community(community)]) }]
}

/// Resident memory of this process in octets.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

async fn run(prefixes: u32, changes: u32) {
    let before = resident();
    let fallback = RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).unwrap();
    let (speaker, events) = Speaker::start(SpeakerConfig::new(fallback)).unwrap();
    drop(events);
    let first = routes(1);
    for n in 0..prefixes {
        speaker.set_prefix(prefix(n), first.clone());
        if n % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    speaker.table_complete();
    speaker.snapshot().await;
    let mut receivers = Vec::new();
    let mut dumps = Vec::new();
    for n in 0..PEERS {
        let (send, seen) = mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = listener.local_addr().unwrap();
        std::thread::spawn(move || receive(&listener, &send));
        let mut peer = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Asn(Asn::new(64512)));
        peer.local_address = Some("127.0.0.2".parse().unwrap());
        peer.extended_messages = false;
        speaker.set_peer(PeerKey::new(format!("peer-{n}")), peer);
        let seen = tokio::task::spawn_blocking(move || {
            let Ok(Seen::Open(from)) = seen.recv() else { panic!("KEEPALIVE") };
            let Ok(Seen::End(to, messages, octets)) = seen.recv() else { panic!("End-of-RIB") };
            (seen, to - from, messages, octets)
        });
        let (seen, took, messages, octets) = seen.await.unwrap();
        receivers.push(seen);
        dumps.push((took, messages, octets));
    }
    let memory = resident().saturating_sub(before);
    let mut receivers = Some(receivers);
    let mut times = Vec::new();
    for change in 0..changes {
        let from = Instant::now();
        speaker.set_prefix(prefix(change * 7 % prefixes), routes(2 + change % 2));
        let wait = receivers.take().unwrap();
        let wait = tokio::task::spawn_blocking(move || {
            let last = wait.iter().map(|seen| match seen.recv() {
                Ok(Seen::Change(at)) => at,
                _ => panic!("a change"),
            });
            (last.max().unwrap(), wait)
        });
        let (last, back) = wait.await.unwrap();
        receivers = Some(back);
        times.push(last.saturating_duration_since(from));
    }
    speaker.shutdown(Shutdown::Cease { text: String::new() }).await;
    report(prefixes, &mut dumps, &mut times, memory);
}

fn report(prefixes: u32, dumps: &mut [(Duration, usize, usize)], times: &mut [Duration], memory: u64) {
    dumps.sort_unstable();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let (dump, messages, octets) = dumps.get(dumps.len() / 2).copied().unwrap_or_default();
    println!(
        "{prefixes} prefixes, from KEEPALIVE to End-of-RIB at the receiver (median of {PEERS})  {dump:?}"
    );
    println!("messages / octets                                                      {messages} / {octets}");
    println!(
        "one change, until the last of {PEERS} receivers has it: p50 / p99           {:?} / {:?}",
        at(50),
        at(99)
    );
    println!("resident memory for table, sessions and receivers                      {} KiB", memory / 1024);
    println!(
        "{{\"prefixes\":{prefixes},\"dump_us\":{},\"messages\":{messages},\"change_p50_us\":{},\"change_p99_us\":{},\"resident\":{memory}}}",
        dump.as_micros(),
        at(50).as_micros(),
        at(99).as_micros(),
    );
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (prefixes, changes) = if small { (1000, 10) } else { (100_000, 2000) };
    runtime.block_on(run(prefixes, changes));
}
