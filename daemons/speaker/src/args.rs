//! The speaker's flags and environment variables.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use metallb_core::announce::Ownership;
use metallb_runtime::args::{ArgError, CommonArgs, Notice, given, parse_bool, parse_duration, parse_given};
use metallb_runtime::daemon::Flags;
use metallb_runtime::privileges::{self, Capability};

use crate::shared_secret;

/// Tells the network where the addresses of services live.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "speaker", version, after_help = EXAMPLES, args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags, not a state")]
pub(crate) struct Args {
    /// Flags that the controller has too.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Name of the node this speaker runs on.
    #[arg(long, env = "METALLB_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// Name of the pod this speaker runs in, for status objects and events.
    #[arg(long, env = "METALLB_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,

    /// Namespace of frr-k8s (default: the one of the configuration resources). Peers for which an earlier MetalLB left an
    /// FRRConfiguration for this node there get no session from here until it is deleted.
    #[arg(long, env = "FRRK8S_NAMESPACE", value_name = "NAME")]
    frrk8s_namespace: Option<String>,

    /// Announce from nodes labelled node.kubernetes.io/exclude-from-external-load-balancers too.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub ignore_exclude_lb: bool,

    /// Announce also services that have no endpoint anywhere: traffic then comes to a node, which refuses it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub announce_without_endpoints: bool,

    /// Address on which speakers hear each other; empty switches membership off.
    #[arg(long = "ml-bindaddr", env = "METALLB_ML_BIND_ADDR", value_name = "ADDRESS")]
    ml_bind_address: Option<String>,

    /// UDP port on which speakers hear each other (default: 7946).
    #[arg(long = "ml-bindport", env = "METALLB_ML_BIND_PORT", value_name = "PORT")]
    ml_bind_port: Option<String>,

    /// Labels of the speaker pods, as in app=metallb,component=speaker; empty switches membership off.
    #[arg(long, env = "METALLB_ML_LABELS", value_name = "LABELS")]
    ml_labels: Option<String>,

    /// Directory of the file `secretkey` that seals what speakers tell each other.
    #[arg(long, env = "METALLB_ML_SECRET_KEY_PATH", value_name = "DIR")]
    ml_secret_key_path: Option<String>,

    /// Secret that is read while the file of --ml-secret-key-path is not there yet; empty: the file is waited for.
    #[arg(long, env = "METALLB_ML_SECRET_NAME", value_name = "NAME")]
    ml_secret_name: Option<String>,

    /// Refused: the secret itself, as in MetalLB before 0.13.11.
    #[arg(long, env = "METALLB_ML_SECRET_KEY", hide = true, hide_env_values = true, value_name = "SECRET")]
    ml_secret_key: Option<String>,

    /// Four times slower heartbeats, for nodes in several sites.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub ml_wan_config: bool,

    /// Which node keeps an address: the first in hash order (hash), or the one that has it (sticky).
    #[arg(long, default_value = "hash", value_parser = parse_ownership, value_name = "MODE")]
    pub l2_ownership: Ownership,

    /// Period in which every Layer 2 address is announced again; 0 switches it off.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    pub l2_refresh: Duration,

    /// Most unsolicited Layer 2 packets per second, over all addresses.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..), value_name = "PACKETS")]
    pub l2_max_pps: u32,

    /// Probe for another user of an address before it is first announced.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub l2_probe: bool,

    /// File with patterns of interfaces that never announce. Without that file those of pods and containers are
    /// excluded, as by the ConfigMap of MetalLB's manifests; an empty list excludes none.
    #[arg(long, default_value = "/etc/metallb/excludel2.yaml", value_name = "FILE")]
    pub l2_exclude_file: PathBuf,

    /// Address on which peers may connect, such as 0.0.0.0:179; may be given several times. Without it sessions are only
    /// opened from here.
    #[arg(long, value_parser = parse_listen, value_name = "ADDRESS:PORT")]
    pub bgp_listen: Vec<SocketAddr>,

