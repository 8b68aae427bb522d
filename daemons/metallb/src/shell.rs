//! What the shell knows about the program: completion, and pages for `man`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

/// Print the completion of this program for a shell.
#[derive(Args, Debug)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Write a page for man about every command into a directory.
#[derive(Args, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The directory, which must exist.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  source <(metallb completion bash)                                            for this shell
  metallb completion zsh > \"${fpath[1]}/_metallb\"
  metallb completion fish > ~/.config/fish/completions/metallb.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  mkdir -p ~/.local/share/man/man1 && metallb man ~/.local/share/man/man1
  man metallb-check";

/// Prints the completion.
pub(crate) fn completion(args: &CompletionArgs, mut command: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "metallb", &mut script);
    // A reader that has seen enough is no failure.
    match io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Writes the pages.
pub(crate) fn man(args: &ManArgs, command: Command) -> ExitCode {
    match clap_mangen::generate_to(command, &args.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let directory = args.directory.display();
            eprintln!(
                "error: cannot write into {directory}: {error}; name a directory that exists and is yours"
            );
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn every_shell_gets_a_completion_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "metallb", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("simulate") && script.contains("strict-arp"), "{shell}");
        }
    }

    #[test]
    fn there_is_a_page_for_every_command() {
        let directory = tempfile::tempdir().unwrap();
        man(&ManArgs { directory: directory.path().to_owned() }, Cli::command());
        for name in ["metallb.1", "metallb-check.1", "metallb-strict-arp-enable.1"] {
            assert!(directory.path().join(name).exists(), "{name}");
        }
    }
}
