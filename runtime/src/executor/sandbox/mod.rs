//! A sandbox: a system of its own, made from an image, in namespaces of its own. The runtime's side.
//!
//! A keeper outside makes it, an init inside carries out orders, one at a time. Both hold the other end of this side's socket: when that is
//! closed, all of it ends. Every file is opened by the init, inside; pipes are made inside as well.

mod devices;
mod files;
mod init;
mod keeper;
mod mounts;
mod scratch;

pub(super) use keeper::keep;
pub use scratch::sweep;

use super::follow::{Conversation, Plan};
use super::host::DEFAULT_GRACE;
use super::ids::IdMap;
use super::message::{self, Channel};
use super::orders::{Credentials, Errand, FileOperation, Order, Report, SandboxPlan, Scratch};
use super::user::{self, USER};
use super::{
    Abort, Command, Commands, ExecutorError, Exit, Image, ImageCache, Instance, Limits, helper,
};
use async_trait::async_trait;
use scratch::Arena;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;

/// Processes that each user of a sandbox may have if no limit was set.
pub const DEFAULT_PROCESSES: u64 = 1 << 14;

/// How long the processes of a sandbox may take to end.
const STOP_TAKES: Duration = Duration::from_secs(30);

/// How long it may then take to remove what the sandbox left on disk: millions of files on a slow disk.
const CLEARING_TAKES: Duration = Duration::from_secs(600);

/// Where a sandbox keeps what it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxScratch {
    /// In this directory of the host, which is made when needed. See [`sweep`].
    Disk(PathBuf),
    /// In memory, up to so many bytes.
    Memory(u64),
}

/// How a sandbox is to be.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Where it keeps what it changes.
    pub scratch: SandboxScratch,
    /// The host's network and a copy of its `resolv.conf`; without it, a loop-back of its own and nothing else.
    pub network: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What it may use, all of it together.
    pub limits: Limits,
    /// The largest file that may be taken out, in bytes (also counting the holes of a sparse one).
    pub largest_pull: u64,
    /// Share the image with other sandboxes through an overlay, where the kernel can; else copy it each time.
    pub overlay: bool,
    /// Have users and groups that no other running sandbox has, where the machine can; else those that all sandboxes share.
    pub own_ids: bool,
}

impl SandboxOptions {
    /// No network, the default grace, no limits but [`DEFAULT_PROCESSES`], files up to 64 GiB.
    pub fn new(scratch: SandboxScratch) -> Self {
        Self {
            scratch,
            network: false,
            grace: DEFAULT_GRACE,
            limits: Limits::default(),
            largest_pull: 64 << 30,
            overlay: true,
            own_ids: true,
        }
    }
}

/// What a sandbox had to go without.
#[derive(Debug)]
pub(super) struct Made {
    /// Its image had to be copied, for this reason.
    pub(super) copied: Option<String>,
    /// Its root can make no devices, for this reason.
    pub(super) without_devices: Option<String>,
    /// It has the ids that all sandboxes share, for this reason.
    pub(super) shared_ids: Option<String>,
}

/// A running sandbox (the backend `unshare`).
///
/// Commands and file operations are carried out one after the other; after each command everything else that runs inside is killed.
/// [`Instance::push_file`] makes files that belong to root. Without an environment of its own a command gets a small fixed one, never the host's.
/// The program must call [`supervisor_main_if_called`](super::supervisor_main_if_called) at its start.
#[derive(Debug)]
pub struct Sandbox {
    channel: Channel,
    /// Held while an order is carried out; the number of the next one.
    turn: Mutex<u64>,
    user: Mutex<Option<Credentials>>,
    options: SandboxOptions,
    _image: Option<Image>,
}

impl Sandbox {
    /// Starts a sandbox, unpacking the image first if nobody has done so yet.
    pub async fn start(
        cache: &ImageCache,
        image: Image,
        options: SandboxOptions,
        abort: &Abort,
    ) -> Result<Self, ExecutorError> {
        cache.unpack(&image, abort).await?;
        let root = open_path(&image.root())?;
        let (sandbox, made) = Self::on(&root, Some(image), options, abort).await?;
        if let Some(why) = made.copied {
            tracing::warn!(
                "the sandbox works on a copy of its image, which takes time and space: {why}"
            );
        }
        if let Some(why) = made.shared_ids {
            tracing::debug!("the sandbox has the ids that others have too: {why}");
        }
        Ok(sandbox)
    }

