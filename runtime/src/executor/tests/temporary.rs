//! Promises about temporary files of commands on the host.

use super::*;
use std::fs;
use std::path::Path;

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn each_command_has_a_directory_for_temporary_files_that_goes_with_it() {
    let parent = tempfile::tempdir().unwrap();
    let host = HostCommands::new().temporary(parent.path());
    let line = "echo $TMPDIR; mkdir -p $TMPDIR/closed/deep; touch $TMPDIR/closed/file; chmod 500 $TMPDIR/closed; stat -c %a $TMPDIR";
    let (_, one) = output_of(&host, shell(line)).await;
    let (_, other) = output_of(&host, shell(line)).await;
    let parent_text = parent.path().to_str().unwrap();
    assert!(one.starts_with(parent_text), "{one}");
    // Users of sub-ids have to pass through, and need not look around.
    assert!(one.ends_with("\n711\n"), "{one}");
    assert_ne!(one, other);
    assert_eq!(entries(parent.path()), 0);
    let refused = host.run(command(["no-such-program"]), &Abort::new()).await;
    assert!(refused.is_err());
    assert_eq!(entries(parent.path()), 0);
}

#[tokio::test]
async fn a_command_may_name_another_directory_for_temporary_files() {
    let parent = tempfile::tempdir().unwrap();
    let host = HostCommands::new().temporary(parent.path());
    let mut told = shell("echo $TMPDIR");
    told.environment = Some([("TMPDIR".into(), "/its/own".into())].into());
    assert_eq!(output_of(&host, told).await.1, "/its/own\n");
}

#[tokio::test]
async fn temporary_files_go_also_when_others_own_them() {
    if !images::has_ids() {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let host = HostCommands::new().temporary(parent.path());
    // As mmdebstrap does it.
    let line = "unshare --map-root-user --map-auto sh -c 'mkdir -p $TMPDIR/root/deep && touch $TMPDIR/root/deep/file && chown -R 7:7 $TMPDIR/root && chmod 700 $TMPDIR/root'";
    let (exit, text) = output_of(&host, shell(line)).await;
    if exit.unwrap() != Exit::Exited(0) {
        return eprintln!("skipped: unshare cannot map ids here: {text}");
    }
    assert_eq!(entries(parent.path()), 0);
}

#[tokio::test]
async fn temporary_files_of_killed_ones_are_swept() {
    let parent = tempfile::tempdir().unwrap();
    let abandoned = parent.path().join("task-runtime-4194999.77-0123abcd");
    let foreign = parent.path().join("task-runtime-notes");
    fs::create_dir_all(abandoned.join("deep")).unwrap();
    fs::create_dir(&foreign).unwrap();
    let host = HostCommands::new().temporary(parent.path());
    host.run(shell("true"), &Abort::new()).await.unwrap();
    assert!(!abandoned.exists());
    assert!(foreign.exists());
}

#[tokio::test]
async fn no_place_for_temporary_files_is_said_in_words() {
    let host = HostCommands::new().temporary("/no/such/place");
    match host.run(shell("true"), &Abort::new()).await {
        Err(ExecutorError::System(words)) => assert!(words.contains("TMPDIR"), "{words}"),
        other => panic!("{other:?}"),
    }
}
