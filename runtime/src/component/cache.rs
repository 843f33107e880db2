//! Compiled components, kept by the digest of their bytes and the engine that compiled them.
//!
//! What is kept is native code: the directory is the user's own (0700), and nothing in it ever comes from the author of a task.

use super::engine::Engine;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

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
}

/// A directory of compiled components.
#[derive(Debug, Clone)]
pub struct ComponentCache {
    directory: Option<PathBuf>,
}

impl ComponentCache {
    /// A cache in this directory, which is created when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
        }
    }

    /// No cache: every load compiles.
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// Loads a component, compiling it if the cache has no usable code for it.
    pub fn load(&self, engine: &Engine, path: &Path) -> Result<Component, CacheError> {
        let bytes = read(path)?;
        let Some(compiled) = self.compiled_path(engine, &bytes) else {
            return compile_only(engine, path, &bytes);
        };
        if let Some(component) = load_compiled(engine, &compiled) {
            return Ok(component);
        }
        let component = compile_only(engine, path, &bytes)?;
        if let Err(error) = store(&component, &compiled) {
            tracing::warn!(
                "{}: cannot keep compiled code: {error}; every start will compile anew",
                compiled.display()
            );
        }
        Ok(component)
    }

    /// Compiles a component ahead of its use; true if there was something to do.
    pub fn compile(&self, engine: &Engine, path: &Path) -> Result<bool, CacheError> {
        let bytes = read(path)?;
        let known = self
            .compiled_path(engine, &bytes)
            .is_some_and(|compiled| load_compiled(engine, &compiled).is_some());
        if !known {
            self.load(engine, path)?;
        }
        Ok(!known)
    }

    /// Where the compiled form of these bytes belongs; none without a private directory.
    fn compiled_path(&self, engine: &Engine, bytes: &[u8]) -> Option<PathBuf> {
        let directory = self.directory.as_ref()?;
        if let Err(reason) = ensure_private(directory) {
            tracing::warn!("{}: not used as a cache: {reason}", directory.display());
            return None;
        }
        let digest = Sha256::digest(bytes);
        let mut name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut compatibility = std::hash::DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut compatibility);
        name.push_str(&format!("-{:016x}.cwasm", compatibility.finish()));
        Some(directory.join(name))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CacheError> {
    std::fs::read(path).map_err(|error| CacheError::Read {
        path: path.to_owned(),
        error,
    })
}

/// The directory exists, is ours, and nobody else can write code into it.
fn ensure_private(directory: &Path) -> Result<(), String> {
    // Only the directory itself is private: its parents may hold what others must reach.
    let parent = directory.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.to_string()),
        _ => {}
    }
    let found = directory.metadata().map_err(|error| error.to_string())?;
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

fn load_compiled(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.exists() {
        return None;
    }
    match super::native_code::deserialize(engine.wasmtime(), path) {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(
                "{}: stale or damaged, compiling anew: {error}",
                path.display()
            );
            None
        }
    }
}

fn compile_only(engine: &Engine, path: &Path, bytes: &[u8]) -> Result<Component, CacheError> {
    let invalid = |reason: String| CacheError::Invalid {
        path: path.to_owned(),
        reason,
    };
    let encoded;
    let bytes = if is_core_module(bytes) {
        encoded = encode(bytes).map_err(invalid)?;
        &encoded
    } else {
        bytes
    };
    Component::from_binary(engine.wasmtime(), bytes).map_err(|error| invalid(format!("{error:#}")))
}

/// A core module starts with version 1 of the binary format, a component with layer 1.
pub(super) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Makes a component of a core module that carries its WIT, as toolchains without a component linker leave it.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("a core module that cannot be made a component: {error:#}"))
}

/// Written aside, synced, renamed: a half-written file never has the name of a whole one.
fn store(component: &Component, target: &Path) -> io::Result<()> {
    let code = component.serialize().map_err(io::Error::other)?;
    let directory = target.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::Builder::new()
        .prefix(".compiled-")
        .tempfile_in(directory)?;
    aside.write_all(&code)?;
    aside.as_file().sync_all()?;
    aside.persist(target)?;
    Ok(())
}
