//! Compiled components, kept by the digest of their bytes.
//!
//! What is kept is native code: the directory is the user's own (0700), and nothing in it ever comes from the author of a task. Code that
//! the system's administrator shipped with the tasks lies in a second directory, which only root or the user can write. Owners and modes
//! are looked at whenever code is loaded.

use super::apart::{CompilerProcess, Failure};
use super::code;
use super::compiler::{self, Target};
use super::engine::Engine;
use super::manifest::{Manifest, OwnText};
use super::native_code;
use super::sighting::{self, Contents};
use std::io;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

/// Part of the names of compiled files: raised when the engine's version or settings change, so that two versions of this program do not
/// overwrite each other's code. (What does not fit is noticed in any case, when it is loaded.)
const GENERATION: &str = concat!("48-3-", env!("CARGO_PKG_VERSION"));

/// Why a component cannot be compiled or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file cannot be read.
    #[error("{path}: {error}; check its name and permissions")]
    Read {
        /// The component's file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The bytes are no component.
    #[error(
        "{path}: not a usable WebAssembly component: {reason}; build it with task-sdk, or for the world worker-task of wit/"
    )]
    Invalid {
        /// The component's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest beside a component is none.
    #[error(
        "{path}: {reason}; correct that line, or remove the file: the component then asks for all that it imports"
    )]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The component, or the manifest beside it, is being replaced.
    #[error("{path}: it was replaced again and again while it was read; try again")]
    Changing {
        /// The component's file.
        path: PathBuf,
    },
    /// It was not compiled ahead, and this build cannot compile.
    #[error(
        "{path}: not compiled, and this build of task-runtime has no compiler; compile it with a full build: `task-runtime compile --into DIR`, and name the directory with TASK_RUNTIME_COMPILED"
    )]
    NotCompiled {
        /// The component's file.
        path: PathBuf,
    },
    /// The process that compiled it did not come to an end with it.
    #[error(
        "{path}: cannot be compiled: the compiler {reason}; `task-runtime compile` tries it where it can be seen"
    )]
    Compiler {
        /// The component's file.
        path: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// Compiled code cannot be written.
    #[error("{path}: {error}; name a directory that can be written")]
    Write {
        /// The file or its directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A component that is ready to be instantiated. All of it belongs together, whatever becomes of the file.
#[derive(Clone)]
pub struct LoadedComponent {
    /// Name of the task, as its file has it: in lower case, without `.wasm`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// What it says of itself and of its needs.
    pub manifest: Manifest,
    /// The compiled component.
    pub component: Component,
}

/// How often a component is read that is being replaced.
const ATTEMPTS: usize = 5;

/// A directory of compiled components.
#[derive(Debug, Clone, Default)]
pub struct ComponentCache {
    directory: Option<PathBuf>,
    shipped: Option<PathBuf>,
    compiler: Option<CompilerProcess>,
}

impl ComponentCache {
    /// A cache in this directory, which is created when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
            ..Self::default()
        }
    }

    /// No cache: every load compiles.
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks also in this directory of shipped code, if only root or this user can have written it.
    pub fn with_shipped(mut self, directory: &Path) -> Self {
        self.shipped = Some(directory.to_owned());
        self
    }

    /// What is to be compiled is compiled in a process of its own, whose memory goes with it. If there can be none, or the cache cannot keep
    /// what it has compiled, this one does it.
    pub fn compiling_in(mut self, process: CompilerProcess) -> Self {
        self.compiler = Some(process);
        self
    }

    /// Loads a component, compiling it if there is no usable code for it.
    pub fn load(&self, engine: &Engine, path: &Path) -> Result<LoadedComponent, CacheError> {
        for _ in 0..ATTEMPTS {
            let before = sighting::look(path);
            let (component, digest, own) = self.load_code(engine, path)?;
            let manifest = Manifest::resolve(path, &own, || digest.clone())?;
            // A manifest beside it may be that of a component which has come meanwhile.
            if own.is_there() || sighting::look(path) == before {
                let name = path.file_stem().unwrap_or_default();
                return Ok(LoadedComponent {
                    name: name.to_string_lossy().to_lowercase(),
                    path: path.to_owned(),
                    digest,
                    manifest,
                    component,
                });
            }
        }
        Err(CacheError::Changing {
            path: path.to_owned(),
        })
    }

    /// The code of a component, the digest of the bytes that it was made of, and the manifest in these.
    fn load_code(
        &self,
        engine: &Engine,
        path: &Path,
    ) -> Result<(Component, String, OwnText), CacheError> {
        let directory = self.private_directory();
        let recalled = directory.and_then(|directory| recall(directory, path));
        if let Some((digest, own)) = &recalled
            && let Some(component) = self.known(engine, digest, directory)
        {
            return Ok((component, digest.clone(), own.clone()));
        }
        let contents = read(path)?;
        let own = OwnText::of(&contents.bytes).map_err(|reason| invalid(path, reason))?;
        if let Some(directory) = directory {
            contents.remember(directory, path, &own.words());
        }
        if recalled.is_none_or(|(digest, _)| digest != contents.digest)
            && let Some(component) = self.known(engine, &contents.digest, directory)
        {
            return Ok((component, contents.digest, own));
        }
        if let Some(directory) = directory
            && self.compile_apart(path, directory)?
            && let Some(component) = self.known(engine, &contents.digest, Some(directory))
        {
            return Ok((component, contents.digest, own));
        }
        let code = compile(path, &contents.bytes, Target::ThisMachine)?;
        if let Some(directory) = directory
            && let Err(error) = keep(&code, directory, &contents.digest)
        {
            tracing::warn!(
                "{}: cannot keep compiled code: {error}; every start will compile anew",
                directory.display()
            );
        }
        let loaded = native_code::load(engine.wasmtime(), &code);
        let component = loaded.map_err(|error| invalid(path, format!("{error:#}")))?;
        Ok((component, contents.digest, own))
    }

    /// Has a component compiled in a process of its own, if there is to be one; false if there is none.
    fn compile_apart(&self, path: &Path, directory: &Path) -> Result<bool, CacheError> {
        let compiler = self.compiler.as_ref().filter(|_| compiler::AVAILABLE);
        let Some(compiler) = compiler else {
            return Ok(false);
        };
        let shown = path.display();
        match compiler.compile(path, directory) {
            Ok(process) => {
                tracing::debug!("{shown}: compiled by process {process}");
                Ok(true)
            }
            Err(Failure::Invalid(reason)) => Err(invalid(path, reason)),
            Err(Failure::Ended(reason)) => Err(CacheError::Compiler {
                path: path.to_owned(),
                reason,
            }),
            Err(Failure::Unavailable(why)) => {
                tracing::warn!("{shown}: compiled in this process, which it makes larger: {why}");
                Ok(false)
            }
        }
    }

    /// Compiles a component into this cache, and loads nothing.
    pub(super) fn compile_and_keep(&self, path: &Path) -> Result<(), CacheError> {
        let directory = self.directory.as_deref().unwrap_or(Path::new("."));
        let contents = read(path)?;
        let code = compile(path, &contents.bytes, Target::ThisMachine)?;
        keep(&code, directory, &contents.digest).map_err(|error| CacheError::Write {
            path: directory.to_owned(),
            error,
        })
    }

    /// Loads a component if that needs no compiling: none if there is no usable code for it.
    pub fn load_compiled(
        &self,
        engine: &Engine,
        path: &Path,
    ) -> Result<Option<Component>, CacheError> {
        let directory = self.private_directory();
        let recalled = directory.and_then(|directory| recall(directory, path));
        let digest = match recalled {
            Some((digest, _)) => digest,
            None => read(path)?.digest,
        };
        Ok(self.known(engine, &digest, directory))
    }

    /// Compiles a component ahead of its use; true if there was something to do.
    pub fn compile(&self, engine: &Engine, path: &Path) -> Result<bool, CacheError> {
        if self.load_compiled(engine, path)?.is_some() {
            return Ok(false);
        }
        self.load(engine, path)?;
        Ok(true)
    }

    /// Compiles a component into a directory that is to be shipped, for any machine of this architecture.
    pub fn compile_into(path: &Path, directory: &Path) -> Result<(), CacheError> {
        let contents = read(path)?;
        let code = compile(path, &contents.bytes, Target::ThisArchitecture)?;
        let target = compiled_path(directory, &contents.digest);
        std::fs::create_dir_all(directory)
            .and_then(|()| code::store(&code, &target, 0o644, None))
            .map_err(|error| CacheError::Write {
                path: target,
                error,
            })
    }

    /// Code that is there already, in the user's own directory or shipped.
    fn known(&self, engine: &Engine, digest: &str, own: Option<&Path>) -> Option<Component> {
        let load = |directory| code::load(engine, &compiled_path(directory, digest), own);
        own.and_then(load)
            .or_else(|| self.shipped.as_deref().and_then(load))
    }

    /// The user's own directory, made and closed to others; none if there is none, or it cannot be had.
    fn private_directory(&self) -> Option<&Path> {
        let directory = self.directory.as_deref()?;
        if let Err(reason) = code::ensure_private(directory) {
            tracing::warn!("{}: not used as a cache: {reason}", directory.display());
            return None;
        }
        Some(directory)
    }
}

