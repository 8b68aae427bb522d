//! The speaker over loopback sockets: the first dump of 100 000 prefixes, then single changes for eight peers.
//! Prints one table and one line of JSON; `--test` runs a small size once.
//!
//! A change is timed from the call that makes it. Three ends are told apart:
//! - *in the socket*: the octets can be read at the other end of the last connection. One thread asks all eight
//!   sockets in turn and never sleeps, so nobody has to be woken, and what it sees includes its own turn.
//! - the same, where a task of the speaker's runtime makes the change, as a daemon does, instead of another thread.
//! - *at the receivers*: the last of eight threads that sleep in `read` has run. Waking them is their scheduler's work.
//!
//! Figures are those of the round with the lowest p99, so that other load on the machine matters less.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark, not a library"
)]

use std::io::{ErrorKind, Read, Write};
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
use metallb_bgp::wire::pack::encode_end_of_rib;

const PEERS: u32 = 8;

/// The receiving end of a session.
struct Receiver {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What came first over a session.
struct Dump {
    /// From our KEEPALIVE, after which routes may be sent, to End-of-RIB.
    took: Duration,
    messages: usize,
    octets: usize,
}

impl Receiver {
    /// A router that says OPEN and KEEPALIVE and counts what it is told until End-of-RIB.
    fn accept(listener: &TcpListener) -> (Self, Dump) {
        let (mut stream, _) = listener.accept().unwrap();
        let id = RouterId::new(Ipv4Addr::new(10, 0, 0, 9)).unwrap();
        let capabilities = vec![Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi())];
        let mut out = Vec::new();
        Open::new(Asn::new(64512), HoldTime::DEFAULT, id, capabilities).encode(&mut out).unwrap();
        keepalive::encode(&mut out);
        let from = Instant::now();
        stream.write_all(&out).unwrap();
        let mut receiver = Self { stream, buffer: vec![0; 1 << 17], filled: 0 };
        let mut dump = Dump { took: Duration::ZERO, messages: 0, octets: 0 };
        let mut ended = false;
        while !ended {
            receiver.read(|kind, length| match (kind, length) {
                (UPDATE, 23) => ended = true,
                (UPDATE, _) => (dump.messages, dump.octets) = (dump.messages + 1, dump.octets + length),
                _ => {}
            });
        }
        dump.took = from.elapsed();
        (receiver, dump)
    }

