//! The client that asks: spinning, or asleep until the answer wakes it.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use metallb_arp::io::linux::{Filter, PacketSocket};
use metallb_arp::responder::InterfaceIndex;
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::Packet;

use crate::support::Space;
use crate::{CLIENT, index_of};

/// How fast answers came.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// From the first question of a window to its last answer.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Rate {
    fn of(requests: u32, mut times: Vec<Duration>) -> Self {
        let total: Duration = times.iter().sum();
        times.sort_unstable();
        Self {
            per_second: f64::from(requests) / total.as_secs_f64(),
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

/// Asks from the far end of the link.
pub(crate) struct Client<'a> {
    space: &'a Space,
    index: InterfaceIndex,
    mac: MacAddr,
}

impl<'a> Client<'a> {
    /// A client on the first processor, so that others have the rest for themselves.
    pub(crate) fn new(space: &'a Space) -> Self {
        space.run(|| use_processors(|number| number == 0));
        Self { space, index: index_of(space, "client0"), mac: space.mac("client0").parse().unwrap() }
    }

    /// Asks `window` times, looks for answers without ever sleeping until all are there, and so on.
    pub(crate) fn spin(&self, target: Ipv4Addr, requests: u32, window: u32) -> Rate {
        self.run(target, move |_, socket, request| {
            let ask = || {
                let start = Instant::now();
                for _ in 0..window {
                    socket.try_send(request).unwrap();
                }
                for _ in 0..window {
                    spin_for_answer(socket, target);
                }
                start.elapsed()
            };
            Rate::of(requests, (0..requests / window).map(|_| ask()).collect())
        })
    }

    /// Asks once and sleeps until the answer is there, and so on.
    pub(crate) fn one_after_another(&self, target: Ipv4Addr, requests: u32) -> Rate {
        self.run(target, move |runtime, socket, request| {
            runtime.block_on(async {
                let mut times = Vec::new();
                for _ in 0..requests {
                    let start = Instant::now();
                    socket.send(request).await.unwrap();
                    sleep_for_answer(socket, target).await;
                    times.push(start.elapsed());
                }
                Rate::of(requests, times)
            })
        })
    }

    fn run(
        &self,
        target: Ipv4Addr,
        ask: impl FnOnce(&tokio::runtime::Runtime, &PacketSocket, &[u8]) -> Rate + Send + 'static,
    ) -> Rate {
        let (index, mac) = (self.index, self.mac);
        self.space.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let context = runtime.enter();
            let socket = PacketSocket::open(index, Filter::Arp).unwrap();
            drop(context);
            let mut request = Vec::new();
            Packet::request(mac, CLIENT, target).emit_frame(MacAddr::BROADCAST, &mut request);
            ask(&runtime, &socket, &request)
        })
    }
}

/// Keeps the calling thread to these processors.
pub(crate) fn use_processors(wanted: impl Fn(usize) -> bool) {
    let this = nix::unistd::Pid::from_raw(0);
    let there = nix::sched::sched_getaffinity(this).unwrap();
    let mut processors = nix::sched::CpuSet::new();
    for number in 0..nix::sched::CpuSet::count() {
        if there.is_set(number).unwrap() && wanted(number) {
            processors.set(number).unwrap();
        }
    }
    nix::sched::sched_setaffinity(this, &processors).unwrap();
}

fn spin_for_answer(socket: &PacketSocket, target: Ipv4Addr) {
    let mut room = [0; 64];
    let mut misses = 0_u32;
    loop {
        match socket.try_recv(&mut room) {
            Ok(length) if is_answer(&room[..length], target) => return,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                misses += 1;
                assert!(misses < GIVE_UP, "no answer");
                std::hint::spin_loop();
            }
        }
    }
}

async fn sleep_for_answer(socket: &PacketSocket, target: Ipv4Addr) {
    let mut room = [0; 64];
    loop {
        let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut room)).await;
        let length = received.expect("no answer within five seconds").unwrap();
        if is_answer(&room[..length], target) {
            return;
        }
    }
}

/// Gratuitous announcements, which have other targets, are none.
fn is_answer(frame: &[u8], target: Ipv4Addr) -> bool {
    frame.len() >= 42
        && frame[21] == 2
        && frame[28..32] == target.octets()
        && frame[38..42] != target.octets()
}

/// Looks at the socket without an answer: some seconds.
const GIVE_UP: u32 = 20_000_000;
