//! Loading compiled code: the one unsafe step of this room.

use std::path::Path;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps the compiled component in this file, which only this user or root can have written.
pub fn load_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file is native code that will run as it is. Its only caller is `code::load`, which has just checked that only this user or
    // root can have written file and directory, and that the bytes are those that were written; files are replaced by renaming, never
    // changed. wasmtime checks that the code was made by the same version with the same settings.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Loads code that the compiler has just made.
pub fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the only caller passes the bytes on as `compiler::compile` returned them.
    unsafe { Component::deserialize(engine, code) }
}