    /// Starts a sandbox on a root directory.
    pub(super) async fn on(
        root: &OwnedFd,
        image: Option<Image>,
        options: SandboxOptions,
        abort: &Abort,
    ) -> Result<(Self, Made), ExecutorError> {
        let ids = IdMap::of_this_process()?;
        let arena = match &options.scratch {
            SandboxScratch::Disk(directory) => Some(Arena::open(directory, &ids, abort).await?),
            SandboxScratch::Memory(_) => None,
        };
        let (ours, theirs) = message::pair().map_err(no_socket)?;
        let channel = Channel::new(ours).map_err(no_socket)?;
        let mut descriptors = vec![theirs.as_fd(), root.as_fd()];
        descriptors.extend(arena.as_ref().map(Arena::descriptor));
        let plan = plan_of(&options);
        helper::send(&Errand::Sandbox { ids, plan }, &descriptors)?;
        drop(theirs);
        let answer = tokio::select! {
            answer = channel.receive::<Report>() => answer.map_err(no_socket)?,
            () = abort.cancelled() => return Err(ExecutorError::Aborted),
        };
        let made = match answer {
            Some((
                Report::Ready {
                    copied,
                    without_devices,
                    shared_ids,
                },
                _,
            )) => Made {
                copied,
                without_devices,
                shared_ids,
            },
            Some((
                Report::Done {
                    result: Err(failure),
                    ..
                },
                _,
            )) => return Err(failure.into()),
            _ => return Err(ended()),
        };
        let sandbox = Self {
            channel,
            turn: Mutex::new(1),
            user: Mutex::new(None),
            options,
            _image: image,
        };
        Ok((sandbox, made))
    }

    /// Waits for a report, or for the end of them all.
    async fn has_reported(&self, is_it: impl Fn(&Report) -> bool) {
        while let Ok(Some((report, _))) = self.channel.receive::<Report>().await {
            if is_it(&report) {
                return;
            }
        }
    }

    /// Has the init do something with files; the file that it opened, if it was to open one.
    async fn file(
        &self,
        operation: FileOperation,
        descriptors: &[BorrowedFd<'_>],
        abort: &Abort,
    ) -> Result<Option<OwnedFd>, ExecutorError> {
        let ask = async {
            let mut turn = self.turn.lock().await;
            let id = *turn;
            *turn += 1;
            let order = Order::File { id, operation };
            self.channel
                .send(&order, descriptors)
                .await
                .map_err(|_| ended())?;
            loop {
                match self.channel.receive::<Report>().await {
                    Ok(Some((
                        Report::Done {
                            id: answered,
                            result,
                        },
                        opened,
                    ))) if answered == id => {
                        result?;
                        return Ok(opened.into_iter().next());
                    }
                    // About an order for which nobody waited to the end.
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return Err(ended()),
                }
            }
        };
        tokio::select! {
            result = ask => result,
            () = abort.cancelled() => Err(ExecutorError::Aborted),
        }
    }

    /// Has the init unpack an archive that nobody vouches for into a directory; everything in it belongs to the user.
    pub(super) async fn unpack(
        &self,
        archive: BorrowedFd<'_>,
        into: &Path,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let owner = self.owner().await?;
        let into = into.into();
        let operation = FileOperation::Unpack { into, owner };
        self.file(operation, &[archive], abort).await.map(drop)
    }

    /// Has the init open a file.
    async fn open(&self, operation: FileOperation, abort: &Abort) -> Result<File, ExecutorError> {
        self.file(operation, &[], abort)
            .await?
            .map(File::from)
            .ok_or_else(ended)
    }

    /// User and group of the unprivileged user.
    async fn owner(&self) -> Result<(u32, u32), ExecutorError> {
        let user = self.credentials().await?;
        Ok((user.uid, user.gid))
    }

    async fn credentials(&self) -> Result<Credentials, ExecutorError> {
        self.user.lock().await.clone().ok_or_else(|| {
            ExecutorError::System(format!(
                "the instance has no user {USER} yet; create it first"
            ))
        })
    }

    /// The unprivileged user, who is created if a command is to run before anybody has asked for that.
    async fn user_for_command(&self, abort: &Abort) -> Result<Credentials, ExecutorError> {
        if self.user.lock().await.is_none() {
            self.create_user(abort).await?;
        }
        self.credentials().await
    }
}

#[async_trait]
impl Commands for Sandbox {
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError> {
        let credentials = match command.as_root {
            true => Credentials {
                uid: 0,
                gid: 0,
                groups: vec![0],
            },
            false => match self.user_for_command(abort).await {
                Err(ExecutorError::Aborted) => return Ok(Exit::Aborted),
                found => found?,
            },
        };
        let as_root = command.as_root;
        let mut plan = Plan::new(command, || environment(as_root))?;
        plan.launch.directory.get_or_insert_with(|| "/".into());
        plan.launch.credentials = Some(credentials);
        let mut turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = abort.cancelled() => return Ok(Exit::Aborted),
        };
        if abort.is_cancelled() {
            return Ok(Exit::Aborted);
        }
        let id = *turn;
        *turn += 1;
        let launch = plan.launch.clone();
        self.channel
            .send(&Order::Run { id, launch }, &[])
            .await
            .map_err(|_| ended())?;
        let conversation = Conversation {
            channel: &self.channel,
            id,
            grace: self.options.grace,
        };
        conversation.follow(plan, abort).await
    }
}

