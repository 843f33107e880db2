//! Artifacts, their relations, and where they live: the store trait that the embedded store, a Debusine server and tests implement.

pub mod debusine;
pub mod local;
mod model;
mod wanted;

use async_trait::async_trait;
use serde_json::Value;
use std::fs::File;

pub use model::{Artifact, ArtifactFile, ArtifactId, NewArtifact, NewFile, Relation, RelationType};
pub(crate) use wanted::Wanted;

/// Why a store or a look-up could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such artifact, file, collection or work request.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for or given breaks a rule (category data, file names, a look-up's syntax).
    #[error("{0}")]
    Invalid(String),
    /// The stored bytes are not those that were stored: size or checksum differ.
    #[error("{0}")]
    Damaged(String),
    /// The disk, the database or the server failed; the words say which, and what to try.
    #[error("{0}")]
    Unavailable(String),
}

/// Where a task's artifacts come from and go to.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Category, data and list of files of an artifact.
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError>;

    /// Copies one file of an artifact to `target` (at its current position), verified by size and sha256 once it is whole.
    /// The bytes are streamed: memory does not grow with the file. On an error `target` holds an unspecified prefix.
    async fn fetch_file(&self, id: ArtifactId, path: &str, target: File) -> Result<(), StoreError>;

    /// Stores a new artifact with all its files, or nothing of it.
    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError>;

    /// Records that `relation.from` has a relation to `relation.to`. Recording it again changes nothing.
    async fn relate(&self, relation: Relation) -> Result<(), StoreError>;

    /// The relations that lead from an artifact to others, in the order in which they were recorded.
    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError>;
}

/// What a task may ask while its dynamic data are computed: the server's side of `compute-dynamic-data`.
///
/// Look-ups are JSON: a number (an artifact's id), text (`debian/match:codename=bookworm`) or, in multiple look-ups, objects.
#[async_trait]
pub trait TaskDatabase: Send + Sync {
    /// The one artifact that a single look-up names.
    async fn lookup_single(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Artifact, StoreError>;

    /// The artifacts that a multiple look-up names, in its order.
    async fn lookup_multiple(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Vec<Artifact>, StoreError>;

    /// The artifacts of `category` that have a relation of this type to one of `targets`.
    async fn related(
        &self,
        targets: &[ArtifactId],
        category: &str,
        relation: RelationType,
    ) -> Result<Vec<Artifact>, StoreError>;

    /// A setting of the server, e.g. `DEBUSINE_FQDN`.
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;
}
