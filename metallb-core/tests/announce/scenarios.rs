//! Scenarios in files: `testdata/announce/<case>/{config,events,expected}`.
//!
//! `UPDATE_GOLDEN=1` writes `expected` anew. A line is a verb and its words; `#` begins a comment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metallb_core::announce::{Change, Engine, InterfaceScope, Liveness, Options, Ownership, Receipts};
use metallb_core::config::{
    BgpAdvertisementInput, Config, Input, L2AdvertisementInput, Meta, PeerInput, PoolInput, PreferenceInput,
};
use metallb_core::election::Standing;
use metallb_core::facts::{Demand, Endpoints, Interface, Node, Request, Service, TrafficPolicy};
use metallb_core::keys::{Created, Family, InterfaceName, NodeName, PeerName, ServiceKey};
use metallb_core::select::{Labels, SelectorInput};

#[test]
fn scenarios_end_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/announce");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut differing = Vec::new();
    for case in cases {
        let actual = Scenario::run(&case);
        let expected = case.join("expected");
        if wants_update() {
            std::fs::write(&expected, &actual).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != actual {
            differing.push(format!("{}:\n{actual}", case.display()));
        }
    }
    assert!(differing.is_empty(), "other results than expected:\n{}", differing.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "the person at the keyboard decides")]
fn wants_update() -> bool {
    std::env::var("UPDATE_GOLDEN").is_ok()
}

struct Scenario<'a> {
    case: &'a Path,
    engine: Engine,
    out: String,
}

impl<'a> Scenario<'a> {
    fn run(case: &'a Path) -> String {
        let events = std::fs::read_to_string(case.join("events")).unwrap();
        let engine =
            Engine::new(NodeName::new("node-a"), Options::default().with_liveness(Liveness::Members));
        let mut scenario = Self { case, engine, out: String::new() };
        scenario.configure("config");
        for line in events.lines() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                writeln!(scenario.out, "#{comment}").unwrap();
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Some((verb, words)) = words.split_first() {
                scenario.step(verb, words);
            }
        }
        scenario.out
    }

    fn step(&mut self, verb: &str, words: &[&str]) {
        match (verb, words) {
            ("options", words) => self.engine = Engine::new(NodeName::new("node-a"), options(words)),
            ("config", [file]) => self.configure(file),
            ("members", names) => {
                self.engine.set_members(names.iter().map(|name| NodeName::new(*name)).collect());
            }
            ("unheard", names) => {
                self.engine.set_unheard(names.iter().map(|name| NodeName::new(*name)).collect());
            }
            ("node", [name, words @ ..]) => self.engine.apply_node(node(name, words)),
            ("no-node", [name]) => self.engine.remove_node(&NodeName::new(*name)),
            ("interfaces", [name, interfaces @ ..]) => {
                let interfaces = interfaces.iter().map(|text| interface(text)).collect();
                self.engine.set_interfaces(NodeName::new(*name), interfaces);
            }
            ("no-interfaces", [name]) => self.engine.remove_interfaces(&NodeName::new(*name)),
            ("service", [name, addresses, words @ ..]) => {
                self.engine.apply_service(service(name, addresses, words));
            }
            ("no-service", [name]) => self.engine.remove_service(&key(name)),
            ("endpoints", [name, nodes @ ..]) => {
                self.engine.apply_endpoints(endpoints(name, nodes));
            }
            ("no-endpoints", [name]) => self.engine.remove_endpoints(&key(name)),
            ("claims", [node, addresses @ ..]) => {
                let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
                self.engine.set_claims(NodeName::new(*node), addresses);
            }
            ("receipts", ["everybody"]) => self.engine.set_receipts(None),
            ("receipts", ["nobody"]) => self.engine.set_receipts(Some(Receipts::new())),
            ("receipts", peers) => {
                self.engine.set_receipts(Some(peers.iter().map(|text| receipt(text)).collect()));
            }
            ("claimants", [name]) => {
                let claimants = self.engine.other_claimants(&key(name));
                writeln!(self.out, "{name} is claimed by {}", list(&claimants)).unwrap();
            }
            ("evaluate", []) => self.evaluate(),
            ("explain", [name]) => self.explain(&key(name)),
            ("announced", []) => {
                for one in self.engine.announced().collect::<BTreeSet<_>>() {
                    writeln!(self.out, "{} {} {}", one.service, one.protocol.as_str(), one.address).unwrap();
                }
            }
            other => panic!("{}: unknown step {other:?}", self.case.display()),
        }
    }

    fn configure(&mut self, file: &str) {
        let text = std::fs::read_to_string(self.case.join(file)).unwrap();
        let built = Config::build(&input(&text), &Config::default());
        for error in &built.errors {
            writeln!(self.out, "invalid: {error}").unwrap();
        }
        self.engine.set_config(Arc::new(built.config));
    }

    fn evaluate(&mut self) {
        let changes = self.engine.evaluate();
        writeln!(self.out, "> {} changes", changes.len()).unwrap();
        for change in changes {
            writeln!(self.out, "{}", describe(&change)).unwrap();
        }
    }

    fn explain(&mut self, service: &ServiceKey) {
        let explanation = self.engine.explain(service).unwrap();
        for at in explanation.addresses {
            let pool = at.pool.map_or_else(|| "no pool".to_owned(), |pool| format!("pool {pool}"));
            writeln!(self.out, "? {service} {} of {pool}", at.address).unwrap();
            let owner = at.layer2.owner.map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
            let why = at.layer2.decision.map(|decision| format!(", {decision}")).unwrap_or_default();
            writeln!(self.out, "  layer2 by {owner}{why}").unwrap();
            for node in at.layer2.nodes {
                let verdict = node
                    .rejection
                    .map_or_else(|| standing(&node.standing), |rejection| rejection.to_string());
                writeln!(self.out, "    {}: {verdict}", node.node).unwrap();
            }
            if let Some(rejection) = at.bgp.rejection {
                writeln!(self.out, "  no bgp: {rejection}").unwrap();
            }
            for (prefix, peers) in at.bgp.prefixes {
                writeln!(self.out, "  bgp {prefix} to {}", list(&peers)).unwrap();
            }
        }
    }
}

