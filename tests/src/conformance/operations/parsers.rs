//! What tasks read out of texts: each text is given to its task where the task meets it in a run.

use super::session::Session;
use super::{Output, Trouble, answer, exception};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A source package that tasks accept.
const DSC: &str = "Format: 3.0 (native)\nSource: hello\nVersion: 1.0\n";

/// An environment that tasks accept.
pub(super) fn environment() -> Value {
    let data = json!({
        "filename": "system.tar.xz", "vendor": "debian", "codename": "trixie", "architecture": "amd64",
        "mirror": "https://deb.example.org/debian", "variant": null, "pkglist": {},
        "with_dev": false, "with_init": true,
    });
    json!({"category": "debian:system-tarball", "data": data, "files": {"system.tar.xz": "tar"}})
}

fn source_package() -> Value {
    let data = json!({"name": "hello", "version": "1.0", "type": "dpkg", "dsc_fields": {"Source": "hello"}});
    json!({"category": "debian:source-package", "data": data, "files": {"hello_1.0.dsc": DSC}})
}

/// A session that has fetched its inputs and is configured for execution.
pub(super) async fn ready(
    suite: &Suite,
    files: &Path,
    vector: &Vector,
    input: &Value,
) -> Result<Session, Trouble> {
    let started = Session::start(suite, &vector.task, input, files).await?;
    let mut session =
        started.map_err(|error| Trouble::Broken(format!("the data are refused: {error:?}")))?;
    let workspace = &session.workspace;
    let fetched = answer(session.instance.fetch_input(workspace).await?);
    let configured = answer(session.instance.configure_for_execution(workspace).await?);
    if fetched == true && configured == true {
        return Ok(session);
    }
    Err(Trouble::Broken(format!(
        "not ready to run: fetch_input {fetched}, configure_for_execution {configured}"
    )))
}

/// A build log of sbuild: the explanation is in the data of the log's artifact.
pub async fn dose3(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let input = json!({
        "task_data": {
            "input": {"source_artifact": 5}, "host_architecture": "amd64",
            "environment": "debian/match:codename=trixie",
        },
        "dynamic_task_data": {"environment_id": 42, "input_source_artifact_id": 5},
        "server": {"artifacts": {"42": environment(), "5": source_package()}},
        "execute_files": {"hello_1.0_amd64.build": vector.input["text"]},
    });
    let mut session = ready(suite, files, vector, &input).await?;
    session
        .world
        .write_tree(session.execute(), "execute_files")?;
    let uploaded = session.instance.upload_artifacts(&session.workspace, false);
    Ok(match (uploaded.await?, session.world.artifacts().first()) {
        (Err(failure), _) => exception(failure.message),
        (Ok(()), Some(log)) => json!({"explanation": log.data["bd_uninstallable"]}),
        (Ok(()), None) => json!({"explanation": "no build log was uploaded"}),
    })
}

/// Uploads of mergeuploads: the merged file is in the working directory.
pub async fn merge_changes(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let changes = vector.input["changes"].as_array().into_iter().flatten();
    let upload = |(index, text): (usize, &Value)| {
        let name = format!("{index}.changes");
        let upload = json!({"category": "debian:upload", "data": {}, "files": {name: text}});
        ((index + 1).to_string(), upload)
    };
    let artifacts: Map<String, Value> = changes.enumerate().map(upload).collect();
    let ids: Vec<usize> = (1..=artifacts.len()).collect();
    let input = json!({
        "task_data": {"input": {"uploads": ids}},
        "dynamic_task_data": {"input_uploads_ids": ids},
        "server": {"artifacts": artifacts},
    });
    let mut session = ready(suite, files, vector, &input).await?;
    // The merged file is written before anybody looks at the files that it lists, of which there are none here.
    let ran = answer(session.instance.run(&session.workspace).await?);
    for directory in [session.execute(), session.download()] {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("_multi.changes") {
                return Ok(json!({"ok": true, "merged": std::fs::read_to_string(path)?}));
            }
        }
    }
    Ok(json!({"ok": false, "exception": ran}))
}

/// A summary of autopkgtest: the results are in the data of the artifact.
pub async fn autopkgtest_summary(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let input = json!({
        "task_data": {
            "input": {"source_artifact": 5, "binary_artifacts": []}, "host_architecture": "amd64",
            "environment": "debian/match:codename=trixie",
        },
        "dynamic_task_data": {
            "environment_id": 42, "input_source_artifact_id": 5, "input_binary_artifacts_ids": [],
        },
        "server": {"artifacts": {"42": environment(), "5": source_package()}},
        "script": [{
            "match": "autopkgtest", "files": {"${execute}/artifact-dir/summary": vector.input["text"]},
        }],
    });
    let mut session = ready(suite, files, vector, &input).await?;
    let workspace = &session.workspace.clone();
    if let Err(failure) = session.instance.run(workspace).await? {
        return Ok(exception(failure.message));
    }
    if let Err(failure) = session.instance.upload_artifacts(workspace, true).await? {
        return Ok(exception(failure.message));
    }
    let artifacts = session.world.artifacts();
    Ok(json!({"results": artifacts.first().map(|artifact| artifact.data["results"].clone())}))
}
