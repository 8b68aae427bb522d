//! Runs a property on files, without a fuzzer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs `property` on each file, and on each file of a folder. A property that does not hold panics, after the name of
/// the file was printed.
///
/// Returns exit code 2 when nothing is named or a file cannot be read.
pub fn files(named: impl Iterator<Item = OsString>, property: fn(&[u8])) -> ExitCode {
    let named: Vec<PathBuf> = named.map(PathBuf::from).collect();
    if named.is_empty() {
        eprintln!(
            "name the files or folders to run this target on; to look for new ones: cargo fuzz run TARGET"
        );
        return ExitCode::from(2);
    }
    let mut count = 0;
    for path in named {
        if let Err((path, error)) = run(&path, property, &mut count) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    println!("{count} inputs hold");
    ExitCode::SUCCESS
}

fn run(path: &Path, property: fn(&[u8]), count: &mut usize) -> Result<(), (PathBuf, std::io::Error)> {
    let at = |error| (path.to_path_buf(), error);
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(at)? {
            run(&entry.map_err(at)?.path(), property, count)?;
        }
        return Ok(());
    }
    let input = std::fs::read(path).map_err(at)?;
    eprintln!("{}: {} octets", path.display(), input.len());
    property(&input);
    *count += 1;
    Ok(())
}
