//! Finding tasks: every `NAME.wasm` in the task directories is the task NAME.

use super::cache::{CacheError, ComponentCache, LoadedComponent};
use super::engine::Engine;
use super::sighting;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Why a task cannot be found or loaded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A directory cannot be read.
    #[error("task directory {path}: {error}; name a directory of components that can be read")]
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
    shelf: RwLock<Shelf>,
}

/// What was found in the directories.
#[derive(Clone, Default)]
struct Shelf {
    tasks: BTreeMap<String, Found>,
    /// Names that several files claim: the first two of them.
    twice: BTreeMap<String, [Found; 2]>,
    /// Raised whenever the tasks have changed.
    generation: u64,
}

/// A component's file, and what it looked like.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    sighting: Option<String>,
}

impl Registry {
    /// Looks through the directories; a directory that does not exist is empty. Nothing is loaded yet.
    pub fn open(
        engine: Engine,
        cache: ComponentCache,
        directories: &[PathBuf],
    ) -> Result<Self, RegistryError> {
        let shelf = Shelf::of(directories)?;
        if let Some((name, files)) = shelf.twice.iter().next() {
            return Err(duplicate(name, files));
        }
        Ok(Self {
            engine,
            cache,
            directories: directories.to_owned(),
            shelf: RwLock::new(shelf),
        })
    }

    /// Looks again, and tells whether anything has changed: new, replaced and removed components are those of the next
    /// [`load`](Self::load); what is loaded stays as it is. A name that is found twice is told, and keeps the file that it had. After an
    /// error the registry is what it was.
    pub fn rescan(&self) -> Result<bool, RegistryError> {
        let mut found = Shelf::of(&self.directories)?;
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        for (name, files) in &found.twice {
            if !shelf.twice.contains_key(name) {
                tracing::error!("{}", duplicate(name, files));
            }
            let former = shelf.tasks.get(name).map(|it| &it.path);
            match files.iter().find(|it| Some(&it.path) == former) {
                Some(file) => found.tasks.insert(name.clone(), file.clone()),
                None => found.tasks.remove(name),
            };
        }
        let changed = found.tasks != shelf.tasks;
        found.generation = shelf.generation + u64::from(changed);
        *shelf = found;
        Ok(changed)
    }

    /// A number that is another one whenever the tasks have changed.
    pub fn generation(&self) -> u64 {
        self.read(|shelf| shelf.generation)
    }

    /// Looks again from time to time, until the tasks are others than those of a generation. The answer is the new one.
    pub async fn changed(self: &Arc<Self>, generation: u64, every: Duration) -> u64 {
        let mut trouble = String::new();
        while self.generation() == generation {
            tokio::time::sleep(every).await;
            let registry = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || registry.rescan()).await;
            let words = match looked {
                Ok(Ok(_)) => String::new(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            // Once for each trouble, not at each look.
            if words != trouble && !words.is_empty() {
                tracing::error!("{words}; the tasks stay what they were");
            }
            trouble = words;
        }
        self.generation()
    }

    fn read<T>(&self, read: impl FnOnce(&Shelf) -> T) -> T {
        read(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The file of a task, if it is still there.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let path = self.read(|shelf| shelf.tasks.get(name).map(|it| it.path.clone()));
        path.filter(|path| path.exists())
    }

    /// The engine that runs the tasks.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Names and files of all tasks, ordered by name.
    pub fn tasks(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let tasks = self.read(|shelf| shelf.tasks.clone());
        tasks.into_iter().map(|(name, found)| (name, found.path))
    }

    /// Loads a task by its name, in which upper and lower case are the same. One that is not known is looked for: it may have come since the
    /// last look.
    pub fn load(&self, name: &str) -> Result<LoadedComponent, RegistryError> {
        let wanted = name.to_lowercase();
        let path = match self.file(&wanted) {
            Some(path) => path,
            None => {
                self.rescan()?;
                self.file(&wanted).ok_or_else(|| self.unknown(name))?
            }
        };
        Ok(self.cache.load(&self.engine, &path)?)
    }

    /// Loads all tasks, ordered by name, on all processors. The first error in that order is the answer.
    pub fn load_all(&self) -> Result<Vec<LoadedComponent>, RegistryError> {
        let names: Vec<String> = self.tasks().map(|(name, _)| name).collect();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shares = names.chunks(names.len().div_ceil(processors).max(1));
        std::thread::scope(|scope| {
            let load_share =
                |share: &[String]| share.iter().map(|name| self.load(name)).collect::<Vec<_>>();
            let mut shares: Vec<&[String]> = shares.collect();
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
        let wanted = wanted.to_lowercase();
        let near = self
            .tasks()
            .map(|(name, _)| (strsim::damerau_levenshtein(&name, &wanted), name));
        let nearest = near.min();
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

impl Shelf {
    /// The components in these directories.
    fn of(directories: &[PathBuf]) -> Result<Self, RegistryError> {
        let mut shelf = Self::default();
        for directory in directories {
            for path in components_in(directory)? {
                let Some(name) = task_name(&path) else {
                    continue;
                };
                let found = Found {
                    sighting: sighting::look(&path),
                    path,
                };
                if let Some(first) = shelf.tasks.get(&name) {
                    let both = || [first.clone(), found.clone()];
                    shelf.twice.entry(name).or_insert_with(both);
                    continue;
                }
                shelf.tasks.insert(name, found);
            }
        }
        Ok(shelf)
    }
}

fn duplicate(name: &str, [first, second]: &[Found; 2]) -> RegistryError {
    RegistryError::Duplicate {
        name: name.to_owned(),
        first: first.path.clone(),
        second: second.path.clone(),
    }
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
