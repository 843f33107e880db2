//! Promises about the users and groups of sandboxes, inside and as the host sees them.

use super::world::{World, start};
use super::*;
use crate::executor::ids::{IDS, IdMap};
use crate::executor::ranges::{is_free, is_real_root};
use crate::executor::{Instance, SandboxOptions, SandboxScratch};
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A sandbox with ids of its own; a test that needs it says so if there is none.
async fn world_of_its_own() -> Option<World> {
    if !is_real_root() {
        eprintln!("skipped: only root can give sandboxes ids of their own");
        return None;
    }
    World::new().await
}

/// Another sandbox on the image of a world.
async fn another(world: &World) -> crate::executor::Sandbox {
    let scratch = world.directory.path().join("scratch");
    let options = SandboxOptions::new(SandboxScratch::Disk(scratch));
    start(&world.cache, options).await.unwrap()
}

/// A command that sleeps for ten minutes, and a word by which the host finds it.
fn sleeper(as_root: bool) -> (Command, String) {
    let word = format!("600.{:09}", rand::random_range(1..1_000_000_000));
    let mut sleeper = command(["sleep", &word]);
    sleeper.as_root = as_root;
    (sleeper, word)
}

/// The host's number of the process that has this word among its arguments.
async fn process_with(word: &str) -> u32 {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        let mut processes = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                let arguments = fs::read(entry.path().join("cmdline")).ok()?;
                let mut arguments = arguments.split(|&byte| byte == 0);
                arguments
                    .any(|argument| argument == word.as_bytes())
                    .then_some(number)
            });
        if let Some(found) = processes.next() {
            return found;
        }
        drop(processes);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is no process with {word}");
}

/// User and group of a process, as the host knows them: real, effective, saved and of files.
fn owners(process: u32) -> [Vec<u32>; 2] {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    ["Uid:", "Gid:"].map(|field| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let numbers = line.unwrap().split_ascii_whitespace();
        numbers.map(|number| number.parse().unwrap()).collect()
    })
}

/// The host's users and groups in a process's user namespace.
fn ranges(process: u32) -> [Range<u32>; 2] {
    ["uid_map", "gid_map"].map(|file| {
        let map = fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
        let numbers: Vec<u32> = map
            .split_ascii_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(
            (numbers.len(), numbers[0], numbers[2]),
            (3, 0, IDS),
            "{map}"
        );
        numbers[1]..numbers[1] + IDS
    })
}

fn are_disjoint(one: &Range<u32>, other: &Range<u32>) -> bool {
    one.end <= other.start || other.end <= one.start
}

#[tokio::test]
async fn sandboxes_that_run_at_the_same_time_have_different_users_and_groups() {
    let Some(world) = world_of_its_own().await else {
        return;
    };
    let other = another(&world).await;
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    let stored = IdMap::of_this_process().unwrap().root();
    let (by_root, of_root) = sleeper(true);
    let (by_user, of_user) = sleeper(false);
    let abort = Abort::new();
    let looking = async {
        let (one, two) = (process_with(&of_root).await, process_with(&of_user).await);
        let seen = (ranges(one), ranges(two), owners(one), owners(two));
        abort.cancel();
        seen
    };
    let running = async {
        tokio::join!(
            other.run(by_root, &abort),
            world.sandbox.run(by_user, &abort)
        )
    };
    let (_, (of_other, of_world, root, user)) = tokio::join!(running, looking);
    for (kind, stored) in [stored.0, stored.1].into_iter().enumerate() {
        let (one, two) = (&of_other[kind], &of_world[kind]);
        assert!(are_disjoint(one, two), "{one:?} {two:?}");
        let stored = stored..stored + IDS;
        assert!(are_disjoint(one, &stored), "{one:?} {stored:?}");
        assert!(are_disjoint(two, &stored), "{two:?} {stored:?}");
        assert_eq!(root[kind], vec![one.start; 4]);
        assert!(
            user[kind]
                .iter()
                .all(|id| *id > two.start && two.contains(id))
        );
    }
    assert_eq!(user[0], vec![of_world[0].start + 1000; 4]);
    let taken = [of_other[0].start, of_world[0].start];
    assert_eq!(taken.map(is_free), [false; 2]);
    other.stop().await.unwrap();
    drop(other);
    world.end().await;
    assert!(eventually(|| taken.map(is_free) == [true; 2]));
}

#[tokio::test]
async fn sandboxes_that_start_at_once_have_as_many_ranges() {
    let Some(world) = world_of_its_own().await else {
        return;
    };
    let starts = (0..12).map(|_| another(&world));
    let sandboxes = futures_util::future::join_all(starts).await;
    let mut firsts = Vec::new();
    for sandbox in &sandboxes {
        let (sleeper, word) = sleeper(true);
        let abort = Abort::new();
        let looking = async {
            firsts.push(ranges(process_with(&word).await)[0].start);
            abort.cancel();
        };
        let (exit, ()) = tokio::join!(sandbox.run(sleeper, &abort), looking);
        assert_eq!(exit.unwrap(), Exit::Aborted);
    }
    firsts.sort_unstable();
    assert!(
        firsts.windows(2).all(|pair| pair[1] - pair[0] >= IDS),
        "{firsts:?}"
    );
    for sandbox in &sandboxes {
        sandbox.stop().await.unwrap();
    }
    drop(sandboxes);
    assert!(eventually(|| scratches(&world).len() == 1));
    world.end().await;
}