fn keep(code: &[u8], directory: &Path, digest: &str) -> io::Result<()> {
    let target = compiled_path(directory, digest);
    code::store(code, &target, 0o600, Some(directory))
}

fn compiled_path(directory: &Path, digest: &str) -> PathBuf {
    let architecture = std::env::consts::ARCH;
    directory.join(format!("{digest}-{GENERATION}-{architecture}.cwasm"))
}

/// What is remembered of a component: its digest, and its own manifest.
fn recall(memory: &Path, path: &Path) -> Option<(String, OwnText)> {
    let recalled = sighting::recall(memory, path)?;
    Some((recalled.digest, OwnText::from_words(&recalled.words)?))
}

fn read(path: &Path) -> Result<Contents, CacheError> {
    Contents::read(path).map_err(|error| CacheError::Read {
        path: path.to_owned(),
        error,
    })
}

fn invalid(path: &Path, reason: String) -> CacheError {
    CacheError::Invalid {
        path: path.to_owned(),
        reason,
    }
}

fn compile(path: &Path, bytes: &[u8], target: Target) -> Result<Vec<u8>, CacheError> {
    if !compiler::AVAILABLE {
        return Err(CacheError::NotCompiled {
            path: path.to_owned(),
        });
    }
    compiler::compile(bytes, target).map_err(|reason| invalid(path, reason))
}
