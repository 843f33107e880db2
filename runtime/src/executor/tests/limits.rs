//! Promises about limits: what exceeds one fails in a way that can be told, and the host does not feel it.

use super::world::{World, start};
use super::*;
use crate::executor::{Allowance, Limits, SandboxOptions, SandboxScratch, cgroup, unenforced};
use std::fs;

/// A line of shell that needs 300 MB of memory.
const GREEDY: &str = r#"perl -e '$x = "x" x 300_000_000; print length $x'"#;

const MODEST: Limits = Limits {
    memory: Some(64 << 20),
    processes: None,
    processors: None,
    open_files: None,
    file_size: None,
};

/// Whether cgroups limit this here.
fn has_controller(name: &str) -> bool {
    let found = cgroup::controllers().unwrap_or_default();
    let has = found.contains(&name);
    if !has {
        eprintln!("skipped: no cgroup with the controller {name} can be made here; run as root");
    }
    has
}

#[tokio::test]
async fn out_of_memory_is_told_apart_on_the_host() {
    if !has_controller("memory") {
        return;
    }
    let host = HostCommands::new().limits(MODEST);
    let exit = host
        .run(shell(format!("exec {GREEDY}")), &Abort::new())
        .await;
    assert_eq!(exit.unwrap(), Exit::OutOfMemory);
    // A child is killed, and the command fails for that.
    let exit = host
        .run(shell(format!("{GREEDY}; exit 1")), &Abort::new())
        .await;
    assert_eq!(exit.unwrap(), Exit::OutOfMemory);
    let exit = host.run(shell("exit 1"), &Abort::new()).await;
    assert_eq!(exit.unwrap(), Exit::Exited(1));
}

#[tokio::test]
async fn out_of_memory_is_told_apart_in_a_sandbox_that_goes_on() {
    if !has_controller("memory") {
        return;
    }
    let Some(world) = World::with(|options| options.limits.memory = MODEST.memory).await else {
        return;
    };
    for _ in 0..2 {
        let mut greedy = shell(format!("exec {GREEDY}"));
        greedy.as_root = true;
        let exit = world.sandbox.run(greedy, &Abort::new()).await.unwrap();
        assert_eq!(exit, Exit::OutOfMemory);
        assert_eq!(world.root("echo alive").await, "alive");
    }
    world.end().await;
}

#[tokio::test]
async fn without_a_cgroup_memory_is_limited_for_each_process() {
    let host = HostCommands::new().cgroups(false).limits(MODEST);
    let (exit, text) = output_of(&host, shell(GREEDY)).await;
    assert_ne!(exit.unwrap(), Exit::Exited(0), "{text}");
    assert_eq!(output_of(&host, shell("echo fine")).await.1, "fine\n");
}

#[tokio::test]
async fn processes_of_a_host_command_are_limited_together() {
    if !has_controller("pids") {
        return;
    }
    let host = HostCommands::new().limits(Limits {
        processes: Some(20),
        ..Limits::default()
    });
    let line = "i=0; while [ $i -lt 60 ]; do setsid sleep 60 & i=$((i+1)); done";
    let (exit, text) = output_of(&host, shell(line)).await;
    assert_ne!(exit.unwrap(), Exit::Exited(0), "{text}");
}

#[tokio::test]
async fn open_files_their_size_and_core_dumps_are_limited() {
    let limits = Limits {
        open_files: Some(77),
        file_size: Some(1 << 20),
        ..Limits::default()
    };
    let host = HostCommands::new().limits(limits);
    let line =
        "ulimit -n; ulimit -c; (head -c 3000000 /dev/zero > $TMPDIR/big); stat -c %s $TMPDIR/big";
    let memory = Memory::default();
    let mut told = shell(line);
    (told.stdout, told.stderr) = (Some(memory.sink()), Stderr::Discard);
    host.run(told, &Abort::new()).await.unwrap();
    assert_eq!(memory.text(), "77\n0\n1048576\n");
    let Some(world) = World::with(|options| options.limits = limits).await else {
        return;
    };
    assert_eq!(world.root("ulimit -n; ulimit -c").await, "77\n0");
    // The runtime's own files are not the command's.
    let bytes = vec![1; 3 << 20];
    world.push(&bytes, "/tmp/pushed", 0o644).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn nothing_is_left_of_a_cgroup() {
    let limits = Limits {
        processors: Some(500),
        ..MODEST
    };
    let host = HostCommands::new().limits(limits);
    host.run(shell("setsid sleep 60 & true"), &Abort::new())
        .await
        .unwrap();
    assert!(eventually(|| abandoned_cgroups() == 0));
}

/// Cgroups whose makers are gone, in all hierarchies.
fn abandoned_cgroups() -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then_some(place)
    });
    let entries = places.flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    entries
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap_or_default();
            let owner = name.strip_prefix("task-runtime-");
            owner.and_then(|it| it.parse().ok()).is_some_and(|owner| {
                let owner = nix::unistd::Pid::from_raw(owner);
                nix::sys::signal::kill(owner, None) == Err(nix::Error::ESRCH)
            })
        })
        .count()
}

