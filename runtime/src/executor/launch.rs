//! Starting a command from a single-threaded process: pipes, a fork, a session of its own, exec.

use super::cgroup::{Birth, Cgroup};
use super::orders::{Credentials, ErrorOutput, Launch, Refusal, Step};
use super::supervise::Territory;
use super::system::{self, Fork};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Pid, Uid, execve, getpid, getppid, pipe2, setgroups, setsid};
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Where a program without a slash in its name is looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that has been started.
pub(super) struct Started {
    /// Its main process, which leads a session and a process group.
    pub(super) child: Pid,
    /// The other ends of its pipes: standard input, output, error, as far as they were asked for.
    pub(super) pipes: Vec<OwnedFd>,
}

/// Starts a command in its territory. Returns when the program itself runs, or with the reason why it cannot.
pub(super) fn start(launch: &Launch, territory: &dyn Territory) -> Result<Started, Refusal> {
    let at = |step| move |errno| Refusal { step, errno };
    let programs = candidates(launch);
    let arguments = strings(launch.arguments.iter().cloned());
    let environment = strings(launch.environment.iter().map(|(name, value)| {
        let mut entry = name.clone();
        entry.push("=");
        entry.push(value);
        entry
    }));
    let (streams, pipes) = Streams::new(launch).map_err(|e| at(Step::Pipes)(e as i32))?;
    let (failure, tell_failure) = pipe2(OFlag::O_CLOEXEC).map_err(|e| at(Step::Pipes)(e as i32))?;
    let parent = getpid();
    let mut child = |birth| {
        let Err(refusal) = become_command(
            launch,
            parent,
            (territory, birth),
            &streams,
            |path| execve(path, &arguments, &environment),
            &programs,
        );
        let words = postcard::to_allocvec(&refusal).unwrap_or_default();
        let _ = nix::unistd::write(&tell_failure, &words);
    };
    let cgroup = territory.cgroup().and_then(Cgroup::directory);
    let child = born(cgroup, &mut child).map_err(|e| at(Step::Process)(e as i32))?;
    drop((tell_failure, streams));
    match read_failure(failure) {
        None => Ok(Started { child, pipes }),
        Some(refusal) => {
            let _ = system::wait_for(child);
            Err(refusal)
        }
    }
}

/// Starts the child, in the cgroup if there is one and the kernel lets this process put others there.
fn born(cgroup: Option<BorrowedFd<'_>>, child: &mut dyn FnMut(Birth)) -> nix::Result<Pid> {
    if cgroup.is_none() {
        return system::spawn(&mut || child(Birth::Outside));
    }
    match system::fork_into(0, cgroup) {
        Ok(Fork::Parent(child)) => Ok(child),
        Ok(Fork::Child) => {
            child(Birth::Inside);
            system::exit(127)
        }
        Err(error) if system::refuses_cgroup(error) => system::spawn(&mut || child(Birth::Outside)),
        Err(error) => Err(error),
    }
}

/// The child's side: everything between fork and exec.
fn become_command(
    launch: &Launch,
    parent: Pid,
    (territory, birth): (&dyn Territory, Birth),
    streams: &Streams,
    execute: impl Fn(&CString) -> nix::Result<Infallible>,
    programs: &[CString],
) -> Result<Infallible, Refusal> {
    let at = |step| {
        move |error: Errno| Refusal {
            step,
            errno: error as i32,
        }
    };
    let mut memory_is_limited = territory.limits_memory();
    if let Some(cgroup) = territory.cgroup() {
        let error = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
        let joined = cgroup.join(birth).map_err(error);
        memory_is_limited &= joined.map_err(at(Step::Limits))?;
    }
    setsid().map_err(at(Step::Process))?;
    streams.take().map_err(at(Step::Streams))?;
    let limited = launch.limits.apply(memory_is_limited);
    limited.map_err(at(Step::Limits))?;
    if let Some(credentials) = &launch.credentials {
        assume(credentials).map_err(at(Step::Credentials))?;
    }
    // A change of user clears the parent-death signal: hence after it. If the parent is dead already, nobody waits for this command.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Step::Process))?;
    if getppid() != parent {
        system::exit(127);
    }
    if let Some(directory) = &launch.directory {
        nix::unistd::chdir(directory.as_os_str()).map_err(at(Step::Directory))?;
    }
    system::reset_signals();
    let mut found_but_refused = None;
    for program in programs {
        let Err(error) = execute(program);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => continue,
            // Also said of a file in a directory that may not be searched, where it would not have been found.
            Errno::EACCES
                if nix::sys::stat::stat(program.as_c_str()).is_err() && programs.len() > 1 => {}
            Errno::EACCES => found_but_refused = Some(error),
            _ => return Err(at(Step::Program)(error)),
        }
    }
    Err(at(Step::Program)(
        found_but_refused.unwrap_or(Errno::ENOENT),
    ))
}

