//! The keeper of a sandbox: the process outside that makes its namespaces, outlives it, and clears up after it.

use super::init;
use crate::executor::ids::{self, IdMap, Known};
use crate::executor::orders::{Failure, Report, SandboxPlan, Scratch};
use crate::executor::supervise::announce_children;
use crate::executor::system::{self, Fork};
use crate::executor::{message, work};
use nix::libc;
use nix::unistd::{fchdir, getpid};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes a sandbox and stays until it has ended: by itself, by order, or because the runtime is gone.
pub(in crate::executor) fn keep(
    ids: &IdMap,
    plan: &SandboxPlan,
    control: &OwnedFd,
    mut descriptors: Vec<OwnedFd>,
) -> io::Result<()> {
    let children = announce_children()?;
    let scratch = scratch_name();
    let mut flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !plan.network {
        flags |= libc::CLONE_NEWNET;
    }
    match ids::enter(ids, Known::Inside, flags) {
        Ok(Fork::Child) => {
            drop(children);
            init::main(plan, control, descriptors, &scratch)
        }
        Ok(Fork::Parent(init)) => {
            work::keep(init, &children, control.as_fd())?;
            if plan.scratch == Scratch::Disk && descriptors.len() == 2 {
                remove_scratch(ids, &descriptors.remove(1), &scratch)?;
            }
            // Nobody may be listening any more.
            let _ = message::send(control.as_fd(), &Report::Gone, &[]);
            Ok(())
        }
        Err(error) => {
            let words = format!(
                "cannot make the namespaces of a sandbox: {error}; does this kernel allow user namespaces (user.max_user_namespaces)?"
            );
            let result = Err(Failure::Unsupported(words));
            message::send(control.as_fd(), &Report::Done { id: 0, result }, &[])
        }
    }
}

/// The name of this keeper's scratch directory: from it one can see whether the keeper still lives.
fn scratch_name() -> String {
    let pid = getpid().as_raw();
    format!("{pid}.{}", start_of(pid).unwrap_or_default())
}

/// Whether a scratch directory has lost its keeper.
pub(super) fn is_abandoned(name: &str) -> bool {
    let Some((pid, start)) = name.split_once('.') else {
        return false;
    };
    pid.parse()
        .is_ok_and(|pid| start_of(pid).as_deref() != Some(start))
}

/// When a process was started, in ticks since the start of the machine; none if it has ended.
fn start_of(pid: i32) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    // A zombie waits for its parent only.
    let state = fields.next().filter(|&state| state != "Z" && state != "X");
    state.and(fields.nth(18)).map(str::to_owned)
}

/// Only the ids of the sandbox may remove what the sandbox made.
fn remove_scratch(ids: &IdMap, arena: &OwnedFd, name: &str) -> io::Result<()> {
    match ids::enter(ids, Known::Inside, 0)? {
        Fork::Parent(child) => Ok(system::wait_for(child).map(drop)?),
        Fork::Child => {
            let removed = ids::become_root().is_ok()
                && fchdir(arena).is_ok()
                && fs::remove_dir_all(Path::new(name)).is_ok();
            system::exit(i32::from(!removed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_abandoned_when_its_keeper_is_gone() {
        assert!(!is_abandoned(&scratch_name()));
        assert!(is_abandoned(&format!("{}.1", getpid())));
        assert!(is_abandoned("4194999.77"));
        assert!(!is_abandoned("something else"));
    }
}
