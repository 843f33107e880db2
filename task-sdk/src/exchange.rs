//! Everything else that a run exchanges with its host: artifacts, logs, downloads, facts of the machine.

use crate::bindings::debusine::task::artifacts as wit;
use crate::failure::{Failure, Result, from_host};
use crate::files::Directory;
use crate::host;
use serde_json::Value;

pub use crate::bindings::debusine::task::types::RelationType;
pub use wit::{ArtifactFile, NewFile};

/// An artifact that exists.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its number.
    pub id: u64,
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
    /// Its files, ordered by path.
    pub files: Vec<ArtifactFile>,
}

impl Artifact {
    /// What is known of an artifact; nothing is downloaded.
    pub fn get(id: u64) -> Result<Self> {
        Self::from_wit(host::artifacts::get(id).map_err(from_host)?)
    }

    /// Downloads all files of an artifact, and counts it among the inputs.
    pub fn fetch(id: u64, into: &Directory) -> Result<Self> {
        Self::from_wit(host::artifacts::fetch(id, &into.0).map_err(from_host)?)
    }

    /// The paths of its files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    fn from_wit(artifact: wit::Artifact) -> Result<Self> {
        Ok(Self {
            id: artifact.id,
            category: artifact.category,
            data: serde_json::from_str(&artifact.data)?,
            files: artifact.files,
        })
    }
}

/// Numbers of the artifacts fetched so far, in order, with repetitions.
pub fn fetched_artifacts() -> Vec<u64> {
    host::artifacts::fetched()
}

/// Stores an artifact whose files are in `directory`; gives its number.
pub fn upload(artifact: crate::artifacts::NewArtifact, directory: &Directory) -> Result<u64> {
    let files = artifact.files.into_iter();
    let artifact = wit::NewArtifact {
        category: artifact.category,
        data: artifact.data.to_string(),
        files: files
            .map(|file| NewFile {
                path: file.path,
                source: file.source,
            })
            .collect(),
    };
    host::artifacts::upload(&artifact, &directory.0).map_err(from_host)
}

/// Records that the artifact `from` has a relation to the artifact `to`.
pub fn relate(from: u64, to: u64, kind: RelationType) -> Result<()> {
    let relation = wit::Relation {
        from,
        to,
        type_: kind,
    };
    host::artifacts::relate(relation).map_err(from_host)
}

/// Numbers of the artifacts to which an artifact has a relation of this kind, in order.
pub fn related(from: u64, kind: RelationType) -> Result<Vec<u64>> {
    let relations = host::artifacts::relations_from(from).map_err(from_host)?;
    let matching = relations.into_iter().filter(|relation| relation.type_ == kind);
    Ok(matching.map(|relation| relation.to).collect())
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
