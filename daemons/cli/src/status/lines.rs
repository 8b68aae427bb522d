//! What changed between two reports, one line each: `--watch` where there is no terminal.

use std::collections::BTreeMap;

use super::report::{Report, Service, Session};
use crate::table::joined;

/// One line for everything that changed. Problems that came and went first.
pub(super) fn changes(before: &Report, after: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let is_in = |report: &Report, text: &str| report.problems.iter().any(|problem| problem.text == text);
    let came = after.problems.iter().filter(|problem| !is_in(before, &problem.text));
    lines.extend(came.map(|problem| format!("{} {}", super::render::mark(problem), problem.text)));
    let went = before.problems.iter().filter(|problem| !is_in(after, &problem.text));
    lines.extend(went.map(|problem| format!("✓ no more: {}", problem.text)));
    lines.extend(differences(&sessions(before), &sessions(after), "BGP session"));
    lines.extend(differences(&nodes(before), &nodes(after), "speaker"));
    lines.extend(differences(&services(before), &services(after), "service"));
    lines
}

fn sessions(report: &Report) -> BTreeMap<String, String> {
    let state = |session: &Session| session.state.clone().unwrap_or_else(|| "?".to_owned());
    let of = |session: &Session| (format!("{} with {}", session.node, session.peer), state(session));
    report.sessions.iter().map(of).collect()
}

fn nodes(report: &Report) -> BTreeMap<String, String> {
    let speakers = report.nodes.iter().filter_map(|node| Some((&node.name, node.speaker.as_ref()?)));
    let state = |ready: bool| if ready { "ready" } else { "not ready" };
    speakers.map(|(node, speaker)| (format!("on {node}"), state(speaker.ready).to_owned())).collect()
}

fn services(report: &Report) -> BTreeMap<String, String> {
    let shown = |service: &Service| {
        let addresses =
            if service.addresses.is_empty() { "<pending>".to_owned() } else { joined(&service.addresses) };
        let mut by: Vec<String> = service.layer2.iter().map(|node| format!("layer2 {node}")).collect();
        if !service.bgp.is_empty() {
            by.push(format!("bgp {}", service.bgp.join(",")));
        }
        if by.is_empty() { addresses } else { format!("{addresses} by {}", by.join("; ")) }
    };
    report.services.iter().map(|it| (format!("{}/{}", it.namespace, it.name), shown(it))).collect()
}

fn differences(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    what: &str,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, now) in after {
        match before.get(name) {
            Some(earlier) if earlier == now => {}
            Some(earlier) => lines.push(format!("  {what} {name}: {earlier} -> {now}")),
            None => lines.push(format!("  {what} {name}: new: {now}")),
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    lines.extend(gone.map(|name| format!("  {what} {name}: gone")));
    lines
}
