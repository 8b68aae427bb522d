//! What the documentation says about what is shipped.

use std::collections::BTreeSet;

use metallb_runtime::privileges::Capability;
use serde_json::Value;

use crate::support::{find, objects, path, read, title};

/// Objects of MetalLB 0.16's manifests and of some before.
const METALLB: &str = include_str!("metallb-objects.txt");

const PAGES: [&str; 5] = [
    "README.md",
    "deploy/monitoring/README.md",
    "deploy/samples/README.md",
    "docs/migration.md",
    "docs/where-it-works.md",
];

fn ours() -> BTreeSet<String> {
    objects(&read("deploy/manifests/metallb-native-prometheus.yaml")).iter().map(title).collect()
}

#[test]
fn the_migration_says_what_becomes_of_every_object_of_metallbs() {
    let (page, ours) = (read("docs/migration.md"), ours());
    let left_over = &page[..page.find("\n## Back to MetalLB").unwrap()];
    for line in METALLB.lines().filter(|line| !line.starts_with('#')) {
        let (fate, title) = line.split_once(' ').unwrap();
        assert_eq!(fate == "replaced", ours.contains(title), "{title}");
        let (_, name) = title.split_once('/').unwrap();
        assert!(left_over.contains(name), "docs/migration.md does not say what becomes of {title}");
    }
}

#[test]
fn everything_we_ship_under_a_name_of_metallbs_is_in_the_list() {
    let listed: BTreeSet<_> = METALLB.lines().filter_map(|line| line.strip_prefix("replaced ")).collect();
    let ours = ours();
    assert_eq!(listed, ours.iter().map(String::as_str).collect());
}

/// Capabilities of the table whose last column says so.
fn documented(answer: &str) -> BTreeSet<String> {
    let page = read("docs/where-it-works.md");
    let table = page.split("| capability |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter(|row| row.ends_with(&format!("| {answer} |")));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_table_of_capabilities_is_what_the_manifest_gives() {
    let objects = objects(&read("deploy/manifests/metallb-native.yaml"));
    let context = |workload| {
        let pod = &find(&objects, workload)["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let context = pod["containers"][0]["securityContext"].clone();
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
        context
    };
    let added = |context: &Value| -> BTreeSet<String> {
        let added = context["capabilities"]["add"].as_array().cloned().unwrap_or_default();
        added.iter().map(|capability| capability.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(added(&context("Deployment/controller")), BTreeSet::new());
    assert_eq!(added(&context("DaemonSet/speaker")), documented("yes"));
    let expected = ["NET_ADMIN", "NET_BIND_SERVICE"].map(str::to_owned);
    assert_eq!(documented("no"), BTreeSet::from(expected));
}

#[test]
fn the_table_of_capabilities_is_what_the_speaker_keeps_and_the_chart_gives() {
    let kept: BTreeSet<String> = Capability::ALL.iter().map(|one| one.name().to_owned()).collect();
    let unneeded = BTreeSet::from(["NET_ADMIN".to_owned()]);
    let documented: BTreeSet<String> = documented("yes").union(&documented("no")).cloned().collect();
    assert_eq!(documented, kept.union(&unneeded).cloned().collect());
    let chart = read("deploy/helm/metallb/templates/speaker.yaml");
    let added = chart.split("            add:\n").nth(1).unwrap().lines();
    let names = added.map(str::trim).take_while(|line| line.starts_with("- ") || line.starts_with("{{"));
    let names = names.filter_map(|line| line.strip_prefix("- ")).map(str::to_owned);
    assert_eq!(names.collect::<BTreeSet<_>>(), kept);
    let controller = read("deploy/helm/metallb/templates/controller.yaml");
    assert!(controller.contains("- ALL") && !controller.contains("add:"), "the controller needs none");
}

/// Words of a page that are paths from the root of the repository.
fn paths(page: &str) -> BTreeSet<&str> {
    let words = page.split(|letter: char| letter.is_whitespace() || "`()[]#|,;:".contains(letter));
    let words = words.map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.starts_with("deploy/") || word.starts_with("docs/")).collect()
}

#[test]
fn every_path_that_is_named_exists() {
    for name in PAGES {
        for named in paths(&read(name)) {
            assert!(path(named).exists(), "{name} names {named}");
        }
    }
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    for name in PAGES {
        let page = read(name);
        let base = path(name).parent().unwrap().to_owned();
        let links = page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path(name) } else { base.join(file) };
            let text = std::fs::read_to_string(&target).ok();
            assert!(target.exists(), "{name}: {link}");
            let anchors: BTreeSet<_> = text.unwrap_or_default().lines().filter_map(anchor_of).collect();
            assert!(anchor.is_empty() || anchors.contains(anchor), "{name}: {link}, of {anchors:?}");
        }
    }
}

/// The anchor of a heading, as Markdown renderers make it.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    Some(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect())
}
