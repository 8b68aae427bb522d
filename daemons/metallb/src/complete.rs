//! Completion for kubectl 1.26 and later, which runs `kubectl_complete-metallb` with the words that follow
//! `kubectl metallb`, the unfinished one last.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Arg, Command, ValueHint};

/// What the last word may become, in the form that kubectl reads.
///
/// One candidate a line, with a description after a tab; the last line says whether names of files are offered, too.
pub(crate) fn run(command: Command, words: &[String]) -> ExitCode {
    match io::stdout().lock().write_all(answer(command, words).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        // A reader that has seen enough is no failure.
        _ => ExitCode::SUCCESS,
    }
}

fn answer(mut command: Command, words: &[String]) -> String {
    // Options of a command are known in those below it from here on.
    command.build();
    let (unfinished, before) =
        words.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
    let here = before
        .iter()
        .filter(|word| !word.starts_with('-'))
        .fold(&command, |here, word| here.find_subcommand(word).unwrap_or(here));
    let found = match before.last().and_then(|word| option(here, word)) {
        Some(option) => values(option),
        None if unfinished.starts_with('-') => Found { candidates: options(here), files: false },
        None => {
            let mut found = Found { candidates: subcommands(here), files: false };
            for argument in here.get_positionals() {
                let of = values(argument);
                found.candidates.extend(of.candidates);
                found.files |= of.files;
            }
            found
        }
    };
    let mut out = String::new();
    for (word, about) in found.candidates.iter().filter(|(word, _)| word.starts_with(unfinished)) {
        // Writing to a text does not fail.
        _ = writeln!(out, "{word}\t{about}");
    }
    _ = writeln!(out, ":{}", if found.files { WITH_FILES } else { WITHOUT_FILES });
    out
}

struct Found {
    /// Words, each with what it means.
    candidates: Vec<(String, String)>,
    files: bool,
}

fn subcommands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|known| !known.is_hide_set());
    shown.map(|known| (known.get_name().to_owned(), first_line(known.get_about()))).collect()
}

fn options(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|known| !known.is_hide_set());
    shown
        .filter_map(|known| Some((format!("--{}", known.get_long()?), first_line(known.get_help()))))
        .collect()
}

/// The option that this word is, when a value has to follow.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_it = |known: &&Arg| {
        let short = known.get_short().map(|short| format!("-{short}"));
        let long = known.get_long().map(|long| format!("--{long}"));
        known.get_action().takes_values() && [short, long].contains(&Some(word.to_owned()))
    };
    command.get_arguments().find(is_it)
}

fn values(argument: &Arg) -> Found {
    let known = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let candidates = known.map(|value| (value.get_name().to_owned(), first_line(value.get_help())));
    Found { candidates: candidates.collect(), files: argument.get_value_hint() == ValueHint::AnyPath }
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

/// What kubectl's shell completion calls `ShellCompDirectiveDefault`.
const WITH_FILES: u8 = 0;
/// `ShellCompDirectiveNoFileComp`.
const WITHOUT_FILES: u8 = 4;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    fn offered(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let answer = answer(Cli::command(), &words);
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn commands_options_and_values_are_offered_where_they_are_taken() {
        assert_eq!(offered(&["exp"]), ["explain", ":4"]);
        assert_eq!(offered(&["strict-arp", "ch"]), ["check", ":4"]);
        assert_eq!(offered(&["explain", "web", "-o", ""]), ["table", "wide", "json", "yaml", "name", ":4"]);
        assert_eq!(offered(&["status", "--wat"]), ["--watch", ":4"]);
        assert!(offered(&["explain", "--"]).contains(&"--kubeconfig".to_owned()));
        assert_eq!(offered(&["explain", "web", ""]), [":4"]);
    }

    #[test]
    fn files_are_offered_where_files_are_taken() {
        assert_eq!(offered(&["check", ""]), [":0"]);
        assert_eq!(offered(&["status", "--kubeconfig", ""]), [":0"]);
    }

    #[test]
    fn nothing_yet_offers_every_command() {
        let all = offered(&[]);
        assert!(["status", "explain", "check", "simulate"].iter().all(|it| all.contains(&(*it).to_owned())));
    }
}
