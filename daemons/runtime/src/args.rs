//! Flags and environment variables that both daemons take, under MetalLB's names.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::logging::{Format, Level};
use crate::tls::TlsOptions;

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

    /// Address for the metrics endpoint, which then listens there and on loopback (default: all addresses).
    #[arg(long, env = "METALLB_HOST", value_name = "ADDRESS")]
    host: Option<String>,

    /// Port of the metrics endpoint; 0 switches it off.
    #[arg(long, default_value_t = 7472, value_name = "PORT")]
    pub port: u16,

    /// Port of /healthz and /readyz; 0 switches them off.
    #[arg(long, default_value_t = 17472, value_name = "PORT")]
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

    /// The address of the metrics endpoint; `None` means all addresses.
    ///
    /// # Errors
    /// [`ArgError`] when the value is not an IP address.
    pub fn host(&self) -> Result<Option<IpAddr>, ArgError> {
        parse_given(self.host.as_ref(), "--host (METALLB_HOST)", "an IP address")
    }

    /// Tells a value that cannot be used before anything is started.
    ///
    /// # Errors
    /// [`ArgError`] for the first of them.
    pub fn check(&self) -> Result<(), ArgError> {
        self.host()?;
        self.debug_address()?;
        self.tls()?;
        Ok(())
    }

    /// What the ports with TLS offer.
    ///
    /// # Errors
    /// [`ArgError`] for the first of the three flags that cannot be used.
    pub fn tls(&self) -> Result<TlsOptions, ArgError> {
        TlsOptions::parse(&self.tls_min_version, &self.tls_cipher_suites, &self.tls_curve_preferences)
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

/// A duration as a flag: `60s`, `1500ms`, `2m`, or `0`.
///
/// # Errors
/// What is wrong, for clap to show beside the flag.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration like 60s, 1500ms or 2m");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        "" if number == 0 => Ok(Duration::ZERO),
        _ => Err(wrong()),
    }
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
        assert_eq!(error.to_string(), "--host (METALLB_HOST): \"node-1\" is not an IP address");
    }

    #[test]
    fn debug_state_is_served_on_loopback_only() {
        assert!(mk_args(&["--pprof-bind-address=127.0.0.1:6060"]).debug_address().unwrap().is_some());
        assert!(mk_args(&["--pprof-bind-address=0.0.0.0:6060"]).debug_address().is_err());
    }

    #[test]
    fn durations_need_a_unit_unless_zero() {
        assert_eq!(parse_duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert!(parse_duration("60").is_err());
        assert!(parse_duration("-1s").is_err());
    }
}
