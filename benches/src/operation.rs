//! The operations whose cost is of interest, each prepared at several sizes, for every way of counting.
//!
//! One list for instructions and allocations, so that a new operation is one line in one place.

use std::fmt;
use std::hint::black_box;

use crate::{announce, arp, bgp, core};

/// Something prepared of which a batch of operations can be done, and counted.
pub trait Batch {
    /// Does the batch once.
    fn run(&mut self);

    /// Makes it possible to do the batch again at the same cost. Not counted.
    fn undo(&mut self) {}
}

impl<F: FnMut()> Batch for F {
    fn run(&mut self) {
        self();
    }
}

/// Whether an operation may take memory from the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocations {
    /// Never: one is an error.
    Never,
    /// It may.
    Allowed,
}

/// An operation at one size.
#[derive(Clone, Copy)]
pub struct Case {
    /// What is done.
    pub name: &'static str,
    /// How much there is when it is done.
    pub size: u32,
    /// What the size counts.
    pub unit: &'static str,
    /// How many operations make a batch.
    pub operations: u32,
    /// Whether memory may be taken.
    pub allocations: Allocations,
    prepare: fn(u32, u32) -> Box<dyn Batch>,
}

impl Case {
    /// Everything that has to be there before the batch, with the batch done once: nothing that happens only the
    /// first time is counted.
    pub fn prepared(&self) -> Box<dyn Batch> {
        let mut batch = (self.prepare)(self.size, self.operations);
        batch.run();
        batch.undo();
        black_box(batch)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.name, self.size, self.unit)
    }
}

/// Operations that cost the same few cycles each are counted by the hundred.
const FEW: u32 = 100;

/// Every operation at every size.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |name, sizes: &[u32], unit, operations: Count, allocations, prepare| {
        all.extend(sizes.iter().map(|&size| {
            let operations = match operations {
                Count::Fixed(count) => count,
                Count::Size => size,
            };
            Case { name, size, unit, operations, allocations, prepare }
        }));
    };
    let (fixed, services) = (Count::Fixed(FEW), "services");
    let any = Allocations::Allowed;
    add(
        "allocate first free, /64",
        &[0, 1_000, 10_000, 100_000, 1_000_000],
        services,
        fixed,
        any,
        core::first_free_64,
    );
    add("allocate first free, /28", &[0], services, Count::Fixed(14), any, core::first_free_28);
    add(
        "allocate, joins an address, own keys",
        &[10_000, 100_000],
        services,
        fixed,
        any,
        core::shared_own_keys,
    );
    add(
        "allocate, joins an address, one key",
        &[10_000, 100_000],
        services,
        fixed,
        any,
        core::shared_one_key,
    );
    add("restore", &[1_000, 100_000, 1_000_000], services, Count::Size, any, core::restore);
    add(
        "set_pools, one changes",
        &[10, 100, 1_000],
        "pools of 100 services",
        Count::Fixed(2),
        any,
        core::set_pools,
    );

    let sizes = &[1_000, 10_000];
    add("endpoints of one change, layer 2", sizes, services, fixed, any, announce::endpoints_layer2);
    add("endpoints of one change, BGP", sizes, services, fixed, any, announce::endpoints_bgp);
    add("labels of one change, layer 2", sizes, services, fixed, any, announce::labels_layer2);
    add("labels of one change, BGP", sizes, services, fixed, any, announce::labels_bgp);
    add("one of 100 nodes dies and comes back", sizes, services, Count::Fixed(1), any, announce::node_death);

    let (sizes, addresses) = (&[10, 1_000, 65_536], "addresses");
    let (never, thousand) = (Allocations::Never, Count::Fixed(1024));
    add("ARP request to reply", sizes, addresses, thousand, never, arp::request);
    add("NDP solicitation to reply", sizes, addresses, thousand, never, arp::solicitation);
    add("ARP request for another", sizes, addresses, thousand, never, arp::request_for_another);

    let (sizes, prefixes) = (&[1_000, 10_000, 100_000], "prefixes");
    add("encode, IPv4, 1 group", sizes, prefixes, Count::Size, never, bgp::encode_one_group);
    add("encode, IPv4, 64 groups", sizes, prefixes, Count::Size, never, bgp::encode_64_groups);
    add("encode, IPv4 as either family, 1 group", sizes, prefixes, Count::Size, never, bgp::encode_general);
    add("encode, IPv6, 1 group", sizes, prefixes, Count::Size, never, bgp::encode_ipv6);
    add("encode, IPv4 withdrawals", sizes, prefixes, Count::Size, never, bgp::encode_withdrawals);
    add("decode and judge, IPv4 /32", sizes, prefixes, Count::Size, never, bgp::decode_ipv4);
    add("decode and judge, IPv4 mixed", sizes, prefixes, Count::Size, never, bgp::decode_mixed);
    add("decode and judge, IPv6", sizes, prefixes, Count::Size, never, bgp::decode_ipv6);
    add("fill a table, tell 8 peers", sizes, prefixes, Count::Size, any, bgp::fill);
    add("one change to 8 peers", sizes, prefixes, fixed, any, bgp::one_change);
    all
}

/// How many operations make a batch.
#[derive(Clone, Copy)]
enum Count {
    Fixed(u32),
    Size,
}

/// Which cases are asked for on the command line of a benchmark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Parts of names; all when empty.
    pub names: Vec<String>,
    /// The smallest size of each operation only.
    pub smallest: bool,
}

impl Selection {
    /// What the arguments of this process say: parts of names, `--test` for the smallest sizes. Other options are
    /// meant for other benchmarks.
    pub fn from_arguments() -> Self {
        let mut selection = Self::default();
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--test" => selection.smallest = true,
                option if option.starts_with('-') => {}
                _ => selection.names.push(argument),
            }
        }
        selection
    }

    /// The cases that were asked for.
    pub fn cases(&self) -> Vec<Case> {
        let mut last = "";
        let mut cases = cases();
        cases.retain(|case| {
            let first = std::mem::replace(&mut last, case.name) != case.name;
            let named =
                self.names.is_empty() || self.names.iter().any(|part| case.name.contains(part.as_str()));
            named && (first || !self.smallest)
        });
        cases
    }
}