    /// Reads once and shows type and length of every message that has become whole; returns whether there was
    /// anything.
    fn read(&mut self, mut message: impl FnMut(u8, usize)) -> bool {
        let room = self.buffer.get_mut(self.filled..).unwrap();
        let read = match self.stream.read(room) {
            Ok(0) => panic!("the speaker has closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        };
        self.filled += read;
        let mut at = 0;
        while let Some([high, low, kind]) = self.buffer.get(at + 16..(at + 19).min(self.filled)) {
            let (length, kind) = (usize::from(u16::from_be_bytes([*high, *low])), *kind);
            if at + length > self.filled {
                break;
            }
            at += length;
            message(kind, length);
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        true
    }

    /// Reads until an UPDATE has come, or until there is nothing to read.
    fn has_update(&mut self) -> bool {
        let mut seen = false;
        while !seen && self.read(|kind, _| seen |= kind == UPDATE) {}
        seen
    }
}

/// Asks all sockets in turn until an UPDATE has come out of each.
fn watch(receivers: &mut [Receiver]) -> Instant {
    let mut seen = vec![false; receivers.len()];
    while !seen.iter().all(|seen| *seen) {
        for (receiver, seen) in receivers.iter_mut().zip(&mut seen) {
            *seen = *seen || receiver.has_update();
        }
    }
    Instant::now()
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

/// Changes of one prefix after the other, each with other attributes than it had.
struct Changes {
    speaker: Speaker,
    prefixes: u32,
    next: u32,
}

impl Changes {
    fn next(&mut self) -> (IpNetwork, Vec<Announcement>) {
        self.next += 1;
        (prefix(self.next.wrapping_mul(7) % self.prefixes), routes(1 + self.next))
    }

    /// Makes a change and returns when.
    fn make(&mut self) -> Instant {
        let (prefix, routes) = self.next();
        let from = Instant::now();
        self.speaker.set_prefix(prefix, routes);
        from
    }
}

async fn start(prefixes: u32) -> Speaker {
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
    speaker
}

fn connect(speaker: &Speaker, n: u32) -> (Receiver, Dump) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = listener.local_addr().unwrap();
    let mut peer = PeerConfig::new(remote, Asn::new(64513), RemoteAs::Asn(Asn::new(64512)), 0);
    peer.local_address = Some("127.0.0.2".parse().unwrap());
    peer.extended_messages = false;
    speaker.set_peer(PeerKey::new(format!("peer-{n}")), peer);
    Receiver::accept(&listener)
}

/// Changes made by this thread, until the octets are in the last socket.
fn from_a_thread(changes: &mut Changes, receivers: &mut [Receiver], count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let from = changes.make();
        times.push(watch(receivers).saturating_duration_since(from));
        std::thread::sleep(PAUSE);
    }
    times
}

/// Changes made by a task of the speaker's runtime, until the octets are in the last socket.
fn from_a_task(changes: Changes, receivers: &mut [Receiver], count: usize) -> (Changes, Vec<Duration>) {
    let (go, mut asked) = tokio::sync::mpsc::unbounded_channel::<()>();
    let (made, from) = mpsc::channel();
    let mut changes = changes;
    let task = tokio::spawn(async move {
        while asked.recv().await.is_some() {
            made.send(changes.make()).unwrap();
        }
        changes
    });
    let mut times = Vec::new();
    for _ in 0..count {
        go.send(()).unwrap();
        let last = watch(receivers);
        times.push(last.saturating_duration_since(from.recv().unwrap()));
        std::thread::sleep(PAUSE);
    }
    drop(go);
    (tokio::runtime::Handle::current().block_on(task).unwrap(), times)
}

/// Changes made by this thread, until the last of the threads that sleep on the sockets has run.
fn to_sleepers(changes: &mut Changes, receivers: Vec<Receiver>, count: usize) -> Vec<Duration> {
    let (seen, times) = mpsc::channel();
    let sleepers = receivers.into_iter().map(|mut receiver| {
        let seen = seen.clone();
        std::thread::spawn(move || {
            for _ in 0..count {
                while !receiver.has_update() {}
                seen.send(Instant::now()).unwrap();
            }
        })
    });
    let sleepers: Vec<_> = sleepers.collect();
    let change = |_| {
        std::thread::sleep(PAUSE);
        let from = changes.make();
        let last = sleepers.iter().map(|_| times.recv().unwrap()).max();
        last.unwrap().saturating_duration_since(from)
    };
    (0..count).map(change).collect()
}

/// Eight plain connections of one message each, written by one task or by a task per connection, until the octets are in
/// the last socket: what the one or the other way to drive sockets costs before there is any BGP.
fn plain_writes(task_per_peer: bool, count: usize) -> Vec<Duration> {
    let (streams, mut receivers): (Vec<_>, Vec<_>) = (0..PEERS).map(|_| plain_connection()).unzip();
    let mut message = Vec::new();
    encode_end_of_rib(Family::Ipv4Unicast, &mut message);
    let (go, mut asked) = tokio::sync::mpsc::unbounded_channel::<()>();
    if task_per_peer {
        let tell = |stream: tokio::net::TcpStream| {
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<()>();
            let message = message.clone();
            tokio::spawn(async move {
                while told.recv().await.is_some() {
                    stream.try_write(&message).unwrap();
                }
            });
            tell
        };
        let peers: Vec<_> = streams.into_iter().map(tell).collect();
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                for peer in &peers {
                    peer.send(()).unwrap();
                }
            }
        });
    } else {
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                for stream in &streams {
                    stream.try_write(&message).unwrap();
                }
            }
        });
    }
    let mut write = || {
        std::thread::sleep(PAUSE);
        let from = Instant::now();
        go.send(()).unwrap();
        watch(&mut receivers).saturating_duration_since(from)
    };
    (0..count).map(|_| write()).collect()
}

