//! Promises about files on their way into a sandbox and out of it.

use super::world::World;
use super::*;
use crate::executor::Instance;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

#[tokio::test]
async fn directories_are_pushed_whole_and_belong_to_the_user() {
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    let source = tempfile::tempdir().unwrap();
    let pushed = source.path().join("download");
    fs::create_dir_all(pushed.join("a/b")).unwrap();
    fs::write(pushed.join("a/b/file name\nwith a line"), "content").unwrap();
    fs::write(pushed.join("program"), "x").unwrap();
    fs::set_permissions(pushed.join("program"), PermissionsExt::from_mode(0o4750)).unwrap();
    symlink("/etc/shadow", pushed.join("link")).unwrap();
    let long = "long".repeat(40);
    fs::write(pushed.join(&long), "x").unwrap();
    for number in 0..1000 {
        fs::write(pushed.join(format!("{number}.deb")), "small").unwrap();
    }
    // What is in the way is replaced, not followed.
    world.root("ln -s /etc /tmp/download").await;
    world
        .sandbox
        .push_directory(&pushed, Path::new("/tmp"), &Abort::new())
        .await
        .unwrap();
    assert_eq!(
        world.root("stat -c '%U %F' /tmp/download").await,
        "_debusine directory"
    );
    assert_eq!(
        world.root("stat -c '%U %a' /tmp/download/program").await,
        "_debusine 750"
    );
    assert_eq!(
        world.root("stat -c '%U %N' /tmp/download/link").await,
        "_debusine '/tmp/download/link' -> '/etc/shadow'"
    );
    assert_eq!(world.user("cat /tmp/download/a/b/*").await, "content");
    assert_eq!(
        world
            .user(&format!(
                "cat /tmp/download/{long}; ls /tmp/download/*.deb | wc -l"
            ))
            .await,
        "x1000"
    );
    let mtime = fs::metadata(pushed.join("program")).unwrap().mtime();
    assert_eq!(
        world.root("stat -c %Y /tmp/download/program").await,
        mtime.to_string()
    );
    let missing = world
        .sandbox
        .push_directory(Path::new("/no/such"), Path::new("/tmp"), &Abort::new())
        .await;
    assert!(
        matches!(missing, Err(ExecutorError::File(_))),
        "{missing:?}"
    );
    let nowhere = world
        .sandbox
        .push_directory(&pushed, Path::new("/no/such"), &Abort::new())
        .await;
    assert!(
        matches!(nowhere, Err(ExecutorError::File(_))),
        "{nowhere:?}"
    );
    world.end().await;
}

#[tokio::test]
async fn files_and_directories_are_made_as_asked() {
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    world
        .sandbox
        .create_directory(Path::new("/tmp/new/execute"), 0o755, &Abort::new())
        .await
        .unwrap();
    assert_eq!(
        world
            .root("stat -c '%U %a' /tmp/new /tmp/new/execute")
            .await,
        "root 755\n_debusine 755"
    );
    assert_eq!(
        world
            .user("cd /tmp/new/execute && touch result && echo $?")
            .await,
        "0"
    );
    let mut there = shell("pwd");
    there.directory = Some("/tmp/new/execute".into());
    assert_eq!(
        output_of(&world.sandbox, there).await.1,
        "/tmp/new/execute\n"
    );
    world.push(b"hello", "/etc/greeting", 0o640).await.unwrap();
    assert_eq!(
        world
            .root("stat -c '%U %a' /etc/greeting; cat /etc/greeting")
            .await,
        "root 640\nhello"
    );
    world.root("ln -s /etc/passwd /tmp/link").await;
    world.push(b"replaced", "/tmp/link", 0o644).await.unwrap();
    assert_eq!(
        world
            .root("cat /tmp/link; wc -l < /etc/passwd")
            .await
            .lines()
            .next(),
        Some("replaced2")
    );
    world.end().await;
}

#[tokio::test]
async fn only_plain_files_are_taken_out() {
    let Some(world) = World::new().await else {
        return;
    };
    world
        .root(
            "cd /tmp; echo plain > plain; ln -s plain link; ln -s /etc/passwd absolute; ln -s ../../../../etc up; mkfifo fifo; mkdir directory; \
             ln plain hard; ln -s /proc/self magic; ln -s /tmp around",
        )
        .await;
    assert_eq!(world.pull("/tmp/plain").await.unwrap(), b"plain\n");
    assert_eq!(world.pull("/tmp/hard").await.unwrap(), b"plain\n");
    // A link on the way is the sandbox's own business: it leads to the sandbox's files only.
    assert_eq!(world.pull("/tmp/around/plain").await.unwrap(), b"plain\n");
    assert!(
        world
            .pull("/tmp/up/passwd")
            .await
            .unwrap()
            .starts_with(b"root:x:0:0:root:/root:/bin/sh\n")
    );
    for path in [
        "/tmp/link",
        "/tmp/absolute",
        "/tmp/fifo",
        "/tmp/directory",
        "/dev/null",
        "/dev/zero",
        "/tmp/../etc/passwd",
        "etc/passwd",
        "/",
        "",
        "/tmp/missing",
        "/proc/1/environ",
        "/proc/self/environ",
        "/tmp/magic/environ",
        "/proc/self/root/etc/passwd",
        "/proc/self/fd/0",
    ] {
        match world.pull(path).await {
            Err(ExecutorError::File(_)) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    world.end().await;
}

#[tokio::test]
async fn sparse_files_stay_sparse_and_huge_ones_are_refused() {
    let Some(world) = World::with(|options| options.largest_pull = 1 << 30).await else {
        return;
    };
    world
        .root("cd /tmp; truncate -s 500M sparse; echo end >> sparse; truncate -s 1T huge")
        .await;
    let target = tempfile::tempfile().unwrap();
    world
        .sandbox
        .pull_file(
            Path::new("/tmp/sparse"),
            target.try_clone().unwrap(),
            &Abort::new(),
        )
        .await
        .unwrap();
    let metadata = target.metadata().unwrap();
    assert_eq!(metadata.len(), (500 << 20) + 4);
    assert!(metadata.blocks() * 512 < 1 << 20);
    assert!(matches!(
        world.pull("/tmp/huge").await,
        Err(ExecutorError::File(_))
    ));
    world.end().await;
}
