//! A store in a temporary directory, and artifacts to put into it.

use crate::artifacts::local::LocalStore;
use crate::artifacts::{ArtifactId, ArtifactStore, NewArtifact, NewFile, Relation, RelationType};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A store that goes away with its directory.
pub(super) struct Fixture {
    pub(super) store: LocalStore,
    pub(super) directory: TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(directory.path().join("store")).unwrap();
        Self { store, directory }
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.store.path().to_owned()
    }

    /// Stores an artifact of category `debusine:test`.
    pub(super) async fn add(&self, files: &[(&str, &[u8])]) -> ArtifactId {
        self.store.upload(test_artifact(files)).await.unwrap()
    }

    /// Stores a system tarball that is one line long.
    pub(super) async fn add_tarball(
        &self,
        codename: &str,
        architecture: &str,
        variant: Option<&str>,
    ) -> ArtifactId {
        let data = json!({
            "filename": "system.tar.xz", "vendor": "debian", "codename": codename, "mirror": "https://deb.example.org/debian",
            "variant": variant, "pkglist": {}, "architecture": architecture, "with_dev": true, "with_init": false,
        });
        let content = format!("{codename} {architecture} {variant:?}");
        let files: &[(&str, &[u8])] = &[("system.tar.xz", content.as_bytes())];
        let artifact = new_artifact("debian:system-tarball", data, files);
        self.store.upload(artifact).await.unwrap()
    }

    pub(super) async fn fetch(&self, id: ArtifactId, path: &str) -> Vec<u8> {
        let mut target = tempfile::tempfile().unwrap();
        let copy = target.try_clone().unwrap();
        self.store.fetch_file(id, path, copy).await.unwrap();
        target.rewind().unwrap();
        let mut content = Vec::new();
        target.read_to_end(&mut content).unwrap();
        content
    }
}

pub(super) fn test_artifact(files: &[(&str, &[u8])]) -> NewArtifact {
    new_artifact("debusine:test", json!({}), files)
}

pub(super) fn new_artifact(category: &str, data: Value, files: &[(&str, &[u8])]) -> NewArtifact {
    NewArtifact {
        category: category.to_owned(),
        data,
        files: files
            .iter()
            .map(|(path, content)| new_file(path, content))
            .collect(),
        work_request: None,
        workspace: None,
    }
}

pub(super) fn new_file(path: &str, content: &[u8]) -> NewFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    NewFile {
        path: path.to_owned(),
        content: file,
    }
}

pub(super) fn relation(from: ArtifactId, to: ArtifactId, kind: RelationType) -> Relation {
    Relation { from, to, kind }
}

/// All files beneath a directory, sorted.
pub(super) fn files_beneath(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_beneath(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Damages the stored file that has this content, keeping its size.
pub(super) fn damage(store: &Path, content: &[u8]) {
    let blob = files_beneath(&store.join("files"))
        .into_iter()
        .find(|path| std::fs::read(path).unwrap() == content)
        .unwrap();
    let mut damaged = content.to_vec();
    damaged[0] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    File::create(&blob).unwrap().write_all(&damaged).unwrap();
}