fn assume(credentials: &Credentials) -> nix::Result<()> {
    let groups: Vec<Gid> = credentials
        .groups
        .iter()
        .copied()
        .map(Gid::from_raw)
        .collect();
    let (uid, gid) = (
        Uid::from_raw(credentials.uid),
        Gid::from_raw(credentials.gid),
    );
    setgroups(&groups)?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)
}

/// The three standard streams of a command, its own ends.
struct Streams {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Streams {
    /// Makes what the command reads and writes, and the other ends for the runtime.
    ///
    /// Pipes are made as the user who will run the command: it may open `/dev/stdout` again, as many programs do.
    fn new(launch: &Launch) -> nix::Result<(Self, Vec<OwnedFd>)> {
        let user = launch.credentials.as_ref();
        let previous = user.map(|user| {
            (
                nix::unistd::setfsgid(Gid::from_raw(user.gid)),
                nix::unistd::setfsuid(Uid::from_raw(user.uid)),
            )
        });
        let made = Self::make(launch);
        if let Some((group, owner)) = previous {
            nix::unistd::setfsuid(owner);
            nix::unistd::setfsgid(group);
        }
        made
    }

    fn make(launch: &Launch) -> nix::Result<(Self, Vec<OwnedFd>)> {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        let again = |descriptor: &OwnedFd| {
            descriptor
                .try_clone()
                .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))
        };
        let mut pipes = Vec::new();
        let mut stdin = again(&null)?;
        if launch.stdin {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            stdin = read;
            pipes.push(write);
        }
        let mut stdout = again(&null)?;
        if launch.stdout {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            stdout = write;
            pipes.push(read);
        }
        let stderr = match launch.stderr {
            ErrorOutput::WithStdout => again(&stdout)?,
            ErrorOutput::Nowhere => null,
            ErrorOutput::Pipe => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                pipes.push(read);
                write
            }
        };
        Ok((
            Self {
                stdin,
                stdout,
                stderr,
            },
            pipes,
        ))
    }

    /// Makes them the standard streams of this process, and nothing else survives exec.
    fn take(&self) -> nix::Result<()> {
        system::become_stream(self.stdin.as_fd(), 0)?;
        system::become_stream(self.stdout.as_fd(), 1)?;
        system::become_stream(self.stderr.as_fd(), 2)?;
        system::close_others_on_exec()
    }
}

/// The files that may be the program, in the order in which they are tried.
fn candidates(launch: &Launch) -> Vec<CString> {
    let program = launch.arguments[0].as_bytes();
    if program.contains(&b'/') || program.is_empty() {
        return strings([launch.arguments[0].clone()]);
    }
    let path = launch
        .environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
    strings(
        path.as_bytes()
            .split(|&byte| byte == b':')
            .map(|directory| {
                let directory: &[u8] = if directory.is_empty() {
                    b"."
                } else {
                    directory
                };
                OsString::from_vec([directory, program].join(&b'/'))
            }),
    )
}

/// As the kernel wants them. The runtime has refused NULs before.
fn strings(texts: impl IntoIterator<Item = OsString>) -> Vec<CString> {
    texts
        .into_iter()
        .filter_map(|text| CString::new(text.into_vec()).ok())
        .collect()
}

/// Waits until the child has either become the program (its end of the pipe closes) or says why not.
fn read_failure(pipe: OwnedFd) -> Option<Refusal> {
    let mut bytes = Vec::new();
    File::from(pipe).read_to_end(&mut bytes).ok()?;
    postcard::from_bytes(&bytes).ok()
}
