//! Promises about the end: aborts at any moment, many processes, processes that will not go.

use super::images;
use super::world::World;
use super::*;
use crate::executor::Instance;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn an_abort_ends_an_unpacking_and_leaves_nothing() {
    if !images::has_ids() {
        return;
    }
    let (_directory, cache) = images::cache();
    // 16 GiB of zeros, a frame of zstd for each 16 MiB: it takes longer than anybody waits.
    let part = vec![0; 16 << 20];
    let part = zstd::encode_all(&part[..], 1).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("big").unwrap();
    header.set_mode(0o644);
    header.set_size(16 << 30);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut bytes = zstd::encode_all(&header.as_bytes()[..], 1).unwrap();
    for _ in 0..1024 {
        bytes.extend(&part);
    }
    let fetch = async |mut file: fs::File| {
        file.write_all(&bytes).unwrap();
        Ok(())
    };
    let wanted = images::wanted("big.tar.zst", &bytes);
    let image = cache.ensure(&wanted, fetch, &Abort::new()).await.unwrap();
    let abort = abort_after(Duration::from_millis(20));
    let start = Instant::now();
    let unpacked = cache.unpack(&image, &abort).await;
    assert!(
        matches!(unpacked, Err(ExecutorError::Aborted)),
        "{unpacked:?}"
    );
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    let left = fs::read_dir(image.root().parent().unwrap());
    assert_eq!(left.map_or(0, Iterator::count), 0);
    drop(image);
    images::clear(&cache).await;
}

#[tokio::test]
async fn an_abort_ends_a_push_and_not_the_sandbox() {
    let Some(world) = World::new().await else {
        return;
    };
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    let source = world.directory.path().join("source");
    fs::create_dir(&source).unwrap();
    let endless = fs::File::create(source.join("endless")).unwrap();
    endless.set_len(64 << 30).unwrap();
    let start = Instant::now();
    let abort = abort_after(Duration::from_millis(50));
    let pushed = world
        .sandbox
        .push_directory(&source, Path::new("/tmp"), &abort)
        .await;
    assert!(matches!(pushed, Err(ExecutorError::Aborted)), "{pushed:?}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(world.root("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn ten_thousand_orphans_leave_no_zombie() {
    let orphans = r#"for (1 .. 10_000) { my $child = fork // die; if (!$child) { fork; exit } waitpid $child, 0 }
        my ($watcher, $left) = (getppid, 0);
        for (1 .. 200) { open my $list, "<", "/proc/$watcher/task/$watcher/children" or die; $left = () = split " ", <$list>; last if $left == 1; select undef, undef, undef, 0.05 }
        print $left"#;
    let mut command = command(["perl", "-e", orphans]);
    command.timeout = Some(Duration::from_secs(300));
    let (exit, left) = output_of(&HostCommands::new(), command).await;
    assert_eq!(exit.unwrap(), Exit::Exited(0));
    // The command itself.
    assert_eq!(left, "1");
}

#[tokio::test]
async fn ten_thousand_orphans_in_a_sandbox_leave_no_zombie() {
    let Some(world) = World::new().await else {
        return;
    };
    // The init takes them all while the command still runs.
    let orphans = r#"for (1 .. 10_000) { my $child = fork // die; if (!$child) { fork; exit } waitpid $child, 0 }
        my $left;
        for (1 .. 200) { opendir my $list, "/proc" or die; $left = grep { /^\d+$/ } readdir $list; last if $left == 2; select undef, undef, undef, 0.05 }
        print $left"#;
    let mut command = command(["env", "LC_ALL=C", "perl", "-e", orphans]);
    command.as_root = true;
    command.timeout = Some(Duration::from_secs(300));
    let (exit, left) = output_of(&world.sandbox, command).await;
    assert_eq!(exit.unwrap(), Exit::Exited(0));
    // The init and the command itself.
    assert_eq!(left, "2");
    world.end().await;
}

#[tokio::test]
async fn a_hundred_and_fifty_stubborn_descendants_in_a_sandbox_are_gone_at_once() {
    let Some(world) = World::with(|options| options.grace = Duration::ZERO).await else {
        return;
    };
    let sleep = format!("7{}.7", std::process::id());
    let line = format!(
        "trap '' TERM; i=0; while [ $i -lt 50 ]; do setsid sleep {sleep} & (sleep {sleep} &); \
         (setsid sh -c 'kill -STOP $$; :' {sleep} &); i=$((i+1)); done; wait"
    );
    let mut stubborn = shell(line);
    stubborn.as_root = true;
    let abort = Abort::new();
    let later = async {
        until(|| processes_with(&sleep) >= 150).await;
        abort.cancel();
        Instant::now()
    };
    let (exit, told) = tokio::join!(world.sandbox.run(stubborn, &abort), later);
    eprintln!("gone after {:?}", told.elapsed());
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert_eq!(processes_with(&sleep), 0);
    assert_eq!(world.root("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn a_fork_bomb_in_a_sandbox_is_ended_at_once() {
    let change = |options: &mut crate::executor::SandboxOptions| {
        options.limits.processes = Some(1000);
        options.grace = Duration::ZERO;
    };
    let Some(world) = World::with(change).await else {
        return;
    };
    let mut bomb = command([
        "perl",
        "-e",
        "$SIG{TERM} = 'IGNORE'; fork // sleep 1 while 1",
    ]);
    bomb.as_root = true;
    bomb.timeout = Some(Duration::from_millis(500));
    let start = Instant::now();
    let exit = world.sandbox.run(bomb, &Abort::new()).await.unwrap();
    assert_eq!(exit, Exit::TimedOut);
    eprintln!("the bomb was dead after {:?}", start.elapsed());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(world.root("set -- /proc/[0-9]*; echo $#").await, "2");
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_killed_is_reported_and_holds_nobody_up() {
    let freezer = PathBuf::from(format!(
        "/sys/fs/cgroup/freezer/task-runtime-test-{}",
        std::process::id()
    ));
    // In version 1 a frozen process does not die before it is thawed.
    if fs::create_dir(&freezer).is_err() {
        return eprintln!("skipped: no freezer of cgroup version 1 can be made here");
    }
    let shown = freezer.display();
    let memory = Memory::default();
    let mut frozen = shell(format!(
        "echo $$ > {shown}/cgroup.procs; echo ready; exec sleep 600"
    ));
    frozen.stdout = Some(memory.sink());
    let abort = Abort::new();
    let freeze = async {
        until(|| !memory.bytes().is_empty()).await;
        fs::write(freezer.join("freezer.state"), "FROZEN").unwrap();
        abort.cancel();
    };
    let host = HostCommands::new().grace(Duration::ZERO);
    let start = Instant::now();
    let (exit, ()) = tokio::join!(host.run(frozen, &abort), freeze);
    fs::write(freezer.join("freezer.state"), "THAWED").unwrap();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    match exit {
        Err(ExecutorError::System(words)) => assert!(words.contains("state D"), "{words}"),
        other => panic!("{other:?}"),
    }
    assert!(eventually(|| fs::remove_dir(&freezer).is_ok()));
}
