//! `metallb lab`: the arguments, and what is printed that the lab itself does not print.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use metallb_cli::Table;
use metallb_lab::{Error, LabName, Options, Request, Response, RouterKind, Status};

/// A whole cluster's worth of network on this machine, to see the load balancer work.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  metallb lab up                          the tour, then a lab to play with
  metallb lab up --tour-only              exit status 0 only if every step held
  metallb lab up --bfd --router frr       a cut link noticed by BFD, with FRR on the other side
  metallb lab up -f my.yaml --nodes 5     your own pools, peers, advertisements and services
  metallb lab exec client -- curl -s http://192.0.2.100
  metallb lab kill node1                  as if its power failed; heal brings it back

The segment is 192.0.2.0/24 and 2001:db8:1ab::/64. The router has .1 and ::1, AS 64513, and takes
external sessions from any AS; the client has .2 and ::2; the API server .3 and ::3; node N has
.(10+N) and ::(10+N).")]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Bring a lab up, show what it does, and keep it up.
    Up(UpArgs),
    /// Say how everything in a running lab is.
    Status {
        #[command(flatten)]
        which: Which,
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Run a command on a node, or in client, router or segment.
    Exec {
        #[command(flatten)]
        which: Which,
        /// A node's name, client, router or segment.
        place: String,
        /// The command with its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Take a node's power away: its link and its speaker, at once.
    Kill(NodeArgs),
    /// Pull a node's cable; what runs on it runs on.
    Cut(NodeArgs),
    /// Put the cable back in and start the speaker if it does not run.
    Heal(NodeArgs),
    /// End a lab and remove everything it made.
    Down {
        #[command(flatten)]
        which: Which,
        /// Every lab of this user, and what crashed ones left behind.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// The first process inside a lab; started by `up` only.
    #[command(hide = true)]
    Inside {
        /// The lab's directory.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "the switches of a command line, each by itself")]
struct UpArgs {
    /// Name of the lab; several labs with different names can be up.
    #[arg(long, value_name = "NAME", default_value = "lab")]
    name: String,
    /// Number of nodes, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: usize,
    /// The BGP router: the built-in one, or an installed BIRD or FRR (the latter needs root).
    #[arg(long, value_enum, default_value_t = RouterArg::Builtin)]
    router: RouterArg,
    /// Your own YAML instead of the built-in configuration; may be given several times. Without a
    /// service of type LoadBalancer in it, services to show are added.
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Have BFD watch the paths to the router; the tour then cuts a link with it and without. With -f, the router
    /// answers BFD, and your BGPPeers say whether they want it.
    #[arg(long)]
    bfd: bool,
    /// End after the tour; exit status 0 only if every step held.
    #[arg(long)]
    tour_only: bool,
    /// Leave the directory with logs and kubeconfigs behind at the end.
    #[arg(long)]
    keep: bool,
    /// No colours, also on a terminal.
    #[arg(long)]
    no_color: bool,
    /// Log level of controller and speakers.
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["all", "debug", "info", "warn", "error", "none"])]
    log_level: String,
}

#[derive(Debug, Args)]
struct NodeArgs {
    #[command(flatten)]
    which: Which,
    /// The node's name.
    node: String,
}

#[derive(Debug, Args)]
struct Which {
    /// Name of the lab, when several are up.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RouterArg {
    Builtin,
    Bird,
    Frr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Runs a `lab` command. Call it before any thread is started: it may move the process into
/// namespaces.
pub(crate) fn run(args: LabArgs) -> ExitCode {
    match dispatch(args.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: LabCommand) -> Result<u8, Error> {
    match command {
        LabCommand::Up(args) => metallb_lab::up(&options(args)?, &["lab".into(), "inside".into()]),
        LabCommand::Inside { directory } => Ok(metallb_lab::inside(&directory)),
        LabCommand::Exec { which, place, command } => {
            metallb_lab::exec(which.name()?.as_ref(), &place, &command)
        }
        LabCommand::Status { which, output } => {
            match metallb_lab::ask(which.name()?.as_ref(), &Request::Status)? {
                Response::Status(status) if output == Output::Json => print(&json(&status)),
                Response::Status(status) => print(&status_page(&status)),
                _ => {}
            }
            Ok(0)
        }
        LabCommand::Kill(args) => args.ask(|node| Request::Kill { node }, "has no power"),
        LabCommand::Cut(args) => args.ask(|node| Request::Cut { node }, "is cut off"),
        LabCommand::Heal(args) => args.ask(|node| Request::Heal { node }, "is back"),
        LabCommand::Down { all: true, .. } => {
            let names = metallb_lab::down_all()?;
            let names: Vec<_> = names.iter().map(LabName::as_str).collect();
            print(&if names.is_empty() {
                "there was no lab".to_owned()
            } else {
                format!("gone: {}", names.join(", "))
            });
            Ok(0)
        }
        LabCommand::Down { which, .. } => {
            print(&format!("lab {} is gone", metallb_lab::down(which.name()?.as_ref())?));
            Ok(0)
        }
    }
}

fn options(args: UpArgs) -> Result<Options, Error> {
    let plain = args.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Ok(Options {
        name: args.name.parse()?,
        nodes: args.nodes,
        router: match args.router {
            RouterArg::Builtin => RouterKind::BuiltIn,
            RouterArg::Bird => RouterKind::Bird,
            RouterArg::Frr => RouterKind::Frr,
        },
        files: args.file,
        bfd: args.bfd,
        tour_only: args.tour_only,
        keep: args.keep,
        color: !plain && std::io::stdout().is_terminal(),
        log_level: args.log_level,
    })
}

impl Which {
    fn name(&self) -> Result<Option<LabName>, Error> {
        self.name.as_deref().map(str::parse).transpose()
    }
}

impl NodeArgs {
    fn ask(self, request: impl FnOnce(String) -> Request, done: &str) -> Result<u8, Error> {
        metallb_lab::ask(self.which.name()?.as_ref(), &request(self.node.clone()))?;
        print(&format!("{} {done}", self.node));
        Ok(0)
    }
}

/// How MetalLB is, as `metallb status` has it, and what only a lab knows.
fn status_page(status: &Status) -> String {
    let Status { name, api, kubeconfig, logs, .. } = status;
    let cluster =
        metallb_cli::status_page(kubeconfig.as_ref()).unwrap_or_else(|trouble| format!("? {trouble}\n"));
    let mut lines = vec![
        format!("lab {name}: API server {api}"),
        format!("export KUBECONFIG={kubeconfig}"),
        format!("logs in {logs}\n"),
        cluster,
    ];
    let router = status.router.kind.to_uppercase();
    for (title, table) in [
        ("PLACES".to_owned(), places(status)),
        (format!("{router}: BGP SESSIONS"), router_sessions(status)),
        (format!("{router}: ROUTES RECEIVED"), router_routes(status)),
        (format!("{router}: KERNEL"), router_kernel(status)),
    ] {
        lines.push(title);
        lines.extend(table.lines(metallb_cli::width()));
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}

fn places(status: &Status) -> Table {
    let mut table = Table::new(&["NAME", "LINK", "DAEMON", "ADDRESSES"]);
    table.push(vec![
        "segment".to_owned(),
        "up".to_owned(),
        format!("controller {}", status.controller),
        String::new(),
    ]);
    for (name, node) in &status.nodes {
        let link = if node.link_up { "up" } else { "DOWN" };
        let daemon = format!("speaker {}", node.speaker);
        table.push(vec![name.clone(), link.to_owned(), daemon, node.addresses.join(",")]);
    }
    table
}

fn router_sessions(status: &Status) -> Table {
    let mut table = Table::new(&["WITH", "AS", "STATE", "PREFIXES"]);
    for session in &status.router.sessions {
        let asn = session.asn.map_or_else(|| "?".to_owned(), |asn| asn.to_string());
        table.push(vec![session.peer.to_string(), asn, session.state.clone(), session.prefixes.to_string()]);
    }
    table
}

fn router_routes(status: &Status) -> Table {
    let mut table = Table::new(&["PREFIX", "BY", "AS PATH", "COMMUNITIES"]);
    for route in &status.router.received {
        table.push(vec![
            route.prefix.clone(),
            route.next_hop.to_string(),
            route.as_path.clone(),
            route.communities.join(" "),
        ]);
    }
    table
}

fn router_kernel(status: &Status) -> Table {
    let mut table = Table::new(&["PREFIX", "BY"]);
    for (prefix, hops) in &status.router.kernel {
        table.push(vec![prefix.clone(), hops.join(",")]);
    }
    table
}

fn json(status: &Status) -> String {
    // Names, numbers and texts only: there is nothing in it that JSON cannot say.
    serde_json::to_string_pretty(status).unwrap_or_default()
}

fn print(text: &str) {
    // A reader that went away (`| head`) is no error.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use metallb_lab::Status;
    use schemars::generate::SchemaSettings;

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_documented_form_of_the_status_is_the_one_that_is_printed() {
        let generator = SchemaSettings::default().for_serialize().into_generator();
        let schema = generator.into_root_schema_for::<Status>();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/lab-status.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "UPDATE_GOLDEN=1 writes it");
    }
}
