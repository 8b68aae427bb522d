//! `metallb status`: how MetalLB is in a cluster, problems first.

mod facts;
mod lines;
mod problems;
mod render;
mod report;
mod screen;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kube::Client;

use crate::connect::{ConnectArgs, connect, runtime};
use crate::exit::{self, Trouble};
use crate::output::{self, Output};
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

    /// Show it live: on the whole terminal, with keys to sort, to filter and to explain a service; where the output is no
    /// terminal, one line for each change.
    #[arg(short, long, conflicts_with = "output")]
    watch: bool,

    /// How often to look with --watch, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    connection: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  metallb status                            how is everything?
  metallb status --watch                    live, in the terminal
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
    if args.watch {
        return runtime()?.block_on(watch(args));
    }
    let report = look(&args.connection, args.namespace.as_deref())?;
    exit::print(&shown(&report, args.output)?)?;
    Ok(status(&report))
}

fn look(connection: &ConnectArgs, namespace: Option<&str>) -> Result<Report, Trouble> {
    runtime()?.block_on(async {
        let client = connect(&connection.way).await?.client;
        let facts = Facts::gather(&client, connection, namespace).await?;
        Ok(report(&facts))
    })
}

/// What `metallb status` shows of the cluster of a kubeconfig.
///
/// # Errors
///
/// Why it could not be found out, with what to do next.
pub fn page(kubeconfig: &Path) -> Result<String, String> {
    let report = look(&ConnectArgs::to(kubeconfig), None).map_err(|trouble| trouble.to_string())?;
    Ok(render::text(&report, Detail::Usual, exit::width(), exit::is_terminal()))
}

async fn watch(args: &StatusArgs) -> Result<ExitCode, Trouble> {
    let client = connect(&args.connection.way).await?.client;
    let (namespace, every) = (args.namespace.as_deref(), Duration::from_secs(args.interval));
    // A terminal without a size (a serial line, a recorder) shows nothing but lines.
    let has_room = ratatui::crossterm::terminal::size().is_ok_and(|(columns, rows)| columns > 0 && rows > 0);
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && has_room {
        screen::watch(&client, &args.connection, namespace, every).await?;
    } else {
        follow(&client, args, every).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the status once, and then a line for each change, until nobody reads any more.
async fn follow(client: &Client, args: &StatusArgs, every: Duration) -> Result<(), Trouble> {
    let gather = async || {
        let facts = Facts::gather(client, &args.connection, args.namespace.as_deref()).await?;
        Ok::<_, Trouble>(report(&facts))
    };
    // Without a first look there is nothing that could change.
    let mut before = gather().await?;
    let mut failure = None;
    let mut text = render::text(&before, Detail::Usual, exit::width(), false);
    while exit::is_read(&text)? {
        tokio::time::sleep(every).await;
        text.clear();
        match gather().await {
            Ok(now) => {
                failure = None;
                text.extend(lines::changes(&before, &now).iter().map(|line| format!("{} {line}\n", time())));
                before = now;
            }
            Err(trouble) if failure.as_ref() != Some(&trouble.to_string()) => {
                text = format!("{} ? {trouble}\n", time());
                failure = Some(trouble.to_string());
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// The time of day in UTC.
fn time() -> String {
    let now = jiff::Timestamp::now().to_string();
    now.get(11..19).unwrap_or_default().to_owned() + "Z"
}

fn shown(report: &Report, output: Output) -> Result<String, Trouble> {
    let table = |detail| render::text(report, detail, output.width(), exit::is_terminal());
    Ok(match output {
        Output::Table => table(Detail::Usual),
        Output::Wide => table(Detail::Wide),
        Output::Json => output::json(report)?,
        Output::Yaml => output::yaml(report)?,
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
    names.iter().flat_map(|name| [name, "\n"]).collect()
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
