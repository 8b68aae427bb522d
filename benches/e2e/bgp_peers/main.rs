//! How long until a router has the routes: a large table, half of it withdrawn, one prefix more.
//!
//! `bgp_peers [PREFIXES [ROUNDS]]` tells host routes from this project's speaker to BIRD and to FRR's bgpd, and the
//! same from BIRD to both. Each sender and receiver are in network namespaces of their own, connected by veth; all
//! four pairs do each round in turn. The receiver's own count decides. Needs root, `bird`, `bgpd`, `ip` and `setpriv`.
//! Prints one table and writes everything to `target/e2e/bgp_peers.json`.
#![expect(clippy::disallowed_methods, reason = "a program that measures has a clock and starts threads")]

mod router;
mod sender;
#[path = "../support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use router::{Bird, Frr, Receiver, since};
use sender::{Ours, Part, Sender};
use support::Result;
use support::namespace::{Namespace, find};
use support::report::{self, Times};

/// The sender's address.
const SENDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The receiver's address.
const RECEIVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that takes long: short against that, and the one asked is left alone in between.
const PAUSE: Duration = Duration::from_millis(1);
/// How often one prefix comes and goes in a round.
const CHANGES: u32 = 20;

/// A sender and a receiver with a session between them.
struct Pair {
    name: &'static str,
    prefixes: u64,
    sender: Box<dyn Sender>,
    receiver: Box<dyn Receiver>,
    figures: Figures,
    _directory: TempDir,
    _namespaces: [Namespace; 2],
}

/// What came out for a pair.
#[derive(Default)]
struct Figures {
    told: Times,
    restarted: Times,
    halved: Times,
    changed: Times,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Bird,
    Frr,
}

impl Pair {
    fn new(name: &'static str, sender: Kind, receiver: Kind, prefixes: u32) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let namespaces = [Namespace::new()?, Namespace::new()?];
        let [near, far] = &namespaces;
        near.connect(far, [&format!("{SENDER}/24"), &format!("{RECEIVER}/24")])?;
        let receiver: Box<dyn Receiver> = match receiver {
            Kind::Frr => Box::new(Frr::receiver(far, directory.path())?),
            _ => Box::new(Bird::receiver(far, directory.path())?),
        };
        let sender: Box<dyn Sender> = match sender {
            Kind::Ours => Box::new(Ours::new(near, prefixes)?),
            _ => Box::new(sender::bird(near, directory.path(), prefixes)?),
        };
        let (prefixes, figures) = (prefixes.into(), Figures::default());
        let mut pair = Self {
            name,
            prefixes,
            sender,
            receiver,
            figures,
            _directory: directory,
            _namespaces: namespaces,
        };
        wait(&format!("{name}: the session"), || pair.receiver.established())?;
        Ok(pair)
    }

    /// Waits until the receiver counts so many.
    fn wait_for(&mut self, count: u64) -> Result<()> {
        let what = format!("{}: {count} prefixes", self.name);
        wait(&what, || Ok((self.receiver.count()? == count).then_some(())))
    }

    fn round(&mut self) -> Result<()> {
        let (all, half) = (self.prefixes, self.prefixes / 2);
        let start = Instant::now();
        self.sender.announce(&[Part::First, Part::Second])?;
        self.wait_for(all)?;
        self.figures.told.push(start.elapsed());
        self.changes()?;

        let start = Instant::now();
        self.sender.withdraw(&[Part::Second])?;
        self.wait_for(half)?;
        self.figures.halved.push(start.elapsed());

        self.sender.announce(&[Part::Second])?;
        self.wait_for(all)?;
        let took = self.restart()?;
        self.figures.restarted.push(took);
        self.sender.withdraw(&[Part::First, Part::Second])?;
        self.wait_for(0)
    }

    /// One prefix comes and goes, while all the others are there.
    fn changes(&mut self) -> Result<()> {
        let all = self.prefixes;
        for turn in 0..CHANGES {
            let start = Instant::now();
            let expected = if turn.is_multiple_of(2) {
                self.sender.announce(&[Part::Extra])?;
                all + 1
            } else {
                self.sender.withdraw(&[Part::Extra])?;
                all
            };
            // Asked again at once: a pause would be longer than what is measured.
            while self.receiver.count()? != expected {
                if start.elapsed() > PATIENCE {
                    return Err(format!("{}: one change takes too long", self.name).into());
                }
            }
            self.figures.changed.push(start.elapsed());
        }
        Ok(())
    }

    /// From the moment at which the receiver has the session until it has the whole table.
    fn restart(&mut self) -> Result<Duration> {
        let before = self.receiver.established()?;
        self.sender.restart()?;
        let (name, all, receiver) = (self.name, self.prefixes, &mut self.receiver);
        let (established, counted) = wait(&format!("{name}: all prefixes in a new session"), || {
            if receiver.count()? != all {
                return Ok(None);
            }
            let counted = Instant::now();
            let new = receiver.established()?.filter(|moment| Some(*moment) != before);
            Ok(new.map(|moment| (moment, counted)))
        })?;
        Ok(since(established)?.saturating_sub(counted.elapsed()))
    }
}

/// Looks again and again until there is something.
fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(PAUSE);
    }
    Err(format!("{what}: not within {PATIENCE:?}").into())
}

fn report(prefixes: u32, rounds: u32, pairs: &[Pair]) -> Result<()> {
    println!(
        "{prefixes} IPv4 host routes, {rounds} rounds; shortest / median, until the receiver counts them\n"
    );
    println!(
        "| from → to | told to a running session | session comes up | half withdrawn | one more, one less |"
    );
    println!("|---|---|---|---|---|");
    let mut results = Vec::new();
    for Pair { name, figures, .. } in pairs {
        let Figures { told, restarted, halved, changed } = figures;
        println!(
            "| {name} | {} | {} | {} | {} |",
            told.cell(),
            restarted.cell(),
            halved.cell(),
            changed.cell()
        );
        results.push(json!({ "pair": name, "told": told.json(), "session_up": restarted.json(),
            "half_withdrawn": halved.json(), "one_change": changed.json() }));
    }
    let results = json!({ "prefixes": prefixes, "rounds": rounds, "pairs": results });
    println!("\nwritten to {}", report::write("bgp_peers", &results)?.display());
    Ok(())
}

fn number(argument: Option<String>, default: u32) -> Result<u32> {
    let Some(text) = argument else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number >= 2);
    number
        .ok_or_else(|| format!("usage: bgp_peers [PREFIXES [ROUNDS]], each at least 2, not {text:?}").into())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let prefixes = number(arguments.next(), 100_000)?;
    let rounds = number(arguments.next(), 5)?;
    for program in ["bird", "bgpd", "ip", "setpriv"] {
        find(program)?;
    }
    let mut pairs = Vec::new();
    for (name, sender, receiver) in [
        ("metallb → BIRD", Kind::Ours, Kind::Bird),
        ("BIRD → BIRD", Kind::Bird, Kind::Bird),
        ("metallb → FRR", Kind::Ours, Kind::Frr),
        ("BIRD → FRR", Kind::Bird, Kind::Frr),
    ] {
        pairs.push(Pair::new(name, sender, receiver, prefixes)?);
    }
    for _ in 0..rounds {
        pairs.iter_mut().try_for_each(Pair::round)?;
    }
    report(prefixes, rounds, &pairs)
}
