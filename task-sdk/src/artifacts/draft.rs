//! Artifacts that are about to be stored.

use super::{ArtifactError, Category, Directory, FileOf, FilesError};
use crate::debian::read_at::ReadAt;
use crate::model::Model;
use crate::paths;
use serde_json::Value;
use std::collections::BTreeSet;

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
    ///
    /// Generic over the data, so that a component carries the model of its own artifacts only.
    pub(super) fn new<M: Model>(
        directory: &dyn Directory,
        category: Category,
        data: &M,
        files: Vec<DraftFile>,
    ) -> Result<Self, ArtifactError> {
        let mut known = BTreeSet::new();
        for file in &files {
            paths::check(&file.path)?;
            paths::check(&file.source)?;
            if !known.insert(file.path.as_str()) {
                return Err(FilesError::Twice(file.path.clone()).into());
            }
        }
        let data = M::parse(&data.to_json()).map_err(ArtifactError::Data)?;
        let data = data.to_json();
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        super::files::check(category, &data, &names)?;
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