/// `eth0`, `eth0=192.0.2.0/24`; `eth0!` carries IPv4 only.
fn interface(text: &str) -> (InterfaceName, Interface) {
    let (name, subnet) = text.split_once('=').map_or((text, None), |(name, subnet)| (name, Some(subnet)));
    let (name, ipv4_only) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let subnets = subnet.map(|subnet| subnet.parse().unwrap()).into_iter().collect();
    (InterfaceName::new(name), Interface { ipv4_only, subnets })
}

/// `router:v4,v6`.
fn receipt(text: &str) -> (PeerName, BTreeSet<Family>) {
    let (peer, families) = text.split_once(':').unwrap();
    let family = |name| match name {
        "v4" => Family::V4,
        "v6" => Family::V6,
        other => panic!("unknown family {other}"),
    };
    (PeerName::new(peer), families.split(',').map(family).collect())
}

/// Nodes, or `elsewhere`; `v4/` and `v6/` before one name a family, `/leaving` after it an endpoint on its way out.
fn endpoints(service: &str, words: &[&str]) -> Endpoints {
    let mut endpoints = Endpoints::none(key(service));
    for word in words {
        let (families, rest) = match word.split_once('/') {
            Some(("v4", rest)) => (&[Family::V4][..], rest),
            Some(("v6", rest)) => (&[Family::V6][..], rest),
            _ => (&Family::BOTH[..], *word),
        };
        let (node, leaving) = rest.strip_suffix("/leaving").map_or((rest, false), |node| (node, true));
        for family in families {
            let of_family = endpoints.of_mut(*family);
            let places = if leaving { &mut of_family.terminating } else { &mut of_family.ready };
            if node == "elsewhere" {
                places.elsewhere = true;
            } else {
                places.nodes.insert(NodeName::new(node));
            }
        }
    }
    endpoints
}

/// What a candidate is compared by, without what is as it is for most.
fn standing(standing: &Standing) -> String {
    let Standing { subnets, families, ready, score, local_services, .. } = standing;
    let mut text = format!("candidate, score {score}, services {local_services}");
    if *subnets > 0 {
        write!(text, ", subnets {subnets}").unwrap();
    }
    if (*families, *ready) != (1, 1) {
        write!(text, ", families {families}, ready {ready}").unwrap();
    }
    text
}

fn describe(change: &Change) -> String {
    match change {
        Change::L2 { address, state: Some(scope) } => format!("answer for {address} on {}", on(scope)),
        Change::L2 { address, state: None } => format!("stop answering for {address}"),
        Change::Bgp { prefix, routes } if routes.is_empty() => format!("withdraw {prefix}"),
        Change::Bgp { prefix, routes } => {
            let routes = routes.iter().map(|route| {
                let pref = route.attributes.local_pref.map(|pref| format!(" local-pref {pref}"));
                let tags = &route.attributes.communities;
                let tags = (!tags.is_empty()).then(|| format!(" communities {}", list(tags)));
                format!(" to {}{}{}", list(&route.peers), pref.unwrap_or_default(), tags.unwrap_or_default())
            });
            format!("advertise {prefix}{}", routes.collect::<Vec<_>>().join(" and"))
        }
        Change::Peer { name, peer } => {
            format!("{} {name}", if peer.is_some() { "session" } else { "no session" })
        }
        Change::PeerConflict { name, with: Some(with) } => format!("no session {name} beside {with}"),
        Change::PeerConflict { name, with: None } => format!("nothing in the way of {name}"),
        Change::Layer2Owner { service, interfaces: Some(scope) } => format!("own {service} on {}", on(scope)),
        Change::Layer2Owner { service, interfaces: None } => format!("own {service} no more"),
        Change::BgpPeers { service, peers } if peers.is_empty() => format!("no peer is told about {service}"),
        Change::BgpPeers { service, peers } => format!("{} told about {service}", list(peers)),
        Change::ExclusionIgnored { ignored: true } => "the exclude label is ignored".to_owned(),
        Change::ExclusionIgnored { ignored: false } => "the exclude label counts again".to_owned(),
        Change::Problem { service, problem: Some(problem) } => {
            format!("problem of {service} ({}): {problem}", problem.reason())
        }
        Change::Problem { service, problem: None } => format!("no problem of {service}"),
    }
}

