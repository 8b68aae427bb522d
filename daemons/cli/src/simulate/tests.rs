use std::path::PathBuf;

use clap::Parser;
use metallb_core::simulate::simulate;

use super::render::table;
use super::{SimulateArgs, change, differences, situation};
use crate::check::Scope;
use crate::document::{Document, documents};
use crate::input::Source;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SimulateArgs,
}

fn args(flags: &[&str]) -> SimulateArgs {
    Line::parse_from(["simulate", "-"].iter().chain(flags)).args
}

fn objects(text: &str) -> Vec<Document> {
    documents(&[Source { name: "a".to_owned(), text: text.to_owned() }]).0
}

const CLUSTER: &str = "\
{apiVersion: v1, kind: Node, metadata: {name: a}}\n---\n\
{apiVersion: v1, kind: Node, metadata: {name: b}}\n---\n\
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web}, spec: {addresses: [192.0.2.1]}}\n---\n\
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan}}\n---\n\
{apiVersion: v1, kind: Service, metadata: {name: one}, spec: {type: LoadBalancer}}\n---\n\
{apiVersion: v1, kind: Service, metadata: {name: two}, spec: {type: LoadBalancer}}\n";

fn then(flags: &[&str]) -> String {
    wide(flags, 140)
}

fn wide(flags: &[&str], width: usize) -> String {
    let args = args(flags);
    let mut objects = objects(CLUSTER);
    let before = situation(&objects, &args.scope);
    let now = std::time::Instant::now();
    let outcome = simulate(now, &before);
    let after = change(&args, &mut objects, &before, &outcome).unwrap();
    let after = after.map(|after| simulate(now, &after));
    let changes = after.as_ref().map(|after| metallb_core::simulate::diff(&outcome, after));
    table(after.as_ref().unwrap_or(&outcome), changes.as_deref(), width)
}

#[test]
fn the_older_service_gets_the_only_address() {
    let text = then(&[]);
    assert!(text.contains("default/one  192.0.2.1  web"), "{text}");
    assert!(text.contains("web   1 of 1"), "{text}");
    assert!(text.contains("default/two: "), "{text}");
}

#[test]
fn another_node_takes_over_from_one_that_fails_or_is_drained() {
    let owner = if then(&[]).contains("layer2 a") { "a" } else { "b" };
    let heir = if owner == "a" { "b" } else { "a" };
    for flag in ["--kill", "--drain"] {
        let text = then(&[flag, owner]);
        assert!(text.contains(&format!("192.0.2.1 by layer2: {owner} -> {heir}")), "{text}");
    }
}

/// A pool whose `.0` and `.255` are avoided, with an excluded address and one that is a node's.
const POOL: &str = "\
{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{type: InternalIP, address: 192.0.2.249}]}}\n---\n\
{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web}, spec: {avoidBuggyIPs: true, \
addresses: [192.0.2.248-192.0.2.255, '2001:db8::/126'], excludeAddresses: [192.0.2.250]}}\n---\n\
{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {name: lan}}\n";

#[test]
fn as_many_services_as_are_forecast_fit_and_no_more() {
    let play = |count: usize, families: &str| {
        let service = |index: usize| {
            format!(
                "---\n{{apiVersion: v1, kind: Service, metadata: {{name: s{index}}}, \
                 spec: {{type: LoadBalancer, ipFamilyPolicy: {families}}}}}\n"
            )
        };
        let text: String = std::iter::once(POOL.to_owned()).chain((0..count).map(service)).collect();
        let args = args(&[]);
        simulate(std::time::Instant::now(), &situation(&objects(&text), &args.scope))
    };
    let text = table(&play(0, ""), None, 140);
    let line = text.lines().find(|line| line.starts_with("web")).unwrap();
    let forecast = line.split("  ").last().unwrap().trim();
    let number = |word: &str| -> usize {
        let part = forecast.split(", ").find(|part| part.ends_with(word)).unwrap();
        part.split(' ').next().unwrap().parse().unwrap()
    };
    for (families, fits) in [
        ("SingleStack, ipFamilies: [IPv4]", number("IPv4")),
        ("SingleStack, ipFamilies: [IPv6]", number("IPv6")),
        ("RequireDualStack, ipFamilies: [IPv4, IPv6]", number("dual-stack")),
    ] {
        assert_eq!(super::render::names(&play(fits, families)), "", "{families}: {forecast}");
        let names = super::render::names(&play(fits + 1, families));
        assert_eq!(names.lines().count(), 1, "{families}: {forecast}: {names}");
        assert!(names.starts_with("service/s") && names.ends_with(" -n default\n"), "{names}");
    }
}

#[test]
fn an_added_pool_serves_who_waits() {
    let text = then(&["--add-pool", "198.51.100.0/28"]);
    assert!(text.contains("default/two: none -> 198.51.100.0"), "{text}");
}

#[test]
fn wrong_flags_are_answered_with_what_is_right() {
    for (flags, words) in [
        (["--kill", "c"], "the nodes are a, b"),
        (["--add-pool", "192.0.2.300"], "is not an IP address"),
        (["--add-pool", "192.0.2.0/24"], "overlaps with"),
    ] {
        let args = args(&flags);
        let mut objects = objects(CLUSTER);
        let before = situation(&objects, &args.scope);
        let outcome = simulate(std::time::Instant::now(), &before);
        let trouble = change(&args, &mut objects, &before, &outcome).unwrap_err();
        assert!(trouble.to_string().contains(words), "{trouble}");
    }
}

fn diff_of(new: &str) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), new).unwrap();
    let scope = Scope { namespace: None, lb_class: String::new() };
    let (_, found) = differences(&objects(CLUSTER), &[PathBuf::from(file.path())], &scope).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_that_changes_nothing_has_no_differences() {
    let same = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web}, spec: {addresses: [192.0.2.1]}}";
    assert_eq!(diff_of(same), Vec::<String>::new());
}

#[test]
fn a_file_that_moves_a_pool_names_the_services_that_move() {
    let moved = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: web}, spec: {addresses: [192.0.2.9]}}";
    let found = diff_of(moved);
    assert!(found.contains(&"default/one: 192.0.2.1 -> 192.0.2.9".to_owned()), "{found:?}");
}

#[test]
fn the_tables_fit_the_width() {
    for width in [80, 200] {
        let shown = wide(&["--add-pool", "2001:db8:1:2:3:4:5:0/112", "--kill", "b"], width);
        insta::assert_snapshot!(format!("added-{width}"), shown);
    }
}