#[tokio::test]
async fn the_users_of_one_sandbox_have_no_power_over_the_processes_of_another() {
    let Some(world) = world_of_its_own().await else {
        return;
    };
    let other = another(&world).await;
    world.sandbox.create_user(&Abort::new()).await.unwrap();
    other.create_user(&Abort::new()).await.unwrap();
    let (victim, of_victim) = sleeper(false);
    let (attacker, of_attacker) = sleeper(false);
    let abort = Abort::new();
    // Even one that got out of every namespace: 0 is the signal that only asks. 16: attach.
    let ptrace = nix::libc::SYS_ptrace;
    let attempt = |user: u32, process: u32| {
        let script = format!(
            r#"$( = {user}; $) = "{user} {user}"; $< = {user}; $> = {user}; $< == {user} or die;
            print kill(0, {process}) ? "signals" : "$!", ", ", open(my $f, "<", "/proc/{process}/environ") ? "reads" : "$!", ", ",
                syscall({ptrace}, 16, {process}, 0, 0) < 0 ? "$!" : "traces""#
        );
        command(["env", "LC_ALL=C", "perl", "-e", &script])
    };
    let host = HostCommands::new();
    let attacking = async {
        let victim = process_with(&of_victim).await;
        let attacker = process_with(&of_attacker).await;
        let (own, foreign) = (owners(victim)[0][0], owners(attacker)[0][0]);
        let by_own = output_of(&host, attempt(own, victim)).await.1;
        let by_foreign = output_of(&host, attempt(foreign, victim)).await.1;
        let still_there = processes_with(&of_victim);
        abort.cancel();
        (by_own, by_foreign, still_there)
    };
    let running = async {
        tokio::join!(
            other.run(victim, &abort),
            world.sandbox.run(attacker, &abort)
        )
    };
    let (_, (by_own, by_foreign, still_there)) = tokio::join!(running, attacking);
    // That user's number is what counts.
    assert!(by_own.starts_with("signals"), "{by_own}");
    assert_eq!(
        by_foreign,
        "Operation not permitted, Permission denied, Operation not permitted"
    );
    assert_eq!(still_there, 1);
    other.stop().await.unwrap();
    drop(other);
    world.end().await;
}

#[tokio::test]
async fn the_init_of_a_sandbox_has_no_directory_of_the_host_open() {
    let Some(world) = world_of_its_own().await else {
        return;
    };
    let (sleeper, word) = sleeper(true);
    let abort = Abort::new();
    let looking = async {
        let process = process_with(&word).await;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let rest = stat.rsplit_once(')').unwrap().1;
        let init = rest.split_ascii_whitespace().nth(1).unwrap();
        let open = fs::read_dir(format!("/proc/{init}/fd")).unwrap().flatten();
        let open: Vec<_> = open
            .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
            .collect();
        abort.cancel();
        open
    };
    let (_, open) = tokio::join!(world.sandbox.run(sleeper, &abort), looking);
    let harmless = ["socket:", "anon_inode:", "pipe:"];
    let surprising: Vec<_> = open
        .iter()
        .filter(|it| !harmless.iter().any(|kind| it.starts_with(kind)))
        .filter(|it| !it.ends_with("/null") && !it.ends_with("/task-runtime-ids.lock"))
        .collect();
    assert!(surprising.is_empty(), "{surprising:?}");
    assert!(open.len() > 2, "{open:?}");
    world.end().await;
}

