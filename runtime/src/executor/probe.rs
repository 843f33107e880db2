//! What this machine can do: by trying, not by guessing. Which promises of the executor hold here, and how to get the missing ones.

use super::cgroup::Cgroup;
use super::ids::IdMap;
use super::orders::Work;
use super::sandbox::{Made, Sandbox, SandboxOptions, SandboxScratch, open_path};
use super::{Abort, ExecutorError, Instance, Limits, cgroup, system, work};
use serde::Serialize;
use serde_json::{Map, Value};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Capabilities {
    /// The promises, most important first.
    pub guarantees: Vec<Guarantee>,
    /// The host's programs that tasks use.
    pub tools: Vec<Tool>,
}

impl Capabilities {
    /// What schedulers learn of it, as a part of worker metadata: `{"executor:guarantees": ["host-commands", …]}`, the promises that hold.
    pub fn metadata(&self) -> Map<String, Value> {
        let held = self.guarantees.iter().filter(|it| it.holds());
        let names: Vec<Value> = held.map(|it| it.name.into()).collect();
        Map::from_iter([("executor:guarantees".to_owned(), names.into())])
    }

    /// Whether sandboxes can be started here.
    pub fn sandboxes(&self) -> bool {
        self.guarantees
            .iter()
            .any(|guarantee| guarantee.name == SANDBOXES.0 && guarantee.holds())
    }
}

/// A promise, and whether it holds on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Guarantee {
    /// A word for it, for programs.
    pub name: &'static str,
    /// What is promised.
    pub promise: &'static str,
    /// Why it does not hold, and what to do about it; none if it holds.
    pub missing: Option<String>,
    /// Whether only few tasks need it, or other guarantees stand beside it, so that a machine without it is in order.
    pub optional: bool,
}

impl Guarantee {
    /// Whether the promise holds.
    pub fn holds(&self) -> bool {
        self.missing.is_none()
    }

    fn of<T>((name, promise): Promise, tried: &Result<T, String>) -> Self {
        Self {
            name,
            promise,
            missing: tried.as_ref().err().cloned(),
            optional: [DEVICES.0, OWN_IDS.0].contains(&name),
        }
    }
}

/// A program of the host.
#[derive(Debug, Clone, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// Where it is; none if it is not on `PATH`.
    pub path: Option<PathBuf>,
}

type Promise = (&'static str, &'static str);

const HOST_COMMANDS: Promise = (
    "host-commands",
    "a command on the host leaves no process behind",
);
const FORK_BOMBS: Promise = ("fork-bombs", "a fork bomb on the host is ended at once");
const LIMITS: Promise = (
    "limits",
    "memory, processes and processors are limited for a command as a whole",
);
const SUB_IDS: Promise = ("sub-ids", "sandboxes have users and groups of their own");
const OWN_IDS: Promise = (
    "own-ids",
    "sandboxes that run at the same time have different users and groups on the host",
);
const SANDBOXES: Promise = ("sandboxes", "sandboxes can be started");
const OVERLAYS: Promise = (
    "overlays",
    "sandboxes share their image instead of copying it",
);
const SOCKETS: Promise = (
    "abstract-sockets",
    "a sandbox with network does not reach the host's abstract sockets",
);

const DEVICES: Promise = (
    "devices",
    "chroots that a sandbox makes in its /tmp have devices, as piuparts needs them",
);

/// What tasks run on the host, and what tells a scheduler about it. Other programs, like lintian, are installed in a sandbox each time.
const TOOLS: [(&str, &str); 9] = [
    ("sbuild", "sbuild"),
    ("mmdebstrap", "mmdebstrap"),
    ("autopkgtest", "autopkgtest"),
    ("qemu-img", "qemu-utils"),
    ("dpkg-query", "dpkg"),
    ("arch-test", "arch-test"),
    ("unshare", "util-linux"),
    ("newuidmap", "uidmap"),
    ("newgidmap", "uidmap"),
];

/// Tries everything out. `scratch` is where sandboxes will keep what they change: whether an overlay is possible depends on its file system.
pub async fn probe(scratch: &Path) -> Capabilities {
    let abort = Abort::new();
    let ids = IdMap::of_this_process().map_err(|error| error.to_string());
    let sandbox = match &ids {
        Ok(ids) => try_sandbox(scratch, ids, &abort)
            .await
            .map_err(|error| error.to_string()),
        Err(words) => Err(words.clone()),
    };
    let made = sandbox
        .as_ref()
        .map_err(|_| "no sandbox can be started; once one can, this is tried too".to_owned());
    let overlay = made.clone().and_then(|made| match &made.copied {
        None => Ok(()),
        Some(why) => Err(format!(
            "{why}; use a kernel from 5.11 on and keep the scratch directory on ext4, xfs, btrfs or tmpfs"
        )),
    });
    let holds = |missing: &Option<String>| missing.clone().map_or(Ok(()), Err);
    let own_ids = made.clone().and_then(|made| holds(&made.shared_ids));
    let devices = made.and_then(|made| holds(&made.without_devices));
    let guarantees = vec![
        Guarantee::of(HOST_COMMANDS, &children_are_listed()),
        Guarantee::of(FORK_BOMBS, &try_cgroup()),
        Guarantee::of(LIMITS, &try_limits()),
        Guarantee::of(SUB_IDS, &ids),
        Guarantee::of(OWN_IDS, &own_ids),
        Guarantee::of(SANDBOXES, &sandbox),
        Guarantee::of(OVERLAYS, &overlay),
        Guarantee::of(SOCKETS, &sockets()),
        Guarantee::of(DEVICES, &devices),
    ];
    let tools = TOOLS.map(|(name, package)| Tool {
        name,
        package,
        path: find(name),
    });
    Capabilities {
        guarantees,
        tools: tools.into(),
    }
}

