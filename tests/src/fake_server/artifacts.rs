//! Artifacts on the fake server: information, content by ranges, uploads by question and answer.

use super::State;
use super::http::{Recorded, Reply};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// An artifact.
#[derive(Debug, Clone, Default)]
pub struct FakeArtifact {
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
    /// Its files, in their order.
    pub files: Vec<FakeFile>,
    /// The work request that made it.
    pub work_request: Option<u64>,
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeFile {
    /// Its path.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of the content that is promised.
    pub sha256: String,
}

impl State {
    /// An artifact that is there.
    pub fn add_artifact(&mut self, category: &str, files: &[(&str, &[u8])]) -> u64 {
        let files = files.iter().map(|(path, content)| {
            let sha256 = hex::encode(Sha256::digest(content));
            self.contents.insert(sha256.clone(), content.to_vec());
            let size = content.len() as u64;
            FakeFile {
                path: (*path).to_owned(),
                size,
                sha256,
            }
        });
        let files = files.collect();
        self.add(FakeArtifact {
            category: category.to_owned(),
            data: json!({}),
            files,
            work_request: None,
        })
    }

    /// The content of a file of an artifact.
    pub fn content(&self, id: u64, path: &str) -> Option<&[u8]> {
        let files = &self.artifacts.get(&id)?.files;
        let file = files.iter().find(|file| file.path == path)?;
        self.contents.get(&file.sha256).map(Vec::as_slice)
    }

    fn add(&mut self, artifact: FakeArtifact) -> u64 {
        self.next_id += 1;
        self.artifacts.insert(self.next_id, artifact);
        self.next_id
    }

