//! `artifacts`: what a task takes in and what it leaves behind.

use super::bindings::debusine::task::artifacts::{
    self, Artifact, ArtifactFile, NewArtifact, Relation,
};
use super::files::DirectoryHandle;
use super::{Fault, HostState, Powers};
use crate::artifacts::{self as store, ArtifactId, StoreError};
use std::path::Path;
use wasmtime::component::Resource;

impl artifacts::Host for HostState {
    async fn get(&mut self, id: u64) -> Result<Artifact, Fault> {
        let powers = self.powers()?;
        let found = powers.artifacts.artifact(ArtifactId(id));
        Ok(described(until_abort(powers, found).await?))
    }

    async fn fetch(&mut self, id: u64, into: Resource<DirectoryHandle>) -> Result<Artifact, Fault> {
        let into = self.directory(&into)?;
        let powers = self.powers()?;
        let aborted = || Fault::new("aborted", format!("artifact {id}: fetching it was aborted"));
        tokio::select! {
            fetched = fetch(powers, ArtifactId(id), &into) => fetched.map(described),
            () = powers.abort.cancelled() => Err(aborted()),
        }
    }

    async fn fetched(&mut self) -> wasmtime::Result<Vec<u64>> {
        Ok(self.powers()?.fetched().iter().map(|id| id.0).collect())
    }

    async fn upload(
        &mut self,
        artifact: NewArtifact,
        directory: Resource<DirectoryHandle>,
    ) -> Result<u64, Fault> {
        let directory = self.directory(&directory)?;
        let powers = self.powers()?;
        let data = serde_json::from_str(&artifact.data).map_err(|error| {
            let category = &artifact.category;
            Fault::new(
                "invalid-data",
                format!("{category}: data: not JSON: {error}"),
            )
        })?;
        let files = artifact.files.into_iter().map(|file| {
            Ok(store::NewFile {
                content: directory.open_file(&file.source)?,
                path: file.path,
            })
        });
        let new = store::NewArtifact {
            category: artifact.category,
            data,
            files: files.collect::<Result<_, Fault>>()?,
            work_request: powers.work_request,
            workspace: powers.workspace.clone(),
        };
        tokio::select! {
            uploaded = powers.artifacts.upload(new) => Ok(uploaded?.0),
            () = powers.abort.cancelled() => Err(Fault::new("aborted", "the upload was aborted")),
        }
    }

    async fn relate(&mut self, relation: Relation) -> Result<(), Fault> {
        let relation = store::Relation {
            from: ArtifactId(relation.from),
            to: ArtifactId(relation.to),
            kind: relation.type_.into(),
        };
        let powers = self.powers()?;
        until_abort(powers, powers.artifacts.relate(relation)).await
    }

    async fn relations_from(&mut self, id: u64) -> Result<Vec<Relation>, Fault> {
        let powers = self.powers()?;
        let found = powers.artifacts.relations_from(ArtifactId(id));
        let found = until_abort(powers, found).await?;
        let relations = found.into_iter().map(|relation| Relation {
            from: relation.from.0,
            to: relation.to.0,
            type_: relation.kind.into(),
        });
        Ok(relations.collect())
    }
}

/// An answer of the store; a server may be long in coming back.
async fn until_abort<T>(
    powers: &Powers,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Fault> {
    tokio::select! {
        answer = answer => Ok(answer?),
        () = powers.abort.cancelled() => {
            Err(Fault::new("aborted", "the artifact store was not waited for: the task was aborted"))
        }
    }
}

async fn fetch(
    powers: &Powers,
    id: ArtifactId,
    into: &DirectoryHandle,
) -> Result<store::Artifact, Fault> {
    let artifact = powers.artifacts.artifact(id).await?;
    for file in &artifact.files {
        into.create_parents(&file.path)?;
        let target = into.create_file(&file.path, 0o644)?;
        let fetched = powers.artifacts.fetch_file(id, &file.path, target).await;
        if let Err(error) = fetched {
            let _ = into.remove_file(&file.path);
            return Err(error.into());
        }
    }
    powers.record_fetch(id);
    Ok(artifact)
}

fn described(found: store::Artifact) -> Artifact {
    let files = found.files.into_iter().map(|file| ArtifactFile {
        path: file.path,
        size: file.size,
        sha256: file.sha256,
        url: file.url,
    });
    Artifact {
        id: found.id.0,
        category: found.category,
        data: found.data.to_string(),
        files: files.collect(),
    }
}

impl DirectoryHandle {
    /// Makes the directories that lead to a file of an artifact.
    fn create_parents(&self, path: &str) -> Result<(), Fault> {
        match Path::new(path).parent().and_then(Path::to_str) {
            Some(parent) if !parent.is_empty() => self.create_directories(parent),
            _ => Ok(()),
        }
    }
}
