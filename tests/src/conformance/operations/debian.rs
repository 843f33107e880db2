//! Debian's file formats, and artifacts made of files.

use super::{Output, exception};
use crate::conformance::world::tree;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use task_sdk::artifacts::{Directory, Draft, build};
use task_sdk::debian::{dsc::Dsc, os_release};

pub fn os_release(input: &Value) -> Value {
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    match os_release::value(text("text"), text("key")) {
        Ok(value) => json!({"value": value}),
        Err(error) => exception(error),
    }
}

pub fn read_dsc(input: &Value, files: &Path) -> Output {
    let content = tree::bytes(&input["text"], files)?;
    Ok(match Dsc::parse(&content) {
        Ok(dsc) => json!({"dsc": dsc.map(|dsc| dsc.fields().to_json())}),
        Err(error) => exception(error),
    })
}

/// Makes an artifact of files, and shows the request that would create it on a server.
pub fn make_artifact(input: &Value, files: &Path) -> Output {
    let directory = tempfile::tempdir()?;
    tree::write(directory.path(), &input["files"], files)?;
    let place = Place(directory.path().to_owned());
    Ok(match draft(input, &place) {
        Ok(draft) => json!({"ok": true, "request": place.request(&draft, input)?}),
        Err(words) => json!({"ok": false, "exception": words}),
    })
}

fn draft(input: &Value, place: &Place) -> Result<Draft, String> {
    let argument = |name: &str| input["args"][name].as_str().unwrap_or_default();
    let file = input["file"].as_str().unwrap_or_default();
    let members = input["members"].as_array().into_iter().flatten();
    let members: Vec<&str> = members.filter_map(Value::as_str).collect();
    let made = match input["kind"].as_str().unwrap_or_default() {
        "upload" => build::upload(place, file),
        "source-package" => {
            build::source_package(place, argument("name"), argument("version"), &members)
        }
        "binary-package" => build::binary_package(place, file),
        "binary-packages" => {
            let of = build::Build {
                source: argument("srcpkg_name"),
                source_version: argument("srcpkg_version"),
                version: argument("version"),
                architecture: argument("architecture"),
            };
            build::binary_packages(place, of, &members)
        }
        "package-build-log" => {
            build::package_build_log(place, argument("source"), argument("version"), file, None)
        }
        other => return Err(format!("unknown kind {other}")),
    };
    made.map_err(|error| error.to_string())
}

/// A directory of the host, for builders.
struct Place(PathBuf);

impl Directory for Place {
    fn size(&self, path: &str) -> io::Result<u64> {
        let found = self.0.join(path).metadata()?;
        if found.is_file() {
            Ok(found.len())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::fs::File::open(self.0.join(path))?.read_at(buffer, offset)
    }
}

impl Place {
    fn request(&self, draft: &Draft, input: &Value) -> io::Result<Value> {
        let mut files = serde_json::Map::new();
        for file in &draft.files {
            let content = std::fs::read(self.0.join(&file.source))?;
            let sha256 = hex::encode(Sha256::digest(&content));
            let described =
                json!({"size": content.len(), "checksums": {"sha256": sha256}, "type": "file"});
            files.insert(file.path.clone(), described);
        }
        let mut request = json!({
            "category": draft.category.to_string(),
            "files": files,
            "data": draft.data,
            "work_request": input["work_request"],
            "expire_at": null,
        });
        if let Some(workspace) = input.get("workspace") {
            request["workspace"] = workspace.clone();
        }
        Ok(request)
    }
}
