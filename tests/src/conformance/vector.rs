//! Vectors as they are stored: one JSON object a line, one file a task.

use serde::Deserialize;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// One recorded operation.
#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    /// Its name: `task/operation/digest`.
    pub id: String,
    /// The task; `_common` for what belongs to none, `_all` for all together.
    pub task: String,
    /// The operation.
    pub op: String,
    /// Whether it hinges on odd coercions.
    pub level: Level,
    /// What goes in.
    #[serde(rename = "in")]
    pub input: Value,
    /// What the reference gave out.
    #[serde(rename = "out")]
    pub output: Value,
}

/// Vectors about odd coercions are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What tasks are made of.
    Core,
    /// Odd coercions.
    Exotic,
}

/// Vectors, and the binary files that they name.
#[derive(Debug, Clone)]
pub struct Folder {
    /// All of them, in the order of their files.
    pub vectors: Vec<Vector>,
    /// Directory of the binary files.
    pub files: PathBuf,
}

/// Why vectors cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or directory cannot be read.
    #[error("{path}: {error}; give a folder that holds vectors/*.jsonl and files/")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A line is no vector.
    #[error("{path}:{line}: not a vector: {error}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// There is nothing to run.
    #[error("{0}: no vectors; give a folder that holds vectors/*.jsonl and files/")]
    Empty(PathBuf),
}

impl Folder {
    /// Reads `vectors/*.jsonl` of a folder.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        Self::of_files(folder, &vector_files(&folder.join("vectors"))?)
    }

    /// Reads only the file of this name, as [`names`](Self::names) tells it.
    pub fn open_one(folder: &Path, name: &str) -> Result<Self, FolderError> {
        let file = folder.join("vectors").join(format!("{name}.jsonl"));
        Self::of_files(folder, &[file])
    }

    fn of_files(folder: &Path, paths: &[PathBuf]) -> Result<Self, FolderError> {
        let mut vectors = Vec::new();
        for path in paths {
            vectors.extend(read(path)?);
        }
        if vectors.is_empty() {
            return Err(FolderError::Empty(folder.to_owned()));
        }
        let files = folder.join("files");
        Ok(Self { vectors, files })
    }

    /// The names of the files in a folder's `vectors/`, each without its ending: one for each task.
    pub fn names(folder: &Path) -> Result<Vec<String>, FolderError> {
        let paths = vector_files(&folder.join("vectors"))?;
        let stem = |path: &PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
        Ok(paths.iter().filter_map(stem).collect())
    }
}

/// The vectors of one file.
fn read(path: &Path) -> Result<Vec<Vector>, FolderError> {
    let text = std::fs::read_to_string(path).map_err(|error| FolderError::Read {
        path: path.to_owned(),
        error,
    })?;
    let parsed = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| FolderError::Line {
            path: path.to_owned(),
            line: index + 1,
            error,
        })
    });
    parsed.collect()
}

fn vector_files(directory: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let failed = |error| FolderError::Read {
        path: directory.to_owned(),
        error,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
