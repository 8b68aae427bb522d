//! Scenarios in files: `testdata/ipam/<case>/{config,events,expected}`. Each event is applied to the engine, what it wants
//! written is written back as the API would, and the transcript is compared.
//!
//! `UPDATE_GOLDEN=1 cargo test -p metallb-core --test scenarios` writes the transcripts anew.
#![expect(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use metallb_core::config::{Config, Input, Meta, PoolInput, ServiceAllocationInput, parse_duration};
use metallb_core::facts::{
    Demand, FamilyPolicy, Namespace, Request, RequestError, RequestedFamilies, Service, TrafficPolicy,
};
use metallb_core::ipam::{Action, Assigner, Options, Outcome, Report, SharingOrder};
use metallb_core::keys::{Created, Family, NamespaceName, Port, Protocol, ServiceKey, SharingKey};
use metallb_core::select::{Labels, SelectorInput};

#[test]
fn every_scenario_goes_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/ipam");
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut cases: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut failed = Vec::new();
    for case in cases {
        let transcript = run(&case);
        let expected = case.join("expected");
        if update {
            fs::write(&expected, &transcript).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != transcript {
            failed.push(format!("{}:\n{transcript}", case.display()));
        }
    }
    assert!(failed.is_empty(), "these differ from what is expected:\n{}", failed.join("\n"));
}

/// A word of a line: `key=value`, or just `key`.
type Words<'a> = BTreeMap<&'a str, &'a str>;

struct Scenario {
    configs: BTreeMap<String, Input>,
    /// The configuration as it is written.
    current: String,
    config: Config,
    options: Options,
    engine: Assigner,
    started: bool,
    now: Instant,
    namespaces: Vec<Namespace>,
    services: BTreeMap<ServiceKey, Service>,
    transcript: String,
}

fn run(case: &Path) -> String {
    let now = Instant::now();
    let mut scenario = Scenario {
        configs: configs(&fs::read_to_string(case.join("config")).unwrap()),
        current: String::new(),
        config: Config::default(),
        options: Options::default(),
        engine: Assigner::new(Options::default()),
        started: false,
        now,
        namespaces: Vec::new(),
        services: BTreeMap::new(),
        transcript: String::new(),
    };
    for line in fs::read_to_string(case.join("events")).unwrap().lines() {
        let line = line.trim();
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        writeln!(scenario.transcript, "> {line}").unwrap();
        scenario.event(line);
    }
    scenario.transcript
}

