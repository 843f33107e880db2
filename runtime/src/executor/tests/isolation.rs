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
    let marks = "echo secret > /tmp/mark; echo secret > /dev/shm/mark; exec sleep 60";
    let mut busy = shell(marks);
    busy.as_root = true;
    let abort = Abort::new();
    let running = other.run(busy, &abort);
    let looking = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
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
