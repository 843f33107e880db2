//! Commands on the host: each in a session of its own, under a supervisor that leaves nothing of it behind.

use super::follow::{Conversation, Plan};
use super::ids::IdMap;
use super::message::{self, Channel};
use super::orders::{Errand, Launch};
use super::temporary::{self, TMPDIR};
use super::{Abort, Allowance, Command, Commands, ExecutorError, Exit, Limits, helper};
use async_trait::async_trait;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Between SIGTERM and SIGKILL, if nothing else was asked for.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// Runs commands on the host.
///
/// The program must call [`supervisor_main_if_called`](super::supervisor_main_if_called) at its start. Each command has a directory for temporary
/// files (`TMPDIR`) for itself, which goes with it. A command without an environment gets that
/// of this process. If the abort has come before the command starts, it is not started and the answer is [`Exit::Aborted`].
#[derive(Debug, Clone)]
pub struct HostCommands {
    grace: Duration,
    cgroups: bool,
    limits: Limits,
    temporary: PathBuf,
    ids: Arc<OnceCell<Option<IdMap>>>,
}

impl HostCommands {
    /// With [`DEFAULT_GRACE`], and with cgroups wherever they can be made.
    pub fn new() -> Self {
        Self {
            grace: DEFAULT_GRACE,
            cgroups: true,
            limits: Limits::default(),
            temporary: std::env::temp_dir(),
            ids: Arc::default(),
        }
    }

    /// Sets the time between SIGTERM and SIGKILL; zero kills at once.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether to use cgroups where they can be made. Without them a fork bomb is hard to end.
    pub fn cgroups(mut self, wanted: bool) -> Self {
        self.cgroups = wanted;
        self
    }

    /// Sets what each command may use, with everything that it starts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets grace and limits as an operator allows them.
    pub fn allowance(self, allowance: &Allowance) -> Self {
        self.grace(allowance.grace).limits(allowance.limits)
    }

    /// Sets the directory beneath which each command gets one for its temporary files; else it is that of this process. Programs with sub-ids
    /// have to reach it: its parents need `o+x`.
    pub fn temporary(mut self, parent: impl Into<PathBuf>) -> Self {
        self.temporary = parent.into();
        self
    }

    /// Clears away what killed commands have left; the ids of those who may own it.
    async fn before_the_first(&self) -> Option<IdMap> {
        temporary::sweep(&self.temporary).await;
        IdMap::of_this_process().ok()
    }

    /// A command that names a directory of its own for temporary files keeps that.
    fn wants_temporary(&self, launch: &Launch) -> bool {
        let mut variables = launch.environment.iter();
        let named = variables.find(|(name, _)| name == TMPDIR);
        named.is_none_or(|(_, value)| std::env::var_os(TMPDIR).as_ref() == Some(value))
    }
}

impl Default for HostCommands {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Commands for HostCommands {
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError> {
        if command.as_root {
            return Err(ExecutorError::Command(
                "a command cannot run as root on the host; run it in an instance".into(),
            ));
        }
        let mut plan = Plan::new(command, || std::env::vars_os().collect())?;
        if abort.is_cancelled() {
            return Ok(Exit::Aborted);
        }
        if plan.launch.directory.is_none() {
            plan.launch.directory = std::env::current_dir().ok().map(Into::into);
        }
        plan.launch.limits = self.limits;
        let ids = *self.ids.get_or_init(|| self.before_the_first()).await;
        let (ours, theirs) = message::pair().map_err(no_socket)?;
        let channel = Channel::new(ours).map_err(no_socket)?;
        let errand = Errand::Supervise {
            launch: plan.launch.clone(),
            cgroup: self.cgroups,
            temporary: self
                .wants_temporary(&plan.launch)
                .then(|| self.temporary.clone().into()),
            ids,
        };
        helper::send(&errand, &[theirs.as_fd()])?;
        drop(theirs);
        let conversation = Conversation {
            channel: &channel,
            id: 0,
            grace: self.grace,
        };
        conversation.follow(plan, abort).await
    }
}

fn no_socket(error: io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "cannot make a socket for the command: {error}; raise the limit of open files (ulimit -n)"
    ))
}
