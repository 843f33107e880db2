//! Where things are: the directories of tasks, the artifact store, the cache; and what components may use of this machine.

use super::artifact::FilesOf;
use super::error::CliError;
use super::limits::LimitArguments;
use nix::unistd::geteuid;
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use task_runtime::artifacts::NewArtifact;
use task_runtime::artifacts::local::LocalStore;
use task_runtime::component::ComponentCache;
use task_runtime::host::capabilities::Policy;

/// The directory that this program has for itself beneath shared ones.
const OWN: &str = "task-runtime";

/// Directories and limits that the arguments, the environment or the defaults name.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Places")]
pub struct Places {
    /// Directory of tasks; may be given several times [env: TASK_RUNTIME_TASKS, separated by colons; default: the installed tasks, else those
    /// of the checkout]
    #[arg(long, value_name = "DIR", global = true)]
    tasks: Vec<PathBuf>,
    /// Artifact store [env: TASK_RUNTIME_STORE; default: ~/.local/share/task-runtime, for root /var/lib/task-runtime]
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    /// Cache of compiled tasks and of images [env: TASK_RUNTIME_CACHE; default: ~/.cache/task-runtime, for root /var/cache/task-runtime]
    #[arg(long, value_name = "DIR", global = true)]
    cache: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArguments,
}

impl Places {
    /// The same places with these directories of tasks, none for the usual ones.
    pub fn with_tasks(&self, tasks: Vec<PathBuf>) -> Self {
        Self {
            tasks,
            ..self.clone()
        }
    }

    /// What components may use.
    pub fn limits(&self) -> &LimitArguments {
        &self.limits
    }

    /// The directories of tasks.
    pub fn tasks(&self) -> Vec<PathBuf> {
        if !self.tasks.is_empty() {
            return self.tasks.clone();
        }
        if let Some(named) = variable("TASK_RUNTIME_TASKS") {
            return env::split_paths(&named)
                .filter(|path| !path.as_os_str().is_empty())
                .collect();
        }
        let program = env::current_exe().unwrap_or_default();
        let beside = program.parent().unwrap_or(Path::new("."));
        let places = [
            beside.join("../lib/task-runtime/tasks"),
            beside.join("../../tasks/target/wasm32-unknown-unknown/release"),
        ];
        match places.iter().find_map(|it| it.canonicalize().ok()) {
            Some(there) => vec![there],
            None => places.to_vec(),
        }
    }

    /// What the operator grants to tasks: the file of TASK_RUNTIME_POLICY, else /etc/task-runtime/policy if it is there.
    pub fn policy(&self) -> Result<Policy, CliError> {
        let usual = Path::new("/etc").join(OWN).join("policy");
        let policy = match path_of("TASK_RUNTIME_POLICY") {
            Some(named) => Policy::read(&named),
            None if usual.exists() => Policy::read(&usual),
            None => Ok(Policy::default()),
        };
        policy.map_err(|error| CliError::new("policy", error.to_string()))
    }

    /// The cache of compiled tasks, and the code that was shipped with them (TASK_RUNTIME_COMPILED, else beside the installed tasks).
    pub fn components(&self) -> Result<ComponentCache, CliError> {
        let cache = ComponentCache::new(&self.cache()?.join("components"));
        let shipped = path_of("TASK_RUNTIME_COMPILED").or_else(|| {
            let program = env::current_exe().ok()?;
            Some(program.parent()?.join("../lib/task-runtime/compiled"))
        });
        Ok(match shipped {
            Some(directory) => cache.with_shipped(&directory),
            None => cache,
        })
    }

    /// The cache: images, sandboxes and compiled tasks are beneath it.
    pub fn cache(&self) -> Result<PathBuf, CliError> {
        if let Some(named) = self.cache.clone().or_else(|| path_of("TASK_RUNTIME_CACHE")) {
            return absolute(&named);
        }
        if geteuid().is_root() {
            return Ok(Path::new("/var/cache").join(OWN));
        }
        beneath_home("XDG_CACHE_HOME", ".cache")
            .ok_or_else(|| homeless("cache", "--cache or TASK_RUNTIME_CACHE"))
    }

    /// Opens the artifact store, which is made if it is missing.
    pub fn store(&self) -> Result<LocalStore, CliError> {
        let rules = |artifact: &NewArtifact| {
            let paths: Vec<&str> = artifact
                .files
                .iter()
                .map(|file| file.path.as_str())
                .collect();
            let contents = FilesOf(&artifact.files);
            task_sdk::artifacts::check(&artifact.category, &artifact.data, &paths, Some(&contents))
                .map(drop)
                .map_err(|error| error.to_string())
        };
        Ok(LocalStore::open_validating(
            self.store_path()?,
            Box::new(rules),
        )?)
    }

    /// Opens the artifact store to read it: one that is missing is not made.
    pub fn existing_store(&self) -> Result<LocalStore, CliError> {
        if let Some(store) = self.store_if_there()? {
            return Ok(store);
        }
        let words = format!(
            "artifact store {}: there is none yet; `task-runtime artifact import` makes one, or name another with --store",
            self.store_path()?.display()
        );
        Err(CliError::new("not-found", words))
    }

    /// The same for lists: where no store is, nothing is in it.
    pub fn store_if_there(&self) -> Result<Option<LocalStore>, CliError> {
        let is_there = self.store_path()?.join("store.sqlite3").exists();
        is_there.then(|| self.store()).transpose()
    }

    /// Where the artifact store is, or would be.
    pub fn store_path(&self) -> Result<PathBuf, CliError> {
        if let Some(named) = self.store.clone().or_else(|| path_of("TASK_RUNTIME_STORE")) {
            return Ok(named);
        }
        if geteuid().is_root() {
            return Ok(Path::new("/var/lib").join(OWN));
        }
        beneath_home("XDG_DATA_HOME", ".local/share")
            .ok_or_else(|| homeless("artifact store", "--store or TASK_RUNTIME_STORE"))
    }
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn path_of(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from)
}

/// The XDG base directory specification: relative paths do not count.
fn beneath_home(name: &str, default: &str) -> Option<PathBuf> {
    let named = path_of(name).filter(|path| path.is_absolute());
    let base = named.or_else(|| Some(path_of("HOME")?.join(default)))?;
    Some(base.join(OWN))
}

fn homeless(what: &str, how: &str) -> CliError {
    CliError::new(
        "usage",
        format!("no place for the {what}: HOME is not set; name a directory with {how}"),
    )
}

/// Command lines of tasks contain paths of the cache, and commands run in other directories.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| {
        let shown = path.display();
        CliError::new("usage", format!("{shown}: {error}; give an absolute path"))
    })
}

/// Whether the users of a sandbox can pass through to `directory`, or why not. Those parts of the path that are still to be made will let them.
pub fn check_passable(directory: &Path) -> Result<(), String> {
    let closed = directory.ancestors().find(|ancestor| {
        ancestor
            .metadata()
            .is_ok_and(|found| found.permissions().mode() & 0o001 == 0)
    });
    match closed {
        None => Ok(()),
        Some(closed) => Err(format!(
            "{}: the users of sandboxes, which have ids of their own, cannot pass through it; `chmod o+x` it, or name another directory with {}",
            closed.display(),
            way_out(directory)
        )),
    }
}

/// How to have another directory than this one.
fn way_out(directory: &Path) -> &'static str {
    let is_temporary = directory.as_os_str() == OsStr::new(&env::temp_dir());
    if is_temporary { "TMPDIR" } else { "--cache" }
}
