//! Powers as they are lent to one task: the same as the host's, for what was granted.

use super::{Capability, Grants};
use crate::artifacts::{Artifact, ArtifactId, ArtifactStore, NewArtifact, Relation, StoreError};
use crate::executor::{Abort, Command, Commands, ExecutorError, Exit, Instance};
use crate::host::bindings::debusine::task::executor::Backend;
use crate::host::{Executors, PreparedImage};
use async_trait::async_trait;
use std::fs::File;
use std::sync::Arc;

/// Runs the programs that are granted.
pub struct LentCommands {
    pub grants: Arc<Grants>,
    pub commands: Arc<dyn Commands>,
}

#[async_trait]
impl Commands for LentCommands {
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError> {
        let program = command.arguments.first().cloned().unwrap_or_default();
        // A path is another program than the one of this name that is found in the PATH.
        match self
            .grants
            .objection(Capability::Command, &program.to_string_lossy())
        {
            Some(objection) => Err(ExecutorError::Command(objection)),
            None => self.commands.run(command, abort).await,
        }
    }
}

/// Starts environments, with no more network than is granted.
pub struct LentExecutors {
    pub grants: Arc<Grants>,
    pub executors: Arc<dyn Executors>,
}

#[async_trait]
impl Executors for LentExecutors {
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        let prepared = self.executors.prepare(backend, environment, abort).await?;
        Ok(PreparedImage {
            network: prepared.network && self.grants.has(Capability::Network),
            ..prepared
        })
    }

    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        self.executors.start(image, abort).await
    }
}

/// Takes uploads of the categories that are granted; reads everything.
pub struct LentArtifacts {
    pub grants: Arc<Grants>,
    pub artifacts: Arc<dyn ArtifactStore>,
}

#[async_trait]
impl ArtifactStore for LentArtifacts {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        self.artifacts.artifact(id).await
    }

    async fn fetch_file(&self, id: ArtifactId, path: &str, target: File) -> Result<(), StoreError> {
        self.artifacts.fetch_file(id, path, target).await
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        match self
            .grants
            .objection(Capability::Upload, &artifact.category)
        {
            Some(objection) => Err(StoreError::Invalid(objection)),
            None => self.artifacts.upload(artifact).await,
        }
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        self.artifacts.relate(relation).await
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        self.artifacts.relations_from(id).await
    }
}
