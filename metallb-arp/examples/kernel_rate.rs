//! How fast the driver answers, compared with the kernel's own ARP on the same veth pair.
//!
//! `cargo run --release -p metallb-arp --features linux --example kernel_rate` as root, or under
//! `unshare -Urn`. Prints a table, and the same as JSON in its last line.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use metallb_arp::io::linux::{Filter, Options, PacketSocket};
use metallb_arp::responder::{InterfaceIndex, Scope};
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::Packet;
use support::{Space, eventually, in_namespace};

/// One measurement.
struct Row {
    what: String,
    /// Answers per second with one request in flight.
    closed: f64,
    p50: Duration,
    p99: Duration,
    /// Answers per second with [`WINDOW`] requests in flight.
    open: f64,
    /// Processor time of the driver's thread per answer, in the two runs.
    processor: Option<(Duration, Duration)>,
}

fn main() {
    in_namespace("kernel_rate", || {
        let node = Space::new();
        let client = Space::new();
        node.connect("eth0", &client, "client0");
        client.sh("ip addr add 192.0.2.100/24 dev client0");
        node.sh("ip addr add 192.0.2.1/24 dev eth0");
        let mut rows = Vec::new();
        for round in 1..=ROUNDS {
            rows.push(measure(&client, format!("kernel, round {round}"), Ipv4Addr::new(192, 0, 2, 1)));
        }
        for count in [10, 1_000, 65_536_u32] {
            let mut speaker = node.driver(Options::default);
            speaker.ready("eth0");
            for host in 0..count {
                speaker.handle.announce(IpAddr::V4(address(host)), Scope::All).unwrap();
            }
            let total = u64::from(count) * 2;
            eventually("everything is announced", || {
                speaker.snapshot().addresses.values().map(|counters| counters.gratuitous).sum::<u64>()
                    >= total
            });
            for round in 1..=ROUNDS {
                let what = format!("driver, {count} addresses, round {round}");
                rows.push(measure(&client, what, address(count - 1)));
            }
            speaker.handle.shutdown();
            eventually("the driver has ended", || thread_time().is_none());
        }
        report(&rows);
    });
}

fn address(host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a0a_0000 + host)
}

fn measure(client: &Space, what: String, target: Ipv4Addr) -> Row {
    let index = client.sh("cat /proc/net/dev >/dev/null; ip -o link show client0");
    let digits: String = index.chars().take_while(char::is_ascii_digit).collect();
    let index = InterfaceIndex(digits.parse().unwrap());
    let mac: MacAddr = client.mac("client0").parse().unwrap();
    client.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = PacketSocket::open(index, Filter::Arp).unwrap();
            let mut request = Vec::new();
            Packet::request(mac, Ipv4Addr::new(192, 0, 2, 100), target)
                .emit_frame(MacAddr::BROADCAST, &mut request);
            one_by_one(&socket, &request, target, WARM_UP).await;
            let before = thread_time();
            let start = Instant::now();
            let mut times = one_by_one(&socket, &request, target, REQUESTS).await;
            let closed = f64::from(REQUESTS) / start.elapsed().as_secs_f64();
            let between = thread_time();
            let start = Instant::now();
            in_windows(&socket, &request, target).await;
            let open = f64::from(REQUESTS) / start.elapsed().as_secs_f64();
            let after = thread_time();
            times.sort_unstable();
            let processor = match (before, between, after) {
                (Some(before), Some(between), Some(after)) => Some((
                    between.saturating_sub(before) / REQUESTS,
                    after.saturating_sub(between) / REQUESTS,
                )),
                _ => None,
            };
            let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            Row { what, closed, p50, p99, open, processor }
        })
    })
}

async fn one_by_one(socket: &PacketSocket, request: &[u8], target: Ipv4Addr, count: u32) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        socket.send(request).await.unwrap();
        answer(socket, target).await;
        times.push(start.elapsed());
    }
    times
}

async fn in_windows(socket: &PacketSocket, request: &[u8], target: Ipv4Addr) {
    for _ in 0..REQUESTS / WINDOW {
        for _ in 0..WINDOW {
            socket.send(request).await.unwrap();
        }
        for _ in 0..WINDOW {
            answer(socket, target).await;
        }
    }
}

/// Waits for an answer; gratuitous announcements, which have other targets, are skipped.
async fn answer(socket: &PacketSocket, target: Ipv4Addr) {
    let mut room = [0; 64];
    loop {
        let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut room)).await;
        let length = received.expect("no answer within five seconds").unwrap();
        let frame = &room[..length];
        if length >= 42
            && frame[21] == 2
            && frame[28..32] == target.octets()
            && frame[38..42] != target.octets()
        {
            return;
        }
    }
}

/// Processor time of the driver's thread; `None` when there is none.
fn thread_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let driver = tasks.filter_map(Result::ok).map(|task| task.path()).find(|path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "metallb-arp")
    })?;
    let text = std::fs::read_to_string(driver.join("schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

fn report(rows: &[Row]) {
    println!("{:<38} {:>9} {:>9} {:>9} {:>9}  processor per answer", "", "1 in /s", "p50", "p99", "32 in /s");
    let mut json = Vec::new();
    for row in rows {
        let processor =
            row.processor.map_or_else(String::new, |(closed, open)| format!("{closed:.1?} / {open:.1?}"));
        println!(
            "{:<38} {:>9.0} {:>9.1?} {:>9.1?} {:>9.0}  {processor}",
            row.what, row.closed, row.p50, row.p99, row.open
        );
        json.push(format!(
            r#"{{"what":"{}","one_in_flight_per_s":{:.0},"p50_ns":{},"p99_ns":{},"window_per_s":{:.0}}}"#,
            row.what,
            row.closed,
            row.p50.as_nanos(),
            row.p99.as_nanos(),
            row.open
        ));
    }
    println!("[{}]", json.join(","));
}

const ROUNDS: u32 = 3;
const WARM_UP: u32 = 2_000;
const REQUESTS: u32 = 40_000;
const WINDOW: u32 = 32;
