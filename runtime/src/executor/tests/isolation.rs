//! Promises about what a sandbox cannot see or touch.

use super::world::{World, start};
use super::*;
use crate::executor::{Instance, SandboxOptions, SandboxScratch, system};
use std::fs;
use std::path::Path;

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
    // Where devices can be made, see the promises about these.
    let expected = match nix::unistd::geteuid().is_root() {
        true => "dev proc tmp",
        false => "dev proc",
    };
    assert_eq!(mounts.trim(), expected);
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
    let mut attempts: Vec<String> = [
        "mknod /tmp/disk b 254 0",
        "mknod /tmp/disk b 8 0",
        "mknod /tmp/memory c 1 1",
        "echo 1 > /proc/sys/kernel/panic",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo b > /proc/sysrq-trigger",
        "dmesg --clear",
        "cat /proc/kcore",
        "cat /dev/kmsg",
        "ls /sys/kernel/security",
        "cat /dev/loop-control",
        "mount -t ext4 /dev/vda /tmp",
    ]
    .map(str::to_owned)
    .into();
    // Where the kernel shows its log to anybody, it does so here.
    let restricted = fs::read_to_string("/proc/sys/kernel/dmesg_restrict");
    if restricted.is_ok_and(|text| text.trim() == "1") {
        attempts.push("dmesg".into());
    }
    // The host's disks, by their numbers.
    let disks = fs::read_to_string("/proc/partitions").unwrap_or_default();
    attempts.extend(disks.lines().skip(2).filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace();
        let (major, minor) = (numbers.next()?, numbers.next()?);
        Some(format!("mknod /tmp/disk b {major} {minor}"))
    }));
    let denials = [
        "permission denied",
        "operation not permitted",
        "no such file",
        "does not exist",
        "directory nonexistent",
    ];
    for line in attempts {
        let mut attempt = shell(&line);
        attempt.as_root = true;
        let (exit, text) = output_of(&world.sandbox, attempt).await;
        assert_ne!(exit.unwrap(), Exit::Exited(0), "{line}");
        let text = text.to_lowercase();
        // Not for want of the program.
        assert!(
            denials.iter().any(|words| text.contains(words)),
            "{line}: {text}"
        );
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
    // A segment of System V with the same key on either side. 512: IPC_CREAT; 0: IPC_RMID.
    let key = 0x5452_0000 | (std::process::id() & 0xffff);
    let make = |word: &str| {
        format!(
            r#"$id = shmget({key}, 64, 512 | 0600) // die $!; shmwrite($id, "{word}", 0, 7) or die $!"#
        )
    };
    let read =
        format!(r#"shmread(shmget({key}, 64, 0) // die($!), $text, 0, 7) or die $!; print $text"#);
    let perl = |script: &str| command(["env", "LC_ALL=C", "perl", "-e", script]);
    let as_root = |script: &str| Command {
        as_root: true,
        ..perl(script)
    };
    let host = HostCommands::new();
    let made = output_of(&host, perl(&make("outside"))).await;
    let unseen = output_of(&world.sandbox, as_root(&read)).await;
    let inside = output_of(&world.sandbox, as_root(&make("insided"))).await;
    let kept = output_of(&host, perl(&read)).await;
    let own = output_of(&world.sandbox, as_root(&read)).await;
    // It outlives its makers: away with it before anything is judged.
    let remove = format!("shmctl(shmget({key}, 64, 0), 0, 0) // die $!");
    let removed = output_of(&host, perl(&remove)).await;
    let succeeded = Some(Exit::Exited(0));
    assert_eq!(made.0.ok(), succeeded, "{}", made.1);
    assert_eq!(removed.0.ok(), succeeded, "{}", removed.1);
    assert_ne!(unseen.0.ok(), succeeded, "{}", unseen.1);
    assert_eq!(inside.0.ok(), succeeded, "{}", inside.1);
    assert_eq!((kept.1.as_str(), own.1.as_str()), ("outside", "insided"));
    assert_eq!(world.root("sed 1d /proc/sysvipc/shm | wc -l").await, "1");
    world.end().await;
}

#[tokio::test]
async fn with_network_the_abstract_sockets_of_others_are_out_of_reach() {
    if !system::can_forget_abstract_sockets() {
        return eprintln!("skipped: this kernel's Landlock cannot keep abstract sockets apart");
    }
    let Some(world) = World::with(|options| options.network = true).await else {
        return;
    };
    use std::os::linux::net::SocketAddrExt;
    let name = format!("task-runtime-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let connect = |name: &str| {
        format!(
            r#"socket(S, 1, 1, 0) or die; connect(S, pack("S", 1) . "\0{name}") or die "$!\n"; print "connected""#
        )
    };
    let outside = connect(&name);
    let on_host = output_of(&HostCommands::new(), command(["perl", "-e", &outside])).await;
    assert_eq!(on_host.1, "connected");
    let attempt = world
        .root(&format!("LC_ALL=C perl -e '{outside}' 2>&1"))
        .await;
    assert_eq!(attempt, "Operation not permitted");
    // Their own they have.
    let own = format!(
        r#"socket(L, 1, 1, 0); bind(L, pack("S", 1) . "\0own") or die; listen(L, 1) or die; {}"#,
        connect("own")
    );
    assert_eq!(
        world.root(&format!("LC_ALL=C perl -e '{own}'")).await,
        "connected"
    );
    world.end().await;
}

#[tokio::test]
async fn two_sandboxes_do_not_see_each_other() {
    let Some(world) = World::new().await else {
        return;
    };
    let options = SandboxOptions::new(SandboxScratch::Disk(world.directory.path().join("scratch")));
    let other = start(&world.cache, options).await.unwrap();
    let marks = "echo secret > /tmp/mark; echo secret > /dev/shm/mark; echo ready; exec sleep 600";
    let memory = Memory::default();
    let mut busy = shell(marks);
    busy.as_root = true;
    busy.stdout = Some(memory.sink());
    let abort = Abort::new();
    let running = other.run(busy, &abort);
    let looking = async {
        until(|| !memory.bytes().is_empty()).await;
        let seen = world
            .root("set -- /proc/[0-9]*; echo $#; ls /tmp /dev/shm | grep -c mark")
            .await;
        let marked = world.root("kill -9 -1; echo $?").await;
        abort.cancel();
        (seen, marked)
    };
    let (exit, (seen, _)) = tokio::join!(running, looking);
    // Alive until it was told to go.
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert!(seen.starts_with("2\n") || seen.starts_with("3\n"), "{seen}");
    assert!(seen.ends_with("\n0"), "{seen}");
    other.stop().await.unwrap();
    drop(other);
    world.end().await;
}

#[tokio::test]
async fn no_signal_and_no_trace_gets_out() {
    let Some(world) = World::new().await else {
        return;
    };
    let own = std::process::id();
    // 101: ptrace, 16: attach; 310: process_vm_readv.
    let line = format!(
        r#"LC_ALL=C perl -e 'print kill(0, {own}), " ", syscall(101, 16, {own}, 0, 0), " ", syscall(101, 16, 1, 0, 0), " ", syscall(310, 1, 0, 0, 0, 0, 0)'"#
    );
    let answer = world.root(&line).await;
    if cfg!(target_arch = "x86_64") {
        let mut words = answer.split(' ');
        assert_eq!(words.next(), Some("0"), "{answer}");
        assert_eq!(words.next(), Some("-1"), "{answer}");
        assert_eq!(words.next(), Some("-1"), "{answer}");
    }
    world.end().await;
}

#[tokio::test]
async fn init_cannot_be_flooded() {
    let Some(world) = World::with(|options| options.grace = Duration::ZERO).await else {
        return;
    };
    // Announces children that never were as fast as it can, and makes orphans that are; for two minutes, if nobody ends it.
    let flood = r#"my $end = time + 120; syswrite STDOUT, "ready\n";
        for (1 .. 3) { next if fork; kill "CHLD", 1 while time < $end; exit }
        while (time < $end) { if (!fork) { fork; exit } wait }"#;
    for _ in 0..3 {
        let memory = Memory::default();
        let mut flooder = command(["env", "LC_ALL=C", "perl", "-e", flood]);
        flooder.as_root = true;
        flooder.stdout = Some(memory.sink());
        let (abort, start) = (Abort::new(), Instant::now());
        let later = async {
            until(|| !memory.bytes().is_empty()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            abort.cancel();
        };
        let (exit, ()) = tokio::join!(world.sandbox.run(flooder, &abort), later);
        assert_eq!(exit.unwrap(), Exit::Aborted);
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "it ended itself"
        );
    }
    assert_eq!(world.root("set -- /proc/[0-9]*; echo $#").await, "2");
    world.end().await;
}

#[tokio::test]
async fn the_control_socket_is_not_to_be_had_and_no_report_is_forged() {
    let Some(world) = World::new().await else {
        return;
    };
    // 434: pidfd_open, 438: pidfd_getfd, with the same numbers on every machine.
    let line = r#"LC_ALL=C perl -e 'my $got = 0;
        for my $fd (3 .. 255) { $got++ if open(my $file, "+<&=", $fd) && -S $file }
        my $init = syscall(434, 1, 0);
        for my $fd (0 .. 63) { $got++ if syscall(438, $init, $fd, 0) >= 0 }
        for my $fd (0 .. 63) { $got++ if open(my $file, "+<", "/proc/1/fd/$fd") }
        print $init > 0 ? "held" : "not held", " $got"'"#;
    assert_eq!(world.root(line).await, "held 0");
    // Whatever it writes, to wherever it can write, is output.
    let forged = r"for fd in 0 1 2; do printf '\0\2\1\0\0\0\0\0' >&$fd; done 2>/dev/null; exit 7";
    let mut forger = shell(forged);
    forger.as_root = true;
    let (exit, text) = output_of(&world.sandbox, forger).await;
    assert_eq!(exit.unwrap(), Exit::Exited(7));
    assert!(text.contains('\u{2}'), "{text:?}");
    assert_eq!(world.root("echo alive").await, "alive");
    world.end().await;
}

#[tokio::test]
async fn no_chroot_leads_out_and_nothing_outside_is_written() {
    let Some(world) = World::new().await else {
        return;
    };
    let mark = world.directory.path().join("mark");
    fs::write(&mark, "the host's").unwrap();
    let path = mark.to_str().unwrap();
    // A second root beneath the first, and a directory outside of it to go up from.
    let escape = format!(
        r#"LC_ALL=C perl -e 'my $top = join ":", (stat "/")[0, 1];
        opendir my $root, "/" or die $!; mkdir "/tmp/jail"; chroot "/tmp/jail" or die $!;
        chdir $root or die $!; chdir ".." for 1 .. 100; chroot "." or die $!;
        print $top eq join(":", (stat "/")[0, 1]) ? "same" : "another", -e "{path}" ? " seen" : " unseen"'"#
    );
    assert_eq!(world.root(&escape).await, "same unseen");
    let away = "ls -d /proc/1/root/tmp /proc/1/cwd/tmp 2>/dev/null | wc -l; stat -c %i / /.. /../.. | sort -u | wc -l";
    assert_eq!(world.root(away).await, "0\n1");
    let parent = world.directory.path().display();
    world
        .root(&format!(
            "mkdir -p {parent}; echo inside > {path}; ln -s {path} /tmp/link; echo inside > /tmp/link"
        ))
        .await;
    world.push(b"inside", path, 0o644).await.unwrap();
    assert_eq!(fs::read_to_string(&mark).unwrap(), "the host's");
    assert_eq!(world.root(&format!("cat {path}")).await, "inside");
    world.end().await;
}

#[tokio::test]
async fn environment_and_memory_of_the_worker_are_not_in_what_sandboxes_are_made_from() {
    let secret = format!("secret {:016x}", rand::random::<u64>());
    let Some(world) = World::new().await else {
        return;
    };
    // Every keeper and every init begins as a copy of the helper.
    let helper = helper_process();
    let environment = fs::read(format!("/proc/{helper}/environ")).unwrap();
    let names = environment.split(|&byte| byte == 0).filter_map(|entry| {
        let name = entry.split(|&byte| byte == b'=').next()?;
        (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
    });
    let unexpected: Vec<_> = names.filter(|name| name != "LD_LIBRARY_PATH").collect();
    assert_eq!(unexpected, [""; 0]);
    let own = std::process::id();
    assert!(
        memory_contains(own, secret.as_bytes()).unwrap(),
        "the search finds it here"
    );
    match memory_contains(helper, secret.as_bytes()) {
        Ok(found) => assert!(!found),
        Err(error) => eprintln!("skipped: the helper's memory cannot be read: {error}"),
    }
    let words = world
        .root("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        .await;
    for (name, value) in std::env::vars() {
        let ours = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "PWD"].contains(&name.as_str());
        assert!(
            ours || value.is_empty() || !words.contains(&format!("{name}={value}")),
            "{name}"
        );
    }
    world.end().await;
}

/// The process from which everything is started.
fn helper_process() -> u32 {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let own = std::process::id().to_string();
    let mut helpers = processes.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?;
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        (parent == own && arguments.starts_with(b"task-runtime-helper")).then_some(number)
    });
    helpers.next().unwrap()
}

/// Whether the writable memory of a process has these bytes in it.
fn memory_contains(process: u32, bytes: &[u8]) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let memory = fs::File::open(format!("/proc/{process}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut found = false;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let Some((Ok(start), Ok(end))) = range
            .map(|(start, end)| (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)))
        else {
            continue;
        };
        let mut page = vec![0; (end - start) as usize];
        let Ok(length) = memory.read_at(&mut page, start) else {
            continue;
        };
        found |= page[..length]
            .windows(bytes.len())
            .any(|window| window == bytes);
    }
    Ok(found)
}
