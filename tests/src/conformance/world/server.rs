//! A server with the artifacts and relations of the vector; it keeps what is uploaded.

use super::{World, tree};
use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, Write};
use task_runtime::artifacts::{
    Artifact, ArtifactFile, ArtifactId, ArtifactStore, NewArtifact, Relation, RelationType,
    StoreError,
};

/// Number of the first uploaded artifact.
const FIRST_UPLOAD: u64 = 1001;

/// An uploaded artifact.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub id: u64,
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
    /// Its files with their content, in the order in which they were given.
    pub files: Vec<(String, Vec<u8>)>,
    /// The work request that was named.
    pub work_request: Option<u64>,
    /// The workspace that was named.
    pub workspace: Option<String>,
}

impl World {
    fn served(&self, id: ArtifactId) -> Result<&Value, StoreError> {
        let artifacts = self.input["server"]["artifacts"].as_object();
        artifacts
            .and_then(|artifacts| artifacts.get(&id.to_string()))
            .ok_or_else(|| StoreError::NotFound(format!("artifact {id}: the server has none")))
    }

    fn refuses(&self, category: &str) -> bool {
        let refused = self.input["server"]["fail_upload"].as_array();
        refused.is_some_and(|refused| refused.iter().any(|name| name == category))
    }
}

#[async_trait]
impl ArtifactStore for World {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        let served = self.served(id)?;
        let mut files = Vec::new();
        for (path, content) in served["files"].as_object().into_iter().flatten() {
            let bytes = tree::bytes(content, &self.files).map_err(unavailable)?;
            files.push(ArtifactFile {
                path: path.clone(),
                size: bytes.len() as u64,
                sha256: hex::encode(Sha256::digest(&bytes)),
                url: Some(format!("https://debusine.example.org/artifact/{id}/{path}")),
            });
        }
        Ok(Artifact {
            id,
            category: served["category"].as_str().unwrap_or_default().to_owned(),
            data: served["data"].clone(),
            files,
        })
    }

    async fn fetch_file(
        &self,
        id: ArtifactId,
        path: &str,
        mut target: File,
    ) -> Result<(), StoreError> {
        let content = self.served(id)?["files"].get(path).ok_or_else(|| {
            StoreError::NotFound(format!(
                "artifact {id}: the server has no file {path:?} of it"
            ))
        })?;
        let bytes = tree::bytes(content, &self.files).map_err(unavailable)?;
        target.write_all(&bytes).map_err(unavailable)
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        if self.refuses(&artifact.category) {
            let category = &artifact.category;
            return Err(StoreError::Unavailable(format!("{category}: not accepted")));
        }
        let paths: Vec<&str> = artifact.files.iter().map(|file| &*file.path).collect();
        let data = task_sdk::artifacts::check(&artifact.category, &artifact.data, &paths, None)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let mut files = Vec::new();
        for mut file in artifact.files {
            let mut bytes = Vec::new();
            file.content.rewind().map_err(unavailable)?;
            file.content.read_to_end(&mut bytes).map_err(unavailable)?;
            files.push((file.path, bytes));
        }
        let mut state = self.state();
        let id = FIRST_UPLOAD + state.artifacts.len() as u64;
        state.artifacts.push(Stored {
            id,
            category: artifact.category,
            data,
            files,
            work_request: artifact.work_request,
            workspace: artifact.workspace,
        });
        Ok(ArtifactId(id))
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        let kind = relation.kind.name();
        let recorded = json!([relation.from, relation.to, kind]);
        self.state().relations.push(recorded);
        Ok(())
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        self.served(id)?;
        let relations = self.input["server"]["relations"].as_array();
        let leads_from = |relation: &&Value| relation[0] == id.0;
        let found = relations.into_iter().flatten().filter(leads_from);
        found.map(relation).collect()
    }
}

fn relation(recorded: &Value) -> Result<Relation, StoreError> {
    let id = |value: &Value| value.as_u64().map(ArtifactId);
    let kind = |value: &Value| value.as_str()?.parse::<RelationType>().ok();
    match (id(&recorded[0]), id(&recorded[1]), kind(&recorded[2])) {
        (Some(from), Some(to), Some(kind)) => Ok(Relation { from, to, kind }),
        _ => Err(StoreError::Invalid(format!("not a relation: {recorded}"))),
    }
}

fn unavailable(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
