//! `check --diff`: what would change for the services.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Checked, Scope, Severity};
use crate::document::Document;
use crate::exit::{self, Trouble};
use crate::simulate::{changes, differences, warn};

/// Says what would change if the files were applied over the objects: 0 when no service is concerned.
pub(super) fn run(old: &[Document], new: &[PathBuf], scope: &Scope) -> Result<ExitCode, Trouble> {
    let (checked, found): (Checked, _) = differences(old, new, scope)?;
    warn(&checked);
    let is_wrong = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
    exit::print(&changes(&found))?;
    Ok(if found.is_empty() && !is_wrong { ExitCode::SUCCESS } else { exit::NO })
}
