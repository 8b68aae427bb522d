//! `metallb migrate`: from what another way of running MetalLB left behind.

mod plan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Preconditions};
use kube::{Api, Client};
use serde_json::Value;

use crate::connect::{ConnectArgs, connect, runtime};
use crate::exit::{self, Trouble};
use crate::kinds::{self, Wanted};
use crate::snapshot::{Snapshot, text};
use crate::voices::{Voices, daemons};
use plan::{Handover, Plan, missing, plan};

/// Hands over to the native speakers what another mode of MetalLB holds.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    #[command(subcommand)]
    origin: Origin,
}

#[derive(Debug, Subcommand)]
enum Origin {
    FrrK8s(FrrK8sArgs),
}

/// Takes the BGP sessions over from frr-k8s, node by node.
///
/// The native speaker leaves a node's sessions alone as long as the FRRConfiguration that MetalLB wrote for the node is there
/// (docs/migration.md). This deletes one after the other, and waits each time until the native sessions of the node are
/// established. It stops at the first surprise, and says how to go back. Without --apply it only says what it would do.
/// Exit status 0: done, or nothing stands in the way; 1: stopped, or something does; 2: wrong usage; 3: it could not be found
/// out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct FrrK8sArgs {
    /// Do it.
    #[arg(long)]
    apply: bool,

    /// Only these nodes; may be repeated.
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,

    /// Namespace of frr-k8s; without it the one of MetalLB.
    #[arg(long, env = "FRRK8S_NAMESPACE", value_name = "NAME")]
    frr_namespace: Option<String>,

    /// How long a node's sessions may take to be established, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,

    /// Directory in which each FRRConfiguration is saved before it is deleted.
    #[arg(long, value_name = "DIRECTORY", default_value = "frr-k8s-saved")]
    save: PathBuf,

    #[command(flatten)]
    connection: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  metallb migrate frr-k8s                          what would be done, and what stands in the way
  metallb migrate frr-k8s --apply --node worker-1  one node, to see how it goes
  metallb migrate frr-k8s --apply                  all that are left";

const KINDS: [Wanted; 7] = [
    kinds::in_one(kinds::POOLS),
    kinds::in_one(kinds::BGP_ADVERTISEMENTS),
    kinds::in_one(kinds::PEERS),
    kinds::in_one(kinds::COMMUNITIES),
    kinds::in_one(kinds::BFD_PROFILES),
    kinds::NODES,
    kinds::PODS,
];
const FRR: Wanted = (FRR_GROUP, "v1beta1", "FRRConfiguration", "frrconfigurations", true);
const FRR_GROUP: &str = "frrk8s.metallb.io";

/// Runs the command.
pub(crate) fn run(args: &MigrateArgs) -> ExitCode {
    let Origin::FrrK8s(args) = &args.origin;
    exit::report(answer(args))
}

fn answer(args: &FrrK8sArgs) -> Result<ExitCode, Trouble> {
    runtime()?.block_on(async {
        let client = connect(&args.connection.way).await?.client;
        let frr = args.frr_namespace.clone().unwrap_or_else(|| args.connection.metallb_namespace.clone());
        let migration = Migration { client, args, frr };
        let plan = plan(&migration.look().await?, &args.node);
        exit::print(&shown(&plan, args))?;
        if plan.nodes.iter().any(|node| !node.obstacles.is_empty()) {
            return Ok(exit::NO);
        }
        if args.apply { migration.perform(&plan).await } else { Ok(ExitCode::SUCCESS) }
    })
}

struct Migration<'a> {
    client: Client,
    args: &'a FrrK8sArgs,
    /// Namespace of frr-k8s.
    frr: String,
}

