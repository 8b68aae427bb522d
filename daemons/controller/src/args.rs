//! The controller's flags and environment variables.

use std::path::PathBuf;
use std::time::Duration;

use metallb_core::config::SharingScope;
use metallb_core::ipam::SharingOrder;
use metallb_k8s::lease::{Timing, TimingError};
use metallb_runtime::args::{ArgError, CommonArgs, given, parse_bool, parse_duration};
use metallb_runtime::daemon::Flags;
use metallb_runtime::privileges::{self, Capability};

/// Gives services their addresses.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "controller", version, after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct Args {
    /// Flags that the speaker has too.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Name of the Secret with which speakers seal what they tell each other; made when missing. Empty: none is made.
    #[arg(long, env = "METALLB_ML_SECRET_NAME", value_name = "NAME")]
    ml_secret_name: Option<String>,

    /// Name of the controller's own Deployment, which owns what the controller makes.
    #[arg(long, env = "METALLB_DEPLOYMENT", value_name = "NAME")]
    deployment: Option<String>,

    /// Name of the controller's own pod, its identity in the leader election (default: the host name).
    #[arg(long, env = "METALLB_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,

    /// Flags of the webhooks.
    #[command(flatten)]
    pub webhook: WebhookArgs,

    /// Let two pools serve a dual-stack service when no single one can.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub dual_stack_two_pools: bool,

    /// Time for which a released address is not given to another service, unless nothing else is free.
    #[arg(long, default_value = "0", value_parser = parse_duration, value_name = "DURATION")]
    pub address_quarantine: Duration,

    /// What a service with a sharing key gets: an address that it can share and only then a free one (shared-first), or the
    /// first that is free or can be shared, as with MetalLB (first-free). Addresses that were given stay.
    #[arg(long, value_enum, default_value_t = Order::SharedFirst, value_name = "ORDER")]
    pub sharing_order: Order,

    /// Which services may share an address under one sharing key: all in the cluster, as with MetalLB, or only those of one
    /// namespace. A pool may say otherwise (serviceAllocation.sharing). What is shared already stays.
    #[arg(long, value_enum, default_value_t = Scope::Cluster, value_name = "SCOPE")]
    pub sharing_scope: Scope,

    /// Time for which services keep the addresses of a pool that was deleted, in case it is made again.
    #[arg(long, default_value = "0", value_parser = parse_duration, value_name = "DURATION")]
    pub pool_deletion_grace: Duration,

    /// Time after the start, and after a pool appears for the first time, in which a service whose addresses are in no pool
    /// yet waits for it before it is given others.
    #[arg(long, default_value = "5s", value_parser = parse_duration, value_name = "DURATION")]
    pub startup_hold: Duration,

    /// Export how many addresses each service holds; --metrics-per-service=false for clusters with so many services that a
    /// series for each is too much.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub metrics_per_service: bool,

    /// Time after which another controller may take over from one that does not renew its lease.
    #[arg(long, default_value = "15s", value_parser = parse_duration, value_name = "DURATION")]
    lease_duration: Duration,

    /// Time after which a leader that cannot renew its lease stops writing.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    lease_renew_deadline: Duration,

    /// Pause between two looks at the lease.
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "DURATION")]
    lease_retry_period: Duration,
}

