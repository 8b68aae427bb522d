//! How fast the driver answers, compared with the kernel's own ARP on the same veth pair and with the least
//! that any program on a packet socket has to do.
//!
//! `cargo run --release -p metallb-arp --features linux --example kernel_rate` as root, on an idle machine
//! with two processors or more; on a busy one, under `chrt -f 10`. Prints a table, and the same as JSON in
//! its last line.
//!
//! The client is the same for all. It spins, because one that sleeps measures its own waking: the kernel's
//! answer is made inside the client's call that sends the question and is there when it returns, so that
//! only the others' answers would find it asleep. The columns `asleep` show that all the same.
//!
//! With `STEERED=1` in the environment the kernel hands the requests to another processor, as it does with
//! those from a network card; its own answers then have to cross processors, too (not under `chrt`, which
//! would keep the kernel's threads from running).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program"
)]

#[path = "kernel_rate/client.rs"]
mod client;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Client, Rate};
use metallb_arp::io::linux::{Filter, Options, PacketSocket};
use metallb_arp::responder::{InterfaceIndex, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::Packet;
use support::{Space, eventually, in_namespace};

fn main() {
    in_namespace("kernel_rate", || {
        let node = Space::new();
        let far = Space::new();
        node.connect("eth0", &far, "client0");
        far.sh(&format!("ip addr add {CLIENT}/24 dev client0"));
        node.sh(&format!("ip addr add {KERNEL}/24 dev eth0"));
        let mut rows = Vec::new();
        println!("{HEAD}");
        if std::env::var_os("STEERED").is_some() {
            node.sh(STEER);
            all(&node, &far, ", steered", &[10], &mut rows);
        } else {
            all(&node, &far, "", &[10, 1_000, 65_536], &mut rows);
        }
        println!("[{}]", rows.iter().map(json).collect::<Vec<_>>().join(","));
    });
}

/// The kernel, the bare loop, and the driver with so many addresses.
fn all(node: &Space, far: &Space, how: &str, sizes: &[u32], rows: &mut Vec<Row>) {
    let client = Client::new(far);
    rows.push(Row::measure(&client, format!("kernel{how}"), KERNEL, None));
    let bare = BareLoop::start(node, far);
    rows.push(Row::measure(&client, format!("bare loop{how}"), BARE, Some(BareLoop::NAME)));
    bare.stop();
    for count in sizes {
        let mut speaker = node.driver(|| Options::new(0));
        speaker.ready("eth0");
        for host in 0..*count {
            speaker.handle.announce(IpAddr::V4(address(host)), Scope::All).unwrap();
        }
        let total = u64::from(*count) * 2;
        eventually("everything is announced", || {
            speaker.snapshot().addresses.values().map(|counters| counters.gratuitous).sum::<u64>() >= total
        });
        let what = format!("driver, {count} addresses{how}");
        rows.push(Row::measure(&client, what, address(count - 1), Some(DRIVER)));
        speaker.handle.shutdown();
        eventually("the driver has ended", || thread_time(DRIVER).is_none());
    }
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a0a_0000 + host)
}

/// What one responder reached: the best of [`ROUNDS`].
struct Row {
    what: String,
    spinning: [Measured; WINDOWS.len()],
    asleep: Measured,
}

#[derive(Clone, Copy)]
struct Measured {
    rate: Rate,
    /// Processor time of the responder's thread per answer.
    processor: Option<Duration>,
}

impl Row {
    fn measure(client: &Client<'_>, what: String, target: Ipv4Addr, thread: Option<&str>) -> Self {
        client.one_after_another(target, WARM_UP);
        let best = |run: &dyn Fn() -> Rate| {
            let measured = (0..ROUNDS).map(|_| {
                let before = thread.and_then(thread_time);
                let rate = run();
                let after = thread.and_then(thread_time);
                let spent = after.zip(before).map(|(after, before)| after.saturating_sub(before));
                Measured { rate, processor: spent.map(|spent| spent / REQUESTS) }
            });
            measured.max_by(|a, b| a.rate.per_second.total_cmp(&b.rate.per_second)).unwrap()
        };
        let spinning = WINDOWS.map(|window| best(&|| client.spin(target, REQUESTS, window)));
        let asleep = best(&|| client.one_after_another(target, REQUESTS));
        let row = Self { what, spinning, asleep };
        show(&row);
        row
    }
}