    pub(super) fn create(&mut self, request: &Recorded) -> Reply {
        let body = request.json();
        if body["workspace"] != "System" {
            return Reply::problem(404, "Workspace not found");
        }
        let Some(files) = body["files"].as_object() else {
            return Reply::problem(400, "Cannot deserialize artifact");
        };
        if files.keys().any(|path| path.contains(' ')) {
            return Reply::problem(400, "Error");
        }
        let file = |(path, file): (&String, &Value)| FakeFile {
            path: path.clone(),
            size: file["size"].as_u64().unwrap_or_default(),
            sha256: file["checksums"]["sha256"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        };
        let files: Vec<FakeFile> = files.iter().map(file).collect();
        for file in files.iter().filter(|file| file.size == 0) {
            self.contents.insert(file.sha256.clone(), Vec::new());
        }
        let id = self.add(FakeArtifact {
            category: body["category"].as_str().unwrap_or_default().to_owned(),
            data: body["data"].clone(),
            files,
            work_request: body["work_request"].as_u64(),
        });
        Reply {
            status: 201,
            ..self.information(&id.to_string())
        }
    }

    pub(super) fn information(&self, id: &str) -> Reply {
        let number = id.parse::<u64>().unwrap_or_default();
        let Some(artifact) = self.artifacts.get(&number) else {
            return Reply::problem(404, "No Artifact matches the given query.");
        };
        let address = self.address.map(|it| it.to_string()).unwrap_or_default();
        let mut files = Map::new();
        let mut missing = Vec::new();
        for file in &artifact.files {
            let url = format!(
                "http://{address}/debusine/System/artifact/{id}/download/{}",
                file.path
            );
            let described = json!({"size": file.size, "checksums": {"sha256": file.sha256}, "type": "file", "url": url});
            files.insert(file.path.clone(), described);
            if !self.contents.contains_key(&file.sha256) {
                missing.push(file.path.clone());
            }
        }
        let document = json!({
            "id": number, "workspace": "System", "category": artifact.category, "data": artifact.data,
            "created_at": "2026-11-22T15:14:44.787000Z", "expire_at": null, "files_to_upload": missing, "files": files,
        });
        Reply::json(200, &document)
    }

    pub(super) fn download(&self, request: &Recorded) -> Reply {
        let parts: Vec<&str> = request.path.splitn(7, '/').collect();
        let [_, "debusine", "System", "artifact", id, "download", path] = parts.as_slice() else {
            return Reply::html(404);
        };
        let path = decoded(path);
        let content = id.parse().ok().and_then(|id| self.content(id, &path));
        let Some(content) = content else {
            return Reply::html(404);
        };
        let Some(range) = request.header("range") else {
            return Reply::empty(200).with_body(content.to_vec());
        };
        let ends = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'));
        let ends = ends.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        match ends {
            Some((from, to)) if from <= to && to < content.len() => Reply::empty(206)
                .with(
                    "Content-Range",
                    format!("bytes {from}-{to}/{}", content.len()),
                )
                .with_body(content[from..=to].to_vec()),
            _ => Reply::problem(400, &format!("Invalid Range header: \"{range}\"")),
        }
    }

    /// A question of how much is there, or a chunk.
    pub(super) fn receive(&mut self, id: &str, path: &str, request: &Recorded) -> Reply {
        let longest = self.longest_body.unwrap_or(usize::MAX);
        if request.body.len() > longest {
            return Reply::html(413);
        }
        let (number, path) = (id.parse::<u64>().unwrap_or_default(), decoded(path));
        let artifact = self.artifacts.get(&number);
        let file = artifact.and_then(|it| it.files.iter().find(|file| file.path == path));
        let Some(file) = file.cloned() else {
            return Reply::problem(404, "No file");
        };
        let key = (number, path);
        let has = self.uploads.get(&key).map_or(0, Vec::len);
        let range = request.header("content-range").unwrap_or("bytes */0");
        let range = range.strip_prefix("bytes ").unwrap_or_default();
        if range.starts_with('*') && has > 0 && has as u64 == file.size {
            // As the real one: all has come, and nobody has looked at it.
            return Reply::empty(200);
        }
        if range.starts_with('*') {
            return Reply::empty(206).with("Range", format!("bytes=0-{has}"));
        }
        if self.contents.contains_key(&file.sha256) {
            return Reply::empty(201);
        }
        let begin: usize = range
            .split('-')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or(usize::MAX);
        if has > 0 && self.losses > 0 {
            self.losses -= 1;
            if let Some(upload) = self.uploads.get_mut(&key) {
                upload.truncate(has / 2);
            }
        }
        let has = self.uploads.get(&key).map_or(0, Vec::len);
        if begin > has {
            return Reply::problem(
                400,
                &format!("Server had received {has} bytes of the file. Please continue from {has}"),
            );
        }
        let upload = self.uploads.entry(key.clone()).or_default();
        upload.truncate(begin);
        upload.extend_from_slice(&request.body);
        let has = upload.len();
        if (has as u64) < file.size {
            return Reply::empty(200).with("Range", format!("bytes=0-{has}"));
        }
        if self.unverified > 0 {
            self.unverified -= 1;
            return Reply::empty(200).with("Range", format!("bytes=0-{has}"));
        }
        if self.deaths_before_verification > 0 {
            self.deaths_before_verification -= 1;
            return Reply::html(502);
        }
        let content = self.uploads.remove(&key).unwrap_or_default();
        let is_damaged = self.damages > 0;
        self.damages = self.damages.saturating_sub(1);
        if is_damaged || hex::encode(Sha256::digest(&content)) != file.sha256 {
            return Reply::problem(409, "Invalid file hash");
        }
        self.contents.insert(file.sha256, content);
        Reply::empty(201)
    }

    pub(super) fn relate(&mut self, request: &Recorded) -> Reply {
        let relation = request.json();
        let is_there = |key: &str| {
            let id = relation[key].as_u64().unwrap_or_default();
            self.artifacts.contains_key(&id)
        };
        if !is_there("artifact") || !is_there("target") {
            return Reply::problem(400, "Cannot deserialize relation");
        }
        let known = self.relations.contains(&relation);
        if !known {
            self.relations.push(relation.clone());
        }
        Reply::json(if known { 200 } else { 201 }, &relation)
    }
}

/// What is behind a percent-encoded path.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let digits = if byte == b'%' {
            rest.next().zip(rest.next())
        } else {
            None
        };
        match digits {
            Some((high, low)) => bytes.extend(hex::decode([high, low]).unwrap_or_default()),
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
