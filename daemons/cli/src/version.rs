//! `metallb version`: which versions run, and whether they fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::connect::{ConnectArgs, connect, runtime};
use crate::daemon::Daemon;
use crate::exit::{self, Trouble};
use crate::kinds;
use crate::output::{self, Form};
use crate::snapshot::Snapshot;
use crate::table::Table;
use crate::voices::{Voices, daemons};

#[cfg(test)]
mod tests;

/// Shows the version of this program, of Kubernetes, and of every daemon that runs in the cluster.
///
/// The daemons say theirs in their metrics, read through the API server (get pods/proxy in MetalLB's namespace); where that
/// is not allowed, the tag of the image counts. Exit status 0: known; 2: wrong usage; 3: the cluster's could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VersionArgs {
    /// The version of this program only; no cluster is asked.
    #[arg(long)]
    client: bool,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,

    #[command(flatten)]
    connection: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  metallb version                of this program and of the cluster
  metallb version --client       of this program only
  metallb version -o json        for programs
  kubectl metallb version        the same as a plugin of kubectl";

/// The versions in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Versions {
    /// Of this program.
    client: String,
    /// Of the API server; `null` when it was not asked.
    kubernetes: Option<String>,
    daemons: Vec<Running>,
    /// What does not fit together.
    remarks: Vec<String>,
}

/// Pods of one component with one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Running {
    component: String,
    version: String,
    image: String,
    pods: usize,
}

/// Runs the command.
pub(crate) fn run(args: &VersionArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &VersionArgs) -> Result<ExitCode, Trouble> {
    if args.client {
        exit::print(&shown(&Versions { client: CLIENT.to_owned(), ..Versions::default() }, args.output)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match runtime()?.block_on(gather(&args.connection)) {
        Ok((kubernetes, snapshot)) => {
            exit::print(&shown(&versions(CLIENT, kubernetes, &snapshot), args.output)?)?;
            Ok(if snapshot.sees("Pod") { ExitCode::SUCCESS } else { exit::cannot_say() })
        }
        Err(trouble) => {
            exit::print(&shown(
                &Versions { client: CLIENT.to_owned(), ..Versions::default() },
                args.output,
            )?)?;
            Err(trouble)
        }
    }
}

async fn gather(args: &ConnectArgs) -> Result<(Option<String>, Snapshot), Trouble> {
    let client = connect(&args.way).await?.client;
    let mut snapshot = Snapshot::of_kinds(&client, args, &[kinds::PODS]).await?;
    snapshot.voices = Voices::hear(&client, &snapshot.namespace, &daemons(&snapshot)).await;
    // Everybody may ask for it; a server that hides it is no reason to say nothing.
    let kubernetes = client.apiserver_version().await.ok().map(|version| version.git_version);
    Ok((kubernetes, snapshot))
}

/// What runs, and what does not fit together. Pure: what was seen goes in.
fn versions(client: &str, kubernetes: Option<String>, snapshot: &Snapshot) -> Versions {
    let mut running: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut remarks = BTreeSet::new();
    for daemon in daemons(snapshot) {
        let said = snapshot.voices.of(&daemon.pod).and_then(|voice| voice.version.clone());
        remarks.extend(said.as_deref().and_then(|said| mislabelled(&daemon, said)));
        let version = said.unwrap_or_else(|| daemon.tag().trim_start_matches('v').to_owned());
        let count = running.entry((daemon.component, version, daemon.image)).or_default();
        *count = count.saturating_add(1);
    }
    let daemons: Vec<Running> = running
        .into_iter()
        .map(|((component, version, image), pods)| Running { component, version, image, pods })
        .collect();
    let mut remarks: Vec<String> = remarks.into_iter().collect();
    remarks.extend(skew(client, &daemons));
    let pods = snapshot.refused.iter().map(|(_, why)| format!("the pods cannot be seen: {why}"));
    remarks.extend(pods);
    if snapshot.sees("Pod") && daemons.is_empty() {
        remarks.push(format!(
            "no daemon runs in namespace {:?}; say with --metallb-namespace where MetalLB is",
            snapshot.namespace
        ));
    }
    let silent = snapshot.voices.refused.iter().map(|why| format!("the tags of the images count: {why}"));
    remarks.extend(silent);
    Versions { client: client.to_owned(), kubernetes, daemons, remarks }
}

/// An image whose tag is a version, and another one than the program in it.
fn mislabelled(daemon: &Daemon, said: &str) -> Option<String> {
    let tag = daemon.tag().trim_start_matches('v');
    (is_version(tag) && tag != said).then(|| format!("the image {} holds version {said}", daemon.image))
}

/// Whether a tag says a version, as `latest` and `main` do not.
fn is_version(tag: &str) -> bool {
    tag.starts_with(|first: char| first.is_ascii_digit()) && tag.contains('.')
}

/// Versions that differ: within a component, between the two, and from this program.
fn skew(client: &str, daemons: &[Running]) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut of: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for running in daemons {
        let count = of.entry(&running.component).or_default().entry(&running.version).or_default();
        *count = count.saturating_add(running.pods);
    }
    for (component, versions) in of.iter().filter(|(_, versions)| versions.len() > 1) {
        let versions: Vec<String> =
            versions.iter().map(|(version, pods)| format!("{version} on {pods}")).collect();
        remarks.push(format!(
            "{component}s of several versions: {} (a rollout runs, or is stuck: kubectl rollout status says)",
            versions.join(", ")
        ));
    }
    let single = |component: &str| {
        of.get(component).filter(|versions| versions.len() == 1).and_then(|versions| versions.keys().next())
    };
    if let (Some(controller), Some(speaker)) = (single("controller"), single("speaker"))
        && controller != speaker
    {
        remarks.push(format!("the controller is {controller}, the speakers are {speaker}"));
    }
    let all = daemons.iter().map(|running| running.version.as_str());
    let all: BTreeSet<&str> = all.filter(|version| is_version(version)).collect();
    if !all.is_empty() && !all.contains(client) {
        let all: Vec<&str> = all.into_iter().collect();
        remarks.push(format!(
            "this program is {client}, the cluster has {}: it decides by its own rules, which may differ",
            all.join(", ")
        ));
    }
    remarks
}

fn shown(versions: &Versions, form: Form) -> Result<String, Trouble> {
    Ok(match form {
        Form::Table | Form::Wide => text(versions, form.width()),
        Form::Json => output::json(versions)?,
        Form::Yaml => output::yaml(versions)?,
    })
}

fn text(versions: &Versions, width: usize) -> String {
    let mut lines = vec![format!("client      {}", versions.client)];
    lines.extend(versions.kubernetes.iter().map(|version| format!("kubernetes  {version}")));
    if !versions.daemons.is_empty() {
        let mut table = Table::new(&["DAEMON", "VERSION", "PODS", "IMAGE"]);
        for Running { component, version, image, pods } in &versions.daemons {
            table.push(vec![component.clone(), version.clone(), pods.to_string(), image.clone()]);
        }
        lines.push(String::new());
        lines.extend(table.lines(width));
    }
    if !versions.remarks.is_empty() {
        lines.push(String::new());
    }
    lines.extend(versions.remarks.iter().map(|remark| format!("! {remark}")));
    lines.join("\n") + "\n"
}

/// The version of this program.
const CLIENT: &str = env!("CARGO_PKG_VERSION");
