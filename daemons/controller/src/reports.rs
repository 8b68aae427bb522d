//! What the assigner reports, as events on Services.

use std::net::IpAddr;

use metallb_core::ipam::{AllocationError, Report};
use metallb_core::keys::ServiceKey;
use metallb_core::quote::quoted as quoted_text;
use metallb_k8s::write::events::Severity;

/// Reason and text of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// A single word, as MetalLB's where it has one.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// The event for a report about a service. Each begins with MetalLB's words where it has the event.
#[must_use]
pub(crate) fn notice(service: &ServiceKey, report: &Report) -> Notice {
    let (severity, reason, message) = match report {
        Report::Allocated { addresses } => (Severity::Normal, "IPAllocated", assigned(addresses)),
        Report::Released { addresses, reason } => (
            Severity::Warning,
            "ClearAssignment",
            format!(
                "current IP for \"{service}\" not allowed by config, will attempt for new IP assignment: \
                 {} given up: {reason}",
                quoted(addresses)
            ),
        ),
        Report::Failed(error) => (
            Severity::Warning,
            "AllocationFailed",
            format!("Failed to allocate IP for \"{service}\": {error}"),
        ),
        Report::AdditionalFailed(error) => (
            Severity::Warning,
            "AdditionalAssignFailed",
            format!("cannot assign additional IP in PreferDualStack: {error}"),
        ),
        Report::InvalidRequest(error) => (Severity::Warning, "LoadBalancerFailed", error.to_string()),
        Report::Held { addresses, pool } => (
            Severity::Warning,
            "AddressHeld",
            format!(
                "{} stays although pool \"{pool}\" is not in force; correct the pool, or create it again",
                quoted(addresses)
            ),
        ),
        Report::KeptBarred { address, barrier: AllocationError::AddressReserved { owner, .. } } => (
            Severity::Warning,
            "AddressReserved",
            format!(
                "{address} stays although it is an address of {owner}, too, so that traffic may reach either; \
                 give the service another address"
            ),
        ),
        Report::KeptBarred { address, barrier } => (
            Severity::Warning,
            "AddressExcluded",
            format!("{address} stays although nobody would be given it any more: {barrier}"),
        ),
        Report::Joined { address, by } => (
            Severity::Normal,
            "AddressShared",
            format!(
                "{by} of another namespace shares {address} from now on; this service keeps it whatever the other does. \
                 Use another sharing key if that is not wanted"
            ),
        ),
        Report::SharingKept { address, key } => (
            Severity::Warning,
            "SharingKept",
            format!(
                "{address} stays shared under key {} although the services have other pods or, where sharing is limited to \
                 one namespace, are in several; select the same pods or use another address",
                quoted_text(key.as_str())
            ),
        ),
    };
    Notice { severity, reason, message }
}

/// The event for an annotation that means nothing.
#[must_use]
pub(crate) fn unknown_annotation(annotation: &str, meant: Option<&str>) -> Notice {
    let remedy = match meant {
        Some(meant) => format!("did you mean {meant}? Correct or remove it"),
        None => "remove it".to_owned(),
    };
    let message = format!("annotation {annotation} is not known and has no effect; {remedy}");
    Notice { severity: Severity::Warning, reason: "unknownAnnotation", message }
}

/// The event for an annotation whose value is the place in a template that nobody filled in.
#[must_use]
pub(crate) fn unfilled_annotation(annotation: &str) -> Notice {
    let message = format!(
        "the value of annotation {annotation} is a template that was not filled in; fill it in or remove it"
    );
    Notice { severity: Severity::Warning, reason: "unfilledAnnotation", message }
}

fn assigned(addresses: &[IpAddr]) -> String {
    format!("Assigned IP {}", quoted(addresses))
}

/// The form in which MetalLB prints a list of addresses.
fn quoted(addresses: &[IpAddr]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_reads_as_metallbs() {
        let addresses = ["192.168.10.0".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let service = ServiceKey::new("default", "web");
        let notice = notice(&service, &Report::Allocated { addresses: addresses.to_vec() });
        assert_eq!((notice.severity, notice.reason), (Severity::Normal, "IPAllocated"));
        assert_eq!(notice.message, "Assigned IP [\"192.168.10.0\" \"2001:db8::1\"]");
    }
}
