//! User and group ids of sandboxes: which ids of the host stand behind 0 to 65535 inside, and entering a user namespace that maps them.

use super::ExecutorError;
use super::cgroup::Birth;
use super::program::Program;
use super::system::{self, Fork};
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User, getegid, geteuid, pipe2, setgroups};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

/// How many ids a sandbox has: 0 to 65535, as Debian uses them.
pub(super) const IDS: u32 = 1 << 16;

/// Where root's sandboxes have their ids if `/etc/subuid` does not say: high up, where neither users nor sub-ids of users are found, and never
/// the host's own ids: a sandbox whose root is the host's root may write to the kernel's settings.
pub(super) const ROOT_BASE: u32 = 0x6000_0000;

/// Where useradd begins to hand out subordinate ids (`SUB_UID_MIN` of login.defs(5)).
const FIRST_SUBORDINATE: u64 = 100_000;

/// How long `newuidmap` and `newgidmap` may take. They write a line, but may ask a directory service about the user first.
const MAPPING_TAKES: Duration = Duration::from_secs(60);

/// Which ids of the host are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdMap {
    /// The host's uid behind uid 0.
    users: u32,
    /// The host's gid behind gid 0.
    groups: u32,
    /// Who asks.
    caller: (u32, u32),
}

/// Who is known inside a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The ids of the sandbox only.
    Inside,
    /// The caller too, as number 65536: for work on the caller's files, before anything foreign runs.
    InsideAndCaller,
}

impl IdMap {
    /// The ids that this process may use.
    pub(super) fn of_this_process() -> Result<Self, ExecutorError> {
        match Self::listed() {
            Err(_) if geteuid().is_root() => {
                let own = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
                Self::of_root(&own, (0, getegid().as_raw()))
            }
            found => found,
        }
    }

