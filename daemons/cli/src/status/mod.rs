//! `metallb status`: how MetalLB is in a cluster, problems first.

mod facts;
mod problems;
mod render;
mod report;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::connect::{ConnectArgs, connect, runtime};
use crate::exit::{self, Trouble};
use facts::Facts;
use problems::Severity;
use render::Detail;
pub(crate) use report::Report;
use report::report;

/// Shows how MetalLB is in the cluster: problems first, then pools, controllers, nodes, BGP sessions, services.
///
/// Needs no more than the right to list things; what may not be seen is named. Sessions, versions and the leader come from
/// the metrics of the pods, read through the API server (get pods/proxy in MetalLB's namespace). Exit status 0: nothing is
/// wrong; 1: something does not work; 2: wrong usage; 3: it could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Only the services of this namespace.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    connection: ConnectArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people, with the first services.
    Table,
    /// For people, with everything.
    Wide,
    /// For programs.
    Json,
    /// For programs.
    Yaml,
    /// The objects that have problems, one a line, as kubectl takes them.
    Name,
}

const EXAMPLES: &str = "\
Examples:
  metallb status                            how is everything?
  metallb status -n shop                    with the services of one namespace only
  metallb status -o wide                    more columns, every service
  metallb status -o json                    for programs
  metallb status -o name | xargs -L1 kubectl describe   the objects that have problems
  kubectl metallb status                    the same as a plugin of kubectl";

/// Runs the command.
pub(crate) fn run(args: &StatusArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &StatusArgs) -> Result<ExitCode, Trouble> {
    let report = runtime()?.block_on(async {
        let client = connect(&args.connection.way).await?.client;
        let facts = Facts::gather(&client, &args.connection, args.namespace.as_deref()).await?;
        Ok(report(&facts))
    })?;
    exit::print(&shown(&report, args.output)?)?;
    Ok(status(&report))
}

fn shown(report: &Report, output: Output) -> Result<String, Trouble> {
    let table = |detail| render::text(report, detail, exit::width(), exit::is_terminal());
    Ok(match output {
        Output::Table => table(Detail::Usual),
        Output::Wide => table(Detail::Wide),
        Output::Json => serde_json::to_string_pretty(report).map_err(Trouble::read)? + "\n",
        Output::Yaml => serde_saphyr::to_string(report).map_err(Trouble::read)?,
        Output::Name => names(report),
    })
}

/// The objects that have problems, each once.
fn names(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for problem in &report.problems {
        if !problem.object.is_empty() && !names.contains(&problem.object.as_str()) {
            names.push(&problem.object);
        }
    }
    names.iter().map(|name| format!("{name}\n")).collect()
}

fn status(report: &Report) -> ExitCode {
    let is_broken = report.problems.iter().any(|problem| problem.severity == Severity::Error);
    match (is_broken, report.not_seen.iter().any(|unseen| NEEDED.contains(&unseen.what.as_str()))) {
        (true, _) => exit::NO,
        (false, true) => exit::cannot_say(),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// Without these nothing can be said about services.
const NEEDED: [&str; 3] = ["IPAddressPool", "Service", "Pod"];
