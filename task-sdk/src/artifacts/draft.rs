//! Artifacts that are about to be stored.

use super::{ArtifactError, Category, Directory, FileOf, FilesError, check};
use crate::debian::read_at::ReadAt;
use crate::paths;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;

/// An artifact that a task wants to be stored. It has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its category.
    pub category: Category,
    /// Its data in normal form, an object.
    pub data: Value,
    /// Its files, in the order in which they were given.
    pub files: Vec<DraftFile>,
}

/// A file of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftFile {
    /// Its path within the artifact.
    pub path: String,
    /// Its path beneath the directory that the draft was made from.
    pub source: String,
}

impl DraftFile {
    /// A file that is called in the artifact what it is called in its own directory.
    pub fn by_name(source: &str) -> Self {
        Self {
            path: paths::file_name(source).to_owned(),
            source: source.to_owned(),
        }
    }
}

impl Draft {
    /// Checks an artifact whose files lie beneath `directory`: names, that each file is there, data, rules of the category.
    pub fn new(
        directory: &dyn Directory,
        category: Category,
        data: &Value,
        files: Vec<DraftFile>,
    ) -> Result<Self, ArtifactError> {
        let mut sources = BTreeMap::new();
        for file in &files {
            paths::check(&file.path)?;
            paths::check(&file.source)?;
            if sources
                .insert(file.path.as_str(), file.source.as_str())
                .is_some()
            {
                return Err(FilesError::Twice(file.path.clone()).into());
            }
        }
        let contents = Contents { directory, sources };
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let data = check(category.as_str(), data, &names, Some(&contents))?;
        for file in &files {
            let path = file.source.as_str();
            let found = FileOf { directory, path }.size();
            found.map_err(|source| ArtifactError::Read {
                file: file.source.clone(),
                source,
            })?;
        }
        Ok(Self {
            category,
            data,
            files,
        })
    }
}

/// The files of a draft by their paths within the artifact.
struct Contents<'a> {
    directory: &'a dyn Directory,
    sources: BTreeMap<&'a str, &'a str>,
}

impl Contents<'_> {
    fn source(&self, path: &str) -> io::Result<&str> {
        let source = self.sources.get(path).copied();
        source.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for Contents<'_> {
    fn size(&self, path: &str) -> io::Result<u64> {
        self.directory.size(self.source(path)?)
    }

    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.directory.read_at(self.source(path)?, offset, buffer)
    }
}
