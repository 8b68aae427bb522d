//! The tour: one step after the other, each of which observes what it shows.

mod bfd;
mod bgp;
mod failure;
mod layer2;
mod start;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use metallb_core::keys::{Family, PoolName};

use crate::cluster::{self, Shown};
use crate::error::Error;
use crate::lab::Lab;
use crate::report::{Outcome, Reporter, Row};
use crate::scenario::{self, Place};

/// Why a step did not hold.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What should have been observed was not.
    Failed(String),
    /// The configuration in use has nothing for this step.
    NotShown(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.report())
    }
}

/// A step's figure, or why it did not hold.
pub(crate) type Step = Result<String, Stop>;

/// The tour under way.
pub(crate) struct Tour<'a> {
    lab: &'a Lab,
    reporter: &'a Reporter,
    rows: Vec<Row>,
    /// What is announced, once services have addresses.
    targets: Targets,
    /// Families whose routes did not come up; nothing more is shown with them.
    broken: BTreeSet<Family>,
}

/// What the steps ask for.
#[derive(Clone, Debug, Default)]
struct Targets {
    layer2: Vec<Target>,
    bgp: Vec<Target>,
}

/// One address of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    service: Shown,
    address: IpAddr,
    pool: PoolName,
}

impl Target {
    /// Where it is asked.
    fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.service.port.unwrap_or(80))
    }
}

/// Runs all steps; returns whether every one that there was something to show for held.
pub(crate) async fn run(lab: &Lab, reporter: &Reporter) -> bool {
    let mut tour =
        Tour { lab, reporter, rows: Vec::new(), targets: Targets::default(), broken: BTreeSet::new() };
    tour.introduce();
    let up = tour.step("the daemons are ready", tour.daemons().await);
    let asked = up && tour.step("the configuration is in the API", tour.configure());
    if asked {
        let found = tour.addresses().await;
        let step = found.map(|(targets, figure)| {
            tour.targets = targets;
            figure
        });
        if tour.step("services get addresses", step) {
            tour.announced().await;
        }
    }
    reporter.summary(&tour.rows);
    let failed = tour.rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
    match failed {
        0 => reporter.plain(format!("\nEvery step held, in {:.1} s.", reporter.elapsed().as_secs_f64())),
        count => explain_failure(lab, reporter, count, tour.rows.len()),
    }
    failed == 0
}

/// Says where to look; shows what would be gone with the lab.
fn explain_failure(lab: &Lab, reporter: &Reporter, failed: usize, steps: usize) {
    let goes = lab.options.tour_only && !lab.options.keep;
    reporter.plain(format!("\n{failed} of {steps} steps did not hold."));
    if goes {
        for line in lab.log_tails(LOG_LINES) {
            reporter.plain(line);
        }
        reporter.plain("Those are the ends of the daemons' logs; --keep keeps all of them.");
    } else {
        reporter.plain(format!("The daemons' logs are in {}", lab.dir.path().join("log").display()));
    }
}

/// Says what can be done with a lab that stays up.
pub(crate) async fn invite(lab: &Lab, reporter: &Reporter) {
    let name = match lab.options.name.as_str() {
        "lab" => String::new(),
        name => format!(" --name {name}"),
    };
    let config = lab.dir.kubeconfig();
    let (config, api) = (config.display(), &lab.api_url);
    let program = program();
    // An API server that does not answer shows in what is tried next.
    let services = cluster::services(&lab.api).await.unwrap_or_default();
    let service = services.iter().find(|service| service.key.name() == "web-l2").or_else(|| services.first());
    let service = service.map_or_else(|| "mine".to_owned(), |service| service.key.to_string());
    let service = service.trim_start_matches("default/");
    reporter.title(&format!(
        "The lab stays up until Ctrl-C or `{program} lab down{name}`. Try, in another terminal"
    ));
    for line in [
        format!("export KUBECONFIG={config}    # the API server is {api}"),
        "kubectl get services,servicel2statuses,servicebgpstatuses -A".to_owned(),
        "kubectl create service loadbalancer mine --tcp=80 && kubectl get service mine -w".to_owned(),
        format!("{program} status --watch"),
        format!("{program} explain {service}    # why it is reachable, or why not"),
        format!("{program} lab status{name}"),
        format!("{program} lab exec{name} client -- ip neighbour"),
        format!("{program} lab exec{name} router -- ip route"),
        format!("{program} lab kill{name} node1      # cut, heal"),
    ] {
        reporter.plain(format!("  {line}"));
    }
}

/// How this program is called from where it was started.
fn program() -> String {
    let name = "metallb";
    let Ok(path) = std::env::current_exe() else { return name.to_owned() };
    let installed = std::env::var_os("PATH")
        .is_some_and(|dirs| std::env::split_paths(&dirs).any(|dir| dir.join(name) == path));
    if installed {
        return name.to_owned();
    }
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| path.strip_prefix(here).ok().map(std::path::Path::to_path_buf));
    relative.unwrap_or(path).display().to_string()
}

