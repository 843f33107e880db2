//! Promises about devices that the root of a sandbox makes.

use super::world::World;
use super::*;
use crate::executor::SandboxScratch;
use nix::unistd::geteuid;

const REFUSED: &str = "Operation not permitted";

/// A sandbox of the real root's; a test that needs it says so if there is none.
async fn world_of_root() -> Option<World> {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can make devices for its sandboxes");
        return None;
    }
    World::new().await
}

#[tokio::test]
async fn as_root_the_harmless_devices_can_be_made_in_tmp_and_used() {
    let Some(world) = world_of_root().await else {
        return;
    };
    let line = "umask 027; mkdir -p /tmp/chroot/dev; cd /tmp/chroot; \
        mknod -m 666 /tmp/chroot/dev/null c 1 3; mknod -m 666 dev/zero c 1 5; cd dev; mknod full c 1 7; \
        mknod ../dev/random c 1 8; mknod ./urandom c 1 9; mknod tty c 5 0; mknod ptmx c 5 2; \
        stat -c '%n %F %t:%T %u:%g %a' *; echo gone > null; cat null; \
        dd if=zero bs=7 count=1 2>/dev/null | wc -c; dd if=urandom bs=5 count=1 2>/dev/null | wc -c; \
        (echo x > full) 2>&1 | grep -o 'I/O error'; (: < tty) 2>&1 | grep -o 'No such device'; \
        cd /; rm -r /tmp/chroot; ls /tmp | wc -l";
    let seen = world.root(line).await;
    let expected = "full character special file 1:7 0:0 640\n\
        null character special file 1:3 0:0 666\n\
        ptmx character special file 5:2 0:0 640\n\
        random character special file 1:8 0:0 640\n\
        tty character special file 5:0 0:0 640\n\
        urandom character special file 1:9 0:0 640\n\
        zero character special file 1:5 0:0 666\n\
        7\n5\nI/O error\nNo such device\n0";
    assert_eq!(seen, expected);
    world.end().await;
}

#[tokio::test]
async fn a_chroot_with_devices_and_terminals_of_its_own_can_be_made_and_removed() {
    let Some(world) = world_of_root().await else {
        return;
    };
    // Beside no `pts` there is no terminal to be had, beside an own one there is.
    let open = r#"LC_ALL=C perl -e 'print open(my $f, "+<", "/tmp/chroot/dev/ptmx") ? "opened" : "$!", "\n"' 2>&1"#;
    let line = format!(
        "mkdir -p /tmp/chroot/dev/pts; mknod -m 666 /tmp/chroot/dev/ptmx c 5 2; {open}; \
        mount -t devpts -o newinstance,ptmxmode=666 devpts /tmp/chroot/dev/pts; {open}; \
        LC_ALL=C perl -e 'my $path = \"/tmp/chroot/dev/pts\"; syscall(166, $path, 0)'; rm -rf --one-file-system /tmp/chroot; ls /tmp | wc -l"
    );
    let seen = world.root(&line).await;
    if cfg!(target_arch = "x86_64") {
        assert_eq!(seen, "No such device\nopened\n0");
    }
    world.end().await;
}

#[tokio::test]
async fn other_devices_cannot_be_made() {
    let Some(world) = World::new().await else {
        return;
    };
    // Memory, ports, the host's console, a terminal of the host's, fuse, tun, and disks.
    for device in [
        "c 1 1", "c 1 4", "c 5 1", "c 4 1", "c 10 229", "c 10 200", "c 8 0", "b 8 0", "b 254 0",
        "b 1 3", "b 7 0",
    ] {
        let seen = world
            .root(&format!("mknod /tmp/device {device} 2>&1; ls /tmp | wc -l"))
            .await;
        assert!(
            seen.contains(REFUSED) && seen.ends_with("\n0"),
            "{device}: {seen}"
        );
    }
    assert_eq!(
        world
            .root("mknod /tmp/pipe p; mkfifo /tmp/fifo; touch /tmp/file; ls /tmp | wc -l")
            .await,
        "3"
    );
    world.end().await;
}

#[tokio::test]
async fn a_device_is_made_nowhere_but_beneath_tmp() {
    let Some(world) = world_of_root().await else {
        return;
    };
    world
        .root("ln -s /root /tmp/out; ln -s /proc/1/root/tmp /tmp/around; ln -s / /tmp/up; mkfifo /tmp/fifo; ln -s /tmp /root/in")
        .await;
    for path in [
        "/null",
        "/root/null",
        "/dev/other",
        "/dev/shm/null",
        "/tmp/out/null",
        "/tmp/up/null",
        "/tmp/up/etc/null",
        "/tmp/../null",
        "/tmp/../../../../../../var/null",
        "/tmp/around/null",
        "/proc/self/root/tmp/null",
        "/proc/self/cwd/null",
    ] {
        let line = format!("cd /tmp; mknod {path} c 1 3 2>&1; ls -d {path} 2>/dev/null | wc -l");
        let seen = world.root(&line).await;
        assert!(seen.ends_with("\n0"), "{path}: {seen}");
    }
    for path in [
        "/tmp/fifo/null",
        "/tmp/nowhere/null",
        "/tmp/out",
        "/tmp/fifo",
        "/tmp/",
    ] {
        let seen = world
            .root(&format!("mknod {path} c 1 3 2>&1; ls /tmp | wc -l"))
            .await;
        assert!(
            seen.ends_with("\n4") && !seen.starts_with('4'),
            "{path}: {seen}"
        );
    }
    // What leads there does.
    assert_eq!(
        world
            .root(
                "mknod /root/in/null c 1 3 2>&1; echo x > /tmp/null; rm /tmp/null; ls /tmp | wc -l"
            )
            .await,
        "4"
    );
    world.end().await;
}