    /// The ids that `/etc/subuid` and `/etc/subgid` give to the user of this process: what other programs go by, root's too.
    pub(super) fn listed() -> Result<Self, ExecutorError> {
        let (uid, gid) = (geteuid(), getegid());
        let [subuid, subgid] =
            ["/etc/subuid", "/etc/subgid"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
        let users = subordinate(&subuid, name.as_deref(), uid.as_raw());
        // The ranges of groups are listed by user as well.
        let groups = subordinate(&subgid, name.as_deref(), uid.as_raw());
        if let (Some(users), Some(groups)) = (users, groups) {
            let caller = (uid.as_raw(), gid.as_raw());
            return Ok(Self {
                users,
                groups,
                caller,
            });
        }
        let remedy = remedy(name.as_deref(), uid, first_free(&[&subuid, &subgid]));
        let name = name.unwrap_or_else(|| format!("uid {uid}"));
        Err(ExecutorError::Unsupported(format!(
            "no subordinate ids: {name} has no range of {IDS} in /etc/subuid and /etc/subgid; {remedy}"
        )))
    }

    fn of_root(own: &str, caller: (u32, u32)) -> Result<Self, ExecutorError> {
        let reachable = own.lines().any(|line| {
            let mut numbers = line
                .split_ascii_whitespace()
                .map(|n| n.parse::<u64>().unwrap_or(0));
            let first = numbers.next().unwrap_or(0);
            let count = numbers.nth(1).unwrap_or(0);
            first <= u64::from(ROOT_BASE) && u64::from(ROOT_BASE + IDS) <= first + count
        });
        if !reachable {
            return Err(ExecutorError::Unsupported(format!(
                "sandboxes need {IDS} further ids, but this container has too few; add a range for root to /etc/subuid and /etc/subgid that lies within /proc/self/uid_map"
            )));
        }
        Ok(Self {
            users: ROOT_BASE,
            groups: ROOT_BASE,
            caller,
        })
    }

    /// The host's user and group behind the root of sandboxes.
    pub(super) fn root(&self) -> (u32, u32) {
        (self.users, self.groups)
    }

    /// Whether something belongs to the root of sandboxes. What was made before `/etc/subuid` was edited does not.
    pub(super) fn own(&self, found: &fs::Metadata) -> bool {
        (found.uid(), found.gid()) == self.root()
    }

    /// Inside id, outside id, count: the lines of a `uid_map` and a `gid_map`.
    fn lines(&self, known: Known) -> [Vec<[u32; 3]>; 2] {
        let mut maps = [vec![[0, self.users, IDS]], vec![[0, self.groups, IDS]]];
        if known == Known::InsideAndCaller {
            maps[0].push([IDS, self.caller.0, 1]);
            maps[1].push([IDS, self.caller.1, 1]);
        }
        maps
    }

    /// The same for as many ids from another one on.
    pub(super) fn moved_to(self, first: u32) -> Self {
        Self {
            users: first,
            groups: first,
            ..self
        }
    }

    /// A user namespace that tells a mount how the ids of this map, which own the files on disk, appear: as those of `other`. Real root's business.
    /// Single-threaded callers only, who take the status of a child when it has ended: waiting for it here would take longer than everything else.
    pub(super) fn shown_as(&self, other: &Self) -> io::Result<OwnedFd> {
        let (stay, say_go) = pipe2(OFlag::O_CLOEXEC)?;
        let child = match system::fork_into(libc::CLONE_NEWUSER, None).map_err(not_made)? {
            Fork::Parent(child) => child,
            Fork::Child => {
                drop(say_go);
                let _ = File::from(stay).read(&mut [0]);
                system::exit(0);
            }
        };
        let maps = [
            vec![[self.users, other.users, IDS]],
            vec![[self.groups, other.groups, IDS]],
        ];
        write_maps(child, &maps)?;
        Ok(File::open(format!("/proc/{child}/ns/user"))?.into())
    }

    /// Writes the maps of a process that waits in its new user namespace. Given up when the other end of `control` is closed.
    fn write(&self, process: Pid, known: Known, control: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let maps = self.lines(known);
        if self.caller.0 == 0 {
            return write_maps(process, &maps);
        }
        let [users, groups] = &maps;
        let for_users = start("newuidmap", process, users)?;
        let for_groups = start("newgidmap", process, groups)?;
        finish(for_users, control)?;
        finish(for_groups, control)
    }
}

/// Writes the two maps of a process as root.
fn write_maps(process: Pid, maps: &[Vec<[u32; 3]>; 2]) -> io::Result<()> {
    for (file, lines) in ["uid_map", "gid_map"].into_iter().zip(maps) {
        let text: String = lines
            .iter()
            .map(|[inside, outside, count]| format!("{inside} {outside} {count}\n"))
            .collect();
        fs::write(format!("/proc/{process}/{file}"), text).map_err(|error| {
            io::Error::other(format!(
                "cannot write its {file}: {error}; give root a range in /etc/subuid and /etc/subgid that lies within /proc/self/{file}"
            ))
        })?;
    }
    Ok(())
}

/// Forks into a new user namespace and further ones (`flags`) and, if given and the kernel lets it, into a cgroup. The child is still the caller, and nobody inside, until it calls
/// [`become_root`]. Single-threaded callers only. An error says what to do about it. `control` is the socket of whoever waits for this: closed at its other end,
/// it is given up.
pub(super) fn enter(
    map: &IdMap,
    known: Known,
    flags: i32,
    cgroup: Option<BorrowedFd<'_>>,
    control: Option<BorrowedFd<'_>>,
) -> io::Result<(Fork, Birth)> {
    let (go, say_go) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = libc::CLONE_NEWUSER | flags;
    let (fork, birth) = system::fork_into_if_can_be(flags, cgroup).map_err(not_made)?;
    match fork {
        Fork::Parent(child) => {
            drop(go);
            if let Err(error) = map.write(child, known, control) {
                let _ = kill(child, Signal::SIGKILL);
                let _ = system::wait_for(child);
                return Err(error);
            }
            File::from(say_go).write_all(b".")?;
            Ok((Fork::Parent(child), birth))
        }
        Fork::Child => {
            drop(say_go);
            if File::from(go).read_exact(&mut [0]).is_err() {
                system::exit(1);
            }
            Ok((Fork::Child, birth))
        }
    }
}

/// Why the kernel makes no user namespace, as user_namespaces(7) and clone(2) explain its errors. That there is no room just now is told by the kind.
fn not_made(error: nix::Error) -> io::Error {
    let remedy = match error {
        nix::Error::ENOSPC => {
            "raise user.max_user_namespaces with sysctl, here and in whatever surrounds this container"
        }
        nix::Error::EPERM | nix::Error::EACCES => {
            "allow them: with sysctl kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0, in a container by its seccomp profile"
        }
        nix::Error::EAGAIN | nix::Error::ENOMEM => {
            "raise the limits of processes and of memory (ulimit -u, TasksMax=)"
        }
        _ => "use a kernel with CONFIG_USER_NS",
    };
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

/// Becomes the root of a user namespace that has been entered, to die with its parent.
pub(super) fn become_root() -> nix::Result<()> {
    setgroups(&[])?;
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(user, user, user)?;
    // A change of user clears this, hence after it.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
}

fn start(program: &'static str, process: Pid, lines: &[[u32; 3]]) -> io::Result<Program> {
    let mut command = Command::new(program);
    command
        .arg(process.to_string())
        .args(lines.iter().flatten().map(u32::to_string));
    Program::start(command).map_err(|error| {
        io::Error::other(format!(
            "cannot start {program}: {error}; install the package uidmap"
        ))
    })
}

fn finish(program: Program, control: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let name = program.name();
    let (status, complaint) = program.end(MAPPING_TAKES, control)?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{name} refused: {}; compare /etc/subuid and /etc/subgid with the user's name",
        complaint.trim()
    )))
}

