//! Trees of files as vectors write them: a path, and what is there.

use base64::Engine as _;
use serde_json::Value;
use std::io;
use std::path::{Component, Path};

/// Writes a tree beneath a directory. An absent tree is empty.
pub fn write(directory: &Path, tree: &Value, files: &Path) -> io::Result<()> {
    for (path, content) in tree.as_object().into_iter().flatten() {
        let mut steps = Path::new(path).components();
        if !steps.all(|step| matches!(step, Component::Normal(_) | Component::CurDir)) {
            return Err(io::Error::other(format!(
                "a tree has {path:?}, which is not beneath it"
            )));
        }
        write_entry(&directory.join(path), content, files)?;
    }
    Ok(())
}

/// Writes one file, directory or symbolic link, with the directories that lead to it.
pub fn write_entry(path: &Path, content: &Value, files: &Path) -> io::Result<()> {
    if content["dir"] == true {
        return std::fs::create_dir_all(path);
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match content["symlink"].as_str() {
        Some(target) => std::os::unix::fs::symlink(target, path),
        None => std::fs::write(path, bytes(content, files)?),
    }
}

/// The bytes of a file: text, `{"b64": …}`, or `{"file": …}` naming one of the folder's files.
pub fn bytes(content: &Value, files: &Path) -> io::Result<Vec<u8>> {
    if let Some(text) = content.as_str() {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(encoded) = content["b64"].as_str() {
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
        return decoded.map_err(io::Error::other);
    }
    match content["file"].as_str() {
        Some(name) => std::fs::read(files.join(name)),
        None => Err(io::Error::other(format!(
            "not the content of a file: {content}"
        ))),
    }
}
