//! Compiled components, kept by the digest of their bytes.
//!
//! What is kept is native code: the directory is the user's own (0700), and nothing in it ever comes from the author of a task. Code that
//! the system's administrator shipped with the tasks lies in a second directory, which only root or the user can write.

use super::compiler::{self, Target};
use super::engine::Engine;
use super::native_code;
use super::sighting::{self, Contents};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

/// Part of the names of compiled files: raised when the engine's version or settings change, so that two versions of this program do not
/// overwrite each other's code. (What does not fit is noticed in any case, when it is loaded.)
const GENERATION: &str = concat!("48-1-", env!("CARGO_PKG_VERSION"));

/// Why a component cannot be compiled or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
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
    /// It was not compiled ahead, and this build cannot compile.
    #[error(
        "{path}: not compiled, and this build of task-runtime has no compiler; compile it with a full build: `task-runtime compile --into DIR`, and name the directory with TASK_RUNTIME_COMPILED"
    )]
    NotCompiled {
        /// The component's file.
        path: PathBuf,
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

/// A directory of compiled components.
#[derive(Debug, Clone, Default)]
pub struct ComponentCache {
    directory: Option<PathBuf>,
    shipped: Option<PathBuf>,
}

impl ComponentCache {
    /// A cache in this directory, which is created when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
            shipped: None,
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

    /// Loads a component, compiling it if there is no usable code for it. With it comes the SHA-256 of its file, in hexadecimal digits.
    pub fn load(&self, engine: &Engine, path: &Path) -> Result<(Component, String), CacheError> {
        let directory = self.private_directory();
        if let Some(directory) = directory
            && let Some(digest) = sighting::recall(directory, path)
            && let Some(component) = self.known(engine, &digest)
        {
            return Ok((component, digest));
        }
        let contents = read(path)?;
        if let Some(directory) = directory {
            contents.remember(directory, path);
        }
        if let Some(component) = self.known(engine, &contents.digest) {
            return Ok((component, contents.digest));
        }
        let code = compile(path, &contents.bytes, Target::ThisMachine)?;
        if let Some(directory) = directory
            && let Err(error) = store(&code, &compiled_path(directory, &contents.digest))
        {
            tracing::warn!(
                "{}: cannot keep compiled code: {error}; every start will compile anew",
                directory.display()
            );
        }
        let loaded = native_code::load(engine.wasmtime(), &code);
        let component = loaded.map_err(|error| invalid(path, format!("{error:#}")))?;
        Ok((component, contents.digest))
    }

    /// Loads a component if that needs no compiling: none if there is no usable code for it.
    pub fn load_compiled(
        &self,
        engine: &Engine,
        path: &Path,
    ) -> Result<Option<Component>, CacheError> {
        let recalled = self
            .private_directory()
            .and_then(|directory| sighting::recall(directory, path));
        let digest = match recalled {
            Some(digest) => digest,
            None => read(path)?.digest,
        };
        Ok(self.known(engine, &digest))
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
            .and_then(|()| store(&code, &target))
            .and_then(|()| {
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644))
            })
            .map_err(|error| CacheError::Write {
                path: target,
                error,
            })
    }

    /// Code that is there already, the user's own or shipped.
    fn known(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let own = self
            .directory
            .as_deref()
            .and_then(|directory| load_compiled(engine, &compiled_path(directory, digest)));
        own.or_else(|| {
            let path = compiled_path(self.shipped.as_deref()?, digest);
            check_shipped(&path)
                .inspect_err(|why| tracing::warn!("{}: not loaded: {why}", path.display()))
                .ok()?
                .then(|| load_compiled(engine, &path))?
        })
    }

    /// The user's own directory, made and closed to others; none if there is none, or it cannot be had.
    fn private_directory(&self) -> Option<&Path> {
        let directory = self.directory.as_deref()?;
        if let Err(reason) = ensure_private(directory) {
            tracing::warn!("{}: not used as a cache: {reason}", directory.display());
            return None;
        }
        Some(directory)
    }
}

fn compiled_path(directory: &Path, digest: &str) -> PathBuf {
    let architecture = std::env::consts::ARCH;
    directory.join(format!("{digest}-{GENERATION}-{architecture}.cwasm"))
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

/// The directory exists, is ours, and nobody else can write code into it.
fn ensure_private(directory: &Path) -> Result<(), String> {
    let found = match directory.metadata() {
        Ok(found) => found,
        Err(_) => make_private(directory).map_err(|error| error.to_string())?,
    };
    let me = nix::unistd::geteuid().as_raw();
    if found.uid() != me {
        return Err(format!("it belongs to user {}, not to {me}", found.uid()));
    }
    if found.permissions().mode() & 0o077 != 0 {
        let ours = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory, ours).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn make_private(directory: &Path) -> io::Result<std::fs::Metadata> {
    // Only the directory itself is private: its parents may hold what others must reach.
    let parent = directory.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    directory.metadata()
}

/// Whether shipped code is there; an error if somebody else than root or this user may have written it.
fn check_shipped(path: &Path) -> Result<bool, String> {
    let Ok(file) = path.symlink_metadata() else {
        return Ok(false);
    };
    let directory = path.parent().and_then(|it| it.metadata().ok());
    let me = nix::unistd::geteuid().as_raw();
    for found in directory.iter().chain([&file]) {
        if found.uid() != 0 && found.uid() != me {
            return Err(format!("it belongs to user {}", found.uid()));
        }
        if found.permissions().mode() & 0o022 != 0 {
            return Err("others than its owner can write it; `chmod go-w` it".to_owned());
        }
    }
    Ok(directory.is_some() && file.is_file())
}

fn load_compiled(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.exists() {
        return None;
    }
    match native_code::load_file(engine.wasmtime(), path) {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!("{}: stale or damaged: {error}", path.display());
            None
        }
    }
}

/// Written aside, synced, renamed: a half-written file never has the name of a whole one.
fn store(code: &[u8], target: &Path) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::Builder::new()
        .prefix(".compiled-")
        .tempfile_in(directory)?;
    aside.write_all(code)?;
    aside.as_file().sync_all()?;
    aside.persist(target)?;
    Ok(())
}