impl Tour<'_> {
    fn introduce(&self) {
        let (lab, reporter) = (self.lab, self.reporter);
        reporter.title(&format!(
            "A segment with {} nodes, a client and a router ({})",
            lab.nodes.len(),
            lab.router.kind()
        ));
        for net in scenario::segment() {
            reporter.plain(format!("  segment {net}"));
        }
        reporter.plain(
            "  Played by stand-ins: kube-proxy and pods (each node answers HTTP on the service addresses with its\n  \
             name; its kernel does not answer ARP for them), the kubelet, and the controller of EndpointSlices.\n  \
             Everything else is real: API server traffic, controller, speakers, ARP, NDP, BGP, kernel routes.",
        );
    }

    /// Everything that needs announced services.
    async fn announced(&mut self) {
        for (family, name) in
            [(Family::V4, "Layer 2, IPv4: ARP and HTTP"), (Family::V6, "Layer 2, IPv6: NDP and HTTP")]
        {
            let step = self.resolve(family).await;
            self.step(name, step);
        }
        for (family, name) in [
            (Family::V4, "BGP, IPv4: router's kernel and HTTP"),
            (Family::V6, "BGP, IPv6: router's kernel and HTTP"),
        ] {
            let step = self.routes(family).await;
            if matches!(step, Err(Stop::Failed(_))) {
                self.broken.insert(family);
            }
            self.step(name, step);
        }
        let step = self.takeover().await;
        let death = step.as_ref().ok().cloned();
        self.step("Layer 2: another node takes over", step.map(|death| death.figure));
        if let Some(death) = death {
            let step = self.dead_paths(&death.node, death.at).await;
            self.step("BGP: the dead node's paths go", step);
            let step = self.revive(&death.node).await;
            self.step("the node comes back", step);
        }
        let step = self.withdraw().await;
        let stopped = step.as_ref().ok().map(|(node, _)| node.clone());
        self.step("BGP: withdrawal when a session stops", step.map(|(_, figure)| figure));
        if let Some(stopped) = stopped {
            let step = self.resume(&stopped).await;
            self.step("BGP: the session comes back", step);
        }
        if self.lab.options.bfd {
            self.watched().await;
        }
    }

    /// The same cut, watched by BFD and not.
    async fn watched(&mut self) {
        let step = self.cut_watched().await;
        let node = step.as_ref().ok().map(|(node, _)| node.clone());
        self.step("BFD: the paths of a cut link go", step.map(|(_, figure)| figure));
        if let Some(node) = node {
            let step = self.cut_unwatched(&node).await;
            self.step("the same cut without BFD", step);
            let step = self.watch_again().await;
            self.step("BFD comes back, sessions go on", step);
        }
    }

    /// Notes how a step ended; returns whether to go on.
    fn step(&mut self, name: &'static str, step: Step) -> bool {
        let begun: Duration = self.rows.iter().map(|row| row.took).sum();
        let took = self.reporter.elapsed().saturating_sub(begun);
        let (outcome, figure) = match step {
            Ok(figure) => (Outcome::Held, figure),
            Err(Stop::Failed(why)) => (Outcome::Failed(why), String::new()),
            Err(Stop::NotShown(why)) => (Outcome::NotShown(why), String::new()),
        };
        let row = Row { step: name, outcome, figure, took };
        self.reporter.outcome(&row);
        let held = row.outcome == Outcome::Held;
        self.rows.push(row);
        held
    }

    /// The first address of a family in a list of targets.
    fn first(targets: &[Target], family: Family) -> Option<&Target> {
        targets.iter().find(|target| Family::of(target.address) == family)
    }

    /// The node with this address on the segment.
    fn node_at(&self, address: IpAddr) -> Option<&str> {
        let has = |place: &Place| {
            place.link_local() == address || place.addresses().iter().any(|(own, _)| *own == address)
        };
        let mut nodes = self.lab.nodes.iter();
        nodes.find(|(_, node)| has(&node.host.place)).map(|(name, _)| name.as_str())
    }

    /// Where next hops lead: names of nodes, or the address of something that is none.
    fn names(&self, hops: &BTreeSet<IpAddr>) -> BTreeSet<String> {
        hops.iter().map(|hop| self.node_at(*hop).map_or_else(|| hop.to_string(), str::to_owned)).collect()
    }
}

/// A limited wait with a typed end: `None` when the time is over.
async fn within<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let end = Instant::now() + limit;
    loop {
        let found = look().await?;
        if found.is_some() || Instant::now() >= end {
            return Ok(found);
        }
        tokio::time::sleep(crate::wait::LOOK).await;
    }
}

/// Lines of each log that are shown when a step failed.
const LOG_LINES: usize = 12;

fn list(names: impl IntoIterator<Item = impl ToString>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn on_segment(address: IpAddr) -> bool {
    scenario::segment().iter().any(|net: &IpNetwork| net.contains(address))
}