fn on(scope: &InterfaceScope) -> String {
    match scope {
        InterfaceScope::All => "all interfaces".to_owned(),
        InterfaceScope::Only(names) => list(names),
    }
}

fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

fn options(words: &[&str]) -> Options {
    let mut options = Options::default().with_liveness(Liveness::Members);
    for word in words {
        options = match *word {
            "sticky" => options.with_ownership(Ownership::Sticky),
            "ignore-exclude" => options.with_ignore_exclude(true),
            "everyone" => options.with_liveness(Liveness::Everyone),
            other => panic!("unknown option {other}"),
        };
    }
    options
}

fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceKey::new(namespace, name)
}

fn node(name: &str, words: &[&str]) -> Node {
    let mut node = Node::new(NodeName::new(name), labels(words));
    node.network_unavailable = words.contains(&"unavailable");
    node.excluded = words.contains(&"excluded");
    node.control_plane = words.contains(&"control-plane");
    node.out_of_service = words.contains(&"out-of-service");
    node
}

fn service(name: &str, addresses: &str, words: &[&str]) -> Service {
    let wanted = Demand::Addresses(Request::single(Family::V4));
    let demand = if words.contains(&"unwanted") { Demand::None } else { wanted };
    let created =
        words.iter().find_map(|word| word.strip_prefix("created=")).map_or(0, |at| at.parse().unwrap());
    let mut service = Service::new(key(name), Created(created), demand);
    service.assigned = addresses.split(',').map(|address| address.parse().unwrap()).collect();
    service.labels = labels(words);
    service.recorded_pools =
        words.iter().filter_map(|word| word.strip_prefix("recorded=")).map(Into::into).collect();
    if words.contains(&"local") {
        service.traffic_policy = TrafficPolicy::Local;
    }
    service
}

fn labels(words: &[&str]) -> Labels {
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    pairs.filter(|(key, _)| *key != "created" && *key != "recorded").collect()
}

fn input(text: &str) -> Input {
    let mut input = Input::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&[kind, name], words) = words.split_first_chunk().unwrap();
        let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let many =
            |key: &str| value(key).map(|v| v.split(',').map(str::to_owned).collect()).unwrap_or_default();
        let selectors = |key: &str| -> Vec<SelectorInput> {
            value(key).map(|v| v.split(',').map(selector).collect()).unwrap_or_default()
        };
        let meta = Meta::new(name, Created(value("created").map_or(0, |at| at.parse().unwrap())));
        match kind {
            "pool" => {
                input.pools.push(PoolInput { meta, addresses: many("addresses"), ..PoolInput::default() });
            }
            "l2" => input.l2_advertisements.push(L2AdvertisementInput {
                meta,
                pools: many("pools"),
                node_selectors: selectors("nodes"),
                service_selectors: selectors("services"),
                interfaces: many("interfaces"),
                preferred_nodes: value("prefer").map(preference).into_iter().collect(),
                ..L2AdvertisementInput::default()
            }),
            "bgp" => input.bgp_advertisements.push(BgpAdvertisementInput {
                meta,
                pools: many("pools"),
                node_selectors: selectors("nodes"),
                service_selectors: selectors("services"),
                peers: many("peers"),
                communities: many("communities"),
                aggregation_length: value("length").map(|length| length.parse().unwrap()),
                aggregation_length_v6: value("length6").map(|length| length.parse().unwrap()),
                local_pref: value("local-pref").map(|pref| pref.parse().unwrap()),
                ..BgpAdvertisementInput::default()
            }),
            "peer" => input.peers.push(PeerInput {
                meta,
                my_asn: 64_512,
                peer_asn: Some(64_513),
                address: value("address").map(str::to_owned),
                node_selectors: selectors("nodes"),
                ..PeerInput::default()
            }),
            other => panic!("unknown kind {other}"),
        }
    }
    input
}

/// `key:value`
fn selector(text: &str) -> SelectorInput {
    let (key, value) = text.split_once(':').unwrap();
    SelectorInput { match_labels: vec![(key.into(), value.into())], ..SelectorInput::default() }
}

/// `weight:key:value`
fn preference(text: &str) -> PreferenceInput {
    let (weight, rest) = text.split_once(':').unwrap();
    PreferenceInput { weight: weight.parse().unwrap(), preference: selector(rest) }
}
