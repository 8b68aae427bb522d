//! Entering namespaces of our own, with and without root.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::Error;

/// What every lab gets of its own; the process namespace holds for children made from now on.
const OURS: [CloneFlags; 2] = [CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWPID];

/// Moves the process into new network and process namespaces.
///
/// As root directly; otherwise inside a new user namespace in which only our own user exists, as
/// root. The process must have one thread only.
///
/// # Errors
/// [`Error::Namespaces`] says which switch of the kernel forbids it and what to do.
pub(crate) fn enter_new() -> Result<(), Error> {
    let ours = OURS.into_iter().fold(CloneFlags::empty(), |all, flag| all | flag);
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        match unshare(ours) {
            // A container's root without the capability is like a user.
            Err(Errno::EPERM) => {}
            other => return other.map_err(explain),
        }
    }
    unshare(ours | CloneFlags::CLONE_NEWUSER).map_err(explain)?;
    let map = |file: &str, content: String| {
        fs::write(format!("/proc/self/{file}"), content)
            .map_err(|error| explain(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("0 {uid} 1"))?;
    map("gid_map", format!("0 {gid} 1"))
}

/// Shows the processes of the new process namespace under `/proc`; call as its first process.
///
/// In a mount namespace of its own: whoever started it keeps seeing the host's processes. A container
/// that hides parts of `/proc` does not allow it; nothing in the lab depends on it.
pub(crate) fn mount_proc() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
}

/// Whether two paths under `/proc/*/ns` are the same namespace.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read_link(one), fs::read_link(other)), (Ok(one), Ok(other)) if one == other)
}

/// Finds the switch that forbids namespaces.
fn explain(errno: Errno) -> Error {
    explain_with(errno, |switch| {
        fs::read_to_string(format!("/proc/sys/{switch}")).ok().map(|text| text.trim().to_owned())
    })
}

fn explain_with(errno: Errno, read: impl Fn(&str) -> Option<String>) -> Error {
    for (switch, forbids, allows) in SWITCHES {
        if read(switch).as_deref() == Some(*forbids) {
            let name = switch.replace('/', ".");
            return Error::Namespaces {
                reason: format!("{errno}, because the kernel switch {name} is {forbids}"),
                remedy: format!("set it with `sudo sysctl -w {name}={allows}`, or run the lab with sudo"),
            };
        }
    }
    let (reason, remedy) = match errno {
        Errno::EINVAL => (
            "the kernel refused (EINVAL): it has no such namespaces, or this process has several threads",
            "use a Linux kernel with network and user namespaces, and call it before any thread is started",
        ),
        Errno::ENOSPC => (
            "a limit on the number of namespaces is reached",
            "raise user.max_user_namespaces, user.max_net_namespaces or user.max_pid_namespaces \
             with `sudo sysctl -w`, or run the lab with sudo",
        ),
        Errno::EPERM => (
            "this system does not let us (EPERM); in a container that is its seccomp or capability profile",
            "run the lab with sudo, or the container with --privileged",
        ),
        other => (other.desc(), "run the lab with sudo"),
    };
    Error::Namespaces { reason: reason.to_owned(), remedy: remedy.to_owned() }
}

/// Switches that forbid namespaces to users: name, forbidding value, allowing value.
const SWITCHES: &[(&str, &str, &str)] = &[
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
    ("user/max_net_namespaces", "0", "10000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_that_forbids_namespaces_is_named_with_the_remedy() {
        for (switch, forbids, _) in SWITCHES {
            let error = explain_with(Errno::EPERM, |asked| (asked == *switch).then(|| (*forbids).to_owned()));
            let text = error.to_string();
            assert!(text.contains(&switch.replace('/', ".")), "{text}");
            assert!(text.contains("sudo"), "{text}");
        }
    }

    #[test]
    fn without_a_known_switch_sudo_is_offered() {
        let text = explain_with(Errno::EPERM, |_| None).to_string();
        assert!(text.contains("sudo"), "{text}");
    }
}
