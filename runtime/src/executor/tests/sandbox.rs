//! Promises about sandboxes.

use super::images::{self, Archive};
use super::*;
use crate::executor::{ImageCache, Instance, Sandbox, SandboxOptions, SandboxScratch, sweep};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// What the image of these tests takes from the host.
const PROGRAMS: [&str; 34] = [
    "sh", "cat", "chmod", "chown", "cp", "cut", "dd", "dmesg", "env", "getent", "hostname", "id",
    "ipcs", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "ps", "rm", "sed", "setsid",
    "sleep", "sort", "stat", "touch", "tr", "truncate", "useradd", "wc", "which", "true",
];

/// A sandbox with all that belongs to it.
struct World {
    directory: tempfile::TempDir,
    cache: ImageCache,
    sandbox: Sandbox,
}

impl World {
    /// A sandbox without network, on disk.
    async fn new() -> Option<Self> {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Option<Self> {
        if !images::has_ids() {
            return None;
        }
        let (directory, cache) = images::cache();
        let mut options =
            SandboxOptions::new(SandboxScratch::Disk(directory.path().join("scratch")));
        change(&mut options);
        let sandbox = start(&cache, options).await.unwrap();
        Some(Self {
            directory,
            cache,
            sandbox,
        })
    }

    /// Runs a line of shell as root and returns what it printed.
    async fn root(&self, line: &str) -> String {
        let mut command = shell(line);
        command.as_root = true;
        let (exit, text) = output_of(&self.sandbox, command).await;
        assert!(exit.is_ok(), "{exit:?}");
        text.trim_end().to_owned()
    }

    /// The same as the unprivileged user.
    async fn user(&self, line: &str) -> String {
        let (exit, text) = output_of(&self.sandbox, shell(line)).await;
        assert!(exit.is_ok(), "{exit:?}");
        text.trim_end().to_owned()
    }

    async fn pull(&self, path: &str) -> Result<Vec<u8>, ExecutorError> {
        let mut file = tempfile::tempfile().unwrap();
        self.sandbox
            .pull_file(Path::new(path), file.try_clone().unwrap(), &Abort::new())
            .await?;
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    async fn push(&self, bytes: &[u8], path: &str, mode: u32) -> Result<(), ExecutorError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        self.sandbox
            .push_file(file, Path::new(path), mode, &Abort::new())
            .await
    }

    async fn end(self) {
        self.sandbox.stop().await.unwrap();
        assert_eq!(scratch_directories(self.directory.path()), 0);
        drop(self.sandbox);
        images::clear(&self.cache).await;
        remove_arena(self.directory.path()).await;
    }
}

async fn start(cache: &ImageCache, options: SandboxOptions) -> Result<Sandbox, ExecutorError> {
    let bytes = system();
    let fetch = async |mut file: File| {
        file.write_all(&bytes).unwrap();
        Ok(())
    };
    let image = cache
        .ensure(&images::wanted("system.tar", &bytes), fetch, &Abort::new())
        .await?;
    Sandbox::start(cache, image, options, &Abort::new()).await
}

fn scratch_directories(directory: &Path) -> usize {
    fs::read_dir(directory.join("scratch/sandboxes")).map_or(0, |entries| entries.count())
}

/// The arena belongs to the root of sandboxes; it is empty, so its owner's directory can lose it.
async fn remove_arena(directory: &Path) {
    let _ = fs::remove_dir(directory.join("scratch/sandboxes"));
}

/// The archive of a small system: a shell, some programs and their libraries, taken from this machine.
fn system() -> Vec<u8> {
    let mut archive = Archive::new();
    for directory in [
        "./",
        "./dev/",
        "./etc/",
        "./proc/",
        "./root/",
        "./home/",
        "./usr/",
        "./usr/bin/",
        "./usr/sbin/",
        "./usr/lib/",
        "./usr/lib64/",
        "./var/",
    ] {
        archive = archive.directory(directory);
    }
    archive = archive.add(EntryType::Directory, "./tmp/", b"", 0o1777, 0);
    for name in ["bin", "sbin", "lib", "lib64"] {
        archive = archive.symlink(name, &format!("usr/{name}"));
    }
    archive = archive
        .file("./etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        .file("./etc/group", b"root:x:0:\ntty:x:5:\nusers:x:100:\n")
        .file("./etc/nsswitch.conf", b"passwd: files\ngroup: files\n")
        .symlink("./etc/resolv.conf", "/run/nowhere/resolv.conf")
        .add(EntryType::Regular, "./etc/secret", b"of root", 0o600, 0);
    for file in programs_and_libraries() {
        let inside = format!(".{}", file.to_str().unwrap());
        archive = archive.add(
            EntryType::Regular,
            &inside,
            &fs::read(&file).unwrap(),
            0o755,
            0,
        );
    }
    archive.finish()
}

fn programs_and_libraries() -> BTreeSet<PathBuf> {
    let find = |name: &str| {
        ["/usr/bin", "/usr/sbin"]
            .map(|place| Path::new(place).join(name))
            .into_iter()
            .find(|path| path.exists())
    };
    let programs: Vec<PathBuf> = PROGRAMS.iter().filter_map(|name| find(name)).collect();
    let listing = std::process::Command::new("ldd")
        .args(&programs)
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let libraries = listing
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(|path| {
            // Where they lie on a merged /usr.
            if path.starts_with("/usr") {
                PathBuf::from(path)
            } else {
                PathBuf::from(format!("/usr{path}"))
            }
        });
    libraries.chain(programs).collect()
}

#[tokio::test]
async fn commands_run_as_root_and_as_a_user_of_the_sandbox() {
    let Some(world) = World::new().await else {
        return;
    };
    assert_eq!(
        world.root("id -u; id -g; pwd; echo $HOME").await,
        "0\n0\n/\n/root"
    );
    assert!(matches!(
        world.sandbox.run(shell("true"), &Abort::new()).await,
        Err(ExecutorError::System(_))
    ));
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
    let Some(world) = World::with(|options| options.overlay = false).await else {
        return;
    };
    assert_eq!(
        world.root("echo x > /etc/new; cat /etc/secret").await,
        "of root"
    );
    assert_eq!(world.root("stat -c %u:%a /etc/secret").await, "0:600");
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
    let mut stubborn = shell("trap '' TERM; sleep 60; sleep 60");
    stubborn.as_root = true;
    let start = Instant::now();
    let exit = world
        .sandbox
        .run(stubborn, &abort_after(Duration::from_millis(50)))
        .await;
    assert_eq!(exit.unwrap(), Exit::Aborted);
    let mut slow = shell("sleep 60");
    slow.as_root = true;
    slow.timeout = Some(Duration::from_millis(50));
    assert_eq!(
        world.sandbox.run(slow, &Abort::new()).await.unwrap(),
        Exit::TimedOut
    );
    let mut given_up = shell("sleep 60");
    given_up.as_root = true;
    let never = Abort::new();
    let given_up = world.sandbox.run(given_up, &never);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), given_up)
            .await
            .is_err()
    );
    assert_eq!(world.root("echo alive").await, "alive");
    assert!(start.elapsed() < Duration::from_secs(5));
    world.end().await;
}

