//! Promises about the life of sandboxes.

use super::world::{World, remove_arena, scratch_directories, start};
use super::*;
use crate::executor::{ImageCache, Instance, SandboxOptions, SandboxScratch, sweep};
use rustix::fs::IFlags;
use std::fs;
use std::path::{Path, PathBuf};

#[tokio::test]
async fn commands_run_as_root_and_as_a_user_of_the_sandbox() {
    let Some(world) = World::new().await else {
        return;
    };
    assert_eq!(
        world.root("id -u; id -g; pwd; echo $HOME").await,
        "0\n0\n/\n/root"
    );
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    assert_eq!(
        world.user("id -un; id -u; echo $HOME").await,
        "_debusine\n1000\n/home/_debusine"
    );
    assert_eq!(
        world
            .user("cat /etc/secret 2>&1; echo $?")
            .await
            .lines()
            .last(),
        Some("1")
    );
    assert_eq!(
        world
            .user("echo through > /dev/stdout; echo x > /dev/null; head -c1 /dev/zero | wc -c")
            .await
            .lines()
            .next(),
        Some("through")
    );
    let exit = world.sandbox.run(shell("exit 3"), &Abort::new()).await;
    assert_eq!(exit.unwrap(), Exit::Exited(3));
    world.end().await;
}

#[tokio::test]
async fn a_command_gets_its_user_before_anybody_has_asked_for_one() {
    let Some(world) = World::new().await else {
        return;
    };
    assert_eq!(world.user("id -un; id -u").await, "_debusine\n1000");
    world.end().await;
}

#[tokio::test]
async fn changes_stay_in_the_sandbox_and_not_in_the_image() {
    let Some(world) = World::new().await else {
        return;
    };
    world
        .root("echo changed > /etc/passwd; rm /etc/group; echo new > /etc/new")
        .await;
    assert_eq!(world.root("cat /etc/passwd /etc/new").await, "changed\nnew");
    let options = SandboxOptions::new(SandboxScratch::Memory(16 << 20));
    let second = start(&world.cache, options).await.unwrap();
    let mut look = shell("cat /etc/group; ls /etc");
    look.as_root = true;
    let (_, text) = output_of(&second, look).await;
    assert!(text.starts_with("root:x:0:\n"), "{text}");
    assert!(!text.contains("new"), "{text}");
    second.stop().await.unwrap();
    drop(second);
    world.end().await;
}

