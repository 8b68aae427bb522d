//! Flags and environment variables that both daemons take, under MetalLB's names.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::logging::{Format, Level};
use crate::tls::TlsOptions;

/// The port of the metrics over HTTPS, unless another is given: MetalLB's since 0.16.
const DEFAULT_SECURE_PORT: u16 = 9120;

/// Where a pod finds the namespace it runs in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// MetalLB's own default namespace.
const DEFAULT_NAMESPACE: &str = "metallb-system";

/// Flags common to controller and speaker.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// Namespace of the configuration resources (default: the pod's own, else metallb-system).
    #[arg(long, env = "METALLB_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// Kubeconfig file (default: $KUBECONFIG, ~/.kube/config, then the pod's service account).
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Address for the metrics endpoints, which then listen there and on loopback; localhost: on loopback only (default:
    /// all addresses).
    #[arg(long, env = "METALLB_HOST", value_name = "ADDRESS")]
    host: Option<String>,

    /// Port of the metrics over HTTP; 0 switches it off. Where --secure-port names the same one, it is served over HTTPS
    /// only.
    #[arg(long, default_value_t = 7472, value_parser = parse_port, value_name = "PORT")]
    pub port: u16,

    /// Port of the metrics over HTTPS, for those who may get /metrics as the API server says (default: 9120); 0 switches
    /// it off.
    #[arg(long, value_parser = parse_port, value_name = "PORT")]
    secure_port: Option<u16>,

    /// Directory of tls.crt and tls.key for the metrics over HTTPS, read again when they change (default: a certificate
    /// of our own).
    #[arg(long, value_name = "DIR")]
    metrics_cert_dir: Option<String>,

    /// Port of /healthz and /readyz; 0 switches them off. Those of the speaker are on 127.0.0.1 only, so that its probes
    /// need `host: 127.0.0.1`; those of the controller are on all addresses.
    #[arg(long, default_value_t = 17472, value_parser = parse_port, value_name = "PORT")]
    pub health_probe_port: u16,

    /// Loopback address that serves /debug/state, the whole typed state as JSON (default: off).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pprof_bind_address: Option<String>,

    /// Only services with exactly this loadBalancerClass (default: only services without a class).
    #[arg(long, default_value = "", value_name = "CLASS")]
    pub lb_class: String,

    /// Oldest TLS version of the ports with TLS: VersionTLS12 or VersionTLS13 (default: VersionTLS13).
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    tls_min_version: String,

    /// Cipher suites of TLS 1.2 under their Go names, separated by commas (default: all that are offered). Those of
    /// TLS 1.3 are fixed.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SUITES")]
    tls_cipher_suites: String,

    /// Curves of the TLS key exchange by number or name, separated by commas, as in 29,23,24 or
    /// X25519,CurveP256,CurveP384 (default: these three).
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CURVES")]
    tls_curve_preferences: String,

    /// Log level.
    #[arg(long, value_enum, default_value_t = Level::Info, value_name = "LEVEL")]
    pub log_level: Level,

    /// Log format.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub log_format: Format,

    /// Taken for MetalLB's manifests.
    #[arg(long, env = "METALLB_BGP_TYPE", hide = true, value_name = "TYPE")]
    bgp_type: Option<String>,

    /// Taken for MetalLB's manifests.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, hide = true, value_name = "BOOL")]
    enable_pprof: bool,
}

/// A flag whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {value:?} is not {expected}")]
pub struct ArgError {
    /// The flag, with its environment variable where it has one.
    pub flag: &'static str,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

/// Something that was given, is accepted as in MetalLB, and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The flag, with its environment variable where it has one.
    pub flag: &'static str,
    /// What was given.
    pub value: String,
    /// Why it has no effect.
    pub reason: &'static str,
}

impl Notice {
    /// A notice about the `value` of a `flag`.
    #[must_use]
    pub fn new(flag: &'static str, value: impl Into<String>, reason: &'static str) -> Self {
        Self { flag, value: value.into(), reason }
    }

    /// Says it in the log.
    pub fn log(&self) {
        tracing::info!(flag = self.flag, value = self.value, reason = self.reason, "has no effect");
    }
}

impl CommonArgs {
    /// Namespace of the configuration resources.
    ///
    /// Given by flag or environment, else the pod's own namespace, else `metallb-system`.
    #[must_use]
    pub fn namespace(&self) -> String {
        given(self.namespace.as_ref())
            .map(str::to_owned)
            .or_else(|| std::fs::read_to_string(NAMESPACE_FILE).ok().map(|text| text.trim().to_owned()))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
    }

