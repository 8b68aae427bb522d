//! Properties of `metallb-core`: addresses, configurations, and sequences of operations of the allocator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallb_core::addr::AddressRange;
use metallb_core::config::{
    BgpAdvertisementInput, CommunityInput, Config, Input, Meta, PeerInput, PoolInput, ServiceAllocationInput,
    parse_duration,
};
use metallb_core::facts::{Demand, FamilyPolicy, Request, RequestedFamilies, Service, TrafficPolicy};
use metallb_core::ipam::{Action, Assigner, Options};
use metallb_core::keys::{Created, Family, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::{ExpressionInput, Labels, Selector, SelectorInput};

/// An entry of a pool is refused, or is read back from what it is written as.
///
/// # Panics
/// When it is read back as something else.
pub fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(range) = AddressRange::parse(&text) {
        assert_eq!(AddressRange::parse(&range.to_string()), Ok(range), "{text:?}");
        let parts: Vec<AddressRange> = range.cover().map(AddressRange::of_network).collect();
        assert_eq!(parts.first().map(AddressRange::first), Some(range.first()));
        assert_eq!(parts.last().map(AddressRange::last), Some(range.last()));
    }
    // Durations share the corpus: neither may panic.
    let _ = parse_duration(&text);
}

/// A configuration of arbitrary texts: nothing panics, nothing that is in force overlaps, what is good stays good.
///
/// # Panics
/// When one of these does not hold.
pub fn config(data: &[u8]) {
    let mut source = Source(data);
    let first = Config::build(&source.input(), &Config::default()).config;
    let input = source.input();
    let built = Config::build(&input, &first);
    let entries: Vec<&AddressRange> = built.config.pools().values().flat_map(|pool| &pool.entries).collect();
    for (index, a) in entries.iter().enumerate() {
        assert!(entries.iter().skip(index + 1).all(|b| !a.overlaps(b)), "{a} overlaps");
    }
    let again = Config::build(&input, &built.config);
    assert_eq!(again.config.pools(), built.config.pools(), "what is in force stays in force");
    for error in built.errors.iter().chain(&built.warnings) {
        assert!(!error.to_string().is_empty() && !error.reason().is_empty());
    }
}

/// Any sequence of facts: no address is held by two services without a right to share it, every decision is written
/// down once, and with everything gone nothing is left.
///
/// # Panics
/// When one of these does not hold.
pub fn assigner(data: &[u8]) {
    let mut source = Source(data);
    let options = Options {
        dual_stack_two_pools: source.flag(),
        quarantine: Duration::from_secs(source.below(3)),
        ..Options::default()
    };
    // Only differences of time matter, and the engine never asks for it.
    let mut now = base_time();
    let mut engine = Assigner::new(options);
    let mut config = Config::default();
    engine.set_config(now, Arc::new(config.clone()));
    engine.start(now);
    for _ in 0..MOST_OPERATIONS {
        match source.below(8) {
            0 => {
                config = Config::build(&source.small_pools(), &config).config;
                engine.set_config(now, Arc::new(config.clone()));
            }
            1 => engine.remove_service(now, &source.key()),
            2 => {
                now += Duration::from_secs(1);
                engine.handle_timeout(now);
            }
            _ => engine.apply_service(now, source.service()),
        }
        while let Some(action) = engine.poll_action() {
            check(&engine, &action);
        }
        check_sharing(&engine);
        if source.0.is_empty() {
            break;
        }
    }
    for number in 0..SERVICES {
        engine.remove_service(now, &key(number));
    }
    while engine.poll_action().is_some() {}
    assert_eq!(engine.allocations().count(), 0);
    for name in config.pools().keys() {
        let usage = engine.usage(name);
        assert!(usage.is_some_and(|usage| usage.assigned_v4 == 0 && usage.assigned_v6 == 0));
    }
}

fn check(engine: &Assigner, action: &Action) {
    if let Action::Assign { addresses, pools, .. } = action {
        assert!(!addresses.is_empty() && addresses.len() <= 2 && pools.len() <= 2);
        let families: Vec<Family> = addresses.iter().copied().map(Family::of).collect();
        assert!(families.len() < 2 || families.first() != families.last(), "{addresses:?}");
    }
    assert!(engine.stats().waiting <= engine.stats().services);
}

fn check_sharing(engine: &Assigner) {
    let mut holders: std::collections::BTreeMap<IpAddr, usize> = std::collections::BTreeMap::new();
    for (_, allocation) in engine.allocations() {
        for address in allocation.addresses {
            *holders.entry(address).or_default() += 1;
        }
    }
    // Services with an odd number have no sharing key and are alone wherever they are.
    for (service, allocation) in engine.allocations() {
        let alone = service.name().ends_with(['1', '3', '5', '7', '9']);
        let shared =
            allocation.addresses.iter().any(|address| holders.get(address).is_some_and(|count| *count > 1));
        assert!(!(alone && shared), "{service} shares without a key");
    }
}

/// The only way to get an instant without reading a clock in the middle of a property.
#[expect(clippy::disallowed_methods, reason = "a base for differences")]
fn base_time() -> Instant {
    Instant::now()
}