#[tokio::test]
async fn a_copy_serves_where_no_overlay_can_be_mounted() {
    let journal = Journal::begin();
    let Some(world) = World::with(|options| options.overlay = false).await else {
        return;
    };
    let warnings = journal.warnings();
    assert!(
        matches!(&warnings[..], [one] if one.contains("works on a copy of its image") && one.ends_with("no overlay was wanted")),
        "{warnings:?}"
    );
    assert_eq!(
        world.root("echo x > /etc/new; cat /etc/secret").await,
        "of root"
    );
    assert_eq!(world.root("grep -c ' / overlay ' /proc/mounts").await, "0");
    assert_eq!(world.root("stat -c %u:%a /etc/secret").await, "0:600");
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_started_in_a_sandbox_is_said_in_words_and_the_sandbox_goes_on() {
    let Some(world) = World::new().await else {
        return;
    };
    world
        .root("echo 'no program' > /tmp/plain; printf '\\1\\2' > /tmp/noise; chmod 755 /tmp/noise; mkdir -m 700 /tmp/closed")
        .await;
    let mut lost = shell("true");
    lost.directory = Some("/no/such/place".into());
    let mut kept_out = shell("true");
    kept_out.directory = Some("/tmp/closed".into());
    let many = (0..100_000).map(|number| format!("{number:0>40}"));
    let cases = [
        (command(["no-such-program-here"]), "no such program"),
        (command(["/tmp/plain"]), "not executable"),
        (command(["/tmp/noise"]), "neither a program"),
        (command(["echo", "a\0b"]), "argument 1 contains a NUL"),
        (lost, "/no/such/place does not exist"),
        (kept_out, "/tmp/closed"),
        (
            command(["/bin/true".to_owned()].into_iter().chain(many)),
            "longer than the system allows",
        ),
    ];
    for (command, words) in cases {
        match world.sandbox.run(command, &Abort::new()).await {
            Err(ExecutorError::Command(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    assert_eq!(world.user("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn leftovers_of_a_command_are_killed_before_the_next() {
    let Some(world) = World::new().await else {
        return;
    };
    world
        .root("setsid sleep 70 & (sleep 70 &) ; sh -c 'trap \"\" TERM; sleep 70' & sleep 0.1")
        .await;
    // The init and the shell.
    assert_eq!(world.root("set -- /proc/[0-9]*; echo $#").await, "2");
    world.end().await;
}

#[tokio::test]
async fn abort_and_timeout_end_a_command_and_not_the_sandbox() {
    let Some(world) = World::with(|options| options.grace = Duration::from_millis(100)).await
    else {
        return;
    };
    let mut stubborn = shell("trap '' TERM; sleep 600; sleep 600");
    stubborn.as_root = true;
    let start = Instant::now();
    let exit = world
        .sandbox
        .run(stubborn, &abort_after(Duration::from_millis(50)))
        .await;
    assert_eq!(exit.unwrap(), Exit::Aborted);
    let mut slow = shell("sleep 600");
    slow.as_root = true;
    slow.timeout = Some(Duration::from_millis(50));
    assert_eq!(
        world.sandbox.run(slow, &Abort::new()).await.unwrap(),
        Exit::TimedOut
    );
    let mut given_up = shell("sleep 600");
    given_up.as_root = true;
    let never = Abort::new();
    let given_up = world.sandbox.run(given_up, &never);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), given_up)
            .await
            .is_err()
    );
    assert_eq!(world.root("echo alive").await, "alive");
    assert!(start.elapsed() < PATIENCE);
    world.end().await;
}

#[tokio::test]
async fn a_full_scratch_and_too_many_processes_stay_inside() {
    let change = |options: &mut SandboxOptions| {
        options.scratch = SandboxScratch::Memory(8 << 20);
        options.limits.processes = Some(30);
    };
    let Some(world) = World::with(change).await else {
        return;
    };
    let full = world.push(&vec![1; 16 << 20], "/tmp/big", 0o644).await;
    assert!(matches!(full, Err(ExecutorError::System(_))), "{full:?}");
    assert!(
        world
            .root("rm /tmp/big; dd if=/dev/zero of=/tmp/more bs=1M count=20 2>&1 | cat")
            .await
            .contains("No space")
    );
    let mut bomb = shell("i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done");
    bomb.as_root = true;
    let exit = world.sandbox.run(bomb, &Abort::new()).await.unwrap();
    assert_ne!(exit, Exit::Exited(0));
    assert_eq!(world.root("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn stop_ends_a_command_that_runs() {
    let Some(world) = World::new().await else {
        return;
    };
    let memory = Memory::default();
    let mut slow = shell("echo ready; exec sleep 600");
    slow.as_root = true;
    slow.stdout = Some(memory.sink());
    let abort = Abort::new();
    let running = world.sandbox.run(slow, &abort);
    let stopping = async {
        until(|| !memory.bytes().is_empty()).await;
        world.sandbox.stop().await.unwrap();
    };
    let (exit, ()) = tokio::join!(running, stopping);
    assert!(exit.is_err());
    let after = world.sandbox.run(shell("true"), &abort).await;
    assert!(matches!(after, Err(ExecutorError::System(_))));
    world.end().await;
}

#[tokio::test]
async fn a_dropped_sandbox_ends() {
    let Some(world) = World::new().await else {
        return;
    };
    let sleep = format!("7{}.9", std::process::id());
    let World {
        directory,
        cache,
        sandbox,
    } = world;
    let mut slow = shell(format!("sleep {sleep} & sleep {sleep}"));
    slow.as_root = true;
    let abort = Abort::new();
    tokio::select! {
        exit = sandbox.run(slow, &abort) => panic!("{exit:?}"),
        () = until(|| processes_with(&sleep) == 2) => {}
    }
    drop(sandbox);
    assert!(eventually(|| processes_with(&sleep) == 0));
    assert!(eventually(|| scratch_directories(directory.path()) == 0));
    images::clear(&cache).await;
    remove_arena(directory.path()).await;
}

/// Not a promise: what the next test kills.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn victim() {
    let directory = PathBuf::from(std::env::var_os("VICTIM_DIRECTORY").unwrap());
    let sleep = std::env::var("VICTIM_SLEEP").unwrap();
    let cache = ImageCache::new(directory.join("images"));
    let options = SandboxOptions::new(SandboxScratch::Disk(directory.join("scratch")));
    let sandbox = start(&cache, options).await.unwrap();
    let mut slow = shell(format!("setsid sleep {sleep} & sleep {sleep}"));
    slow.as_root = true;
    let _ = sandbox.run(slow, &Abort::new()).await;
}

#[tokio::test]
async fn nothing_of_a_sandbox_survives_a_runtime_that_was_killed() {
    if !images::has_ids() {
        return;
    }
    let (directory, cache) = images::cache();
    let sleep = format!("7{}.8", std::process::id());
    let mut victim = std::process::Command::new("/proc/self/exe")
        .args(["--exact", "executor::tests::sandbox::victim", "--ignored"])
        .env("VICTIM_DIRECTORY", directory.path())
        .env("VICTIM_SLEEP", &sleep)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(eventually(|| processes_with(&sleep) == 2));
    assert_eq!(scratch_directories(directory.path()), 1);
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(eventually(|| processes_with(&sleep) == 0));
    assert!(eventually(|| scratch_directories(directory.path()) == 0));
    assert!(
        !fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .contains(directory.path().to_str().unwrap())
    );
    images::clear(&cache).await;
    remove_arena(directory.path()).await;
}

#[tokio::test]
async fn a_sandbox_has_its_files_where_the_one_before_had_none() {
    let Some(world) = World::new().await else {
        return;
    };
    let flags_of = |path: &str| {
        let directory = fs::File::open(world.directory.path().join(path)).unwrap();
        (rustix::fs::ioctl_getflags(&directory), directory)
    };
    let can_be_wished = match flags_of("scratch") {
        (Ok(flags), directory) => rustix::fs::ioctl_setflags(directory, flags | IFlags::TOPDIR),
        (Err(error), _) => Err(error),
    };
    match can_be_wished {
        Ok(()) => assert!(
            flags_of("scratch/sandboxes")
                .0
                .unwrap()
                .contains(IFlags::TOPDIR)
        ),
        Err(error) => eprintln!("skipped: not on this file system: {error}"),
    }
    world.end().await;
}

#[tokio::test]
async fn scratch_directories_of_killed_keepers_are_swept() {
    let Some(world) = World::new().await else {
        return;
    };
    let scratch = world.directory.path().join("scratch");
    let (directory, cache) = (&world.directory, &world.cache);
    let keeper = keeper_of(directory.path());
    world
        .root("mkdir -p /tmp/closed/deep; chmod 0 /tmp/closed")
        .await;
    nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(eventually(|| has_ended(keeper)));
    assert_eq!(scratch_directories(directory.path()), 1);
    assert_eq!(sweep(&scratch).await, 1);
    assert_eq!(sweep(&scratch).await, 0);
    assert_eq!(scratch_directories(directory.path()), 0);
    assert_eq!(sweep(Path::new("/no/such/place")).await, 0);
    drop(world.sandbox);
    images::clear(cache).await;
    remove_arena(directory.path()).await;
}

/// The keeper of the only sandbox there: its number is the first half of the scratch directory's name.
pub(super) fn keeper_of(directory: &Path) -> nix::unistd::Pid {
    let entry = fs::read_dir(directory.join("scratch/sandboxes"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = entry.file_name().into_string().unwrap();
    nix::unistd::Pid::from_raw(name.split_once('.').unwrap().0.parse().unwrap())
}
