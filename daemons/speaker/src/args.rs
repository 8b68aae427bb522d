//! The speaker's flags and environment variables.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use metallb_core::announce::Ownership;
use metallb_runtime::args::{ArgError, CommonArgs, given, parse_duration, parse_given};

/// Tells the network where the addresses of services live.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "speaker", version, after_help = EXAMPLES, args_override_self = true)]
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

    /// Announce from nodes labelled node.kubernetes.io/exclude-from-external-load-balancers too.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL")]
    pub ignore_exclude_lb: bool,

    /// Address on which speakers hear each other; empty switches membership off.
    #[arg(long = "ml-bindaddr", env = "METALLB_ML_BIND_ADDR", value_name = "ADDRESS")]
    ml_bind_address: Option<String>,

    /// UDP port on which speakers hear each other.
    #[arg(long = "ml-bindport", env = "METALLB_ML_BIND_PORT", default_value_t = 7946, value_name = "PORT")]
    pub ml_bind_port: u16,

    /// Labels of the speaker pods, as in app=metallb,component=speaker; empty switches membership off.
    #[arg(long, env = "METALLB_ML_LABELS", value_name = "LABELS")]
    ml_labels: Option<String>,

    /// Directory of the file `secretkey` that seals what speakers tell each other.
    #[arg(long, env = "METALLB_ML_SECRET_KEY_PATH", value_name = "DIR")]
    ml_secret_key_path: Option<String>,

    /// Four times slower heartbeats, for nodes in several sites.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL")]
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
          action = clap::ArgAction::Set, value_name = "BOOL")]
    pub l2_probe: bool,

    /// File with patterns of interfaces that never announce; a missing file excludes nothing.
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
}

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

/// Where speakers hear each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MembershipArgs {
    /// Address and port of the socket.
    pub bind: std::net::SocketAddr,
    /// Label selector of the speaker pods.
    pub labels: String,
    /// File whose content seals the datagrams.
    pub secret: Option<PathBuf>,
    /// Four times slower.
    pub wan: bool,
}

impl Args {
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

    /// The pod's name, where it is known.
    #[must_use]
    pub(crate) fn pod_name(&self) -> Option<&str> {
        given(self.pod_name.as_ref())
    }

    /// Membership, or `None` when bind address or labels are missing: then every node counts as alive.
    ///
    /// # Errors
    /// When the bind address is not an IP address.
    pub(crate) fn membership(&self) -> Result<Option<MembershipArgs>, ArgError> {
        let address: Option<IpAddr> = parse_given(
            self.ml_bind_address.as_ref(),
            "--ml-bindaddr (METALLB_ML_BIND_ADDR)",
            "an IP address",
        )?;
        let (Some(address), Some(labels)) = (address, given(self.ml_labels.as_ref())) else {
            return Ok(None);
        };
        Ok(Some(MembershipArgs {
            bind: (address, self.ml_bind_port).into(),
            labels: labels.to_owned(),
            secret: given(self.ml_secret_key_path.as_ref()).map(|dir| PathBuf::from(dir).join("secretkey")),
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
    use clap::Parser;

    use super::*;

    fn mk_args(args: &[&str]) -> Args {
        Args::try_parse_from(std::iter::once("speaker").chain(args.iter().copied())).unwrap()
    }

    #[test]
    fn membership_needs_an_address_and_labels() {
        assert_eq!(mk_args(&["--node-name=a", "--ml-bindaddr=192.0.2.1"]).membership(), Ok(None));
        let args = mk_args(&["--node-name=a", "--ml-bindaddr=192.0.2.1", "--ml-labels=app=metallb"]);
        assert_eq!(args.membership().unwrap().unwrap().bind, "192.0.2.1:7946".parse().unwrap());
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