/// Starts a sandbox on an empty directory.
async fn try_sandbox(scratch: &Path, ids: &IdMap, abort: &Abort) -> Result<Made, ExecutorError> {
    let failed = |error: std::io::Error| {
        ExecutorError::System(format!(
            "cannot use {}: {error}; check its permissions",
            scratch.display()
        ))
    };
    std::fs::create_dir_all(scratch).map_err(failed)?;
    let directory = open_path(scratch)?;
    let name = format!("probe-{}", std::process::id());
    let make = Work::MakeDirectory {
        name: (&name).into(),
    };
    work::request(Some(*ids), make, &[directory.as_fd()], abort).await?;
    let root = open_path(&scratch.join(&name))?;
    let options = SandboxOptions::new(SandboxScratch::Disk(scratch.to_owned()));
    let started = Sandbox::on(&root, None, options, abort).await;
    let stopped = match &started {
        Ok((sandbox, _)) => sandbox.stop().await,
        Err(_) => Ok(()),
    };
    let remove = Work::Remove { name: name.into() };
    work::request(Some(*ids), remove, &[directory.as_fd()], abort).await?;
    stopped?;
    started.map(|(_, made)| made)
}

fn try_cgroup() -> Result<(), String> {
    Cgroup::new(&Limits::default()).map(drop).map_err(|error| {
        format!("no cgroup can be made ({error}); mount cgroup version 2 and delegate one to the worker, with systemd by Delegate=yes in its service")
    })
}

/// How to get controllers.
const HOW: &str = "delegate these controllers to the worker: with systemd by Delegate=yes and DelegateSubgroup=worker in its service, else by running as root";

/// Says which of these limits do not hold here for a command as a whole, for want of cgroups, and what holds instead; none if all of them do.
pub fn unenforced(limits: &Limits) -> Option<String> {
    let instead = |name: &str| match name {
        "memory" => "memory is limited for each process by itself",
        "pids" => "processes are limited for each user of a sandbox, and not on the host",
        _ => "processors are not limited",
    };
    let mut wanted = cgroup::wanted(limits).peekable();
    wanted.peek()?;
    let found = cgroup::controllers().unwrap_or_default();
    let missing: Vec<_> = wanted.filter(|name| !found.contains(name)).collect();
    if missing.is_empty() {
        return None;
    }
    let words: Vec<_> = missing.iter().map(|name| instead(name)).collect();
    Some(format!(
        "no cgroup with {} can be made here: {}; {HOW}",
        missing.join(", "),
        words.join(", ")
    ))
}

fn try_limits() -> Result<(), String> {
    let found = cgroup::controllers()
        .map_err(|error| format!("there are no cgroups for limits ({error}); {HOW}"))?;
    let wanted = ["memory", "pids", "cpu"];
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|it| !found.contains(it))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "cgroups without {}: limits of this kind hold for each process by itself, if at all; {HOW}",
            missing.join(", ")
        )),
    }
}

fn sockets() -> Result<(), String> {
    match system::can_forget_abstract_sockets() {
        true => Ok(()),
        false => Err("the kernel's Landlock cannot keep abstract sockets apart; use Linux 6.12 or newer with landlock among its security modules (lsm=)".to_owned()),
    }
}

fn children_are_listed() -> Result<(), String> {
    std::fs::metadata("/proc/thread-self/children").map(drop).map_err(|error| {
        format!("the kernel does not list the children of a process ({error}), so they are searched for, which takes longer; mount /proc and use a kernel with CONFIG_PROC_CHILDREN")
    })
}

/// Looks a program up as the shell does.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_hold_is_said_with_a_remedy_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let found = probe(&directory.path().join("scratch")).await;
        eprintln!("{found:#?}");
        assert_eq!(found.guarantees.len(), 9);
        for guarantee in &found.guarantees {
            assert!(
                guarantee
                    .missing
                    .as_ref()
                    .is_none_or(|words| words.contains(';')),
                "{guarantee:?}"
            );
        }
        assert!(
            found
                .tools
                .iter()
                .any(|tool| tool.name == "dpkg-query" && tool.path.is_some())
        );
        let left = std::fs::read_dir(directory.path().join("scratch"))
            .into_iter()
            .flatten()
            .flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| name != "sandboxes")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
