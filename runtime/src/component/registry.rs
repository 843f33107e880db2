//! Finding tasks: every `NAME.wasm` in the task directories is the task NAME.

use super::cache::{CacheError, ComponentCache};
use super::engine::Engine;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

/// Why a task cannot be found or loaded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A directory cannot be read.
    #[error("task directory {path}: {error}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Two files claim the same name.
    #[error("task {name}: found twice, as {first} and as {second}; remove one of them")]
    Duplicate {
        /// The task's name.
        name: String,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// No file has this name.
    #[error("unknown task {name:?}: {hint}")]
    Unknown {
        /// The name as given.
        name: String,
        /// The nearest name, or where tasks are looked for.
        hint: String,
    },
    /// The file is no usable component.
    #[error(transparent)]
    Component(#[from] CacheError),
}

/// The tasks of some directories.
pub struct Registry {
    engine: Engine,
    cache: ComponentCache,
    directories: Vec<PathBuf>,
    tasks: BTreeMap<String, PathBuf>,
}

/// A component that is ready to be instantiated.
#[derive(Clone)]
pub struct LoadedComponent {
    /// Name of the task, as its file has it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// The compiled component.
    pub component: Component,
}

impl Registry {
    /// Looks through the directories; a directory that does not exist is empty. Nothing is loaded yet.
    pub fn open(
        engine: Engine,
        cache: ComponentCache,
        directories: &[PathBuf],
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            engine,
            cache,
            directories: directories.to_owned(),
            tasks: scan(directories)?,
        })
    }

    /// Looks again: new, replaced and removed components are those of the next [`load`](Self::load); what is loaded stays as it is. After
    /// an error the registry is what it was.
    pub fn rescan(&mut self) -> Result<(), RegistryError> {
        self.tasks = scan(&self.directories)?;
        Ok(())
    }

    /// The engine that runs the tasks.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Names and files of all tasks, ordered by name.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.tasks
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Loads a task by its name, in which upper and lower case are the same.
    pub fn load(&self, name: &str) -> Result<LoadedComponent, RegistryError> {
        let Some((name, path)) = self.tasks.get_key_value(&name.to_lowercase()) else {
            return Err(self.unknown(name));
        };
        let (component, digest) = self.cache.load(&self.engine, path)?;
        Ok(LoadedComponent {
            name: name.clone(),
            path: path.clone(),
            digest,
            component,
        })
    }

    /// Loads all tasks, ordered by name, on all processors. The first error in that order is the answer.
    pub fn load_all(&self) -> Result<Vec<LoadedComponent>, RegistryError> {
        let names: Vec<&str> = self.tasks.keys().map(String::as_str).collect();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = names.chunks(names.len().div_ceil(processors).max(1));
        std::thread::scope(|scope| {
            let load_share =
                |share: &[&str]| share.iter().map(|name| self.load(name)).collect::<Vec<_>>();
            let mut shares: Vec<&[&str]> = shares.collect();
            // This thread takes the first share, so that a single processor starts no thread.
            let first = match shares.is_empty() {
                true => return Ok(Vec::new()),
                false => shares.remove(0),
            };
            let others: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(move || load_share(share)))
                .collect();
            let mut loaded = load_share(first);
            for other in others {
                loaded.extend(other.join().expect("loading does not panic"));
            }
            loaded.into_iter().collect()
        })
    }

    /// The error for a name that no task has, with what to try.
    pub fn unknown(&self, name: &str) -> RegistryError {
        RegistryError::Unknown {
            name: name.to_owned(),
            hint: self.hint(name),
        }
    }

    fn hint(&self, wanted: &str) -> String {
        let nearest = self
            .tasks
            .keys()
            .map(|name| {
                (
                    strsim::damerau_levenshtein(name, &wanted.to_lowercase()),
                    name,
                )
            })
            .min();
        match nearest {
            Some((distance, name)) if distance <= 3.max(name.len() / 3) => {
                format!("did you mean {name:?}? `task-runtime list` shows all")
            }
            Some(_) => "`task-runtime list` shows all tasks".to_owned(),
            None => {
                let looked: Vec<_> = self
                    .directories
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                format!(
                    "no task was found in {}; build them with `make tasks`, or name their directory with --tasks",
                    looked.join(", ")
                )
            }
        }
    }
}

/// Names and files of the components in these directories.
fn scan(directories: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>, RegistryError> {
    let mut tasks = BTreeMap::new();
    for directory in directories {
        for path in components_in(directory)? {
            let Some(name) = task_name(&path) else {
                continue;
            };
            if let Some(first) = tasks.insert(name.clone(), path.clone()) {
                return Err(RegistryError::Duplicate {
                    name,
                    first,
                    second: path,
                });
            }
        }
    }
    Ok(tasks)
}

fn components_in(directory: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let failed = |error| RegistryError::Directory {
        path: directory.to_owned(),
        error,
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn task_name(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_lowercase())
}
