//! Promises about what is left on disk, however deep it is and whoever owns it.

use super::sandbox::keeper_of;
use super::world::{World, remove_arena, scratch_directories, start};
use super::*;
use crate::executor::ids::IdMap;
use crate::executor::remove::tests::make_deep;
use crate::executor::{Instance, SandboxOptions, SandboxScratch, remove_directory, sweep};
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

/// A line of shell that makes directories beneath each other, more than a process may open, in a path longer than any that may be named.
const DEEP: &str = r#"LC_ALL=C perl -e 'for (1 .. 3000) { mkdir "down" or die; chdir "down" or die } open F, ">", "file"'"#;

#[tokio::test]
async fn a_sandbox_leaves_nothing_of_a_deep_tree() {
    let Some(world) = World::new().await else {
        return;
    };
    assert_eq!(world.root(&format!("cd /var; {DEEP}; echo $?")).await, "0");
    world.end().await;
}

#[tokio::test]
async fn deep_trees_and_files_of_other_users_in_a_scratch_are_swept() {
    let Some(world) = World::new().await else {
        return;
    };
    world.root(&format!("cd /var; {DEEP}")).await;
    world
        .user("mkdir -p /tmp/own/deep; echo x > /tmp/own/deep/file; chmod 0 /tmp/own")
        .await;
    kill_keeper(&world);
    let journal = Journal::begin();
    assert_eq!(sweep(&world.directory.path().join("scratch")).await, 1);
    assert_eq!(journal.warnings(), [""; 0]);
    assert_eq!(scratch_directories(world.directory.path()), 0);
    drop(world.sandbox);
    images::clear(&world.cache).await;
    remove_arena(world.directory.path()).await;
}

/// After that nobody clears up.
fn kill_keeper(world: &World) {
    let keeper = keeper_of(world.directory.path());
    kill(keeper, Signal::SIGKILL).unwrap();
    // Also when it has been waited for: until then it is not taken for dead.
    assert!(eventually(|| fs::symlink_metadata(format!(
        "/proc/{keeper}"
    ))
    .is_err()));
    assert_eq!(scratch_directories(world.directory.path()), 1);
}

#[tokio::test]
async fn what_cannot_be_swept_is_warned_of_and_the_next_sandbox_runs() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!(
            "skipped: only root can make a file that the root of sandboxes cannot remove"
        );
    }
    let Some(world) = World::new().await else {
        return;
    };
    world.root("echo x > /tmp/file").await;
    kill_keeper(&world);
    let scratch = world.directory.path().join("scratch");
    let left = fs::read_dir(scratch.join("sandboxes")).unwrap().next();
    let foreign = left.unwrap().unwrap().path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("file"), "x").unwrap();
    // Of no id that sandboxes have.
    chown(foreign.join("file"), Some(4242), Some(4242)).unwrap();
    chown(&foreign, Some(4242), Some(4242)).unwrap();
    fs::set_permissions(&foreign, PermissionsExt::from_mode(0o700)).unwrap();
    let journal = Journal::begin();
    assert_eq!(sweep(&scratch).await, 0);
    let warnings = journal.warnings();
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains(scratch.to_str().unwrap())
            && warning.contains("/foreign: Permission denied"),
        "{warning}"
    );
    drop(journal);
    let options = SandboxOptions::new(SandboxScratch::Disk(scratch.clone()));
    let next = start(&world.cache, options).await.unwrap();
    let mut alive = shell("echo alive");
    alive.as_root = true;
    assert_eq!(output_of(&next, alive).await.1, "alive\n");
    next.stop().await.unwrap();
    drop((next, world.sandbox));
    assert_eq!(scratch_directories(world.directory.path()), 1);
    images::clear(&world.cache).await;
    // Real root can.
    remove_directory(&scratch).await.unwrap();
    assert!(!scratch.exists());
}

#[tokio::test]
async fn deep_trees_in_temporary_files_go_with_their_command_and_are_swept() {
    let parent = tempfile::tempdir().unwrap();
    let abandoned = parent.path().join("task-runtime-4194999.77-0123abcd");
    fs::create_dir(&abandoned).unwrap();
    make_deep(&abandoned, "down", 3000);
    let host = HostCommands::new().temporary(parent.path());
    let (exit, text) = output_of(&host, shell(format!("cd $TMPDIR && {DEEP}"))).await;
    assert_eq!(exit.unwrap(), Exit::Exited(0), "{text}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_image_unpacked_for_former_ids_is_unpacked_anew() {
    if !images::has_ids() {
        return;
    }
    let (directory, cache) = images::cache();
    let image = super::world::image(&cache).await.unwrap();
    // As /etc/subuid was edited since: it belongs to others than today's root of sandboxes.
    fs::create_dir_all(image.root().join("etc")).unwrap();
    fs::write(image.root().join("etc/secret"), "of others").unwrap();
    cache.unpack(&image, &Abort::new()).await.unwrap();
    let ids = IdMap::of_this_process().unwrap();
    let root = fs::metadata(image.root()).unwrap();
    assert_eq!((root.uid(), root.gid()), ids.root());
    assert!(image.root().join("usr/bin").is_dir());
    let unpacked = fs::read_dir(image.root().parent().unwrap()).unwrap();
    assert_eq!(unpacked.count(), 1);
    drop(image);
    images::clear(&cache).await;
    drop(directory);
}

#[tokio::test]
async fn a_scratch_of_former_ids_is_made_anew() {
    if !images::has_ids() {
        return;
    }
    let (directory, cache) = images::cache();
    let scratch = directory.path().join("scratch");
    fs::create_dir_all(scratch.join("sandboxes/left")).unwrap();
    let options = SandboxOptions::new(SandboxScratch::Disk(scratch.clone()));
    let sandbox = start(&cache, options).await.unwrap();
    let ids = IdMap::of_this_process().unwrap();
    let arena = fs::metadata(scratch.join("sandboxes")).unwrap();
    assert_eq!((arena.uid(), arena.gid()), ids.root());
    sandbox.stop().await.unwrap();
    drop(sandbox);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1);
    images::clear(&cache).await;
    remove_arena(directory.path()).await;
}
