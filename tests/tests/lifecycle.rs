//! Each stage of a run succeeding, refusing, failing, panicking, running over a limit, being aborted: the right logs, the right
//! result, and nothing left. Through the real host, with a component that does as its data say.
//!
//! No test harness of rustc's: the executor re-executes this program as its helper, before any thread exists.

use anyhow::{Result, ensure};
use async_trait::async_trait;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::fs::File;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use task_runtime::artifacts::local::LocalStore;
use task_runtime::artifacts::{
    Artifact, ArtifactId, ArtifactStore, NewArtifact, NewFile, Relation, StoreError,
};
use task_runtime::executor::supervisor_main_if_called;
use task_runtime::lifecycle::{Stage, Verdict};
use task_runtime_tests::fixtures::{Bench, Report};

fn main() {
    supervisor_main_if_called();
    let trials = vec![
        trial("a_run_that_succeeds_goes_through_all_stages", all_stages),
        trial("a_successful_run_leaves_no_stages_log", no_stages_log),
        trial("a_refusal_stops_a_run_before_its_command", refusals),
        trial("a_failing_stage_is_logged_where_readers_look", failures),
        trial("a_panic_is_told_with_the_guests_own_words", panics),
        trial("a_task_cleans_up_after_every_failure", always_cleaned),
        trial("flaws_are_sorted_and_nothing_is_uploaded", flaws),
        trial("an_endless_loop_is_ended_by_its_cpu_limit", endless),
        trial("a_memory_hoarder_is_ended_by_its_memory_limit", hoarding),
        trial("endless_recursion_is_ended_by_its_stack", recursing),
        trial("a_scheduling_call_is_limited_too", scheduling_limits),
        trial(
            "a_command_is_logged_with_its_output_and_files",
            command_logged,
        ),
        trial("an_abort_ends_the_command_and_the_run", aborted),
        trial("an_abort_ends_a_computation_in_every_stage", abort_of_loops),
        trial("an_abort_ends_a_command_in_every_stage", abort_of_commands),
        trial(
            "an_abort_ends_work_on_files_in_every_stage",
            abort_of_digests,
        ),
        trial(
            "an_abort_ends_the_wait_for_a_store_that_does_not_answer",
            abort_of_waits,
        ),
        trial("an_abort_ends_an_upload_under_way", abort_of_uploads),
        trial("daemons_of_a_command_do_not_survive", daemons),
        trial("names_that_lead_out_of_a_directory_are_refused", escapes),
        trial("invalid_data_are_told_with_every_violation", invalid),
        trial("a_missing_artifact_fails_the_fetch", missing_artifact),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial<F: Future<Output = Result<()>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let tested = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(240), test()).await });
        match tested {
            Ok(result) => result.map_err(|error| Failed::from(format!("{error:#}"))),
            Err(_) => Err(Failed::from("not done after 240 s")),
        }
    })
}

async fn run(data: Value) -> Result<Report> {
    let report = Bench::new()?.scripted(data).await?;
    ensure!(report.left.is_empty(), "left behind: {:?}", report.left);
    Ok(report)
}

fn verdict(report: &Report) -> Verdict {
    match &report.result {
        Ok(result) => result.verdict,
        Err(error) => panic!("no result: {error}"),
    }
}

const ALL: [Stage; 7] = [
    Stage::FetchInput,
    Stage::ConfigureForExecution,
    Stage::PrepareToRun,
    Stage::Run,
    Stage::CheckOutput,
    Stage::UploadArtifacts,
    Stage::CleanUp,
];

async fn all_stages() -> Result<()> {
    let report = run(json!({})).await?;
    assert_eq!(verdict(&report), Verdict::Success);
    assert_eq!(report.stages, ALL);
    Ok(())
}

async fn no_stages_log() -> Result<()> {
    assert!(run(json!({})).await?.logs.is_empty());
    let refused = run(json!({"run": "refuse"})).await?;
    let stages: Vec<&str> = refused.logs["stages.log"]
        .lines()
        .map(|line| line.split_once(' ').expect("a time and a stage").1)
        .collect();
    assert_eq!(stages, ALL.map(Stage::message));
    Ok(())
}

