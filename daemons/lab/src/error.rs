//! What can go wrong around a lab, each with its remedy.

use std::io;
use std::path::PathBuf;

use crate::files::FileFault;
use crate::options::{LabName, MAX_NODES};

/// Why a lab cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A lab name with other than lower-case letters, digits and dashes.
    #[error("{given:?} is not a lab name; use 1 to 24 lower-case letters, digits and dashes")]
    Name {
        /// What was given.
        given: String,
    },
    /// A number of nodes out of range.
    #[error("--nodes {given} is out of range; a lab has 1 to {MAX_NODES} nodes")]
    Nodes {
        /// What was given.
        given: usize,
    },
    /// Files given with `-f` that cannot be used; nothing was started.
    #[error("{} in the files given with -f; nothing was started", faults(.0.len()))]
    Files(Vec<FileFault>),
    /// The kernel does not give us namespaces.
    #[error("cannot make namespaces: {reason}; {remedy}")]
    Namespaces {
        /// What the kernel said or which switch forbids it.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A lab of this name is up.
    #[error(
        "lab {name} is already running (process {pid}); use another --name, or end it with \
         `metallb lab down --name {name}`"
    )]
    AlreadyRunning {
        /// The lab.
        name: LabName,
        /// Its process.
        pid: i32,
    },
    /// No lab of this name is up.
    #[error("no lab {name} is running; bring it up with `metallb lab up --name {name}`")]
    NotRunning {
        /// The lab.
        name: LabName,
    },
    /// No lab is up at all.
    #[error("no lab is running; bring one up with `metallb lab up`")]
    NoneRunning,
    /// Several labs are up and none was named.
    #[error("several labs are running ({}); say which with --name", .names.join(", "))]
    Ambiguous {
        /// The running labs.
        names: Vec<String>,
    },
    /// There is no such place in the lab.
    #[error("the lab has no {given:?}; it has {}", .known.join(", "))]
    NoSuchPlace {
        /// What was asked for.
        given: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The lab refused a request.
    #[error("the lab says: {0}")]
    Refused(String),
    /// An external program that the chosen router needs is missing.
    #[error(
        "{router} needs the program {program}, which is not installed; install {package}, or leave --router away"
    )]
    RouterProgram {
        /// The router asked for.
        router: &'static str,
        /// The missing program.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// FRR without root.
    #[error(
        "FRR's zebra changes its user and needs root; use sudo, or --router bird, or leave --router away"
    )]
    RouterNeedsRoot,
    /// Something the lab waits for did not happen.
    #[error("{what} did not happen within {seconds} s; {hint}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// Where to look.
        hint: String,
    },
    /// The process that started the lab is gone.
    #[error("the process that started the lab is gone, and so the lab ends")]
    StarterGone,
    /// A process of the lab ended when it should run.
    #[error("{process} {state}; {hint}")]
    Ended {
        /// The process.
        process: String,
        /// How it ended.
        state: String,
        /// Where to look.
        hint: String,
    },
    /// A request to the kernel's network failed.
    #[error("{doing}")]
    Net {
        /// What was being done, and where.
        doing: String,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// A system call or a file failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the lab's own cannot be read.
    #[error("{} is not what a lab writes", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The API server refused an object or a request.
    #[error("{doing}")]
    Api {
        /// What was being done.
        doing: String,
        /// What the API said.
        source: Box<kube::Error>,
    },
    /// The embedded API server cannot be built or served.
    #[error("{doing}: {reason}")]
    Server {
        /// What was being done.
        doing: String,
        /// Why not.
        reason: String,
    },
    /// A router could not be started or asked.
    #[error("{router}: {reason}")]
    Router {
        /// The router.
        router: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The exit code of a command that ends with this error: 2 for what the user can correct in the command.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Name { .. }
            | Self::Nodes { .. }
            | Self::Files(_)
            | Self::AlreadyRunning { .. }
            | Self::Ambiguous { .. }
            | Self::NoSuchPlace { .. }
            | Self::RouterProgram { .. }
            | Self::RouterNeedsRoot => 2,
            _ => 1,
        }
    }

    /// The error with everything it is based on, each on its own line.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        if let Self::Files(list) = self {
            for fault in list {
                text.push_str("\n  ");
                text.push_str(&fault.to_string());
            }
        }
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }

    /// An IO error together with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// A system call's error together with what was being done.
    pub(crate) fn sys(doing: impl Into<String>) -> impl FnOnce(nix::errno::Errno) -> Self {
        let doing = doing.into();
        move |errno| Self::Io { doing, source: errno.into() }
    }

    /// A netlink error together with what was being done.
    pub(crate) fn net(doing: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Net { doing, source }
    }

    /// An API error together with what was being done.
    pub(crate) fn api(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source: Box::new(source) }
    }
}

fn faults(count: usize) -> String {
    match count {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    }
}
