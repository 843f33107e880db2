//! Loading compiled code: the one unsafe step of this room.

use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps the compiled component in this file, which only this user can have written.
pub fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is native code that will run as it is. The cache directory is private to this user (owner and mode are
    // checked before each use), is filled by `ComponentCache` alone from `Component::serialize`, and wasmtime checks that the
    // code was made by the same version with the same settings.
    unsafe { Component::deserialize_file(engine, path) }
}
