//! Builds a speaker from its flags: connection, watches, drivers, membership, endpoints.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client};
use metallb_arp::io::linux;
use metallb_arp::responder;
use metallb_bgp::io::tokio::{EventReceiver, Speaker as BgpSpeaker, SpeakerConfig};
use metallb_bgp::types::RouterId;
use metallb_core::announce::{Liveness, Options};
use metallb_core::keys::NodeName;
use metallb_core::speaker;
use metallb_k8s::facts::ClassFilter;
use metallb_k8s::legacy::warn_about_old_config_maps;
use metallb_k8s::retry::{Retries, Seed, Subject, describe, is_final};
use metallb_k8s::watch::ObjectKey;
use metallb_k8s::write::state::StateKeeper;
use metallb_k8s::write::status::{Component, OwnKind, owner_reference};
use metallb_k8s::write::{self, Stats, Target, Writer};
use metallb_runtime::http::{Readiness, serve_debug, serve_metrics, serve_probes};
use metallb_runtime::{client, seed};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::announcer::{Announcer, Drivers};
use crate::args::Args;
use crate::exclude::Exclusions;
use crate::inputs::{Inputs, Key, Scope};
use crate::sources::{DriverEvents, Sources};
use crate::speaker::{Endpoints, Speaker};
use crate::statuses::Statuses;
use crate::sweep::Place;
use crate::{membership, shared_secret, translate};

/// A speaker that is ready to run; `None` when it was told to stop before.
///
/// # Errors
/// When a flag, the connection, a socket or a file cannot be used; the message names it.
pub(crate) async fn speaker(args: &Args, stop: &CancellationToken) -> anyhow::Result<Option<Speaker>> {
    for notice in args.check()? {
        notice.log();
    }
    let node = args.node_name()?.to_owned();
    let namespace = args.common.namespace();
    let membership = args.membership()?;
    let stats = Arc::new(Stats::new());
    let retries = Retries::new(Seed::new(seed()));
    let client = client::connect(&args.common, Arc::clone(&stats), retries.clone()).await?;
    let mut endpoints = endpoints(args, &client, &retries).await?;
    let (layer2, layer2_events) = layer2(args)?;
    let (bgp, bgp_events) = bgp(args, &node)?;
    let started = if let Some(membership) = &membership {
        let secret = shared_secret::wait(&client, &retries, &namespace, membership);
        let Some(secret) = endpoints.waiting_for(secret, &stats, stop).await else { return Ok(None) };
        Some(membership::start(NodeName::new(node.as_str()), membership, secret?)?)
    } else {
        tracing::info!("membership is off (no --ml-bindaddr or --ml-labels): every node counts as alive");
        None
    };
    let (members, speakers) = started.map(|started| (started.handle, started.heard)).unzip();
    let class = ClassFilter::new(args.common.lb_class.as_str());
    let frr_namespace = args.frr_namespace();
    let scope = Scope {
        namespace: &namespace,
        node: &node,
        frr: &frr_namespace,
        speakers: membership.as_ref().map(|membership| membership.labels.as_str()),
    };
    let inputs = Inputs::start(&client, scope, class, &stats, &retries);
    tokio::spawn(warn_about_old_config_maps(client.clone(), namespace.clone(), retries.clone()));
    let owner = owner(&client, &retries, &namespace, args.pod_name());
    let Some(owner) = endpoints.waiting_for(owner, &stats, stop).await else { return Ok(None) };
    let (queue, system, contests) = (inputs.queue.clone(), namespace.clone(), inputs.queue.clone());
    let options = write::Options::new(&namespace, "metallb-speaker", Arc::clone(&stats), retries.clone())
        .owner(owner)
        .contested(move |contest| contests.push(Key::Contest(contest)))
        .outdated(move |outdated| match outdated {
            Target::Own(OwnKind::Service(kind), name) => {
                queue.push(Key::OutdatedStatus(kind, ObjectKey::namespaced(system.as_str(), name)));
            }
            Target::Own(OwnKind::Configuration, _) => queue.push(Key::State),
            // The controller writes these.
            Target::Service(_) | Target::Object(..) => {}
        });
    let writer = Writer::new(client.clone(), options);
    let name = NodeName::new(node.as_str());
    let state = StateKeeper::new(Component::Speaker(name.clone()), &namespace, inputs.state.clone());
    let (pages, swept) = mpsc::channel(1);
    let place = Place { namespace, node: name.clone() };
    let statuses = Statuses::new(place, client.clone(), writer.clone(), retries, pages);
    let sessions = translate::Common { ttl: args.bgp_ttl, uptime: uptime()?, seed: seed() };
    let drivers = Drivers { layer2, bgp, writer, statuses, sessions, membership: members.clone() };
    let options = speaker::Options::new(engine_options(args, members.is_some()), env!("CARGO_PKG_VERSION"));
    let announcer = Announcer::new(name.clone(), speaker::Speaker::new(name, options), drivers, state);
    let sources =
        Sources { inputs, swept, drivers: DriverEvents { layer2: layer2_events, bgp: bgp_events, speakers } };
    let bind = membership.map(|membership| membership.bind);
    let speaker = Speaker::new(node, client, announcer, sources, endpoints, stats);
    Ok(Some(speaker.with_membership(members.zip(bind))))
}

