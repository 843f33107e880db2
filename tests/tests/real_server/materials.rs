//! What tasks work on: a source package, a binary package, a system to work in, and uploads of any size.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use task_runtime::artifacts::ArtifactId;
use task_runtime::artifacts::debusine::UploadFile;
use task_runtime_tests::real_server::{MINUTES, RealServer};

/// The package of the recordings.
const PACKAGE: &str = "hello";

/// The workspace whose files have to be uploaded anew to the one of the work requests.
const ELSEWHERE: &str = "Elsewhere";

/// What a script of the project prints.
fn script(name: &str, arguments: &[&Path]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.ci")
        .join(name);
    let output = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{name}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The machine's own mirror of Debian.
pub fn mirror() -> Result<String> {
    script("debian-mirror", &[])
}

/// The source package; the number of its artifact.
pub fn source(server: &RealServer) -> Result<u64> {
    package(server, "debian:source-package", "name", "debian-source")
}

/// The binary package, as Debian built it.
pub fn binary(server: &RealServer) -> Result<u64> {
    package(
        server,
        "debian:binary-package",
        "srcpkg_name",
        "debian-binary",
    )
}

fn package(server: &RealServer, category: &str, field: &str, download: &str) -> Result<u64> {
    // Those of a work request are another test's.
    let program = format!(
        "from debusine.db.models import Artifact\nanswer = [a.id for a in Artifact.objects.filter(category='{category}', data__{field}='{PACKAGE}', created_by_work_request=None)]\n"
    );
    let known = server.python(&program)?;
    if let Some(id) = known[0].as_u64() {
        return Ok(id);
    }
    let directory = tempfile::tempdir()?;
    let file = script(download, &[Path::new(PACKAGE), directory.path()])?;
    server.client(&["import-debian-artifact", "--workspace", "System", &file])?;
    server.python(&program)?[0].as_u64().context("a number")
}

/// Sees to it that there is a system to work in. The worker itself makes it, if no test before has had it made.
pub async fn system(server: &RealServer) -> Result<()> {
    let known = "
from debusine.db.models import CollectionItem
answer = CollectionItem.objects.filter(parent_collection__category='debian:environments', data__variant='buildd').exists()
";
    if server.python(known)? == true {
        return Ok(());
    }
    let data = json!({
        "bootstrap_options": {"architecture": "amd64", "variant": "buildd"},
        "bootstrap_repositories": [{"mirror": mirror()?, "suite": "bookworm", "components": ["main"]}],
    });
    let id = server.work_request("mmdebstrap", data).await?;
    let shown = server.wait_long(id, "completed", MINUTES).await?;
    ensure!(shown["result"] == "success", "{shown}");
    let artifact = &server.artifacts(id).await?[0]["id"];
    server.python(&format!(
        "
from debusine.db.models import Artifact, Collection, User
artifact = Artifact.objects.get(id={artifact})
environments = Collection.objects.get(name='debian', category='debian:environments', workspace=artifact.workspace)
environments.manager.add_artifact(artifact, user=User.objects.get(username='admin'), variables={{'backend': 'unshare', 'variant': 'buildd'}}, replace=True)
"
    ))?;
    Ok(())
}

/// An upload with one file, which is like no other. The number of its artifact, and the name of the file.
pub async fn upload(server: &RealServer, size: u64) -> Result<(ArtifactId, &'static str)> {
    let name = "burden_1.0_amd64.deb";
    let (content, sha256) = noise(size)?;
    let changes = format!(
        "Format: 1.8\nSource: burden\nBinary: burden\nArchitecture: amd64\nVersion: 1.0\nDescription:\n burden - to carry\nChanges:\n burden\n\
         Checksums-Sha1:\n 1 {size} {name}\nChecksums-Sha256:\n {sha256} {size} {name}\nFiles:\n 1 {size} misc optional {name}\n"
    );
    let mut written = tempfile::tempfile()?;
    written.write_all(changes.as_bytes())?;
    let file = |path: &str, size, sha256| UploadFile {
        path: path.to_owned(),
        size,
        sha256,
    };
    let digest = hex::encode(Sha256::digest(&changes));
    let files = [
        file("burden_1.0_amd64.changes", changes.len() as u64, digest),
        file(name, size, sha256),
    ];
    let data = json!({"type": "dpkg", "changes_fields": {"Architecture": "amd64", "Source": "burden", "Files": [{"name": name}]}});
    let user = &server.user;
    let made = user.create_artifact("debian:upload", &data, &files, None, Some(ELSEWHERE));
    let id = made.await?.id();
    for (file, content) in files.iter().zip([written, content]) {
        user.upload_file(id, file, content).await?;
    }
    Ok((id, name))
}

/// Task data that merge an upload with nothing else: fetched, run in a moment, uploaded.
pub fn merge(upload: ArtifactId) -> Value {
    json!({"input": {"uploads": [upload]}})
}

/// A file that cannot be compressed, and its sha256.
fn noise(size: u64) -> Result<(File, String)> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let mut state = u64::try_from(seed & u128::from(u64::MAX))? | 1;
    let (mut file, mut hasher) = (tempfile::tempfile()?, Sha256::new());
    let (mut left, mut piece) = (size, Vec::new());
    while left > 0 {
        piece.clear();
        while piece.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(usize::try_from(left.min(1 << 20))?);
        hasher.update(&piece);
        file.write_all(&piece)?;
        left -= piece.len() as u64;
    }
    file.rewind()?;
    Ok((file, hex::encode(hasher.finalize())))
}
