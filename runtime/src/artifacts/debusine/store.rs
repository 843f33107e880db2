//! A server's artifacts behind the trait of artifact stores.

use super::failure::ServerError;
use super::server::{Repetition, Server};
use super::{download::Expected, paths};
use crate::artifacts::{
    Artifact, ArtifactFile, ArtifactId, ArtifactStore, NewArtifact, Relation, StoreError,
};
use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// How much of a file is in memory while it is hashed, in bytes.
const PIECE: usize = 256 << 10;

/// What the server says of an artifact. What is not named here is not needed.
#[derive(Debug, Clone, Deserialize)]
pub struct ArtifactInformation {
    id: ArtifactId,
    category: String,
    data: Value,
    #[serde(default)]
    files: Map<String, Value>,
    /// Paths of the files whose content the server lacks, in the order in which it wants them.
    #[serde(default)]
    pub files_to_upload: Vec<String>,
}

/// A file of the answer.
#[derive(Debug, Deserialize)]
struct FileInformation {
    size: u64,
    checksums: HashMap<String, String>,
    #[serde(default)]
    url: Option<String>,
}

/// A file that an artifact is to have: what the server is told of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct UploadFile {
    /// Path within the artifact.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl ArtifactInformation {
    /// Number of the artifact.
    pub fn id(&self) -> ArtifactId {
        self.id
    }

    /// Whether it has just this category, these data and these files.
    pub fn is_like(&self, category: &str, data: &Value, files: &[UploadFile]) -> bool {
        let has = |file: &UploadFile| {
            let found = self.files.get(&file.path);
            found.is_some_and(|it| it["checksums"]["sha256"] == file.sha256.as_str())
        };
        self.category == category
            && self.data == *data
            && self.files.len() == files.len()
            && files.iter().all(has)
    }

    fn into_artifact(self) -> Result<Artifact, StoreError> {
        let artifact = self.id;
        let wrong = |path: &str, why: &str| {
            StoreError::Invalid(format!("artifact {artifact}: file {path:?}: {why}"))
        };
        let mut files = Vec::with_capacity(self.files.len());
        for (path, file) in self.files {
            if let Some(why) = paths::objection(&path) {
                return Err(wrong(&path, why));
            }
            let mut file: FileInformation = serde_json::from_value(file)
                .map_err(|error| wrong(&path, &format!("unexpected answer: {error}")))?;
            let sha256 = file.checksums.remove("sha256");
            let sha256 = sha256.ok_or_else(|| wrong(&path, "the server tells no sha256"))?;
            let url = file.url.map(|url| paths::file_address(&url, &path));
            files.push(ArtifactFile {
                path,
                size: file.size,
                sha256,
                url,
            });
        }
        Ok(Artifact {
            id: self.id,
            category: self.category,
            data: self.data,
            files,
        })
    }
}

impl Server {
    /// What the server knows of an artifact.
    pub async fn artifact_information(
        &self,
        id: ArtifactId,
    ) -> Result<ArtifactInformation, ServerError> {
        let path = format!("/artifact/{id}/");
        let mut repetition = Repetition::new(self);
        loop {
            let asked = self.once(Method::GET, &path, None).await;
            match asked.and_then(|answer| answer.json()) {
                Err(error) => repetition.pause(error).await?,
                information => return information,
            }
        }
    }

    /// Makes an artifact, whose content is still to be sent. Repeating this would make another one, so it is tried once.
    pub async fn create_artifact(
        &self,
        category: &str,
        data: &Value,
        files: &[UploadFile],
        work_request: Option<u64>,
        workspace: Option<&str>,
    ) -> Result<ArtifactInformation, ServerError> {
        let entry = |file: &UploadFile| {
            let checksums = json!({"sha256": file.sha256});
            let described = json!({"size": file.size, "checksums": checksums, "type": "file"});
            (file.path.clone(), described)
        };
        let files: Map<String, Value> = files.iter().map(entry).collect();
        let body = json!({
            "category": category,
            "workspace": workspace.unwrap_or("System"),
            "files": files,
            "data": data,
            "work_request": work_request,
            "expire_at": null,
        });
        self.once(Method::POST, "/artifact/", Some(&body))
            .await?
            .json()
    }