async fn refusals() -> Result<()> {
    for (stage, begun) in [("fetch_input", 1), ("configure", 2)] {
        let report = run(json!({stage: "refuse"})).await?;
        assert_eq!(verdict(&report), Verdict::Failure, "{stage}");
        assert_eq!(
            report.stages.len(),
            begun + 1,
            "{stage}: {:?}",
            report.stages
        );
        assert_eq!(report.stages.last(), Some(&Stage::CleanUp));
    }
    let report = run(json!({"run": "refuse"})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    assert_eq!(
        report.stages, ALL,
        "a task that says no uploads what it has"
    );
    Ok(())
}

/// The stages as the data name them, and the log where their failures belong.
const STAGE_LOGS: [(&str, &str); 7] = [
    ("fetch_input", "fetch_input.log"),
    ("configure", "configure_for_execution.log"),
    ("prepare", "execution.log"),
    ("run", "execution.log"),
    ("check", "post_execution.log"),
    ("upload", "post_execution.log"),
    ("cleanup", "post_execution.log"),
];

async fn failures() -> Result<()> {
    for (stage, log) in STAGE_LOGS {
        let report = run(json!({stage: "fail"})).await?;
        assert_eq!(verdict(&report), Verdict::Failure, "{stage}");
        let text = &report.logs[log];
        assert!(
            text.starts_with("Exception type: told-to-fail\nMessage: as the data say\n\n"),
            "{stage}: {text}"
        );
    }
    Ok(())
}

async fn panics() -> Result<()> {
    for (stage, log) in STAGE_LOGS {
        let report = run(json!({stage: "panic"})).await?;
        assert_eq!(verdict(&report), Verdict::Failure, "{stage}");
        let text = &report.logs[log];
        assert!(text.contains("told to panic"), "{stage}: {text}");
        assert!(
            text.contains("scripted/src/lib.rs"),
            "{stage}: where it was: {text}"
        );
    }
    Ok(())
}

async fn always_cleaned() -> Result<()> {
    for (stage, _) in STAGE_LOGS {
        for how in ["refuse", "fail", "panic"] {
            let report = run(json!({stage: how})).await?;
            assert_eq!(report.stages.last(), Some(&Stage::CleanUp), "{stage} {how}");
        }
    }
    Ok(())
}

async fn flaws() -> Result<()> {
    let report = run(json!({"check": "refuse"})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    assert_eq!(report.logs["consistency.log"], "a is wrong\nb is wrong\n");
    assert!(!report.stages.contains(&Stage::UploadArtifacts));
    Ok(())
}

async fn limit(how: &str, words: &str) -> Result<()> {
    let bench = Bench::new()?;
    let report = bench.scripted(json!({"run": how})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    let text = &report.logs["execution.log"];
    assert!(
        text.contains("task scripted: run: limit reached:"),
        "{text}"
    );
    assert!(text.contains(words), "{text}");
    assert!(report.left.is_empty());
    let next = bench.scripted(json!({})).await?;
    assert_eq!(verdict(&next), Verdict::Success, "the next task runs");
    Ok(())
}

async fn endless() -> Result<()> {
    limit("loop", "computed for 2s").await
}

async fn hoarding() -> Result<()> {
    limit("hoard", "bytes of memory").await
}

async fn recursing() -> Result<()> {
    let report = run(json!({"run": "recurse"})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    let text = &report.logs["execution.log"];
    // Either the guest's own stack in linear memory or the engine's ends first.
    assert!(
        text.contains("stack") || text.contains("out of bounds"),
        "{text}"
    );
    Ok(())
}

async fn scheduling_limits() -> Result<()> {
    let bench = Bench::new()?;
    let mut instance = bench.instance("scripted").await?;
    instance
        .configure(&json!({"label": "loop"}), None, None)
        .await?
        .expect("the data are valid");
    let error = instance.label().await.expect_err("a loop has no answer");
    assert!(error.to_string().contains("limit reached"), "{error}");
    assert!(instance.has_ended());
    Ok(())
}

async fn command_logged() -> Result<()> {
    let script = "echo out; echo err >&2; mkdir b a; touch a/x b-c; exit 3";
    let report = run(json!({"run": "command", "command": ["sh", "-c", script]})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    assert_eq!(
        report.logs["cmd-output.log"],
        format!(
            "cmd: sh -c '{script}'\noutput (contains stdout and stderr):\nout\nerr\n\n\
             aborted: False\nreturncode: 3\n\nFiles in working directory:\na\na/x\nb\nb-c\n\
             --------------------\n"
        )
    );
    Ok(())
}

async fn aborted() -> Result<()> {
    let bench = Bench::new()?;
    let data = json!({"run": "command", "command": ["sleep", "600"]});
    let report = bench.aborted_in(Stage::Run, data).await?;
    assert_eq!(verdict(&report), Verdict::Aborted);
    assert!(!report.stages.contains(&Stage::UploadArtifacts));
    assert_eq!(report.stages.last(), Some(&Stage::CleanUp));
    assert!(report.logs["cmd-output.log"].contains("\naborted: True\n"));
    assert!(report.left.is_empty());
    Ok(())
}

/// Aborts a stage that would go on for minutes; what it did, but for what all of them do.
async fn abort_in(stage: Stage, name: &str, act: Value) -> Result<Report> {
    let mut bench = Bench::new()?;
    bench.runner.options.limits.cpu = Duration::from_secs(300);
    bench.load("scripted")?;
    let mut data = json!({"cleanup": "log"});
    data[name] = act["how"].clone();
    data["command"] = act["command"].clone();
    let begun = std::time::Instant::now();
    let report = bench.aborted_in(stage, data).await?;
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(60), "{name}: took {took:?}");
    assert_eq!(verdict(&report), Verdict::Aborted, "{name}");
    assert!(report.stages.contains(&stage), "{name}: it was reached");
    assert_eq!(report.stages.last(), Some(&Stage::CleanUp), "{name}");
    ensure!(report.left.is_empty(), "{name}: left: {:?}", report.left);
    Ok(report)
}

async fn abort_of_loops() -> Result<()> {
    for (stage, (name, log)) in ALL.into_iter().zip(STAGE_LOGS) {
        let act = json!({"how": "loop", "command": []});
        let report = abort_in(stage, name, act).await?;
        let text = &report.logs[log];
        assert!(text.starts_with("Exception type: aborted\n"), "{text}");
    }
    Ok(())
}

async fn abort_of_commands() -> Result<()> {
    for (stage, (name, _)) in ALL.into_iter().zip(STAGE_LOGS) {
        let act = json!({"how": "command", "command": ["sleep", "600"]});
        let report = abort_in(stage, name, act).await?;
        let text = &report.logs["cmd-output.log"];
        assert!(text.contains("\naborted: True\n"), "{name}: {text}");
        cleaned_up_by_itself(stage, &report);
    }
    Ok(())
}

async fn abort_of_digests() -> Result<()> {
    for (stage, (name, log)) in ALL.into_iter().zip(STAGE_LOGS) {
        let act = json!({"how": "digest", "command": ["truncate", "-s", "4T", "big"]});
        let report = abort_in(stage, name, act).await?;
        let text = &report.logs[log];
        assert!(text.starts_with("Exception type: aborted\n"), "{text}");
        cleaned_up_by_itself(stage, &report);
    }
    Ok(())
}

/// A store that gives no file and takes none of a task's, and does not say so.
struct Silent(Arc<LocalStore>);

#[async_trait]
impl ArtifactStore for Silent {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        self.0.artifact(id).await
    }

    async fn fetch_file(&self, _: ArtifactId, _: &str, _: File) -> Result<(), StoreError> {
        std::future::pending().await
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        match artifact.category == "debusine:test" {
            true => std::future::pending().await,
            false => self.0.upload(artifact).await,
        }
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        self.0.relate(relation).await
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        self.0.relations_from(id).await
    }
}

async fn abort_of_waits() -> Result<()> {
    let mut bench = Bench::new()?;
    let stored = NewArtifact {
        category: "debusine:test".into(),
        data: json!({}),
        files: vec![NewFile {
            path: "input".into(),
            content: tempfile::tempfile()?,
        }],
        work_request: None,
        workspace: None,
    };
    let input = bench.store.upload(stored).await?;
    bench.runner.artifacts = Arc::new(Silent(Arc::clone(&bench.store)));
    let fetching = json!({"artifacts": [input.0], "cleanup": "log"});
    let uploading = json!({
        "run": "command", "command": ["touch", "result"], "results": ["result"], "cleanup": "log"
    });
    for (stage, data) in [
        (Stage::FetchInput, fetching),
        (Stage::UploadArtifacts, uploading),
    ] {
        let report = bench.aborted_in(stage, data).await?;
        assert_eq!(verdict(&report), Verdict::Aborted, "{stage}");
        assert!(report.stages.contains(&stage), "{stage}: it was reached");
        assert_eq!(report.stages.last(), Some(&Stage::CleanUp), "{stage}");
        ensure!(report.left.is_empty(), "{stage}: left: {:?}", report.left);
    }
    Ok(())
}

async fn abort_of_uploads() -> Result<()> {
    let bench = Bench::new()?;
    // More than any disk has room for.
    let data = json!({
        "run": "command", "command": ["truncate", "-s", "4T", "big"], "results": ["big"], "cleanup": "log"
    });
    let report = bench.aborted_in(Stage::UploadArtifacts, data).await?;
    assert_eq!(verdict(&report), Verdict::Aborted);
    assert!(report.stages.contains(&Stage::UploadArtifacts));
    ensure!(report.left.is_empty(), "left: {:?}", report.left);
    let incoming = bench.directory.path().join("store/incoming");
    for _ in 0..1000 {
        if std::fs::read_dir(&incoming)?.next().is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the upload goes on")
}

/// A task that came back from the stage that was aborted cleans up itself.
fn cleaned_up_by_itself(stage: Stage, report: &Report) {
    let written = report.logs.contains_key("scripted.log");
    assert_eq!(written, stage != Stage::CleanUp, "{stage}");
}

async fn daemons() -> Result<()> {
    // A daemon of its own session, forked twice, that ignores SIGTERM and has written down its number before the command ends.
    let daemon = "trap '' TERM; echo $$ > pid.part; mv pid.part pid; exec sleep 600";
    let script = format!(
        "(setsid sh -c \"{daemon}\" &) & while ! test -e pid; do sleep 0.01; done; cat pid"
    )
    .replace("$$", "\\$\\$");
    let report = run(json!({"run": "command", "command": ["sh", "-c", script]})).await?;
    assert_eq!(verdict(&report), Verdict::Success);
    let log = &report.logs["cmd-output.log"];
    let pid: u32 = log
        .lines()
        .find_map(|line| line.parse().ok())
        .expect("the daemon wrote its number");
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "process {pid} survived"
    );
    Ok(())
}

async fn escapes() -> Result<()> {
    let long = "a/".repeat(2500);
    for name in [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "",
        "a\0b",
        &long,
        "out/passwd",
        "pipe",
    ] {
        let data = json!({
            "prepare": "command",
            "command": ["sh", "-c", "ln -s /etc out; mkfifo pipe"],
            "open": [name],
        });
        let report = run(data).await?;
        assert_eq!(verdict(&report), Verdict::Failure, "{name:?}");
        let text = &report.logs["execution.log"];
        assert!(text.starts_with("Exception type: "), "{name:?}: {text}");
        assert!(!text.contains("root:"), "{name:?}: {text}");
    }
    Ok(())
}

async fn invalid() -> Result<()> {
    let report = run(json!({"run": "dance", "colour": "red"})).await?;
    let error = report.result.expect_err("the data are invalid");
    let words = format!("{error:?}");
    assert!(words.contains("type_error.enum"), "{words}");
    assert!(words.contains("value_error.extra"), "{words}");
    assert!(report.stages.is_empty());
    Ok(())
}

async fn missing_artifact() -> Result<()> {
    let report = run(json!({"artifacts": [4711]})).await?;
    assert_eq!(verdict(&report), Verdict::Failure);
    assert!(
        report.logs["fetch_input.log"].contains("4711"),
        "{:?}",
        report.logs
    );
    Ok(())
}