#[async_trait]
impl Instance for Sandbox {
    async fn create_user(&self, abort: &Abort) -> Result<(), ExecutorError> {
        let user = user::ensure(self, abort).await?;
        *self.user.lock().await = Some(user);
        Ok(())
    }

    async fn push_directory(
        &self,
        source: &Path,
        target: &Path,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        self.credentials().await?;
        let (archive, writer) = super::transfer::archive_of(source, abort)?;
        let unpacked = self.unpack(archive.as_fd(), target, abort).await;
        // The writer ends when nobody reads any more.
        drop(archive);
        let written = writer
            .await
            .unwrap_or_else(|error| Err(ExecutorError::System(error.to_string())));
        // If reading failed, then what arrived was a torn archive: the first cause is the one to tell.
        written.and(unpacked)
    }

    async fn push_file(
        &self,
        source: File,
        target: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let path = target.into();
        let file = self
            .open(FileOperation::Create { path, mode }, abort)
            .await?;
        super::transfer::copy(source, file, u64::MAX, abort).await
    }

    async fn pull_file(
        &self,
        source: &Path,
        target: File,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let path = source.into();
        let file = self.open(FileOperation::Read { path }, abort).await?;
        super::transfer::copy(file, target, self.options.largest_pull, abort).await
    }

    async fn create_directory(
        &self,
        path: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let owner = self.owner().await?;
        let path = path.into();
        let operation = FileOperation::MakeDirectory { path, mode, owner };
        self.file(operation, &[], abort).await.map(drop)
    }

    async fn stop(&self) -> Result<(), ExecutorError> {
        // Also while a command runs: that ends it.
        if self.channel.send(&Order::Stop, &[]).await.is_err() {
            return Ok(());
        }
        let emptied = async {
            let turn = self.turn.lock().await;
            self.has_reported(|report| matches!(report, Report::Emptied | Report::Gone))
                .await;
            turn
        };
        let emptied = tokio::time::timeout(STOP_TAKES, emptied).await;
        let _turn = emptied.map_err(|_| {
            ExecutorError::System(
                "the sandbox does not end: one of its processes cannot be killed; look for it with ps (state D)".into(),
            )
        })?;
        let gone = self.has_reported(|report| matches!(report, Report::Gone));
        tokio::time::timeout(CLEARING_TAKES, gone).await.map_err(|_| {
            ExecutorError::System(
                "what the sandbox left on disk is still being removed; is the disk slow, or full of small files?".into(),
            )
        })
    }
}

/// What the keeper has to know.
fn plan_of(options: &SandboxOptions) -> SandboxPlan {
    SandboxPlan {
        network: options.network,
        resolv_conf: options
            .network
            .then(|| std::fs::read("/etc/resolv.conf").unwrap_or_default()),
        scratch: match options.scratch {
            SandboxScratch::Disk(_) => Scratch::Disk,
            SandboxScratch::Memory(bytes) => Scratch::Memory(bytes),
        },
        overlay: options.overlay,
        own_ids: options.own_ids,
        limits: options.limits,
    }
}

/// What a command sees that brings no environment: nothing of the host's.
fn environment(as_root: bool) -> Vec<(OsString, OsString)> {
    let (user, home) = match as_root {
        true => ("root", "/root".to_owned()),
        false => (USER, format!("/home/{USER}")),
    };
    [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", &home),
        ("USER", user),
        ("LOGNAME", user),
        ("LANG", "C.UTF-8"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into()
}

/// Opens a directory for others to find, not to read.
pub(super) fn open_path(path: &Path) -> Result<OwnedFd, ExecutorError> {
    use nix::fcntl::{OFlag, open};
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, nix::sys::stat::Mode::empty()).map_err(|error| {
        ExecutorError::System(format!(
            "cannot open {}: {}; check its permissions",
            path.display(),
            error.desc()
        ))
    })
}

fn no_socket(error: io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "cannot make a socket for a sandbox: {error}; raise the limit of open files (ulimit -n)"
    ))
}

fn ended() -> ExecutorError {
    ExecutorError::System("the sandbox has ended; was memory exhausted, or was it stopped?".into())
}
