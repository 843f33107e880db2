//! What becomes of a lintian that says a lot: through the component, within the memory that a run has.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use task_runtime::executor::Abort;
use task_runtime::lifecycle::{RunOptions, RunRequest, Runner, Silent, Verdict};
use task_runtime_tests::conformance::world::{Stored, World};
use task_runtime_tests::fixtures::Bench;

/// An ordinary tag.
const TAG: &str = "W: hello: hardening-no-bindnow a note about it [usr/lib/hello/plugin.so]\n";

/// What a run came to.
struct Ran {
    verdict: Verdict,
    analyses: Vec<Stored>,
    /// The log of what failed after lintian had ended.
    failure: String,
}

/// Runs lintian on a binary package called hello in a world where it says this.
async fn run(output: String) -> Result<Ran> {
    let bench = Bench::new()?;
    let component = bench.load("lintian")?;
    let system = json!({
        "filename": "system.tar.xz", "vendor": "debian", "codename": "trixie", "mirror": "https://deb.example.org/debian",
        "variant": null, "pkglist": {}, "architecture": "amd64", "with_dev": false, "with_init": true,
    });
    let environment = json!({"category": "debian:system-tarball", "data": system, "files": {"system.tar.xz": "tar"}});
    let package = json!({"hello_1.0_amd64.deb": {"file": "hello_1.0_amd64.deb"}});
    let input = json!({
        "server": {"artifacts": {
            "42": environment,
            "6": {"category": "debian:upload", "data": {}, "files": package},
        }},
        "script": [{"match": "--print-version", "stdout": "2.116.3"}, {"match": "lintian", "stdout": output}],
    });
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/files");
    let world = World::new(&input, &files, &bench.directory.path().join("cache"));
    let runner = Runner {
        commands: Arc::clone(&world) as _,
        executors: Arc::clone(&world) as _,
        artifacts: Arc::clone(&world) as _,
        options: RunOptions {
            directory: bench.runner.options.directory.clone(),
            ..RunOptions::default()
        },
        ..bench.runner.clone()
    };
    let request = RunRequest {
        work_request: None,
        workspace: None,
        data: json!({
            "input": {"binary_artifacts": [6]}, "environment": 42,
            "output": {"source_analysis": false, "binary_all_analysis": false},
        }),
        dynamic_data: json!({"environment_id": 42, "input_binary_artifacts_ids": [6]}),
    };
    let observer = Arc::new(Silent);
    let result = runner
        .run(&component, request, observer, &Abort::new())
        .await?;
    let (analyses, logs): (Vec<_>, Vec<_>) = world
        .artifacts()
        .into_iter()
        .partition(|artifact| artifact.category == "debian:lintian");
    let files = logs.iter().flat_map(|logs| &logs.files);
    let failure = files.filter(|(name, _)| name == "post_execution.log");
    Ok(Ran {
        verdict: result.verdict,
        analyses,
        failure: failure
            .map(|(_, text)| String::from_utf8_lossy(text))
            .collect(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_of_output_are_analysed() -> Result<()> {
    let count = (50 << 20) / TAG.len();
    let ran = run(TAG.repeat(count)).await?;
    ensure!(ran.verdict == Verdict::Success, "{}", ran.failure);
    let counted = &ran.analyses[0].data["summary"]["tags_count_by_severity"]["warning"];
    assert_eq!(*counted, Value::from(count));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_hundred_megabytes_fails_the_run_in_words() -> Result<()> {
    let ran = run(format!("{TAG}W: hello: x {}\n", "x".repeat(100 << 20))).await?;
    ensure!(ran.verdict == Verdict::Failure && ran.analyses.is_empty());
    ensure!(
        ran.failure.contains("line 2: longer than"),
        "{}",
        ran.failure
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tags_than_fit_into_memory_fail_the_run_in_words() -> Result<()> {
    let of_one_kind = "C: hello: t\n".repeat(3 << 20);
    let of_many_kinds: String = (0..1 << 20)
        .map(|number| format!("C: hello: tag-{number}\n"))
        .collect();
    for output in [of_one_kind, of_many_kinds] {
        let ran = run(output).await?;
        ensure!(ran.verdict == Verdict::Failure && ran.analyses.is_empty());
        ensure!(ran.failure.contains("exclude_tags"), "{}", ran.failure);
    }
    Ok(())
}
