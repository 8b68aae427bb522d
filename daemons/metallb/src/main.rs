//! One binary for everything: the daemons and, with the feature `lab`, the lab.

#[cfg(feature = "cli")]
mod complete;
mod deploy;
#[cfg(feature = "lab")]
mod lab;
#[cfg(not(feature = "lab"))]
#[path = "no_lab.rs"]
mod lab;
#[cfg(feature = "cli")]
mod shell;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// A load balancer for bare-metal Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "metallb", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give services their addresses (runs in the cluster, one leader at a time).
    #[command(disable_help_flag = true)]
    Controller(Daemon),
    /// Tell the network where addresses live (runs on every node).
    #[command(disable_help_flag = true)]
    Speaker(Daemon),
    /// See it work on this machine: a whole cluster's network in namespaces.
    #[command(hide = cfg!(not(feature = "lab")))]
    Lab(lab::LabArgs),
    /// Print the objects of an installation, for kubectl apply.
    Manifests(deploy::ManifestsArgs),
    /// Print the definitions of the custom resources.
    Crds(deploy::CrdsArgs),
    #[cfg(feature = "cli")]
    #[command(flatten)]
    Operator(metallb_cli::Command),
    #[cfg(feature = "cli")]
    Completion(shell::CompletionArgs),
    #[cfg(feature = "cli")]
    Man(shell::ManArgs),
}

/// Arguments handed on to a daemon as they are; `--help` shows the daemon's own.
#[derive(Args, Debug)]
struct Daemon {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

impl Daemon {
    fn args(self, name: &str) -> impl Iterator<Item = OsString> {
        std::iter::once(OsString::from(format!("metallb {name}"))).chain(self.flags)
    }
}

#[cfg(feature = "lab")]
const EXAMPLES: &str = "\
Examples:
  metallb lab up                           see it work, then play
  metallb lab up --tour-only               see it work, exit 0 if every step held
  metallb explain web                      why is this service not reachable?
  metallb check pools.yaml                 what is wrong with this configuration?
  metallb manifests | kubectl apply -f -   install it into a cluster
  metallb controller --help                the controller's flags
  metallb speaker --node-name worker-1     announce from this node";

#[cfg(not(feature = "lab"))]
const EXAMPLES: &str = "\
Examples:
  metallb manifests | kubectl apply -f -   install it into a cluster
  metallb controller --help                the controller's flags
  metallb speaker --node-name worker-1     announce from this node";

fn main() -> ExitCode {
    // As `/controller` and `/speaker` in the images, whose entry points get nothing but the daemon's flags.
    match std::env::args_os().next().as_deref().map(program) {
        Some(Some("controller")) => return metallb_controller::run(std::env::args_os()),
        Some(Some("speaker")) => return metallb_speaker::run(std::env::args_os()),
        #[cfg(feature = "cli")]
        Some(Some("kubectl_complete-metallb")) => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            return complete::run(Cli::command(), &words);
        }
        _ => {}
    }
    match cli().command {
        Command::Controller(daemon) => metallb_controller::run(daemon.args("controller")),
        Command::Speaker(daemon) => metallb_speaker::run(daemon.args("speaker")),
        Command::Lab(args) => lab::run(args),
        Command::Manifests(args) => deploy::manifests(&args),
        Command::Crds(args) => deploy::crds(&args),
        #[cfg(feature = "cli")]
        Command::Operator(command) => metallb_cli::run(&command),
        #[cfg(feature = "cli")]
        Command::Completion(args) => shell::completion(&args, Cli::command()),
        #[cfg(feature = "cli")]
        Command::Man(args) => shell::man(&args, Cli::command()),
    }
}

/// The command line. A plugin is called as kubectl calls it.
fn cli() -> Cli {
    let is_plugin = std::env::args_os().next().as_deref().and_then(program) == Some("kubectl-metallb");
    let command = Cli::command();
    let command = if is_plugin { command.bin_name("kubectl metallb") } else { command };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// The name under which the program was started.
fn program(path: &OsStr) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}