/// Reads values from arbitrary bytes; gives zeros when they are used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, end: u8) -> u64 {
        u64::from(self.byte() % end.max(1))
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 24).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.below(4)).map(|_| self.text()).collect()
    }

    fn meta(&mut self) -> Meta {
        Meta::new(format!("o{}", self.below(4)), Created(i64::from(self.byte())))
    }

    fn selectors(&mut self) -> Vec<SelectorInput> {
        (0..self.below(3))
            .map(|_| {
                let expression =
                    ExpressionInput { key: self.text(), operator: self.text(), values: self.texts() };
                let input = SelectorInput {
                    match_labels: vec![(self.text(), self.text())],
                    match_expressions: if self.flag() { vec![expression] } else { Vec::new() },
                };
                if let Ok(selector) = Selector::new(&input) {
                    let labels: Labels = input.match_labels.iter().cloned().collect();
                    let _ = (selector.matches(&labels), selector.is_satisfiable(), selector.to_string());
                }
                input
            })
            .collect()
    }

    fn input(&mut self) -> Input {
        let mut input = Input::default();
        for _ in 0..self.below(5) {
            input.pools.push(PoolInput {
                meta: self.meta(),
                addresses: self.texts(),
                avoid_buggy_ips: self.flag(),
                service_allocation: Some(ServiceAllocationInput {
                    priority: i32::from(self.byte()) - 8,
                    namespaces: self.texts(),
                    namespace_selectors: self.selectors(),
                    service_selectors: self.selectors(),
                    max_per_namespace: self.flag().then(|| i64::from(self.byte()) - 2),
                    sharing: self.flag().then(|| self.text()),
                }),
                exclude_addresses: if self.flag() { self.texts() } else { Vec::new() },
                ..PoolInput::default()
            });
        }
        for _ in 0..self.below(4) {
            input.peers.push(PeerInput {
                meta: self.meta(),
                my_asn: u32::from(self.byte()),
                peer_asn: Some(u32::from(self.byte())),
                address: Some(self.text()),
                hold_time: Some(self.text()),
                keepalive_time: Some(self.text()),
                node_selectors: self.selectors(),
                ..PeerInput::default()
            });
        }
        for _ in 0..self.below(4) {
            input.bgp_advertisements.push(BgpAdvertisementInput {
                meta: self.meta(),
                aggregation_length: Some(i32::from(self.byte()) - 4),
                local_pref: Some(u32::from(self.byte())),
                communities: self.texts(),
                node_selectors: self.selectors(),
                ..BgpAdvertisementInput::default()
            });
        }
        input
            .communities
            .push(CommunityInput { meta: self.meta(), aliases: vec![(self.text(), self.text())] });
        input
    }

    fn small_pools(&mut self) -> Input {
        let mut pools = Vec::new();
        for name in ["p", "q", "r"].into_iter().take(usize::try_from(self.below(4)).unwrap_or(0)) {
            let (v4, v6) = (self.byte() % 16, self.byte() % 8);
            let addresses = match self.below(4) {
                0 => vec![format!("10.0.0.{v4}-10.0.0.{}", v4 + 3)],
                1 => vec![format!("fc00::{v6}"), format!("10.0.0.{v4}")],
                2 => vec![format!("fc00::{v6}-fc00::9")],
                _ => vec![format!("10.0.0.{v4}"), "broken".into()],
            };
            let avoid_buggy_ips = self.flag();
            let meta = Meta::new(name, Created(0));
            pools.push(PoolInput { meta, addresses, avoid_buggy_ips, ..PoolInput::default() });
        }
        Input { pools, ..Input::default() }
    }

    fn key(&mut self) -> ServiceKey {
        let number = self.byte() % SERVICES;
        key(number)
    }

    fn service(&mut self) -> Service {
        let number = self.byte() % SERVICES;
        let preferred = if self.flag() { Family::V4 } else { Family::V6 };
        let families =
            if self.flag() { RequestedFamilies::both(preferred) } else { RequestedFamilies::one(preferred) };
        let policy = match self.below(3) {
            0 => FamilyPolicy::Single,
            1 => FamilyPolicy::PreferDual,
            _ => FamilyPolicy::RequireDual,
        };
        let wanted = match self.below(6) {
            0 => vec![self.address()],
            1 => vec![self.address(), self.address()],
            _ => Vec::new(),
        };
        let pool = if self.below(6) == 0 { Some("p".into()) } else { None };
        let demand = match Request::new(families, policy, wanted, pool) {
            _ if self.below(9) == 0 => Demand::None,
            Ok(request) => Demand::Addresses(request),
            Err(error) => Demand::Invalid(error),
        };
        let mut service = Service::new(key(number), Created(i64::from(self.byte() % 4)), demand);
        service.ports =
            (0..self.below(3)).map(|_| Port::new(Protocol::Tcp, u16::from(self.byte() % 3))).collect();
        if number.is_multiple_of(2) {
            service.sharing_key = Some(SharingKey::from(if self.flag() { "a" } else { "b" }));
        }
        if self.flag() {
            service.traffic_policy = TrafficPolicy::Local;
        }
        service.assigned = (0..self.below(3)).map(|_| self.address()).collect();
        if self.flag() {
            service.recorded_pools = vec!["p".into()];
        }
        service
    }

    fn address(&mut self) -> IpAddr {
        let host = u16::from(self.byte() % 16);
        if self.flag() {
            Ipv4Addr::new(10, 0, 0, u8::try_from(host).unwrap_or(0)).into()
        } else {
            Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, host).into()
        }
    }
}

fn key(number: u8) -> ServiceKey {
    ServiceKey::new(if number < 5 { "a" } else { "b" }, format!("s{number}"))
}

const SERVICES: u8 = 10;
const MOST_OPERATIONS: usize = 64;