impl Migration<'_> {
    /// Everything that decides, as it is now. What may not be seen is an error here: this is no place for guesses.
    async fn look(&self) -> Result<Snapshot, Trouble> {
        let mut snapshot = Snapshot::of_kinds(&self.client, &self.args.connection, &KINDS).await?;
        let ours = std::mem::replace(&mut snapshot.namespace, self.frr.clone());
        snapshot.list(&self.client, FRR).await?;
        snapshot.namespace = ours;
        if let Some((kind, words)) = snapshot.refused.first() {
            return Err(Trouble::unknown(format!("objects of kind {kind} cannot be seen: {words}")));
        }
        if let Some(kind) = snapshot.undefined.first() {
            let help = if kind == "FRRConfiguration" {
                "there is no frr-k8s, and nothing to hand over"
            } else {
                "install MetalLB first (metallb manifests | kubectl apply -f -)"
            };
            return Err(Trouble::unknown(format!("the cluster does not know {kind}: {help}")));
        }
        snapshot.voices = Voices::hear(&self.client, &snapshot.namespace, &daemons(&snapshot)).await;
        Ok(snapshot)
    }

    async fn perform(&self, plan: &Plan) -> Result<ExitCode, Trouble> {
        let mut done: Vec<&Handover> = Vec::new();
        for node in &plan.nodes {
            let before = self.look().await?;
            for earlier in &done {
                if let Some(problem) = missing(&before, &earlier.node, &earlier.peers).first() {
                    return stop(node, &format!("a session of {} broke meanwhile: {problem}", earlier.node));
                }
            }
            let file = self.save(node)?;
            if let Err(surprise) = self.delete(node).await {
                return stop(node, &surprise);
            }
            exit::print(&format!(
                "{}: FRRConfiguration {} is saved in {} and deleted\n",
                node.node,
                node.name(),
                file.display()
            ))?;
            if let Err(surprise) = self.wait(node).await? {
                let back = format!("{surprise}; to go back: kubectl apply -f {}", file.display());
                return stop(node, &back);
            }
            done.push(node);
        }
        exit::print("done: docs/migration.md has what is left over of frr-k8s, to be deleted\n")?;
        Ok(ExitCode::SUCCESS)
    }

    fn save(&self, node: &Handover) -> Result<PathBuf, Trouble> {
        let file = self.args.save.join(format!("{}.json", node.name()));
        let text = format!("{:#}\n", node.saved());
        let write = |file: &Path| {
            std::fs::create_dir_all(&self.args.save)?;
            std::fs::write(file, &text)
        };
        write(&file).map_err(|error| {
            Trouble::unknown(format!(
                "cannot save into {}: {error}; name a directory with --save",
                file.display()
            ))
        })?;
        Ok(file)
    }

    /// Deletes exactly the object that was seen.
    async fn delete(&self, node: &Handover) -> Result<(), String> {
        let (group, version, kind, plural, _) = FRR;
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: format!("{group}/{version}"),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.frr, &resource);
        let stated = |path: &str| Some(text(&node.object, path).to_owned()).filter(|text| !text.is_empty());
        let preconditions = Preconditions {
            uid: stated("/metadata/uid"),
            resource_version: stated("/metadata/resourceVersion"),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(node.name(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(format!("it cannot be deleted: {}", status.message)),
            Err(error) => Err(format!("it cannot be deleted: {error}")),
        }
    }

    /// Waits until the native speaker has all sessions of the node; the surprise that comes in between, if one does.
    async fn wait(&self, node: &Handover) -> Result<Result<(), String>, Trouble> {
        let limit = Duration::from_secs(self.args.timeout);
        let start = Instant::now();
        loop {
            let now = self.look().await?;
            let uid = |object: &Value| text(object, "/metadata/uid").to_owned();
            let left =
                now.of("FRRConfiguration").find(|object| text(object, "/metadata/name") == node.name());
            if left.is_some_and(|object| uid(object) != uid(&node.object)) {
                let back = "somebody wrote the FRRConfiguration again: does a speaker of MetalLB still run?";
                return Ok(Err(back.to_owned()));
            }
            let mut missing = missing(&now, &node.node, &node.peers);
            missing.extend(left.map(|_| "the FRRConfiguration is still being deleted".to_owned()));
            let all = node.peers.len();
            if missing.is_empty() {
                exit::print(&format!("{}: {all} of {all} sessions are established natively\n", node.node))?;
                return Ok(Ok(()));
            }
            if start.elapsed() > limit {
                let missing = missing.join("; ");
                return Ok(Err(format!("not established after {} s: {missing}", limit.as_secs())));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn stop(node: &Handover, why: &str) -> Result<ExitCode, Trouble> {
    exit::print(&format!("{}: stopped: {why}\n", node.node))?;
    Ok(exit::NO)
}

/// What is going to be done.
fn shown(plan: &Plan, args: &FrrK8sArgs) -> String {
    let mut lines = Vec::new();
    for node in &plan.nodes {
        let peers = if node.peers.is_empty() { "no peer of ours".to_owned() } else { node.peers.join(", ") };
        lines.push(format!(
            "{}: delete FRRConfiguration {}, then wait for the native sessions with {peers}",
            node.node,
            node.name()
        ));
        lines.extend(node.obstacles.iter().map(|obstacle| format!("  ✗ {obstacle}")));
    }
    if plan.nodes.is_empty() {
        lines.push("no FRRConfiguration of MetalLB is left: there is nothing to hand over".to_owned());
    }
    if !plan.others.is_empty() {
        lines.push(format!(
            "not touched, as MetalLB did not write them: {}; keep frr-k8s for them",
            plan.others.join(", ")
        ));
    }
    let is_free = plan.nodes.iter().all(|node| node.obstacles.is_empty());
    if is_free && !args.apply && !plan.nodes.is_empty() {
        lines.push("nothing is done yet; --apply does it".to_owned());
    }
    lines.join("\n") + "\n"
}

/// Between two looks at the sessions.
const PAUSE: Duration = Duration::from_secs(1);
