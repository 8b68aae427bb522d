//! A status for people.

use super::problems::{Problem, Severity};
use super::report::{Node, Report, Service, Session, Speaker, Usage};
use crate::table::{Table, joined, wrap};

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// What fits a screen.
    Usual,
    /// More columns, and every service.
    Wide,
}

/// Everything, problems first.
pub(super) fn text(report: &Report, detail: Detail, width: usize, colours: bool) -> String {
    let paint = |code: &str, text: String| {
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    };
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let mut lines = vec![paint(if errors > 0 { "1;31" } else { "1;32" }, headline(report))];
    for problem in &report.problems {
        let code = if problem.severity == Severity::Error { "31" } else { "33" };
        let (mark, indent) = (mark(problem), "  ");
        for (index, part) in wrap(&problem.text, width.saturating_sub(2)).into_iter().enumerate() {
            let start = if index == 0 { paint(code, mark.to_owned()) } else { " ".to_owned() };
            lines.push(format!("{start} {part}"));
        }
        // A command is never wrapped: it is there to be pasted.
        lines.extend(problem.remedy.iter().map(|remedy| format!("{indent}try: {remedy}")));
    }
    let wide = detail == Detail::Wide;
    let mut services = services(report, wide);
    let hidden = services.1;
    let sections = [
        ("POOLS", pools(report, wide)),
        ("CONTROLLERS", controllers(report)),
        ("NODES", nodes(report, wide)),
        ("BGP SESSIONS", sessions(report, wide)),
        ("SERVICES", std::mem::take(&mut services.0)),
    ];
    for (title, table) in sections.into_iter().filter(|(_, table)| !table.is_empty()) {
        lines.push(String::new());
        lines.push(paint("1", title.to_owned()));
        lines.extend(table.lines(width));
    }
    if hidden > 0 {
        lines.push(format!("and {hidden} more; -o wide shows all"));
    }
    if !report.not_seen.is_empty() {
        lines.push(String::new());
    }
    for unseen in &report.not_seen {
        let words = format!("not seen: {}: {}", unseen.what, unseen.why);
        let parts = wrap(&words, width.saturating_sub(2)).into_iter().enumerate();
        lines.extend(parts.map(|(index, part)| format!("{} {part}", if index == 0 { "?" } else { " " })));
    }
    lines.join("\n") + "\n"
}

/// The answer in one line.
pub(super) fn headline(report: &Report) -> String {
    let count = |severity| report.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let verdict = match (errors, warnings) {
        (0, 0) if report.not_seen.is_empty() => "nothing is wrong".to_owned(),
        (0, 0) => "nothing is wrong with what can be seen".to_owned(),
        (0, _) => plural(warnings, "warning"),
        (_, 0) => plural(errors, "problem"),
        _ => format!("{}, {}", plural(errors, "problem"), plural(warnings, "warning")),
    };
    format!("MetalLB in {}: {verdict}", report.namespace)
}

pub(super) const fn mark(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "✗",
        Severity::Warning => "!",
    }
}

pub(super) fn pools(report: &Report, wide: bool) -> Table {
    let mut table = if wide {
        Table::new(&["NAME", "IPV4 USED", "IPV6 USED", "AUTO", "IN FORCE", "ADDRESSES"])
    } else {
        Table::new(&["NAME", "IPV4 USED", "IPV6 USED", "ADDRESSES"])
    };
    for pool in &report.pools {
        let mut row = vec![pool.name.clone(), used(pool.ipv4), used(pool.ipv6)];
        if wide {
            row.extend([yes(pool.auto_assign), yes(pool.in_force)]);
        }
        row.push(joined(&pool.addresses));
        table.push(row);
    }
    table
}

fn used(usage: Option<Usage>) -> String {
    let Some(usage) = usage else { return "-".to_owned() };
    let percent = u128::from(usage.assigned).saturating_mul(100) / u128::from(usage.total()).max(1);
    format!("{} of {} ({percent}%)", usage.assigned, usage.total())
}

pub(super) fn controllers(report: &Report) -> Table {
    let mut table = Table::new(&["POD", "NODE", "READY", "LEADS", "VERSION", "RESTARTS"]);
    for controller in &report.controllers {
        table.push(vec![
            controller.pod.clone(),
            or_none(&controller.node),
            yes(controller.ready),
            controller.leads.map_or_else(|| "?".to_owned(), yes),
            controller.version.clone(),
            controller.restarts.to_string(),
        ]);
    }
    table
}

