//! What a run exchanges with its host: artifacts, logs, downloads, facts of the machine.
//!
//! Numbers of artifacts are `i64` in models and here, and unsigned on the wire; no store gives out a negative one.

use crate::artifacts::{Category, Draft};
use crate::bindings::debusine::task::artifacts as wit;
use crate::failure::{Failure, Result, from_host};
use crate::files::Directory;
use crate::host;
use serde_json::Value;

pub use crate::bindings::debusine::task::types::RelationType;
pub use wit::ArtifactFile;

/// An artifact that exists.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its number.
    pub id: i64,
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
    /// Its files, in the order of its store.
    pub files: Vec<ArtifactFile>,
}

impl Artifact {
    /// What is known of an artifact; nothing is downloaded.
    pub fn get(id: i64) -> Result<Self> {
        Self::from_wit(host::artifacts::get(id as u64).map_err(from_host)?)
    }

    /// Downloads all files of an artifact, and counts it among the inputs.
    pub fn fetch(id: i64, into: &Directory) -> Result<Self> {
        Self::from_wit(host::artifacts::fetch(id as u64, &into.0).map_err(from_host)?)
    }

    /// Whether it has one of these categories. If not, the log of the stage says so: `field` is where the data name it.
    pub fn is_accepted(&self, field: &str, categories: &[Category]) -> Result<bool> {
        let names: Vec<&str> = categories.iter().map(|known| known.as_str()).collect();
        if names.contains(&self.category.as_str()) {
            return Ok(true);
        }
        let line = format!(
            "{field}: artifact {} is a {}, expected {}\n",
            self.id,
            self.category,
            names.join(" or ")
        );
        append_to_log("fetch_input.log", &line)?;
        Ok(false)
    }

    /// The paths of its files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    fn from_wit(artifact: wit::Artifact) -> Result<Self> {
        Ok(Self {
            id: artifact.id as i64,
            category: artifact.category,
            data: serde_json::from_str(&artifact.data)?,
            files: artifact.files,
        })
    }
}

/// Numbers of the artifacts fetched so far, in order, with repetitions.
pub fn fetched_artifacts() -> Vec<i64> {
    let fetched = host::artifacts::fetched();
    fetched.into_iter().map(|id| id as i64).collect()
}

/// Stores an artifact whose files are in `directory`; gives its number.
pub fn upload(draft: Draft, directory: &Directory) -> Result<i64> {
    let files = draft.files.into_iter();
    let artifact = wit::NewArtifact {
        category: draft.category.as_str().to_owned(),
        data: draft.data.to_string(),
        files: files
            .map(|file| wit::NewFile {
                path: file.path,
                source: file.source,
            })
            .collect(),
    };
    let id = host::artifacts::upload(&artifact, &directory.0).map_err(from_host)?;
    Ok(id as i64)
}

/// Records that the artifact `from` has a relation to the artifact `to`.
pub fn relate(from: i64, to: i64, kind: RelationType) -> Result<()> {
    let relation = wit::Relation {
        from: from as u64,
        to: to as u64,
        type_: kind,
    };
    host::artifacts::relate(relation).map_err(from_host)
}

/// Numbers of the artifacts to which an artifact has a relation of this kind, in order.
pub fn related(from: i64, kind: RelationType) -> Result<Vec<i64>> {
    let relations = host::artifacts::relations_from(from as u64).map_err(from_host)?;
    let matching = relations
        .into_iter()
        .filter(|relation| relation.type_ == kind);
    Ok(matching.map(|relation| relation.to as i64).collect())
}

/// Appends text to a log file of the task.
pub fn append_to_log(name: &str, text: &str) -> Result<()> {
    host::logs::append(name, text).map_err(from_host)
}

/// Makes a copy of a file a log file of the task.
pub fn copy_to_log(name: &str, from: &Directory, source: &str) -> Result<()> {
    host::logs::copy(name, &from.0, source).map_err(from_host)
}

/// Fetches a URL to a new file of at most `at_most` bytes.
pub fn fetch_url(url: &str, into: &Directory, target: &str, at_most: u64) -> Result<()> {
    host::http::fetch(url, &into.0, target, at_most).map_err(from_host)
}

/// Whether the worker has a program of this name.
pub fn command_available(name: &str) -> bool {
    host::host_facts::command_available(name)
}

/// A variable of the worker's environment (`PATH`, `DEB_BUILD_OPTIONS`).
pub fn environment_variable(name: &str) -> Option<String> {
    host::host_facts::environment_variable(name)
}

/// Whether the worker's `/etc/resolv.conf` is a file.
pub fn host_has_resolv_conf() -> bool {
    host::host_facts::has_resolv_conf()
}

/// Whether the run is being aborted; commands end by themselves then.
pub fn is_aborted() -> bool {
    host::abort::is_aborted()
}

/// An answer that must be there.
pub fn required<T>(value: Option<T>, what: &str) -> Result<T> {
    value.ok_or_else(|| Failure::new("missing", format!("{what} is missing")))
}
