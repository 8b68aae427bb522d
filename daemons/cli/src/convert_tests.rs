use metallb_core::simulate::simulate;

use super::turn;
use crate::check::{Finding, Scope, Severity};
use crate::document::documents;
use crate::input::Source;
use crate::simulate::situation;

fn source(text: &str) -> Source {
    Source { name: "old.yaml".to_owned(), text: text.to_owned() }
}

fn in_config_map(document: &str) -> Source {
    let indented: String = document.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    source(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config, namespace: lb}}\ndata:\n  config: |\n{indented}"
    ))
}

const OLD: &str = "peers:\n- {my-asn: 64500, peer-asn: 64501, peer-address: 10.0.0.1, password: hush}\n\
    address-pools:\n- {name: lan, protocol: layer2, addresses: [192.0.2.8/29]}\n\
    - {name: public, protocol: bgp, auto-assign: false, avoid-buggy-ips: true, addresses: [198.51.100.0/24]}\n";

const SERVICES: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {type: LoadBalancer}\n---\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: blog, annotations: {metallb.io/address-pool: public}}\n\
    spec: {type: LoadBalancer}\n";

#[test]
fn what_comes_out_does_what_the_old_configuration_did() {
    let (objects, findings) = turn(&in_config_map(OLD), None);
    assert_eq!(findings, []);
    let text: String = objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n");
    let (found, wrong) = documents(&[source(&text), source(SERVICES)]);
    assert_eq!(wrong, []);
    let scope = Scope { namespace: None, lb_class: String::new() };
    let outcome = simulate(std::time::Instant::now(), &situation(&found, &scope));
    let of = |name: &str| outcome.services.iter().find(|(key, _)| key.name() == name).unwrap().1;
    // The pool that assigns by itself is announced by Layer 2 and nothing else.
    assert_eq!(of("shop").addresses, ["192.0.2.8".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((of("shop").owners.len(), of("shop").prefixes.values().flatten().count()), (1, 0));
    // The other one only when asked for, never .0, by BGP from every node.
    assert_eq!(of("blog").addresses, ["198.51.100.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((of("blog").owners.len(), of("blog").prefixes.len()), (0, 3));
}

#[test]
fn the_namespace_is_the_config_maps_or_the_one_that_is_said() {
    for (stated, expected) in [(None, "lb"), (Some("other"), "other")] {
        let (objects, _) = turn(&in_config_map(OLD), stated);
        assert!(objects.iter().all(|object| object["metadata"]["namespace"] == expected));
    }
    let (objects, _) = turn(&source(OLD), None);
    assert_eq!(objects[0]["metadata"]["namespace"], "metallb-system");
}

#[test]
fn errors_say_where_they_are() {
    let errors = |source: &Source| {
        let (objects, findings) = turn(source, None);
        assert!(objects.is_empty() && findings.iter().all(|one| one.severity == Severity::Error));
        findings
    };
    let wrong = "address-pools:\n- name: a\n  protocol: ospf\n";
    let [Finding { span: Some(span), message, .. }] = &errors(&source(wrong))[..] else { panic!() };
    assert_eq!((span.line, span.column), (3, 13));
    assert!(message.starts_with("\"ospf\" is not a protocol"), "{message}");
    let inside = errors(&in_config_map(wrong));
    assert!(inside[0].message.starts_with("line 3 of data.config: \"ospf\""), "{inside:?}");
    assert!(errors(&source("kind: Pod\n"))[0].message.contains("no configuration of MetalLB before 0.13"));
    assert_eq!(errors(&source("peers: [\n"))[0].rule, "syntax");
}

#[test]
fn values_that_the_daemons_refuse_are_named() {
    let (objects, findings) =
        turn(&source("address-pools: [{name: a, protocol: bgp, addresses: [x]}]"), None);
    assert!(!objects.is_empty());
    let [Finding { object, field, .. }] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((object.as_str(), field.as_str()), ("IPAddressPool \"a\"", "spec.addresses[0]"));
}