impl Scenario {
    fn event(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "option" => {
                let words = words(rest);
                self.options.dual_stack_two_pools |= words.contains_key("two-pools");
                if words.contains_key("first-free") {
                    self.options.sharing_order = SharingOrder::FirstFree;
                }
                self.services.clear();
                let duration = |word| words.get(word).map(|text| parse_duration(text).unwrap());
                self.options.quarantine = duration("quarantine").unwrap_or(self.options.quarantine);
                self.options.deletion_grace = duration("grace").unwrap_or(self.options.deletion_grace);
                self.options.startup_hold = duration("hold").unwrap_or(self.options.startup_hold);
                self.options.report_delay = duration("delay").unwrap_or(self.options.report_delay);
                self.engine = Assigner::new(self.options);
            }
            "config" => self.configure(rest),
            "start" => self.start(),
            "restart" => self.restart(),
            "namespace" => {
                let (name, labels) = rest.split_once(' ').unwrap_or((rest, ""));
                let labels: Labels = words(labels).into_iter().collect();
                let namespace = Namespace { name: NamespaceName::new(name), labels };
                self.namespaces.push(namespace.clone());
                self.engine.apply_namespace(namespace);
            }
            "service" => {
                let service = self.service(rest);
                self.services.insert(service.key.clone(), service.clone());
                self.engine.apply_service(self.now, service);
            }
            "remove" => {
                self.services.remove(&key(rest));
                self.engine.remove_service(self.now, &key(rest));
            }
            "wait" => {
                self.now += parse_duration(rest).unwrap();
                self.engine.handle_timeout(self.now);
            }
            "explain" => self.explain(&key(rest)),
            _ => panic!("what is {line:?}?"),
        }
        self.drain();
    }

    fn configure(&mut self, name: &str) {
        name.clone_into(&mut self.current);
        let input = self.configs.get(name).unwrap_or_else(|| panic!("no config {name:?}"));
        let built = Config::build(input, &self.config);
        for error in &built.errors {
            writeln!(self.transcript, "    error: {error} [{:?}]", error.in_force).unwrap();
        }
        self.config = built.config;
        self.engine.set_config(self.now, Arc::new(self.config.clone()));
    }

    fn start(&mut self) {
        self.started = true;
        self.engine.start(self.now);
    }

    /// Only the API remembers anything: the configuration as written last, and the status of the services. Nobody knows
    /// earlier versions of it any more.
    fn restart(&mut self) {
        self.engine = Assigner::new(self.options);
        self.config = Config::default();
        self.configure(&self.current.clone());
        for namespace in self.namespaces.clone() {
            self.engine.apply_namespace(namespace);
        }
        for service in self.services.values().rev().cloned() {
            self.engine.apply_service(self.now, service);
        }
        self.start();
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            self.write(&action);
        }
        // What was written is read back and must change nothing.
        for service in self.services.values() {
            self.engine.apply_service(self.now, service.clone());
        }
        if self.started {
            let again = self.engine.poll_action();
            assert!(again.is_none(), "{again:?} after it was written\n{}", self.transcript);
        }
    }

    fn write(&mut self, action: &Action) {
        let line = match action {
            Action::Assign { service, addresses, pools } => {
                if let Some(fact) = self.services.get_mut(service) {
                    fact.assigned.clone_from(addresses);
                    fact.recorded_pools.clone_from(pools);
                }
                format!("{service} = {} of {}", list(addresses), list(pools))
            }
            Action::Clear { service, .. } => {
                if let Some(fact) = self.services.get_mut(service) {
                    fact.assigned.clear();
                    fact.recorded_pools.clear();
                }
                format!("{service} = nothing")
            }
            Action::Report { service, report } => format!("{service}: {}", text_of(report)),
            Action::Usage { pool, usage } => {
                let (used4, used6) = (usage.assigned_v4, usage.assigned_v6);
                let (free4, free6) = (usage.available_v4, usage.available_v6);
                format!("pool {pool}: IPv4 {used4} used {free4} free, IPv6 {used6} used {free6} free")
            }
        };
        writeln!(self.transcript, "    {line}").unwrap();
    }

    fn explain(&mut self, service: &ServiceKey) {
        let explanation = self.engine.explain(service).unwrap();
        let outcome = match &explanation.outcome {
            Outcome::Failed(error) => format!("failed: {error} [{}]", error.reason()),
            other => format!("{other:?}"),
        };
        writeln!(self.transcript, "    {outcome}").unwrap();
        if let Some(error) =
            explanation.allocation.as_ref().and_then(|allocation| allocation.missing.as_ref())
        {
            writeln!(self.transcript, "    second family missing: {error} [{}]", error.reason()).unwrap();
        }
        for (pool, verdict) in &explanation.pools {
            writeln!(self.transcript, "    pool {pool} {verdict}").unwrap();
        }
    }

    /// `ns/name age=1 v4|v6|dual|dual6|none [single|prefer|require] [address=A,B] [pool=P] [ports=80,53/udp] [share=K]
    /// [local=app] [label=k:v] [assigned=A,B] [recorded=P]`; what is not given of the last two stays as it was written.
    fn service(&self, text: &str) -> Service {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let words = words(rest);
        let has = |word| words.contains_key(word);
        let before = self.services.get(&key(name));
        let age = words
            .get("age")
            .map_or_else(|| before.map_or(0, |before| before.created.0), |age| age.parse().unwrap());
        let mut service = Service::new(key(name), Created(age), demand(&words));
        service.ports = items(&words, "ports").map(port).collect();
        service.sharing_key = words.get("share").map(|key| SharingKey::from(*key));
        if has("local") {
            service.traffic_policy = TrafficPolicy::Local;
            service.backend =
                [("app", words.get("local").copied().unwrap_or_default())].into_iter().collect();
        }
        service.labels = items(&words, "label").filter_map(|label| label.split_once(':')).collect();
        service.assigned = match before {
            Some(before) if !has("assigned") => before.assigned.clone(),
            _ => addresses(&words, "assigned"),
        };
        service.recorded_pools = match before {
            Some(before) if !has("recorded") => before.recorded_pools.clone(),
            _ => items(&words, "recorded").map(Into::into).collect(),
        };
        service
    }
}