    /// Sends the content of a file that the server lacks, from wherever an earlier attempt ended.
    pub async fn upload_file(
        &self,
        artifact: ArtifactId,
        file: &UploadFile,
        content: File,
    ) -> Result<(), ServerError> {
        self.send_file(artifact, &file.path, content, file.size)
            .await
    }

    /// Records a relation. Recording it again changes nothing.
    pub async fn relate(&self, relation: Relation) -> Result<(), ServerError> {
        let body = json!({
            "artifact": relation.from,
            "target": relation.to,
            "type": relation.kind.name(),
        });
        self.repeated(Method::POST, "/artifact-relation/", Some(&body))
            .await?;
        Ok(())
    }
}

/// The artifacts of a server. What it said of an artifact is kept: artifacts do not change.
pub struct ServerArtifacts {
    server: Server,
    known: Mutex<HashMap<ArtifactId, Artifact>>,
}

impl ServerArtifacts {
    /// The artifacts that a worker's token can see.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            known: Mutex::default(),
        }
    }

    fn known(&self, id: ArtifactId) -> Option<Artifact> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }
}

#[async_trait]
impl ArtifactStore for ServerArtifacts {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        if let Some(artifact) = self.known(id) {
            return Ok(artifact);
        }
        let artifact = self
            .server
            .artifact_information(id)
            .await?
            .into_artifact()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id, artifact.clone());
        Ok(artifact)
    }

    async fn fetch_file(&self, id: ArtifactId, path: &str, target: File) -> Result<(), StoreError> {
        let artifact = self.artifact(id).await?;
        let file = artifact.files.iter().find(|file| file.path == path);
        let missing = |what: &str| StoreError::NotFound(format!("artifact {id}: {what} {path:?}"));
        let file = file.ok_or_else(|| missing("it has no file"))?;
        let url = file.url.as_deref();
        let expected = Expected {
            url: url.ok_or_else(|| missing("the server offers no address for"))?,
            size: file.size,
            sha256: &file.sha256,
        };
        Ok(self.server.fetch(expected, target).await?)
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        let mut files = Vec::with_capacity(artifact.files.len());
        let mut contents = HashMap::new();
        for file in artifact.files {
            let (described, content) = described(file.path, file.content).await?;
            contents.insert(described.path.clone(), (described.clone(), content));
            files.push(described);
        }
        let created = self
            .server
            .create_artifact(
                &artifact.category,
                &artifact.data,
                &files,
                artifact.work_request,
                artifact.workspace.as_deref(),
            )
            .await?;
        for path in &created.files_to_upload {
            let (file, content) = contents.remove(path).ok_or_else(|| {
                StoreError::Invalid(format!(
                    "artifact {}: the server asks for the file {path:?}, which it does not have",
                    created.id
                ))
            })?;
            self.server.upload_file(created.id, &file, content).await?;
        }
        Ok(created.id)
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        Ok(self.server.relate(relation).await?)
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        Err(StoreError::Unavailable(format!(
            "artifact {id}: this server tells workers nothing of relations"
        )))
    }
}

/// Size and checksum of content, read on a thread that may wait for the disk.
async fn described(path: String, content: File) -> Result<(UploadFile, File), StoreError> {
    let shown = path.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let (size, sha256) = hashed(&content)?;
        Ok::<_, io::Error>((UploadFile { path, size, sha256 }, content))
    });
    let failed = |error: io::Error| StoreError::Unavailable(format!("reading {shown:?}: {error}"));
    hashed
        .await
        .map_err(|error| failed(io::Error::other(error)))?
        .map_err(failed)
}

fn hashed(content: &File) -> io::Result<(u64, String)> {
    let mut piece = vec![0; PIECE];
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        match content.read_at(&mut piece, size) {
            Ok(0) => return Ok((size, hex::encode(hasher.finalize()))),
            Ok(length) => {
                hasher.update(&piece[..length]);
                size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