fn plain_connection() -> (tokio::net::TcpStream, Receiver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let receiver = Receiver { stream: accepted, buffer: vec![0; 1 << 12], filled: 0 };
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    tokio::runtime::Handle::current().block_on(stream.writable()).unwrap();
    (stream, receiver)
}

/// p50 and p99 of the round with the lowest p99.
fn best(rounds: usize, mut round: impl FnMut() -> Vec<Duration>) -> (Duration, Duration) {
    let of_round = |_| {
        let mut times = round();
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        (at(99), at(50))
    };
    let (p99, p50) = (0..rounds).map(of_round).min().unwrap_or_default();
    (p50, p99)
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let (prefixes, rounds, count) = if small { (1000, 1, 10) } else { (100_000, 10, 500) };
    let before = resident();
    let speaker = runtime.block_on(start(prefixes));
    let (mut receivers, mut dumps): (Vec<_>, Vec<_>) = (0..PEERS).map(|n| connect(&speaker, n)).unzip();
    let memory = resident().saturating_sub(before) / 1024;
    dumps.sort_unstable_by_key(|dump| dump.took);
    let dump = dumps.get(dumps.len() / 2).unwrap();
    let mut changes = Changes { speaker: speaker.clone(), prefixes, next: 0 };
    for receiver in &receivers {
        receiver.stream.set_nonblocking(true).unwrap();
    }
    let thread = best(rounds, || from_a_thread(&mut changes, &mut receivers, count));
    let mut slot = Some(changes);
    let task = best(rounds, || {
        let (changes, times) = from_a_task(slot.take().unwrap(), &mut receivers, count);
        slot = Some(changes);
        times
    });
    let mut changes = slot.unwrap();
    for receiver in &receivers {
        receiver.stream.set_nonblocking(false).unwrap();
    }
    let copy = |receiver: &Receiver| Receiver {
        stream: receiver.stream.try_clone().unwrap(),
        buffer: receiver.buffer.clone(),
        filled: receiver.filled,
    };
    let woken = best(rounds, || to_sleepers(&mut changes, receivers.iter().map(copy).collect(), count));
    runtime.block_on(speaker.shutdown(Shutdown::Cease { text: String::new() }));
    let one_task = best(rounds, || plain_writes(false, count));
    let many_tasks = best(rounds, || plain_writes(true, count));
    println!(
        "{prefixes} prefixes, KEEPALIVE to End-of-RIB at the receiver (median of {PEERS})  {:?}",
        dump.took
    );
    println!("messages / octets                                       {} / {}", dump.messages, dump.octets);
    println!("one change to {PEERS} peers, p50 / p99");
    println!("  by another thread, in the last socket                 {:?} / {:?}", thread.0, thread.1);
    println!("  by a task of the runtime, in the last socket          {:?} / {:?}", task.0, task.1);
    println!("  by another thread, the last sleeping receiver has run {:?} / {:?}", woken.0, woken.1);
    println!(
        "{PEERS} plain writes by one task, in the last socket         {:?} / {:?}",
        one_task.0, one_task.1
    );
    println!(
        "{PEERS} plain writes by a task each, in the last socket       {:?} / {:?}",
        many_tasks.0, many_tasks.1
    );
    println!("resident memory for table, sessions and receivers       {memory} KiB");
    println!(
        "{{\"prefixes\":{prefixes},\"dump_us\":{},\"messages\":{},\"thread_p50_us\":{},\"thread_p99_us\":{},\"task_p50_us\":{},\"task_p99_us\":{},\"woken_p50_us\":{},\"woken_p99_us\":{},\"resident_kib\":{memory}}}",
        dump.took.as_micros(),
        dump.messages,
        thread.0.as_micros(),
        thread.1.as_micros(),
        task.0.as_micros(),
        task.1.as_micros(),
        woken.0.as_micros(),
        woken.1.as_micros(),
    );
}

/// The type of UPDATE.
const UPDATE: u8 = 2;
/// Between changes, so that each finds the speaker idle.
const PAUSE: Duration = Duration::from_micros(200);