#[tokio::test]
async fn shared_memory_is_limited_like_the_rest() {
    let change = |options: &mut SandboxOptions| {
        options.scratch = SandboxScratch::Memory(16 << 20);
    };
    let Some(world) = World::with(change).await else {
        return;
    };
    let full = world
        .root("dd if=/dev/zero of=/dev/shm/more bs=1M count=20 2>&1; stat -c %s /dev/shm/more")
        .await;
    assert!(
        full.contains("No space left") && full.ends_with("\n16777216"),
        "{full}"
    );
    world.end().await;
    let change = |options: &mut SandboxOptions| options.limits.memory = MODEST.memory;
    let Some(world) = World::with(change).await else {
        return;
    };
    let size = world.root("stat -f -c '%b %S' /dev/shm").await;
    let mut numbers = size.split(' ').map(|number| number.parse::<u64>().unwrap());
    let bytes = numbers.next().unwrap() * numbers.next().unwrap();
    assert_eq!(Some(bytes), MODEST.memory);
    world.end().await;
}

#[tokio::test]
async fn a_sandbox_for_which_the_disk_has_no_room_is_an_error_of_the_system() {
    if !images::has_ids() {
        return;
    }
    let Some(disk) = images::SmallDisk::new("1m") else {
        return;
    };
    let (_directory, cache) = images::cache();
    let scratch = disk.0.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let options = || SandboxOptions {
        overlay: false,
        ..SandboxOptions::new(SandboxScratch::Disk(scratch.clone()))
    };
    // The copy of the image is larger than the disk.
    match start(&cache, options()).await {
        Err(ExecutorError::System(words)) => assert!(
            words.contains("No space left on device") && words.contains("free space"),
            "{words}"
        ),
        other => panic!("{other:?}"),
    }
    assert!(eventually(|| fs::read_dir(scratch.join("sandboxes"))
        .unwrap()
        .next()
        .is_none()));
    images::clear(&cache).await;
}

#[test]
fn what_no_cgroup_limits_is_said_in_words() {
    assert_eq!(unenforced(&Limits::default()), None);
    let all = Limits {
        processes: Some(100),
        processors: Some(500),
        ..MODEST
    };
    let found = cgroup::controllers().unwrap_or_default();
    let words = unenforced(&all).unwrap_or_default();
    for (name, instead) in [
        ("memory", "each process by itself"),
        ("pids", "each user of a sandbox"),
        ("cpu", "processors are not limited"),
    ] {
        assert_eq!(!found.contains(&name), words.contains(instead), "{words}");
    }
    assert_eq!(found.len() < 3, words.contains("Delegate=yes"), "{words}");
}

#[tokio::test]
async fn an_allowance_is_for_host_and_sandbox() {
    let allowance = Allowance {
        grace: Duration::ZERO,
        limits: Limits {
            open_files: Some(77),
            ..MODEST
        },
        scratch_memory: None,
    };
    let host = HostCommands::new().allowance(&allowance);
    let (exit, text) = output_of(&host, shell(format!("ulimit -n; {GREEDY}"))).await;
    assert_ne!(exit.unwrap(), Exit::Exited(0));
    assert!(text.starts_with("77\n"), "{text}");
    // Without grace nobody is asked.
    let memory = Memory::default();
    let mut polite = shell("trap 'echo asked' TERM; echo ready; sleep 60");
    polite.stdout = Some(memory.sink());
    let abort = Abort::new();
    let later = async {
        until(|| !memory.bytes().is_empty()).await;
        abort.cancel();
    };
    let (exit, ()) = tokio::join!(host.run(polite, &abort), later);
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert_eq!(memory.text(), "ready\n");
}
