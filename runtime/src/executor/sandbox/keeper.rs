//! The keeper of a sandbox: the process outside that makes its namespaces, outlives it, and clears up after it.

use super::devices;
use super::init;
use super::mounts::Layers;
use crate::executor::cgroup::Cgroup;
use crate::executor::ids::{self, IdMap, Known};
use crate::executor::orders::{Failure, Report, SandboxPlan, Scratch};
use crate::executor::ranges::Own;
use crate::executor::remove::remove_all;
use crate::executor::supervise::announce_children;
use crate::executor::system::{self, Fork};
use crate::executor::{message, owner, work};
use nix::libc;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Makes a sandbox and stays until it has ended: by itself, by order, or because the runtime is gone.
pub(in crate::executor) fn keep(
    ids: &IdMap,
    plan: &SandboxPlan,
    control: &OwnedFd,
    mut descriptors: Vec<OwnedFd>,
) -> io::Result<()> {
    let children = announce_children()?;
    let scratch = owner::name_of_this_process();
    let mut flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !plan.network {
        flags |= libc::CLONE_NEWNET;
    }
    let cgroup = plan.limits.want_cgroup().then(|| Cgroup::new(&plan.limits));
    let cgroup = cgroup.and_then(Result::ok);
    let directory = cgroup.as_ref().and_then(Cgroup::directory);
    let mut own = match plan.own_ids {
        true => Own::take(ids, &descriptors),
        false => Err("it was not wanted; ask for it".to_owned()),
    };
    // What is on disk stays the ids' that all sandboxes share.
    let inside = own.as_ref().map_or(ids, |own| &own.ids);
    let devices = devices::prepare(inside, plan, descriptors.get(1));
    match ids::enter(
        inside,
        Known::Inside,
        flags,
        directory,
        Some(control.as_fd()),
    ) {
        Ok((Fork::Child, birth)) => {
            drop(children);
            let bell = devices.map(|(_, bell)| bell);
            let cgroup = cgroup.as_ref().map(|cgroup| (cgroup, birth));
            let layers = match &mut own {
                Ok(own) => {
                    drop(descriptors);
                    Layers::Own(own)
                }
                Err(why) => Layers::Shared(descriptors, why),
            };
            init::main(plan, control, layers, &scratch, cgroup, bell)
        }
        Ok((Fork::Parent(init), _)) => {
            match devices.map(|(desk, _)| desk) {
                Ok(mut desk) => work::keep(init, &children, control.as_fd(), &mut desk)?,
                Err(_) => work::keep(init, &children, control.as_fd(), &mut ())?,
            }
            // Nobody may be listening any more.
            let _ = message::send(control.as_fd(), &Report::Emptied, &[]);
            if plan.scratch == Scratch::Disk && descriptors.len() == 2 {
                remove_scratch(ids, &descriptors.remove(1), &scratch)?;
            }
            let _ = message::send(control.as_fd(), &Report::Gone, &[]);
            Ok(())
        }
        Err(error) => {
            let result = Err(Failure::of_namespaces(
                "the namespaces of a sandbox",
                &error,
            ));
            message::send(control.as_fd(), &Report::Done { id: 0, result }, &[])
        }
    }
}

/// Only the ids of the sandbox may remove what the sandbox made. What cannot be removed is left to the sweep at the next start, which says so.
fn remove_scratch(ids: &IdMap, arena: &OwnedFd, name: &str) -> io::Result<()> {
    match ids::enter(ids, Known::Inside, 0, None, None)?.0 {
        Fork::Parent(child) => Ok(system::wait_for(child).map(drop)?),
        Fork::Child => {
            let removed =
                ids::become_root().is_ok() && remove_all(arena.as_fd(), OsStr::new(name)).is_ok();
            system::exit(i32::from(!removed));
        }
    }
}
