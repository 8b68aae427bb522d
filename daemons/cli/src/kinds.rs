//! What is listed of a cluster.

use metallb_k8s::crd::GROUP;

/// Group, version, kind, plural, and whether it is only read where MetalLB is.
pub(crate) type Wanted = (&'static str, &'static str, &'static str, &'static str, bool);

pub(crate) const POOLS: Wanted = (GROUP, "v1beta1", "IPAddressPool", "ipaddresspools", false);
pub(crate) const L2_ADVERTISEMENTS: Wanted = (GROUP, "v1beta1", "L2Advertisement", "l2advertisements", false);
pub(crate) const BGP_ADVERTISEMENTS: Wanted =
    (GROUP, "v1beta1", "BGPAdvertisement", "bgpadvertisements", false);
pub(crate) const PEERS: Wanted = (GROUP, "v1beta2", "BGPPeer", "bgppeers", false);
pub(crate) const COMMUNITIES: Wanted = (GROUP, "v1beta1", "Community", "communities", false);
pub(crate) const BFD_PROFILES: Wanted = (GROUP, "v1beta1", "BFDProfile", "bfdprofiles", false);
pub(crate) const L2_STATUSES: Wanted = (GROUP, "v1beta1", "ServiceL2Status", "servicel2statuses", true);
pub(crate) const BGP_STATUSES: Wanted = (GROUP, "v1beta1", "ServiceBGPStatus", "servicebgpstatuses", true);
pub(crate) const STATES: Wanted = (GROUP, "v1beta1", "ConfigurationState", "configurationstates", true);
pub(crate) const SECRETS: Wanted = ("", "v1", "Secret", "secrets", true);
pub(crate) const SERVICES: Wanted = ("", "v1", "Service", "services", false);
pub(crate) const NODES: Wanted = ("", "v1", "Node", "nodes", false);
pub(crate) const NAMESPACES: Wanted = ("", "v1", "Namespace", "namespaces", false);
pub(crate) const PODS: Wanted = ("", "v1", "Pod", "pods", true);
pub(crate) const EVENTS: Wanted = ("", "v1", "Event", "events", false);
pub(crate) const SLICES: Wanted = ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", false);

/// The kinds that configure MetalLB. They are only read where it is; elsewhere they have strayed.
pub(crate) const CONFIGURATION: [&str; 6] =
    ["IPAddressPool", "L2Advertisement", "BGPAdvertisement", "BGPPeer", "Community", "BFDProfile"];

/// The same, in one namespace only.
pub(crate) const fn in_one((group, version, kind, plural, _): Wanted) -> Wanted {
    (group, version, kind, plural, true)
}
