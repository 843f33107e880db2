//! The rules for paths of files within an artifact.

use super::failure::{Failure, Outcome};
use crate::artifacts::NewFile;
use std::collections::BTreeSet;

/// The longest name that Linux file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// A path must be relative and lead nowhere but down, whatever directory it is applied to.
pub(super) fn check(path: &str) -> Outcome<()> {
    let why = if path.contains('\0') {
        "it contains a NUL"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty, `.` or `..` part"
    } else if path.split('/').any(|part| part.len() > LONGEST_NAME) {
        "one of its parts is longer than 255 bytes"
    } else {
        return Ok(());
    };
    Err(Failure::invalid(format!(
        "file {path:?} of the new artifact: {why}; use a relative path such as `directory/name`"
    )))
}

/// No path twice, and no path that would have to be a file and a directory.
pub(super) fn check_all(files: &[NewFile]) -> Outcome<()> {
    let mut paths = BTreeSet::new();
    for file in files {
        check(&file.path)?;
        if !paths.insert(file.path.as_str()) {
            return Err(Failure::invalid(format!(
                "file {:?} of the new artifact: given twice; give each path once",
                file.path
            )));
        }
    }
    let parents =
        |path: &'_ str| -> Vec<usize> { path.match_indices('/').map(|(at, _)| at).collect() };
    for path in &paths {
        if let Some(at) = parents(path)
            .into_iter()
            .find(|at| paths.contains(&path[..*at]))
        {
            return Err(Failure::invalid(format!(
                "file {path:?} of the new artifact: {:?} is a file too; rename one of them",
                &path[..at]
            )));
        }
    }
    Ok(())
}