pub(super) fn nodes(report: &Report, wide: bool) -> Table {
    let head = ["NAME", "SPEAKER", "VERSION", "LAYER2", "BGP", "SESSIONS", "POD", "RESTARTS", "NODE READY"];
    let shown = if wide { head.len() } else { 6 };
    let mut table = Table::new(head.get(..shown).unwrap_or(&head));
    for node in &report.nodes {
        let speaker = node.speaker.as_ref();
        let of = |value: fn(&Speaker) -> String| speaker.map_or_else(|| "-".to_owned(), value);
        let mut row = vec![
            node.name.clone(),
            state(node),
            of(|speaker| speaker.version.clone()),
            node.layer2_services.to_string(),
            node.bgp_services.to_string(),
            sessions_of(report, &node.name),
        ];
        if wide {
            row.extend([
                of(|speaker| speaker.pod.clone()),
                of(|speaker| speaker.restarts.to_string()),
                yes(node.ready),
            ]);
        }
        table.push(row);
    }
    table
}

fn state(node: &Node) -> String {
    let speaker = match &node.speaker {
        None => "none",
        Some(speaker) if speaker.ready => "ready",
        Some(_) => "not ready",
    };
    if node.excluded { format!("{speaker}, node excluded") } else { speaker.to_owned() }
}

/// How many of a node's sessions are established, of how many.
fn sessions_of(report: &Report, node: &str) -> String {
    let of_node = report.sessions.iter().filter(|session| session.node == node);
    let (mut all, mut up, mut unknown) = (0_usize, 0_usize, false);
    for session in of_node {
        all = all.saturating_add(1);
        up = up.saturating_add(usize::from(session.is_up()));
        unknown |= session.state.is_none();
    }
    match (all, unknown) {
        (0, _) => "-".to_owned(),
        (_, true) => format!("? of {all}"),
        _ => format!("{up} of {all}"),
    }
}

pub(super) fn sessions(report: &Report, wide: bool) -> Table {
    let mut table = if wide {
        Table::new(&["NODE", "PEER", "AT", "STATE", "PREFIXES", "BFD", "WHY"])
    } else {
        Table::new(&["NODE", "PEER", "AT", "STATE", "PREFIXES", "WHY"])
    };
    for session in &report.sessions {
        let mut row = vec![
            session.node.clone(),
            session.peer.clone(),
            session.endpoint.clone(),
            session.state.clone().unwrap_or_else(|| "?".to_owned()),
            session.prefixes.map_or_else(|| "-".to_owned(), |prefixes| prefixes.to_string()),
        ];
        if wide {
            row.push(session.bfd.map_or("-", |up| if up { "up" } else { "down" }).to_owned());
        }
        row.push(session.why.clone().unwrap_or_default());
        table.push(row);
    }
    table
}

impl Session {
    fn is_up(&self) -> bool {
        self.state.as_deref() == Some(crate::voices::ESTABLISHED)
    }
}

/// The services, and how many are not shown.
pub(super) fn services(report: &Report, wide: bool) -> (Table, usize) {
    let mut table = Table::new(&["NAMESPACE", "NAME", "ADDRESSES", "POOLS", "LAYER2 BY", "BGP BY"]);
    let shown = if wide { usize::MAX } else { SERVICES_SHOWN };
    for service in report.services.iter().take(shown) {
        table.push(row(service, wide));
    }
    (table, report.services.len().saturating_sub(shown))
}

fn row(service: &Service, wide: bool) -> Vec<String> {
    let addresses =
        if service.addresses.is_empty() { "<pending>".to_owned() } else { joined(&service.addresses) };
    let bgp = match service.bgp.len() {
        0..=2 => joined(&service.bgp),
        _ if wide => joined(&service.bgp),
        nodes => format!("{nodes} nodes"),
    };
    vec![
        service.namespace.clone(),
        service.name.clone(),
        addresses,
        joined(&service.pools),
        joined(&service.layer2),
        bgp,
    ]
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// How many services the usual view shows.
const SERVICES_SHOWN: usize = 50;
