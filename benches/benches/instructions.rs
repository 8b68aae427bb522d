//! How many instructions each operation takes: the same on every run, whatever else the machine does.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of the lock file. Prints one table; with
//! `--output-format=...` gungraun's own output instead. All arguments are gungraun's: `--test` runs everything once
//! without counting, `'*case_7*'` selects one by its number.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use gungraun::{library_benchmark, library_benchmark_group};
use metallb_benches::operation::{Batch, Case, cases};

fn prepared(index: usize) -> Box<dyn Batch> {
    cases().swap_remove(index).prepared()
}

// The batch is given back so that what it holds is not freed while counting.
#[library_benchmark]
#[benches::case(iter = 0..cases().len(), setup = prepared)]
fn operation(mut batch: Box<dyn Batch>) -> Box<dyn Batch> {
    batch.run();
    black_box(batch)
}

library_benchmark_group!(name = operations, benchmarks = operation);

/// Hands the cases to gungraun, which starts this program again for each.
fn measure() {
    gungraun::main!(library_benchmark_groups = operations);
    main();
}

/// The case and the instructions of its batch, from a line of gungraun's summary.
fn counted<'a>(cases: &'a [Case], line: &str) -> Option<(&'a Case, f64)> {
    let summary: serde_json::Value = serde_json::from_str(line).ok()?;
    let index = summary.get("id")?.as_str()?.strip_prefix("case_")?.parse::<usize>().ok()?;
    let instructions = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new")?.as_f64()?;
    Some((cases.get(index)?, instructions))
}

/// Starts this program again for its summaries, and makes a table of them.
fn table(arguments: &[String]) -> std::io::Result<ExitCode> {
    let cases = cases();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg("--output-format=json").stdout(Stdio::piped());
    let mut child = command.spawn()?;
    println!("| operation | size | instructions | growth |\n|---|---|---|---|");
    let mut first: Option<(&str, f64)> = None;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line?;
        let Some((case, instructions)) = counted(&cases, &line) else {
            eprintln!("not understood: {line}");
            return Ok(ExitCode::FAILURE);
        };
        let each = instructions / f64::from(case.operations);
        let growth = match first {
            Some((name, smallest)) if name == case.name => format!("{:.2} ×", each / smallest),
            _ => String::new(),
        };
        if growth.is_empty() {
            first = Some((case.name, each));
        }
        println!("| {} | {} {} | {each:.1} | {growth} |", case.name, case.size, case.unit);
    }
    Ok(if child.wait()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> std::io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let own = ["--gungraun-run", "--test", "--output-format", "--list"];
    if arguments.iter().any(|argument| own.iter().any(|own| argument.starts_with(own))) {
        measure();
        return Ok(ExitCode::SUCCESS);
    }
    table(&arguments)
}
