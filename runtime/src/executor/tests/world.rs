//! A sandbox for tests, with an image made from programs of this machine.

use super::images::{self, Archive};
use super::*;
use crate::executor::{Image, ImageCache, Instance, Sandbox, SandboxOptions, SandboxScratch};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// What the image of these tests takes from the host.
const PROGRAMS: [&str; 37] = [
    "sh", "cat", "chmod", "chown", "cp", "cut", "dd", "dmesg", "env", "getent", "hostname", "id",
    "ipcs", "kill", "ln", "ls", "grep", "mkdir", "mkfifo", "mknod", "mount", "mv", "perl", "ps",
    "rm", "sed", "setsid", "sleep", "sort", "stat", "touch", "tr", "truncate", "useradd", "wc",
    "which", "true",
];

/// A sandbox with all that belongs to it.
pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) cache: ImageCache,
    pub(super) sandbox: Sandbox,
}

impl World {
    /// A sandbox without network, on disk.
    pub(super) async fn new() -> Option<Self> {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut SandboxOptions)) -> Option<Self> {
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
    pub(super) async fn root(&self, line: &str) -> String {
        let mut command = shell(line);
        command.as_root = true;
        let (exit, text) = output_of(&self.sandbox, command).await;
        assert!(exit.is_ok(), "{exit:?}");
        text.trim_end().to_owned()
    }

    /// The same as the unprivileged user.
    pub(super) async fn user(&self, line: &str) -> String {
        let (exit, text) = output_of(&self.sandbox, shell(line)).await;
        assert!(exit.is_ok(), "{exit:?}");
        text.trim_end().to_owned()
    }

    pub(super) async fn pull(&self, path: &str) -> Result<Vec<u8>, ExecutorError> {
        let mut file = tempfile::tempfile().unwrap();
        self.sandbox
            .pull_file(Path::new(path), file.try_clone().unwrap(), &Abort::new())
            .await?;
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    pub(super) async fn push(
        &self,
        bytes: &[u8],
        path: &str,
        mode: u32,
    ) -> Result<(), ExecutorError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        self.sandbox
            .push_file(file, Path::new(path), mode, &Abort::new())
            .await
    }

    /// The image of the sandbox once more.
    pub(super) async fn image(&self) -> Image {
        image(&self.cache).await.unwrap()
    }

    pub(super) async fn end(self) {
        self.sandbox.stop().await.unwrap();
        assert_eq!(scratch_directories(self.directory.path()), 0);
        drop(self.sandbox);
        images::clear(&self.cache).await;
        remove_arena(self.directory.path()).await;
    }
}

pub(super) async fn start(
    cache: &ImageCache,
    options: SandboxOptions,
) -> Result<Sandbox, ExecutorError> {
    Sandbox::start(cache, image(cache).await?, options, &Abort::new()).await
}

pub(super) async fn image(cache: &ImageCache) -> Result<Image, ExecutorError> {
    let bytes = system();
    let fetch = async |mut file: File| {
        file.write_all(&bytes).unwrap();
        Ok(())
    };
    cache
        .ensure(&images::wanted("system.tar", &bytes), fetch, &Abort::new())
        .await
}

pub(super) fn scratch_directories(directory: &Path) -> usize {
    fs::read_dir(directory.join("scratch/sandboxes")).map_or(0, |entries| entries.count())
}

/// The arena belongs to the root of sandboxes; it is empty, so its owner's directory can lose it.
pub(super) async fn remove_arena(directory: &Path) {
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
        .add(EntryType::Regular, "./etc/secret", b"of root", 0o600, 0)
        .add(EntryType::Regular, "./etc/of-apt", b"of _apt", 0o640, 42)
        .add(
            EntryType::Regular,
            "./usr/bin/su-id",
            &program("id"),
            0o4755,
            0,
        )
        .add(
            EntryType::Regular,
            "./usr/bin/apt-id",
            &program("id"),
            0o6755,
            42,
        );
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

/// A program of this machine.
fn program(name: &str) -> Vec<u8> {
    fs::read(Path::new("/usr/bin").join(name)).unwrap()
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
