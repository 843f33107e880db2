//! What a test sets up before a run, and looks at afterwards.

use super::imports::files::Directory;
use crate::exchange::RelationType;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

/// A world: artifacts, answers to look-ups and URLs, and what commands do.
#[derive(Default)]
pub struct World {
    pub(super) artifacts: BTreeMap<u64, ScriptedArtifact>,
    pub(super) lookups: Vec<(Value, Vec<u64>)>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) urls: BTreeMap<String, Vec<u8>>,
    pub(super) programs: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) script: Vec<(String, Ended)>,
    pub(super) logs: BTreeMap<String, String>,
    pub(super) ran: Vec<RanCommand>,
    pub(super) fetched: Vec<u64>,
    pub(super) uploads: Vec<UploadedArtifact>,
    pub(super) relations: Vec<(i64, i64, RelationType)>,
    pub(super) known_relations: Vec<(i64, i64, RelationType)>,
    directory: Option<Arc<TempDir>>,
}

pub(super) struct ScriptedArtifact {
    pub(super) category: String,
    pub(super) data: Value,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// A command that the task ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanCommand {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// Whether it ran as root.
    pub as_root: bool,
    /// Whether it ran in the instance.
    pub in_instance: bool,
}

/// An artifact that the task uploaded.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadedArtifact {
    /// The number it got: 1001, 1002…
    pub id: i64,
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
    /// Its files: path within the artifact, content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// How a scripted command ends.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// What it writes to standard output.
    pub stdout: String,
    /// The files it leaves in its working directory: name, content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether it writes its standard input to standard output, like a filter that finds nothing to filter out.
    pub passes_input: bool,
}

/// The directories of a run.
pub(super) struct Directories {
    pub(super) download: Directory,
    pub(super) execute: Directory,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

impl World {
    /// An empty world: no artifacts, no programs; every command succeeds and says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an artifact.
    pub fn artifact(
        mut self,
        id: u64,
        category: &str,
        data: Value,
        files: &[(&str, &[u8])],
    ) -> Self {
        let files = files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.to_vec()));
        let artifact = ScriptedArtifact {
            category: category.to_owned(),
            data,
            files: files.collect(),
        };
        self.artifacts.insert(id, artifact);
        self
    }

    /// A look-up, in JSON, that names these artifacts.
    pub fn lookup(mut self, lookup: Value, artifacts: &[u64]) -> Self {
        self.lookups.push((lookup, artifacts.to_vec()));
        self
    }

    /// A relation that is there before the run: how the first artifact refers to the second.
    pub fn relation(mut self, from: i64, to: i64, kind: RelationType) -> Self {
        self.known_relations.push((from, to, kind));
        self
    }

    /// A setting of the server.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What a URL answers.
    pub fn url(mut self, url: &str, content: impl Into<Vec<u8>>) -> Self {
        self.urls.insert(url.to_owned(), content.into());
        self
    }

    /// A program that the worker has.
    pub fn program(mut self, name: &str) -> Self {
        self.programs.push(name.to_owned());
        self
    }

    /// A variable of the worker's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What commands do whose arguments, joined by blanks, contain `pattern`: the first that fits counts.
    pub fn command(mut self, pattern: &str, ended: Ended) -> Self {
        self.script.push((pattern.to_owned(), ended));
        self
    }

    /// All relations, those of the run last.
    pub(super) fn all_relations(&self) -> impl Iterator<Item = &(i64, i64, RelationType)> {
        self.known_relations.iter().chain(&self.relations)
    }

    /// Makes this the world of the imports, on this thread, with fresh directories.
    pub(super) fn install(mut self) -> Directories {
        let made = Arc::new(tempfile::tempdir().expect("a temporary directory can be made"));
        let directories = Directories {
            download: Directory::made(made.path().join("download")),
            execute: Directory::made(made.path().join("execute")),
        };
        self.directory = Some(made);
        WORLD.replace(self);
        directories
    }

    /// Takes the world back, with what the run left in it.
    pub(super) fn uninstall() -> Self {
        WORLD.take()
    }

    /// Lends the world to an import.
    pub(super) fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        WORLD.with_borrow_mut(work)
    }
}