/// The first range of a user that is long enough, in the text of `/etc/subuid` or `/etc/subgid` (`name:start:count`).
fn subordinate(text: &str, name: Option<&str>, uid: u32) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (start, count): (u32, u32) = (
            fields.next()?.parse().ok()?,
            fields.next()?.trim().parse().ok()?,
        );
        let own = Some(owner) == name || owner.parse() == Ok(uid);
        (own && count >= IDS).then_some(start)
    })
}

/// The first id above every range that one of the texts hands out, from where useradd begins: a new range there overlaps nobody's.
fn first_free(texts: &[&str]) -> u64 {
    let ends = texts
        .iter()
        .flat_map(|text| listed_ranges(text))
        .map(|range| range.end);
    ends.fold(FIRST_SUBORDINATE, u64::max)
}

/// All ranges that a text hands out.
pub(super) fn listed_ranges(text: &str) -> impl Iterator<Item = Range<u64>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let start: u64 = fields.next()?.trim().parse().ok()?;
        let count: u64 = fields.next()?.trim().parse().ok()?;
        Some(start..start.checked_add(count)?)
    })
}

/// How the user gets a range. usermod knows people with a name only.
fn remedy(name: Option<&str>, uid: Uid, start: u64) -> String {
    match name {
        Some(name) => {
            let range = format!("{start}-{}", start + u64::from(IDS) - 1);
            format!("as root: usermod --add-subuids {range} --add-subgids {range} {name}")
        }
        None => format!("as root, add the line {uid}:{start}:{IDS} to both files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_range_that_is_long_enough_is_taken() {
        let text =
            "other:100000:65536\nworker:165536:10\n1001:200000:65536\nworker:300000:131072\n";
        assert_eq!(subordinate(text, Some("worker"), 1000), Some(300_000));
        assert_eq!(subordinate(text, Some("x"), 1001), Some(200_000));
        assert_eq!(subordinate(text, Some("none"), 7), None);
        assert_eq!(subordinate("garbage\nworker:x:y", Some("worker"), 7), None);
    }

    #[test]
    fn a_range_that_is_proposed_overlaps_nobodys() {
        assert_eq!(first_free(&["", "garbage"]), 100_000);
        let (users, groups) = ("root:100000:65536\na:165536:65536\n", "b:300000:10\n");
        assert_eq!(first_free(&[users]), 231_072);
        assert_eq!(first_free(&[users, groups]), 300_010);
        let words = remedy(Some("worker"), Uid::from_raw(1000), 231_072);
        assert!(words.contains("--add-subuids 231072-296607 --add-subgids 231072-296607 worker"));
        let words = remedy(None, Uid::from_raw(1000), 231_072);
        assert!(words.contains("1000:231072:65536"), "{words}");
    }

    #[test]
    fn root_takes_high_ids_and_says_so_when_a_container_has_none() {
        let map = IdMap::of_root("         0          0 4294967295\n", (0, 0)).unwrap();
        assert_eq!(map.users, ROOT_BASE);
        let refused = IdMap::of_root("0 100000 65536\n", (0, 0));
        assert!(matches!(refused, Err(ExecutorError::Unsupported(_))));
    }
}