#[tokio::test]
async fn files_belong_to_whom_the_image_and_the_sandbox_say() {
    for own_ids in [true, false] {
        let Some(world) = World::with(|options| options.own_ids = own_ids).await else {
            return;
        };
        let seen = world
            .root("stat -c '%n %u:%g:%a' / /etc/secret /etc/of-apt /usr/bin/su-id /usr/bin/apt-id; cat /etc/of-apt")
            .await;
        assert_eq!(
            seen,
            "/ 0:0:755\n/etc/secret 0:0:600\n/etc/of-apt 42:42:640\n/usr/bin/su-id 0:0:4755\n/usr/bin/apt-id 42:42:6755\nof _apt"
        );
        // Programs of others run as these.
        assert_eq!(
            world
                .user("su-id -u; su-id -ru; apt-id -u; apt-id -g")
                .await,
            "0\n1000\n42\n42"
        );
        assert_eq!(
            world.user("(cat /etc/of-apt) 2>&1 | grep -c denied").await,
            "1"
        );
        // What comes in, and what changes its owner, on the overlay and on the disk beneath /tmp.
        world.push(b"pushed", "/etc/pushed", 0o640).await.unwrap();
        let source = tempfile::tempdir().unwrap();
        fs::create_dir(source.path().join("in")).unwrap();
        fs::write(source.path().join("in/file"), "x").unwrap();
        world
            .sandbox
            .push_directory(&source.path().join("in"), Path::new("/tmp"), &Abort::new())
            .await
            .unwrap();
        world.user("touch /tmp/by-user").await;
        let group = world.user("id -g").await;
        let seen = world
            .root(
                "chown 65534:42 /etc/of-apt; touch /etc/by-root; chown 65535 /etc/by-root; mkdir /tmp/of-apt; chown 42:5 /tmp/of-apt; \
                stat -c '%n %u:%g:%a' /etc/pushed /tmp/in /tmp/in/file /tmp/by-user /etc/of-apt /etc/by-root /tmp/of-apt",
            )
            .await;
        assert_eq!(
            seen,
            format!(
                "/etc/pushed 0:0:640\n/tmp/in 1000:{group}:755\n/tmp/in/file 1000:{group}:644\n/tmp/by-user 1000:{group}:644\n/etc/of-apt 65534:42:640\n/etc/by-root 65535:0:644\n/tmp/of-apt 42:5:755"
            )
        );
        assert_eq!(world.pull("/etc/pushed").await.unwrap(), b"pushed");
        // Whoever it ran as, on disk all of it belongs to the ids that clear up.
        let upper = scratch_of(&world).join("upper/etc");
        let (user, group) = IdMap::of_this_process().unwrap().root();
        let owner = |name: &str| {
            let found = fs::symlink_metadata(upper.join(name)).unwrap();
            (found.uid() - user, found.gid() - group)
        };
        if is_real_root() {
            assert_eq!(owner("pushed"), (0, 0));
            assert_eq!(owner("of-apt"), (65534, 42));
            assert_eq!(owner("by-root"), (65535, 0));
        }
        // The image's own file is as it was.
        if own_ids && is_real_root() {
            let (exit, text) = output_of(
                &another(&world).await,
                Command {
                    as_root: true,
                    ..shell("stat -c '%u:%g:%a' /etc/of-apt")
                },
            )
            .await;
            assert_eq!(
                (exit.ok(), text.as_str()),
                (Some(Exit::Exited(0)), "42:42:640\n")
            );
            assert!(eventually(|| scratches(&world).len() == 1));
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_copy_of_the_image_belongs_to_the_same_owners() {
    let Some(world) = World::with(|options| options.overlay = false).await else {
        return;
    };
    assert_eq!(
        world
            .root("stat -c '%u:%g:%a' /etc/secret /etc/of-apt /usr/bin/su-id")
            .await,
        "0:0:600\n42:42:640\n0:0:4755"
    );
    assert_eq!(world.user("su-id -u").await, "0");
    world.end().await;
}

#[tokio::test]
async fn without_ids_of_its_own_a_sandbox_has_those_that_all_share() {
    let Some(world) = World::with(|options| options.own_ids = false).await else {
        return;
    };
    let (sleeper, word) = sleeper(true);
    let abort = Abort::new();
    let looking = async {
        let seen = ranges(process_with(&word).await);
        abort.cancel();
        seen
    };
    let (_, [users, groups]) = tokio::join!(world.sandbox.run(sleeper, &abort), looking);
    let shared = IdMap::of_this_process().unwrap().root();
    assert_eq!((users.start, groups.start), shared);
    world.end().await;
}

#[tokio::test]
async fn the_ids_of_killed_ones_are_given_back() {
    let Some(world) = world_of_its_own().await else {
        return;
    };
    let keeper = super::sandbox::keeper_of(world.directory.path());
    let (sleeper, word) = sleeper(true);
    let looking = async {
        let process = process_with(&word).await;
        let taken = ranges(process)[0].start;
        let taken_before = !is_free(taken);
        nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).unwrap();
        (taken, taken_before)
    };
    let abort = Abort::new();
    let (_, (taken, taken_before)) = tokio::join!(world.sandbox.run(sleeper, &abort), looking);
    assert!(taken_before);
    assert!(eventually(|| is_free(taken)));
    assert!(eventually(|| processes_with(&word) == 0));
    let scratch = world.directory.path().join("scratch");
    assert!(eventually(|| has_ended(keeper)));
    assert_eq!(crate::executor::sweep(&scratch).await, 1);
    world.end().await;
}

/// The scratch directories there are.
fn scratches(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.directory.path().join("scratch/sandboxes")).unwrap();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// The only one.
fn scratch_of(world: &World) -> PathBuf {
    let all = scratches(world);
    assert_eq!(all.len(), 1);
    assert!(all[0].metadata().unwrap().permissions().mode() & 0o077 == 0);
    all[0].clone()
}