    /// IP time to live of sessions with external peers that are not multi-hop: the system's default as in MetalLB
    /// (compat), 1 (strict), or 255 out and required (gtsm, RFC 5082; the peer must do the same).
    #[arg(long, default_value = "compat", value_parser = parse_ttl, value_name = "MODE")]
    pub bgp_ttl: TtlMode,

    /// What the label `peer` of metrics says: the peer's address (address), or address:port as MetalLB's native speaker
    /// (address-port).
    #[arg(long, value_enum, default_value_t = PeerLabel::Address, value_name = "STYLE")]
    pub metrics_peer_label: PeerLabel,

    /// Flags of MetalLB's other BGP engines.
    #[command(flatten)]
    frr: FrrArgs,
}

/// What MetalLB's speaker takes for FRR, and for Kubernetes that has no EndpointSlices.
#[derive(Clone, Debug, clap::Args)]
struct FrrArgs {
    /// Taken for MetalLB's manifests.
    #[arg(long, env = "METALLB_BGP_DEBOUNCE_TIMEOUT", hide = true, value_name = "MILLISECONDS")]
    bgp_debounce_timeout: Option<String>,

    /// Taken for MetalLB's manifests.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, hide = true, value_name = "BOOL")]
    frrk8s_secret_passthrough: bool,

    /// Taken for MetalLB's manifests.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, hide = true, value_name = "BOOL")]
    disable_epslices: bool,
}

/// Where speakers hear each other unless told otherwise.
const DEFAULT_PORT: u16 = 7946;

const EXAMPLES: &str = "\
Examples:
  speaker --node-name worker-1
  speaker --node-name worker-1 --ml-bindaddr 192.0.2.11 --ml-labels app=metallb,component=speaker";

/// Which time to live packets to external peers get that are not multi-hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TtlMode {
    /// The system's default, as MetalLB's native speaker.
    #[default]
    Compat,
    /// 1, as FRR.
    Strict,
    /// RFC 5082: 255, and nothing less is accepted.
    Gtsm,
}

/// What the label `peer` of metrics says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PeerLabel {
    /// The peer's address.
    Address,
    /// Its address and port.
    AddressPort,
}

/// Where speakers hear each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MembershipArgs {
    /// Address and port of the socket.
    pub bind: std::net::SocketAddr,
    /// Label selector of the speaker pods.
    pub labels: String,
    /// File whose content seals the datagrams.
    pub secret: Option<PathBuf>,
    /// Secret that holds the same, for as long as there is no file.
    pub secret_name: Option<String>,
    /// Four times slower.
    pub wan: bool,
}

impl FrrArgs {
    /// What was given and has no effect.
    fn check(&self) -> Result<Vec<Notice>, ArgError> {
        let debounce = "--bgp-debounce-timeout (METALLB_BGP_DEBOUNCE_TIMEOUT)";
        let expected = "a number of milliseconds; it can be left out: no configuration is reloaded";
        let timeout: Option<u32> = parse_given(self.bgp_debounce_timeout.as_ref(), debounce, expected)?;
        let switch = |on: bool| on.then(|| "true".to_owned());
        let rows = [
            (
                debounce,
                timeout.map(|value| value.to_string()),
                "routes are sent at once, nothing is reloaded",
            ),
            (
                "--frrk8s-secret-passthrough",
                switch(self.frrk8s_secret_passthrough),
                "passwords are used by the speaker itself and passed to nobody",
            ),
            (
                "--disable-epslices",
                switch(self.disable_epslices),
                "endpoints are always read from EndpointSlices",
            ),
        ];
        let given =
            rows.into_iter().filter_map(|(flag, value, reason)| Some(Notice::new(flag, value?, reason)));
        Ok(given.collect())
    }
}

