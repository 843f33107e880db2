//! What things take. Printed, not judged: machines differ. `cargo nextest run --release --run-ignored only --no-capture measurements`

use super::world::World;
use super::*;
use crate::executor::{Instance, Sandbox, SandboxOptions, SandboxScratch};
use std::fs;
use std::path::Path;

/// The middle and the least of some durations, in milliseconds.
fn show(what: &str, mut taken: Vec<Duration>) {
    taken.sort_unstable();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    eprintln!(
        "{what:<40} p50 {:8.3} ms, min {:8.3} ms",
        milliseconds(taken[taken.len() / 2]),
        milliseconds(taken[0])
    );
}

#[tokio::test]
#[ignore = "prints measurements"]
async fn commands_and_output() {
    let host = HostCommands::new();
    let mut taken = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        host.run(command(["/bin/true"]), &Abort::new())
            .await
            .unwrap();
        taken.push(start.elapsed());
    }
    show("command on the host, with cgroup", taken);
    let plain = HostCommands::new().cgroups(false);
    let mut taken = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        plain
            .run(command(["/bin/true"]), &Abort::new())
            .await
            .unwrap();
        taken.push(start.elapsed());
    }
    show("command on the host, without cgroup", taken);
    let mut taken = Vec::new();
    for _ in 0..20 {
        let abort = Abort::new();
        let running = host.run(command(["/bin/sleep", "60"]), &abort);
        let aborting = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            abort.cancel();
            Instant::now()
        };
        let (_, aborted) = tokio::join!(running, aborting);
        taken.push(aborted.elapsed());
    }
    show("abort to everything dead", taken);
    let start = Instant::now();
    let mut flood = shell("head -c 1073741824 /dev/zero");
    flood.stdout = Some(Box::new(Meter::default()));
    host.run(flood, &Abort::new()).await.unwrap();
    eprintln!("1 GiB of output: {:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "prints measurements"]
async fn sandboxes_and_files() {
    let Some(world) = World::new().await else {
        return;
    };
    let mut stops = Vec::new();
    let mut starts = [const { Vec::new() }; 4];
    for number in 0..160 {
        let scratch = match number & 1 {
            0 => SandboxScratch::Disk(world.directory.path().join("scratch")),
            _ => SandboxScratch::Memory(64 << 20),
        };
        let mut options = SandboxOptions::new(scratch);
        options.own_ids = number & 2 == 0;
        let image = world.image().await;
        let start = Instant::now();
        let sandbox = Sandbox::start(&world.cache, image, options, &Abort::new())
            .await
            .unwrap();
        starts[number & 3].push(start.elapsed());
        let start = Instant::now();
        sandbox.stop().await.unwrap();
        stops.push(start.elapsed());
    }
    let kinds = [
        "on disk, own ids",
        "in memory, own ids",
        "on disk",
        "in memory",
    ];
    for (kind, starts) in kinds.into_iter().zip(starts) {
        show(&format!("sandbox: start {kind}"), starts);
    }
    show("sandbox: stop", stops);
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    for as_root in [true, false] {
        let mut taken = Vec::new();
        for _ in 0..200 {
            let mut command = command(["/bin/true"]);
            command.as_root = as_root;
            let start = Instant::now();
            world.sandbox.run(command, &Abort::new()).await.unwrap();
            taken.push(start.elapsed());
        }
        show(
            if as_root {
                "sandbox: command as root"
            } else {
                "sandbox: command as user"
            },
            taken,
        );
    }
    let mut taken = Vec::new();
    for round in 0..10 {
        // Never where files have just been removed: ext4 without a journal passes over their inodes for minutes, one by one, which takes ten times as
        // long as everything else. With a journal it does not.
        let source = world.directory.path().join(format!("thousand{round}"));
        fs::create_dir(&source).unwrap();
        for number in 0..1000 {
            fs::write(source.join(number.to_string()), [b'x'; 1024]).unwrap();
        }
        let start = Instant::now();
        world
            .sandbox
            .push_directory(&source, Path::new("/tmp"), &Abort::new())
            .await
            .unwrap();
        taken.push(start.elapsed());
    }
    show("sandbox: push 1000 files", taken);
    let mut taken = Vec::new();
    for _ in 0..200 {
        let target = tempfile::tempfile().unwrap();
        let start = Instant::now();
        world
            .sandbox
            .pull_file(Path::new("/tmp/thousand0/7"), target, &Abort::new())
            .await
            .unwrap();
        taken.push(start.elapsed());
    }
    show("sandbox: pull one file", taken);
    world.end().await;
}