#[tokio::test]
async fn whoever_is_not_root_makes_no_device() {
    let Some(world) = World::new().await else {
        return;
    };
    let seen = world
        .user("mknod /tmp/null c 1 3 2>&1; ls /tmp | wc -l")
        .await;
    assert!(seen.contains(REFUSED) && seen.ends_with("\n0"), "{seen}");
    if cfg!(target_arch = "x86_64") {
        // 126: capset, of nothing.
        let line = r#"LC_ALL=C perl -e 'my ($header, $sets, $path) = (pack("LL", 0x20080522, 0), "\0" x 24, "/tmp/null"); syscall(126, $header, $sets) == 0 or die; syscall(133, $path, 020666, 0x103); print "$!\n"'; ls /tmp | wc -l"#;
        let seen = world.root(line).await;
        assert!(seen.contains(REFUSED) && seen.ends_with("\n0"), "{seen}");
    }
    world.end().await;
}

#[tokio::test]
async fn as_an_ordinary_user_or_in_memory_there_are_no_devices() {
    let in_memory = geteuid().is_root();
    let world = World::with(|options| {
        if in_memory {
            options.scratch = SandboxScratch::Memory(64 << 20);
        }
    });
    let Some(world) = world.await else {
        return;
    };
    let seen = world
        .root("mknod /tmp/null c 1 3 2>&1; ls /tmp | wc -l")
        .await;
    assert!(seen.contains(REFUSED) && seen.ends_with("\n0"), "{seen}");
    world.end().await;
}

#[tokio::test]
async fn senseless_questions_get_the_kernels_answers() {
    if !cfg!(target_arch = "x86_64") {
        return eprintln!("skipped: the numbers of system calls are those of amd64");
    }
    let Some(world) = world_of_root().await else {
        return;
    };
    // 133: mknod, 259: mknodat.
    let calls = [
        (r#"133, 1, 020666, 0x103"#, "", "Bad address"),
        (r#"133, -1, 020666, 0x103"#, "", "Bad address"),
        (
            r#"133, $path, 020666, 0x103"#,
            "/tmp/' . 'x' x 5000 . '",
            "File name too long",
        ),
        (
            r#"133, $path, 020666, 0x103"#,
            "/tmp/' . 'y/' x 1000 . 'z",
            "No such file or directory",
        ),
        (
            r#"133, $path, 020666, 0x103"#,
            "",
            "No such file or directory",
        ),
        (r#"133, $path, 020666, 0x103"#, "/tmp/..", "File exists"),
        (
            r#"259, 77, $path, 020666, 0x103"#,
            "null",
            "Bad file descriptor",
        ),
        (r#"259, 0, $path, 020666, 0x103"#, "null", "Not a directory"),
        // The directory does not count before an absolute path, nor the upper halves of numbers.
        (r#"259, 77, $path, 020666, 0x103"#, "/tmp/absolute", ""),
        (
            r#"133, $path, 0x700000000 + 020666, 0x700000103"#,
            "/tmp/halves",
            "",
        ),
    ];
    for (call, path, expected) in calls {
        let script = format!("my $path = '{path}'; $! = 0; syscall({call}); print \"$!\"");
        world
            .push(script.as_bytes(), "/root/call", 0o644)
            .await
            .unwrap();
        let said = world.root("LC_ALL=C perl /root/call").await;
        assert_eq!(said, expected, "{call} {path}");
    }
    assert_eq!(world.root("cat /tmp/*").await, "");
    world.end().await;
}

#[tokio::test]
async fn a_flood_of_questions_neither_holds_up_an_end_nor_outlives_it() {
    let Some(world) = world_of_root().await else {
        return;
    };
    let mut flood = shell(
        "for i in 1 2 3 4 5 6 7 8; do (while :; do mknod /tmp/null-$i c 1 3; rm -f /tmp/null-$i; done) & done; wait",
    );
    flood.as_root = true;
    let abort = abort_after(Duration::from_millis(500));
    let begun = Instant::now();
    let exit = world.sandbox.run(flood, &abort).await.unwrap();
    assert_eq!(exit, Exit::Aborted);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let after = "rm -f /tmp/null-*; mknod /tmp/null c 1 3 && echo made";
    assert_eq!(world.root(after).await, "made");
    world.end().await;
}