fn engine_options(args: &Args, membership: bool) -> Options {
    let liveness = if membership { Liveness::Members } else { Liveness::Everyone };
    Options::default()
        .with_ignore_exclude(args.ignore_exclude_lb)
        .with_without_endpoints(args.announce_without_endpoints)
        .with_ownership(args.l2_ownership)
        .with_liveness(liveness)
}

fn layer2(args: &Args) -> anyhow::Result<(linux::Handle, linux::EventReceiver)> {
    let exclusions = Exclusions::from_file(&args.l2_exclude_file)?;
    let mut responder = responder::Options::new(seed());
    responder.refresh = Some(args.l2_refresh).filter(|period| !period.is_zero());
    responder.max_pps = NonZeroU32::new(args.l2_max_pps).unwrap_or(NonZeroU32::MIN);
    responder.probe = args.l2_probe;
    let exclude = Box::new(move |name: &str| exclusions.contains(name));
    linux::Driver::start(linux::Options { exclude, responder }).context("cannot start layer2")
}

fn bgp(args: &Args, node: &str) -> anyhow::Result<(BgpSpeaker, EventReceiver)> {
    let fallback = RouterId::of_name(node);
    if let Some(exact) = fallback.folded_from {
        tracing::info!(protocol = "bgp", %exact, router_id = %fallback.id,
            "sessions without an IPv4 address use another BGP identifier than MetalLB would: routers refuse that one");
    }
    let mut config = SpeakerConfig::new(fallback.id);
    config.listen.clone_from(&args.bgp_listen);
    config.bfd_seed = seed();
    BgpSpeaker::start(config).context("cannot start BGP")
}

/// How long this node has been up: what its kernel says.
fn uptime() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(UPTIME).context("cannot see how long the node is up")?;
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    uptime.with_context(|| format!("{UPTIME} does not begin with seconds: {text:?}"))
}

/// Seconds since the kernel started, and seconds of idling.
const UPTIME: &str = "/proc/uptime";

/// Opens the HTTP endpoints; the speaker's probes are for its own node only.
async fn endpoints(args: &Args, client: &Client, retries: &Retries) -> anyhow::Result<Endpoints> {
    let readiness = Readiness::new(retries.clone());
    let (ask_metrics, scrapes) = mpsc::channel(4);
    let (ask_state, states) = mpsc::channel(1);
    serve_metrics(&args.common, client, ask_metrics).await?;
    let probes = (Ipv4Addr::LOCALHOST, args.common.health_probe_port);
    serve_probes(probes.into(), readiness.clone()).await?;
    serve_debug(args.common.debug_address()?, ask_state).await?;
    Ok(Endpoints { readiness, scrapes, states, peer_label: args.metrics_peer_label })
}

/// The DaemonSet that this speaker's Pod belongs to: it owns the status resources, so that a rollout keeps them. An API
/// server that cannot be reached is waited for: without it there is nothing to announce either.
async fn owner(
    client: &Client,
    retries: &Retries,
    namespace: &str,
    pod: Option<&str>,
) -> Option<OwnerReference> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pod?;
    let found =
        retries.until_done(Subject::extra("get", "pods"), async || match api.get_metadata_opt(pod).await {
            Err(error) if is_final(&error) => {
                let error = describe(&error);
                tracing::warn!(
                    pod,
                    error,
                    "status resources have no owner: cannot read the speaker's own Pod"
                );
                Ok(None)
            }
            other => other,
        });
    let found = found.await?;
    let owners = found.metadata.owner_references.unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.kind == "DaemonSet")?;
    Some(owner_reference(&owner.api_version, &owner.kind, &owner.name, &owner.uid))
}