/// Flags of the webhooks, as MetalLB's.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WebhookArgs {
    /// Whether this controller checks what is written to the API server (enabled), leaves that alone (disabled), or does
    /// nothing else (onlywebhook).
    #[arg(long = "webhook-mode", value_enum, default_value_t = WebhookMode::Enabled, value_name = "MODE")]
    pub mode: WebhookMode,

    /// Port of the webhooks.
    #[arg(id = "webhook_port", long = "webhook-port", default_value_t = 9443, value_parser = clap::value_parser!(u16).range(1..),
          value_name = "PORT")]
    pub port: u16,

    /// Name of the Secret with the certificates of the webhooks, which the controller fills and renews.
    #[arg(long = "webhook-secret", default_value = "metallb-webhook-cert", value_name = "NAME")]
    pub secret: String,

    /// Name of the Service under which the API server reaches the webhooks; the certificate is made out to it.
    #[arg(long = "cert-service-name", default_value = "metallb-webhook-service", value_name = "NAME")]
    pub service: String,

    /// Directory of tls.crt and tls.key for the webhooks, read with --disable-cert-rotation only.
    #[arg(long, default_value = "/tmp/k8s-webhook-server/serving-certs", value_name = "DIR")]
    pub cert_dir: PathBuf,

    /// Take the certificate from --cert-dir, and neither make nor renew one, nor put its authority into the webhook
    /// configuration.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
          action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub disable_cert_rotation: bool,

    /// Offer HTTP/2 to the API server.
    #[arg(long = "webhook-http2", num_args = 0..=1, require_equals = true, default_value_t = false,
          default_missing_value = "true", action = clap::ArgAction::Set, value_parser = parse_bool, value_name = "BOOL")]
    pub http2: bool,
}

/// What a controller does about webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WebhookMode {
    /// It serves them and assigns addresses.
    Enabled,
    /// It assigns addresses only.
    Disabled,
    /// It serves them only.
    #[value(name = "onlywebhook")]
    OnlyWebhook,
}

/// What comes first for a service with a sharing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// What it can share.
    SharedFirst,
    /// Whatever comes first in the pool.
    FirstFree,
}

impl From<Order> for SharingOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::SharedFirst => Self::SharedFirst,
            Order::FirstFree => Self::FirstFree,
        }
    }
}

/// Which services may share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scope {
    /// All.
    Cluster,
    /// Those of one namespace.
    Namespace,
}

impl From<Scope> for SharingScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Cluster => Self::Cluster,
            Scope::Namespace => Self::Namespace,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  controller                                     in a pod of the namespace metallb-system
  controller --kubeconfig ~/.kube/config         from outside of the cluster";

impl Flags for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn capabilities(&self) -> Vec<Capability> {
        let ports = self.common.ports().chain([self.webhook.port]);
        privileges::for_ports(ports).into_iter().collect()
    }
}

impl Args {
    /// The Secret to make, and for whom.
    #[must_use]
    pub(crate) fn secret_name(&self) -> Option<&str> {
        given(self.ml_secret_name.as_ref())
    }

    /// The Deployment that owns what the controller makes.
    #[must_use]
    pub(crate) fn deployment(&self) -> Option<&str> {
        given(self.deployment.as_ref())
    }

    /// Who this controller is among several: unique, also over restarts in one place.
    #[must_use]
    pub(crate) fn identity(&self) -> String {
        let name = given(self.pod_name.as_ref()).map(str::to_owned).or_else(host_name);
        format!("{}_{}", name.as_deref().unwrap_or("controller"), std::process::id())
    }

    /// The periods of the leader election.
    ///
    /// # Errors
    /// When they do not fit each other; it names the flag to change.
    pub(crate) fn lease_timing(&self) -> Result<Timing, ArgError> {
        let refused =
            |flag, value: Duration, expected| ArgError { flag, value: format!("{value:?}"), expected };
        Timing::new(self.lease_duration, self.lease_renew_deadline, self.lease_retry_period).map_err(
            |error| match error {
                TimingError::DeadlineTooLong { renew_deadline, .. } => {
                    refused("--lease-renew-deadline", renew_deadline, "shorter than --lease-duration")
                }
                TimingError::RetryTooLong { retry, .. } => refused(
                    "--lease-retry-period",
                    retry,
                    "above zero and at most half of --lease-renew-deadline",
                ),
                _ => {
                    refused("--lease-duration", self.lease_duration, "a whole number of seconds, at least 1s")
                }
            },
        )
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_do_not_collide() {
        Args::command().debug_assert();
    }
}