#[tokio::test]
async fn the_host_is_not_to_be_seen() {
    let Some(world) = World::new().await else {
        return;
    };
    // This test's own number is the host's, which the sandbox has no process of.
    let own = std::process::id();
    assert_eq!(
        world
            .root(&format!("ls -d /proc/{own} 2>&1 >/dev/null | wc -l"))
            .await,
        "1"
    );
    assert_eq!(world.root("set -- /proc/[0-9]*; echo $#").await, "2");
    let environment = world.root("env | cut -d= -f1 | sort | tr '\\n' ' '").await;
    assert_eq!(environment, "HOME LANG LOGNAME PATH PWD USER");
    assert_eq!(
        world.root("ls /dev | tr '\\n' ' '").await,
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    assert_eq!(
        world.root("ls /proc/self/fd | tr '\\n' ' '").await,
        "0 1 2 3"
    );
    assert_eq!(world.root("hostname").await, "localhost");
    let mounts = world
        .root("cut -d' ' -f2 /proc/mounts | cut -d/ -f2 | sort -u | tr '\\n' ' '")
        .await;
    assert_eq!(mounts.trim(), "dev proc");
    world.end().await;
}

#[tokio::test]
async fn init_can_be_neither_killed_nor_read() {
    let Some(world) = World::new().await else {
        return;
    };
    let line = "kill -9 1; kill -STOP 1; kill -TERM -1; cat /proc/1/environ; ls -l /proc/1/fd /proc/1/root /proc/1/cwd; cat /proc/1/maps; echo x > /proc/1/mem";
    let text = world
        .root(&format!("trap '' TERM; ({line}) 2>&1; echo done"))
        .await;
    assert!(text.contains("Permission denied"), "{text}");
    assert!(!text.contains("socket"), "{text}");
    assert_eq!(world.root("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn the_kernel_is_out_of_reach_for_the_root_of_a_sandbox() {
    let Some(world) = World::new().await else {
        return;
    };
    for line in [
        "mknod /tmp/disk b 254 0",
        "echo 1 > /proc/sys/kernel/panic",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "hostname >/dev/null; mount -t ext4 /dev/vda /tmp",
        "cat /proc/kcore",
    ] {
        let mut attempt = shell(line);
        attempt.as_root = true;
        let exit = world.sandbox.run(attempt, &Abort::new()).await.unwrap();
        assert_ne!(exit, Exit::Exited(0), "{line}");
    }
    world.end().await;
}

#[tokio::test]
async fn without_network_there_is_a_loopback_alone() {
    let Some(world) = World::new().await else {
        return;
    };
    let interfaces = world
        .root("sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev")
        .await;
    assert_eq!(interfaces, "lo");
    assert_eq!(world.root("wc -l < /proc/net/unix").await, "1");
    world.end().await;
}

#[tokio::test]
async fn with_network_the_names_are_resolved_as_on_the_host() {
    let Some(world) = World::with(|options| options.network = true).await else {
        return;
    };
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(world.root("cat /etc/resolv.conf").await, host.trim_end());
    let interfaces = world
        .root("sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev | wc -l")
        .await;
    let on_host = fs::read_to_string("/proc/net/dev").unwrap().lines().count() - 2;
    assert_eq!(interfaces, on_host.to_string());
    world.end().await;
}

#[tokio::test]
async fn shared_memory_is_private() {
    let Some(world) = World::new().await else {
        return;
    };
    let name = format!("/dev/shm/task-runtime-test-{}", std::process::id());
    world.root(&format!("touch {name}")).await;
    assert!(!Path::new(&name).exists());
    assert_eq!(world.root("sed 1d /proc/sysvipc/shm | wc -l").await, "0");
    world.end().await;
}

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

#[tokio::test]
async fn a_full_scratch_and_too_many_processes_stay_inside() {
    let change = |options: &mut SandboxOptions| {
        options.scratch = SandboxScratch::Memory(8 << 20);
        options.processes = 30;
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
    let mut slow = shell("sleep 60");
    slow.as_root = true;
    let abort = Abort::new();
    let running = world.sandbox.run(slow, &abort);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
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
    let _ =
        tokio::time::timeout(Duration::from_millis(200), sandbox.run(slow, &Abort::new())).await;
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
async fn scratch_directories_of_killed_keepers_are_swept() {
    let Some(world) = World::new().await else {
        return;
    };
    let scratch = world.directory.path().join("scratch");
    let (directory, cache) = (&world.directory, &world.cache);
    // The keeper is the parent of the sandbox's init, whose parent namespace is this one.
    let keeper = keeper_of_this_test();
    world
        .root("mkdir -p /tmp/closed/deep; chmod 0 /tmp/closed")
        .await;
    nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(eventually(
        || fs::read_link(format!("/proc/{keeper}/exe")).is_err()
    ));
    assert_eq!(scratch_directories(directory.path()), 1);
    assert_eq!(sweep(&scratch).await.unwrap(), 1);
    assert_eq!(sweep(&scratch).await.unwrap(), 0);
    assert_eq!(scratch_directories(directory.path()), 0);
    assert_eq!(sweep(Path::new("/no/such/place")).await.unwrap(), 0);
    drop(world.sandbox);
    images::clear(cache).await;
    remove_arena(directory.path()).await;
}

/// The keeper's number is the first half of its scratch directory's name.
fn keeper_of_this_test() -> nix::unistd::Pid {
    let own = std::process::id().to_string();
    let parent = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.split_ascii_whitespace().nth(1))
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let grandchild = pids
        .filter(|pid| parent(&parent(pid)) == own)
        .max_by_key(|pid| pid.parse::<u32>().unwrap_or(0));
    nix::unistd::Pid::from_raw(grandchild.unwrap().parse().unwrap())
}
