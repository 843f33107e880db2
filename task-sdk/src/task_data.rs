//! The keys that the data of many tasks have in common, to be taken in with `..`.

use crate::lookups::SingleLookup;
use crate::model::Refusal;
use crate::repositories::ExtraRepository;
use crate::{choices, model};

choices! {
    /// Where a task runs its commands.
    pub enum Backend {
        /// The default of the task.
        Auto = "auto",
        /// Namespaces of the host's kernel.
        Unshare = "unshare",
        /// A container of Incus.
        IncusLxc = "incus-lxc",
        /// A virtual machine of Incus.
        IncusVm = "incus-vm",
        /// A virtual machine of QEMU.
        Qemu = "qemu",
    }
}

impl Backend {
    /// The backend that is really used: `auto` is `unshare` in every task.
    pub fn effective(self) -> Self {
        match self {
            Self::Auto => Self::Unshare,
            other => other,
        }
    }
}

model! {
    /// What every task has.
    pub struct TaskFields {
        /// Item of the task configuration collection that changed this data.
        pub task_configuration: Option<SingleLookup> = None,
    }
}

model! {
    /// What a task has that runs commands in an environment.
    pub struct ExecutorFields {
        /// Where to run the commands.
        pub backend: Backend = Backend::Auto,
        /// The system image to run them in.
        pub environment: SingleLookup,
    }
}

model! {
    /// What a task has that runs commands in an environment, and leaves nobody a choice of how.
    pub struct FixedExecutorFields {
        /// Where to run the commands: the default of the task.
        pub backend: Backend where [is_auto] = Backend::Auto,
        /// The system image to run them in.
        pub environment: SingleLookup,
    }
}

fn is_auto(backend: &Backend) -> Result<(), Refusal> {
    match backend {
        Backend::Auto => Ok(()),
        _ => Err("this task chooses its backend itself: use auto, or leave the key out".into()),
    }
}

model! {
    /// What a task has that runs commands in an environment if it is given one.
    pub struct OptionalExecutorFields {
        /// Where to run the commands.
        pub backend: Backend = Backend::Auto,
        /// The system image to run them in.
        pub environment: Option<SingleLookup> = None,
    }
}

model! {
    /// What a task has that can install from more repositories than its environment's.
    pub struct RepositoryFields {
        /// Repositories to use besides those of the environment.
        pub extra_repositories: Option<Vec<ExtraRepository>> = None,
    }
}

model! {
    /// What a scheduler found out for every task.
    pub struct DynamicFields {
        /// The task's parameters in short.
        pub parameter_summary: Option<String> = None,
        /// What the task is about, e.g. the name of a source package.
        pub subject: Option<String> = None,
        /// Tasks with the same context are alike in the time and space that they need.
        pub runtime_context: Option<String> = None,
        /// The task configuration collection.
        pub task_configuration_id: Option<i64> = None,
        /// Which part of the task configuration applies.
        pub configuration_context: Option<String> = None,
    }
}

#[allow(
    clippy::derivable_impls,
    reason = "the macro that writes the struct derives a fixed list"
)]
impl Default for DynamicFields {
    fn default() -> Self {
        Self {
            parameter_summary: None,
            subject: None,
            runtime_context: None,
            task_configuration_id: None,
            configuration_context: None,
        }
    }
}