    /// The address of the metrics endpoints; `None` means all addresses.
    ///
    /// # Errors
    /// [`ArgError`] when the value is neither an IP address nor `localhost`.
    pub fn host(&self) -> Result<Option<IpAddr>, ArgError> {
        if given(self.host.as_ref()) == Some("localhost") {
            return Ok(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        parse_given(self.host.as_ref(), "--host (METALLB_HOST)", "an IP address or localhost")
    }

    /// The port of the metrics over HTTPS; 0 means off.
    #[must_use]
    pub fn secure_port(&self) -> u16 {
        self.secure_port.unwrap_or(DEFAULT_SECURE_PORT)
    }

    /// Whether that port was chosen, by `--secure-port` or by naming it in `--port`.
    #[must_use]
    pub fn secure_port_given(&self) -> bool {
        self.secure_port.is_some() || self.port == DEFAULT_SECURE_PORT
    }

    /// Where the certificate of the metrics over HTTPS is.
    #[must_use]
    pub fn metrics_cert_dir(&self) -> Option<&Path> {
        given(self.metrics_cert_dir.as_ref()).map(Path::new)
    }

    /// Finds values that cannot be used before anything is started; returns what was given and has no effect.
    ///
    /// # Errors
    /// [`ArgError`] for the first of them.
    pub fn check(&self) -> Result<Vec<Notice>, ArgError> {
        self.host()?;
        self.debug_address()?;
        let mut notices = self.tls()?.notices().to_vec();
        notices.extend(self.bgp_type()?);
        if self.enable_pprof {
            let reason = "there is no Go profile; --pprof-bind-address serves /debug/state";
            notices.push(Notice::new("--enable-pprof", "true", reason));
        }
        Ok(notices)
    }

    fn bgp_type(&self) -> Result<Option<Notice>, ArgError> {
        let flag = "METALLB_BGP_TYPE";
        let reason = "the speaker itself speaks BGP, with the features of this mode";
        match given(self.bgp_type.as_ref()) {
            None | Some("native") => Ok(None),
            Some(kind @ ("frr" | "frr-k8s")) => Ok(Some(Notice::new(flag, kind, reason))),
            Some(kind) => {
                let expected = "native, frr or frr-k8s; it can be left out: the speaker itself speaks BGP";
                Err(ArgError { flag, value: kind.to_owned(), expected })
            }
        }
    }

    /// What the ports with TLS offer.
    ///
    /// # Errors
    /// [`ArgError`] for the first of the three flags that cannot be used.
    pub fn tls(&self) -> Result<TlsOptions, ArgError> {
        TlsOptions::parse(&self.tls_min_version, &self.tls_cipher_suites, &self.tls_curve_preferences)
    }

    /// The ports that are listened on.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let debug = self.debug_address().ok().flatten().map(|address| address.port());
        [self.port, self.secure_port(), self.health_probe_port].into_iter().chain(debug)
    }

    /// The loopback address of `/debug/state`; `None` means off.
    ///
    /// # Errors
    /// [`ArgError`] when the value is not a loopback `address:port`.
    pub fn debug_address(&self) -> Result<Option<std::net::SocketAddr>, ArgError> {
        let flag = "--pprof-bind-address";
        let expected = "a loopback address with a port, like 127.0.0.1:6060";
        let address: Option<std::net::SocketAddr> =
            parse_given(self.pprof_bind_address.as_ref(), flag, expected)?;
        match address {
            Some(address) if !address.ip().is_loopback() => {
                Err(ArgError { flag, value: address.to_string(), expected })
            }
            other => Ok(other),
        }
    }
}

/// A switch as Go's `flag` reads it: 1, t, T, true, TRUE, True, and the same for false.
///
/// # Errors
/// What would be accepted, for clap to show beside the flag.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A port, or 0.
///
/// # Errors
/// What would be accepted, for clap to show beside the flag.
pub fn parse_port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| "expected a port from 1 to 65535, or 0 for none".to_owned())
}

