//! For people.

use std::fmt::Write as _;

use super::chain::{Chain, State, Step};
use crate::snapshot::Snapshot;
use crate::table::wrap;

/// The chain, its first break first of all.
pub(super) fn table(chain: &Chain, snapshot: &Snapshot, width: usize, colours: bool) -> String {
    let mut out = String::new();
    let paint = |code: &str, text: &str| {
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    // Writing to a text does not fail.
    let headline = headline(chain);
    let colour = chain.answer().map_or("32", |step| colour_of(step.state));
    _ = writeln!(out, "{}", paint(&format!("1;{colour}"), &headline));
    if let Some(remedy) = chain.answer().and_then(|step| step.remedy.as_ref()) {
        _ = writeln!(out, "  try: {}", paint("1", remedy));
    }
    out.push('\n');
    for step in &chain.steps {
        let is_answer = chain.answer().is_some_and(|answer| std::ptr::eq(answer, step));
        let weight = if is_answer { "1;" } else { "" };
        let mark = paint(&format!("{weight}{}", colour_of(step.state)), mark(step.state));
        for (line, text) in wrap(&step.text, width.saturating_sub(INDENT)).into_iter().enumerate() {
            if line == 0 {
                let text = if is_answer { paint("1", &text) } else { text };
                _ = writeln!(out, "{mark} {:<15} {text}", step.topic);
            } else {
                _ = writeln!(out, "{:INDENT$}{text}", "");
            }
        }
        rest(&mut out, step, width, is_answer);
    }
    for (kind, words) in &snapshot.refused {
        _ = writeln!(out, "? not seen: {kind}: {words}");
    }
    out
}

fn rest(out: &mut String, step: &Step, width: usize, is_first: bool) {
    for detail in &step.details {
        for (line, text) in wrap(detail, width.saturating_sub(INDENT + 2)).into_iter().enumerate() {
            _ = writeln!(out, "{:INDENT$}{} {text}", "", if line == 0 { "-" } else { " " });
        }
    }
    // A command is never wrapped: it is there to be pasted.
    if let Some(remedy) = step.remedy.as_ref().filter(|_| !is_first) {
        _ = writeln!(out, "{:INDENT$}try: {remedy}", "");
    }
}

/// The answer in one line.
pub(super) fn headline(chain: &Chain) -> String {
    match chain.answer() {
        Some(step) => {
            let is =
                if step.state == State::Broken { "is not reachable" } else { "is not known to be reachable" };
            format!("{} {is}: {}: {}", chain.service, step.topic, step.text)
        }
        None if chain.is_uncertain() => format!("{}: nothing is wrong with what can be seen", chain.service),
        None => format!("{} is reachable as configured", chain.service),
    }
}

const fn mark(state: State) -> &'static str {
    match state {
        State::Good => "✓",
        State::Note => "!",
        State::Unknown => "?",
        State::Broken => "✗",
    }
}

const fn colour_of(state: State) -> &'static str {
    match state {
        State::Good => "32",
        State::Note | State::Unknown => "33",
        State::Broken => "31",
    }
}

/// Where texts begin.
const INDENT: usize = 18;