impl Flags for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn capabilities(&self) -> Vec<Capability> {
        let bgp = self.bgp_listen.iter().map(SocketAddr::port);
        let membership = self.membership().ok().flatten().map(|membership| membership.bind.port());
        let ports = self.common.ports().chain(bgp).chain(membership);
        std::iter::once(Capability::NetRaw).chain(privileges::for_ports(ports)).collect()
    }
}

impl Args {
    /// Finds values that cannot be used before anything is started; returns what was given and has no effect.
    ///
    /// # Errors
    /// [`ArgError`] for the first of them.
    pub(crate) fn check(&self) -> Result<Vec<Notice>, ArgError> {
        let mut notices = self.common.check()?;
        self.node_name()?;
        self.membership()?;
        notices.extend(self.frr.check()?);
        Ok(notices)
    }

    /// The node's name.
    ///
    /// # Errors
    /// When neither flag nor environment name it.
    pub(crate) fn node_name(&self) -> Result<&str, ArgError> {
        given(self.node_name.as_ref()).ok_or_else(|| ArgError {
            flag: "--node-name (METALLB_NODE_NAME)",
            value: String::new(),
            expected: "a node's name; it is required",
        })
    }

    /// Where frr-k8s is, which an earlier MetalLB may have configured.
    #[must_use]
    pub(crate) fn frr_namespace(&self) -> String {
        given(self.frrk8s_namespace.as_ref()).map_or_else(|| self.common.namespace(), str::to_owned)
    }

    /// The pod's name, where it is known.
    #[must_use]
    pub(crate) fn pod_name(&self) -> Option<&str> {
        given(self.pod_name.as_ref())
    }

    /// Membership, or `None` when bind address or labels are missing: then every node counts as alive.
    ///
    /// # Errors
    /// When the bind address is not an IP address or the port none, or when the secret comes in a way that is not read.
    pub(crate) fn membership(&self) -> Result<Option<MembershipArgs>, ArgError> {
        let address: Option<IpAddr> = parse_given(
            self.ml_bind_address.as_ref(),
            "--ml-bindaddr (METALLB_ML_BIND_ADDR)",
            "an IP address",
        )?;
        let port = "--ml-bindport (METALLB_ML_BIND_PORT)";
        let port: Option<NonZeroU16> =
            parse_given(self.ml_bind_port.as_ref(), port, "a port from 1 to 65535")?;
        let (Some(address), Some(labels)) = (address, given(self.ml_labels.as_ref())) else {
            return Ok(None);
        };
        let secret = given(self.ml_secret_key_path.as_ref());
        if secret.is_none() && given(self.ml_secret_key.as_ref()).is_some() {
            return Err(ArgError {
                flag: "--ml-secret-key (METALLB_ML_SECRET_KEY)",
                value: "(not shown)".to_owned(),
                expected: "read any more; mount the Secret and name its directory in --ml-secret-key-path \
                           (METALLB_ML_SECRET_KEY_PATH)",
            });
        }
        Ok(Some(MembershipArgs {
            bind: (address, port.map_or(DEFAULT_PORT, NonZeroU16::get)).into(),
            labels: labels.to_owned(),
            secret: secret.map(|dir| PathBuf::from(dir).join(shared_secret::KEY)),
            secret_name: given(self.ml_secret_name.as_ref()).map(str::to_owned),
            wan: self.ml_wan_config,
        }))
    }
}

