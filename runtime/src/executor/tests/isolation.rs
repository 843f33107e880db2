//! Promises about what a sandbox cannot see or touch.

use super::world::World;
use super::*;
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
