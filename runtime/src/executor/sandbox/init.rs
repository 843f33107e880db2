//! The first process of a sandbox. It carries out the runtime's orders; when it ends, the kernel kills everything else in there.

use super::DEFAULT_PROCESSES;
use super::devices::Bell;
use super::files;
use super::mounts::{self, Layers, MountError, is_want_of_room};
use crate::executor::cgroup::{Birth, Cgroup, OomKills};
use crate::executor::orders::{Failure, Order, Report, SandboxPlan};
use crate::executor::supervise::{Territory, Watch, announce_children};
use crate::executor::system;
use crate::executor::{ids, message};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The init's life. Never returns: its end is the sandbox's.
pub(super) fn main(
    plan: &SandboxPlan,
    control: &OwnedFd,
    layers: Layers<'_>,
    scratch: &str,
    cgroup: Option<(&Cgroup, Birth)>,
    bell: Result<Bell, String>,
) -> ! {
    let joined = cgroup.map_or(Ok(true), |(cgroup, birth)| cgroup.join(birth));
    let territory = PidNamespace {
        cgroup: cgroup.map(|(cgroup, _)| cgroup),
        joined: matches!(joined, Ok(true)),
    };
    let furnished = joined
        .map_err(Into::into)
        .and_then(|_| furnish(plan, layers, scratch, bell));
    let report = match furnished {
        Ok(ready) => ready,
        Err(error) => Report::Done {
            id: 0,
            result: Err(why_not(&*error)),
        },
    };
    let ready = matches!(report, Report::Ready { .. });
    if message::send(control.as_fd(), &report, &[]).is_ok() && ready {
        let _ = obey(control.as_fd(), plan, &territory);
    }
    system::exit(0);
}

/// What the machine cannot do is told apart from what it has no room for just now.
fn why_not(error: &(dyn std::error::Error + 'static)) -> Failure {
    let room = match error.downcast_ref::<MountError>() {
        Some(error) => error.is_want_of_room(),
        None => {
            let number = error
                .downcast_ref::<nix::Error>()
                .map(|&error| error as i32);
            let other = error.downcast_ref::<io::Error>();
            is_want_of_room(number.or_else(|| other?.raw_os_error()))
        }
    };
    match room {
        true => Failure::System(format!(
            "cannot make the sandbox: {error}; free space where sandboxes keep their files, or allow them more memory, files and processes"
        )),
        false => Failure::Unsupported(format!(
            "cannot make the sandbox: {error}; the probe says what this machine lacks"
        )),
    }
}

/// Everything between the bare namespaces and the first command.
fn furnish(
    plan: &SandboxPlan,
    layers: Layers<'_>,
    scratch: &str,
    bell: Result<Bell, String>,
) -> Result<Report, Box<dyn std::error::Error>> {
    let shared_ids = layers.why_shared().map(str::to_owned);
    let layers = layers.open_again()?;
    ids::become_root()?;
    // Nothing in the sandbox may look into this process or trace it.
    nix::sys::prctl::set_dumpable(false)?;
    system::forget_keys();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let entered = mounts::enter_root(plan, layers, scratch, bell.is_ok())?;
    nix::unistd::sethostname("localhost")?;
    if !plan.network {
        let any = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        system::loopback_up(any.as_fd())?;
    }
    if plan.network && system::can_forget_abstract_sockets() {
        system::forget_abstract_sockets()?;
    }
    if let Some(text) = &plan.resolv_conf {
        replace_resolv_conf(text)?;
    }
    mounts::own_directory("/tmp", 0o1777)?;
    let processes = plan.limits.processes.unwrap_or(DEFAULT_PROCESSES);
    setrlimit(Resource::RLIMIT_NPROC, processes, processes)?;
    // The host's streams that the helper was started with.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        system::become_stream(null.as_fd(), stream)?;
    }
    let hung = bell.and_then(|bell| {
        if !entered.tmp_on_disk {
            return Err("the image has files in /tmp; use one that has none".into());
        }
        bell.hang()
            .map_err(|error| format!("the kernel asks nobody ({error}); use Linux 5.19 or newer"))
    });
    Ok(Report::Ready {
        copied: entered.copied,
        without_devices: hung.err(),
        shared_ids,
    })
}

fn replace_resolv_conf(text: &[u8]) -> Result<(), MountError> {
    mounts::own_directory("/etc", 0o755)?;
    // Often a link to where a service of the image's would have made the file.
    let _ = fs::remove_file("/etc/resolv.conf");
    fs::write("/etc/resolv.conf", text).map_err(mounts::at("/etc/resolv.conf"))
}

/// Carries out one order after the other until the runtime is gone or says stop.
fn obey(
    control: BorrowedFd<'_>,
    plan: &SandboxPlan,
    territory: &PidNamespace<'_>,
) -> io::Result<()> {
    let watch = Watch {
        control,
        children: announce_children()?,
        territory,
    };
    while let Some((order, descriptors)) = message::receive::<Order>(control)? {
        match order {
            Order::Run { id, mut launch } => {
                launch.limits = plan.limits;
                if !watch.command(id, &launch)? {
                    return Ok(());
                }
            }
            Order::File { id, operation } => {
                let (result, opened) = match files::perform(operation, descriptors) {
                    Ok(opened) => (Ok(()), opened),
                    Err(failure) => (Err(failure), None),
                };
                let opened: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
                message::send(control, &Report::Done { id, result }, &opened)?;
            }
            // Its command has ended already.
            Order::Terminate { .. } => {}
            Order::Stop => return Ok(()),
        }
    }
    Ok(())
}

/// The processes of the sandbox: all of them but this one belong to the command that runs.
struct PidNamespace<'a> {
    /// In which all of the sandbox is, this process too.
    cgroup: Option<&'a Cgroup>,
    /// Whether all of it is.
    joined: bool,
}

impl Territory for PidNamespace<'_> {
    fn cgroup(&self) -> Option<&Cgroup> {
        None
    }

    fn limits_memory(&self) -> bool {
        self.joined && self.cgroup.is_some_and(Cgroup::limits_memory)
    }

    fn kill_all(&self, _: u32) {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    }

    fn out_of_memory(&self) -> bool {
        let kills = self.cgroup.and_then(Cgroup::oom_kills);
        kills.is_some_and(OomKills::any_new)
    }
}