/// Receives, and sends an answer that has been made before: what no program on a packet socket can do
/// without.
struct BareLoop {
    stop: Arc<AtomicBool>,
    /// Tells that it is ready, and that it has ended.
    told: std::sync::mpsc::Receiver<()>,
}

impl BareLoop {
    const NAME: &'static str = "bare-loop";

    fn start(node: &Space, far: &Space) -> Self {
        let own: MacAddr = node.mac("eth0").parse().unwrap();
        let client: MacAddr = far.mac("client0").parse().unwrap();
        let mut answer = Vec::new();
        Packet::reply(own, BARE, client, CLIENT).emit_frame(client, &mut answer);
        let index = index_of(node, "eth0");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, told) = std::sync::mpsc::channel();
        node.run(move || {
            std::thread::Builder::new()
                .name(Self::NAME.into())
                .spawn(move || {
                    Self::run(index, &answer, &stopped, || tell.send(()).unwrap());
                    tell.send(()).unwrap();
                })
                .unwrap()
        });
        told.recv().unwrap();
        Self { stop, told }
    }

    fn run(index: InterfaceIndex, answer: &[u8], stop: &AtomicBool, ready: impl FnOnce()) {
        client::use_processors(|number| number != 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        let socket = PacketSocket::open(index, Filter::Arp).unwrap();
        ready();
        let mut room = [0; 1536];
        while !stop.load(Ordering::Relaxed) {
            match socket.try_recv(&mut room) {
                Ok(length) if length >= 42 && room[38..42] == BARE.octets() => {
                    socket.try_send(answer).unwrap();
                }
                _ => std::hint::spin_loop(),
            }
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.told.recv().unwrap();
    }
}

fn index_of(space: &Space, interface: &str) -> InterfaceIndex {
    let index = space.sh(&format!("ip -o link show {interface}"));
    let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
    InterfaceIndex(digits.parse().unwrap())
}

/// Processor time of the thread with this name; `None` when there is none.
fn thread_time(name: &str) -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let thread = tasks
        .filter_map(Result::ok)
        .map(|task| task.path())
        .find(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name))?;
    let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

const HEAD: &str = "answers per second, in flight            1      p50      p99        32       256 1, asleep      p50  processor per answer, 1 / 32 / 256";

fn show(row: &Row) {
    let Row { what, spinning: [one, few, many], asleep } = row;
    let processor = match [one, few, many].map(|measured| measured.processor) {
        [Some(one), Some(few), Some(many)] => format!("{one:.1?} / {few:.1?} / {many:.1?}"),
        _ => String::new(),
    };
    println!(
        "{what:<32} {:>9.0} {:>8.1?} {:>8.1?} {:>9.0} {:>9.0} {:>9.0} {:>8.1?}  {processor}",
        one.rate.per_second,
        one.rate.p50,
        one.rate.p99,
        few.rate.per_second,
        many.rate.per_second,
        asleep.rate.per_second,
        asleep.rate.p50,
    );
}

fn json(row: &Row) -> String {
    let Row { what, spinning: [one, few, many], asleep } = row;
    format!(
        r#"{{"what":"{what}","one_in_flight_per_s":{:.0},"p50_ns":{},"p99_ns":{},"in_flight_32_per_s":{:.0},"in_flight_256_per_s":{:.0},"asleep_one_in_flight_per_s":{:.0},"asleep_p50_ns":{}}}"#,
        one.rate.per_second,
        one.rate.p50.as_nanos(),
        one.rate.p99.as_nanos(),
        few.rate.per_second,
        many.rate.per_second,
        asleep.rate.per_second,
        asleep.rate.p50.as_nanos()
    )
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const KERNEL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BARE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const DRIVER: &str = "metallb-arp";
/// With `STEERED` in the environment: makes the second processor receive what comes in on eth0; the client runs on the first.
const STEER: &str =
    "unshare -m sh -c 'mount -t sysfs sysfs /sys && echo 2 > /sys/class/net/eth0/queues/rx-0/rps_cpus'";
const ROUNDS: u32 = 3;
const WARM_UP: u32 = 2_000;
const REQUESTS: u32 = 40_960;
const WINDOWS: [u32; 3] = [1, 32, 256];