/// The value of an optional flag; an empty one counts as not given, as in Go.
#[must_use]
pub fn given(value: Option<&String>) -> Option<&str> {
    value.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Parses an optional flag; an empty one counts as not given.
///
/// # Errors
/// [`ArgError`] naming `flag` and what was `expected`.
pub fn parse_given<T: std::str::FromStr>(
    value: Option<&String>,
    flag: &'static str,
    expected: &'static str,
) -> Result<Option<T>, ArgError> {
    given(value)
        .map(|text| text.parse().map_err(|_| ArgError { flag, value: text.to_owned(), expected }))
        .transpose()
}

/// Arguments in Go's flag syntax (`-flag`, `-flag=value`) as clap reads them (`--flag`).
///
/// Single letters such as `-h` stay as they are; so does everything after `--`.
pub fn from_go_syntax(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut verbatim = false;
    args.into_iter()
        .map(|arg| {
            verbatim |= arg == "--";
            match arg.to_str().and_then(|text| text.strip_prefix('-')) {
                Some(rest) if !verbatim && is_long_name(rest) => OsString::from(format!("--{rest}")),
                _ => arg,
            }
        })
        .collect()
}

/// Whether what follows one dash is a name of several characters, not a second dash, a letter or a number.
fn is_long_name(rest: &str) -> bool {
    let name = rest.split('=').next().unwrap_or_default();
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// A duration as a flag, as Go reads it: `60s`, `1h30m`, `1.5s`, `300ms`, `1us`, or `0`.
///
/// # Errors
/// What is wrong, for clap to show beside the flag.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    metallb_core::config::parse_duration(text.trim()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn mk_args(args: &[&str]) -> CommonArgs {
        let args = std::iter::once("probe").chain(args.iter().copied()).map(OsString::from);
        Probe::try_parse_from(from_go_syntax(args)).unwrap_or_else(|error| panic!("{error}")).common
    }

    #[test]
    fn go_flags_with_one_dash_are_understood() {
        let args = mk_args(&["-port=7473", "-log-level", "debug"]);
        assert_eq!((args.port, args.log_level), (7473, Level::Debug));
    }

    #[test]
    fn short_flags_and_what_follows_the_separator_stay() {
        let given = ["-h", "--", "-port"].map(OsString::from);
        assert_eq!(from_go_syntax(given.clone()), given);
    }

    #[test]
    fn an_unknown_flag_is_an_error() {
        assert!(Probe::try_parse_from(["probe", "--no-such-flag"]).is_err());
    }

    #[test]
    fn an_empty_host_is_no_host_and_a_wrong_one_names_the_flag() {
        assert_eq!(mk_args(&["--host="]).host(), Ok(None));
        let error = mk_args(&["--host=node-1"]).host().unwrap_err();
        assert_eq!(error.to_string(), "--host (METALLB_HOST): \"node-1\" is not an IP address or localhost");
    }

    #[test]
    fn localhost_is_loopback() {
        assert_eq!(mk_args(&["--host=localhost"]).host(), Ok(Some("127.0.0.1".parse().unwrap())));
    }

    #[test]
    fn one_port_for_both_is_chosen_and_the_default_is_not() {
        let ports = |args: &[&str]| {
            let args = mk_args(args);
            (args.port, args.secure_port(), args.secure_port_given())
        };
        assert_eq!(ports(&[]), (7472, 9120, false));
        assert_eq!(ports(&["--port=9120"]), (9120, 9120, true));
        assert_eq!(ports(&["--secure-port=9443"]), (7472, 9443, true));
        assert_eq!(ports(&["--secure-port=0"]), (7472, 0, true));
    }

    #[test]
    fn what_has_no_meaning_any_more_is_accepted_with_a_notice() {
        let notices = |args: &[&str]| mk_args(args).check().unwrap().len();
        assert_eq!(notices(&["--bgp-type=native", "--enable-pprof=false"]), 0);
        assert_eq!(notices(&["--bgp-type=frr-k8s"]), 1);
        assert_eq!(notices(&["-bgp-type", "frr", "--enable-pprof"]), 2);
        let error = mk_args(&["--bgp-type=bird"]).check().unwrap_err();
        assert!(error.to_string().starts_with("METALLB_BGP_TYPE: \"bird\" is not native, frr or frr-k8s"));
    }

    #[test]
    fn switches_take_what_go_takes() {
        for (text, value) in [("1", true), ("T", true), ("True", true), ("0", false), ("f", false)] {
            assert_eq!(mk_args(&[&format!("-enable-pprof={text}")]).enable_pprof, value, "{text}");
        }
        assert!(Probe::try_parse_from(["probe", "--enable-pprof=yes"]).is_err());
        assert!(Probe::try_parse_from(["probe", "--enable-pprof", "true"]).is_err(), "as in Go");
    }

    #[test]
    fn debug_state_is_served_on_loopback_only() {
        assert!(mk_args(&["--pprof-bind-address=127.0.0.1:6060"]).debug_address().unwrap().is_some());
        assert!(mk_args(&["--pprof-bind-address=0.0.0.0:6060"]).debug_address().is_err());
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("1500ms", Duration::from_millis(1500)),
            ("0", Duration::ZERO),
            ("1h30m", Duration::from_secs(5400)),
            ("1.5s", Duration::from_millis(1500)),
            ("1us", Duration::from_micros(1)),
            ("1\u{b5}s", Duration::from_micros(1)),
            ("+2m", Duration::from_secs(120)),
        ];
        for (text, duration) in cases {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_named_with_an_example() {
        for text in ["60", "-1s", "soon", "", "9999999999h"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains(" for "), "{error}");
        }
    }
}
