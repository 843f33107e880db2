//! What a component exports and imports, read from its bytes: nothing is compiled or run.

use super::cache::CacheError;
use super::compiler;
use super::manifest::Manifest;
use std::path::Path;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldItem, WorldKey};

/// The interfaces of a component.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Interface {
    /// What it needs from its host.
    pub imports: Vec<Import>,
    /// What it offers, e.g. `debusine:task/scheduling@0.1.0`.
    pub exports: Vec<String>,
}

/// One imported interface.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Import {
    /// Its full name, e.g. `debusine:task/files@0.1.0`.
    pub name: String,
    /// The functions of it that are imported.
    pub functions: Vec<String>,
}

/// Reads the imports and exports of the component in a file.
pub fn inspect(path: &Path) -> Result<Interface, CacheError> {
    interface(path, &read(path)?)
}

/// The same with its manifest, both of the same bytes.
pub fn inspect_with_manifest(path: &Path) -> Result<(Interface, Manifest), CacheError> {
    let bytes = read(path)?;
    Ok((interface(path, &bytes)?, Manifest::of_bytes(path, &bytes)?))
}

fn read(path: &Path) -> Result<Vec<u8>, CacheError> {
    std::fs::read(path).map_err(|error| CacheError::Read {
        path: path.to_owned(),
        error,
    })
}

fn interface(path: &Path, bytes: &[u8]) -> Result<Interface, CacheError> {
    inspect_bytes(bytes).map_err(|reason| CacheError::Invalid {
        path: path.to_owned(),
        reason,
    })
}

fn inspect_bytes(bytes: &[u8]) -> Result<Interface, String> {
    if !bytes.starts_with(b"\0asm") {
        return Err("it does not begin as WebAssembly does".to_owned());
    }
    let encoded;
    let bytes = if compiler::is_core_module(bytes) {
        encoded = compiler::encode(bytes)?;
        &encoded
    } else {
        bytes
    };
    let DecodedWasm::Component(resolve, world) =
        decode(bytes).map_err(|error| format!("{error:#}"))?
    else {
        return Err("a WIT package, not a component".to_owned());
    };
    let world = &resolve.worlds[world];
    let imports = world
        .imports
        .iter()
        .filter(|(_, item)| !matches!(item, WorldItem::Type { .. }))
        .map(|(key, item)| Import {
            name: name(&resolve, key),
            functions: functions(&resolve, item),
        });
    Ok(Interface {
        imports: imports.collect(),
        exports: world
            .exports
            .keys()
            .map(|key| name(&resolve, key))
            .collect(),
    })
}

fn name(resolve: &Resolve, key: &WorldKey) -> String {
    resolve.name_world_key(key)
}

fn functions(resolve: &Resolve, item: &WorldItem) -> Vec<String> {
    match item {
        WorldItem::Interface { id, .. } => {
            resolve.interfaces[*id].functions.keys().cloned().collect()
        }
        WorldItem::Function(function) => vec![function.name.clone()],
        WorldItem::Type { .. } => Vec::new(),
    }
}