fn demand(words: &Words<'_>) -> Demand {
    let has = |word| words.contains_key(word);
    let families = match () {
        () if has("none") => return Demand::None,
        () if has("invalid") => return Demand::Invalid(RequestError::WantedTwice),
        () if has("dual") => RequestedFamilies::both(Family::V4),
        () if has("dual6") => RequestedFamilies::both(Family::V6),
        () if has("v6") => RequestedFamilies::one(Family::V6),
        () => RequestedFamilies::one(Family::V4),
    };
    let policy = match () {
        () if has("prefer") => FamilyPolicy::PreferDual,
        () if has("require") => FamilyPolicy::RequireDual,
        () => FamilyPolicy::Single,
    };
    match Request::new(
        families,
        policy,
        addresses(words, "address"),
        words.get("pool").map(|pool| (*pool).into()),
    ) {
        Ok(request) => Demand::Addresses(request),
        Err(error) => Demand::Invalid(error),
    }
}

/// Sections `[name]`, each with lines `pool NAME ADDRESSES [created=1] [manual] [avoid] [priority=1] [namespaces=a,b]
/// [namespace=k:v] [service=k:v]`.
fn configs(text: &str) -> BTreeMap<String, Input> {
    let mut configs: BTreeMap<String, Input> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            configs.entry(section.clone()).or_default();
            continue;
        }
        let pool = line.strip_prefix("pool ").unwrap_or_else(|| panic!("what is {line:?}?"));
        configs.entry(section.clone()).or_default().pools.push(pool_input(pool));
    }
    configs
}

fn pool_input(text: &str) -> PoolInput {
    let (name, rest) = text.split_once(' ').unwrap();
    let (addresses, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let words = words(rest);
    let selectors = |word: &str| -> Vec<SelectorInput> {
        let pairs = items(&words, word).filter_map(|pair| pair.split_once(':'));
        pairs
            .map(|(k, v)| SelectorInput { match_labels: vec![(k.into(), v.into())], ..Default::default() })
            .collect()
    };
    let restricted =
        ["priority", "namespaces", "namespace", "service"].iter().any(|word| words.contains_key(word));
    PoolInput {
        meta: Meta::new(name, Created(words.get("created").map_or(0, |age| age.parse().unwrap()))),
        addresses: addresses.split(',').map(Into::into).collect(),
        auto_assign: !words.contains_key("manual"),
        avoid_buggy_ips: words.contains_key("avoid"),
        service_allocation: restricted.then(|| ServiceAllocationInput {
            priority: words.get("priority").map_or(0, |priority| priority.parse().unwrap()),
            namespaces: items(&words, "namespaces").map(Into::into).collect(),
            namespace_selectors: selectors("namespace"),
            service_selectors: selectors("service"),
            ..ServiceAllocationInput::default()
        }),
        ..PoolInput::default()
    }
}

fn text_of(report: &Report) -> String {
    match report {
        Report::Allocated { addresses } => format!("allocated {}", list(addresses)),
        Report::Released { reason, .. } => format!("released: {reason} [{}]", reason.reason()),
        Report::Failed(error) => format!("failed: {error} [{}]", error.reason()),
        Report::AdditionalFailed(error) => format!("second address failed: {error} [{}]", error.reason()),
        Report::InvalidRequest(error) => format!("invalid: {error} [{}]", error.reason()),
        Report::Held { addresses, pool } => format!("held {} for {pool}", list(addresses)),
        Report::KeptBarred { address, barrier } => {
            format!("keeps {address}: {barrier} [{}]", barrier.reason())
        }
        Report::Joined { address, by } => format!("{by} joins at {address}"),
        Report::SharingKept { address, key } => format!("keeps sharing {address} under {key}"),
    }
}

fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceKey::new(namespace, name)
}

/// `80` or `53/udp`.
fn port(text: &str) -> Port {
    match text.split_once('/') {
        Some((number, "udp")) => Port::new(Protocol::Udp, number.parse().unwrap()),
        _ => Port::new(Protocol::Tcp, text.parse().unwrap()),
    }
}

fn words(text: &str) -> Words<'_> {
    text.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, ""))).collect()
}

fn items<'a>(words: &Words<'a>, word: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    words.get(word).copied().unwrap_or_default().split(',').filter(|item| !item.is_empty())
}

fn addresses(words: &Words<'_>, word: &str) -> Vec<IpAddr> {
    items(words, word).map(|address| address.parse().unwrap()).collect()
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