fn parse_ttl(text: &str) -> Result<TtlMode, String> {
    match text {
        "compat" => Ok(TtlMode::Compat),
        "strict" => Ok(TtlMode::Strict),
        "gtsm" => Ok(TtlMode::Gtsm),
        _ => Err("expected compat, strict or gtsm".to_owned()),
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected address and port, as in 0.0.0.0:179 or [::]:179".to_owned())
}

fn parse_ownership(text: &str) -> Result<Ownership, String> {
    match text {
        "hash" => Ok(Ownership::Hash),
        "sticky" => Ok(Ownership::Sticky),
        _ => Err("expected hash or sticky".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use metallb_runtime::args::from_go_syntax;

    use super::*;

    fn mk_args(args: &[&str]) -> Args {
        let args = std::iter::once("speaker").chain(args.iter().copied()).map(Into::into);
        Args::try_parse_from(from_go_syntax(args)).unwrap()
    }

    #[test]
    fn flags_do_not_collide() {
        Args::command().debug_assert();
    }

    #[test]
    fn membership_needs_an_address_and_labels() {
        assert_eq!(mk_args(&["--node-name=a", "--ml-bindaddr=192.0.2.1"]).membership(), Ok(None));
        let args = mk_args(&["--node-name=a", "--ml-bindaddr=192.0.2.1", "--ml-labels=app=metallb"]);
        assert_eq!(args.membership().unwrap().unwrap().bind, "192.0.2.1:7946".parse().unwrap());
    }

    #[test]
    fn a_secret_in_the_environment_is_refused_without_being_shown() {
        let membership = ["--node-name=a", "--ml-bindaddr=192.0.2.1", "--ml-labels=app=metallb"];
        let with = |args: &[&str]| mk_args(&[&membership[..], args].concat()).membership();
        let error = with(&["--ml-secret-key=hidden"]).unwrap_err().to_string();
        assert!(error.contains("METALLB_ML_SECRET_KEY_PATH") && !error.contains("hidden"), "{error}");
        assert!(with(&["--ml-secret-key=hidden", "--ml-secret-key-path=/etc/key"]).is_ok());
    }

    #[test]
    fn an_empty_port_is_none_and_a_wrong_one_names_its_variable() {
        let membership = ["--node-name=a", "--ml-bindaddr=192.0.2.1", "--ml-labels=app=metallb"];
        let with = |port: &str| mk_args(&[&membership[..], &["--ml-bindport", port]].concat()).membership();
        assert_eq!(with("").unwrap().unwrap().bind.port(), 7946);
        assert_eq!(with("7000").unwrap().unwrap().bind.port(), 7000);
        for port in ["0", "65536", "http"] {
            let error = with(port).unwrap_err().to_string();
            assert!(error.contains("METALLB_ML_BIND_PORT") && error.contains("1 to 65535"), "{error}");
        }
    }

    #[test]
    fn flags_of_other_engines_are_accepted_with_a_notice_each() {
        let args = ["--node-name=a", "-bgp-debounce-timeout=3000"];
        let more = ["--frrk8s-secret-passthrough", "--disable-epslices=true"];
        assert_eq!(mk_args(&[&args[..], &more].concat()).check().unwrap().len(), 3);
        let error = mk_args(&["--node-name=a", "--bgp-debounce-timeout=3s"]).check().unwrap_err();
        assert!(error.to_string().contains("METALLB_BGP_DEBOUNCE_TIMEOUT"), "{error}");
    }

    #[test]
    fn frr_k8s_is_looked_for_in_metallbs_namespace_unless_another_is_named() {
        let namespace = |flag: &str| mk_args(&["--node-name=a", "--namespace=mine", flag]).frr_namespace();
        assert_eq!(
            (namespace("--frrk8s-namespace="), namespace("--frrk8s-namespace=frr")),
            ("mine".to_owned(), "frr".to_owned())
        );
    }

    #[test]
    fn a_wrong_way_to_listen_is_told_what_is_right() {
        assert_eq!(mk_args(&["--bgp-listen=[::]:179"]).bgp_listen, ["[::]:179".parse().unwrap()]);
        let error = Args::try_parse_from(["speaker", "--bgp-listen=179"]).unwrap_err().to_string();
        assert!(error.contains("--bgp-listen") && error.contains("0.0.0.0:179"), "{error}");
    }

    #[test]
    fn a_missing_node_name_is_named() {
        let error = mk_args(&["--node-name="]).node_name().unwrap_err();
        assert!(error.to_string().starts_with("--node-name (METALLB_NODE_NAME)"), "{error}");
    }
}
