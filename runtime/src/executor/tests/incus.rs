//! Promises about instances of incus, with a client that writes down what it is asked and plays a server in a directory.

use super::images::Archive;
use super::*;
use crate::executor::{
    Incus, IncusImage, IncusImageKind, IncusInstance, IncusKind, Instance, Limits,
};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// The client: images and instances are entries of directories; commands "inside" run here, as whoever runs the test.
const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> log
fail() { echo "Error: $1" >&2; exit 1; }
case "$1 $2" in
"image get-property") cat "images/$(basename "$3")/$4" 2>/dev/null || fail "Image not found" ;;
"image info") test -d "images/$(basename "$3")" || fail "Image not found" ;;
"image rm") rm -r "images/$(basename "$3")" ;;
"image import")
    mkdir -p "images/$(basename "$5")" && cp "$3" "images/$(basename "$5")/archive"
    tar -xOf "$3" metadata.yaml | sed 's/.*"sha256":"\([^"]*\)".*/\1/' > "images/$(basename "$5")/sha256" ;;
"info "*) test -e "instances/$2" || fail "Instance not found" ;;
"launch "*) for name; do :; done; mkdir -p instances && echo "$*" > "instances/$name" ;;
"delete "*) rm "instances/$3" ;;
"list "*) case "$4" in debusine-*) ls instances ;; *) cat list ;; esac ;;
"file push") for place; do :; done; cat > "/${place#*/}" ;;
"file pull") cat "/${3#*/}" ;;
"exec "*)
    shift 2
    while [ "$1" != -- ]; do [ "$1" = --cwd ] && cd "$2"; [ "$1" = --env ] && export "$2"; shift 2; done
    shift
    case "$1 $2" in
    "systemctl "*) test -e booted && echo running || { touch booted; echo starting; } ;;
    "getent passwd") test -e user && echo "_debusine:x:$(id -u):$(id -g)::/home/_debusine:/bin/sh" ;;
    "useradd "*) touch user ;;
    *) exec "$@" ;;
    esac ;;
*) fail "unknown command $1" ;;
esac
"#;

struct Server {
    directory: tempfile::TempDir,
    incus: Incus,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("incus");
        fs::write(&program, SCRIPT).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let incus = Incus::new(HostCommands::new()).program(program);
        Self { directory, incus }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn instances(&self) -> usize {
        fs::read_dir(self.path("instances")).map_or(0, |entries| entries.count())
    }

    async fn launch(&self) -> IncusInstance {
        self.try_launch(IncusKind::Container, &Limits::default())
            .await
            .unwrap()
    }

    async fn try_launch(
        &self,
        kind: IncusKind,
        limits: &Limits,
    ) -> Result<IncusInstance, ExecutorError> {
        IncusInstance::launch(&self.incus, "artifact/7", kind, limits, &Abort::new()).await
    }

    async fn import(&self, file: &Path, kind: IncusImageKind) -> Result<(), ExecutorError> {
        let image = IncusImage {
            alias: "artifact/7".into(),
            kind,
            sha256: "ab".repeat(32),
            architecture: "x86_64".into(),
            properties: vec![("release".into(), "bookworm".into())],
        };
        self.incus
            .import(&image, file, &self.path("scratch"), &Abort::new())
            .await
    }
}

#[tokio::test]
async fn an_image_is_imported_once_and_boots_in_a_container() {
    let server = Server::new();
    let system = Archive::new()
        .directory("./")
        .directory("./etc/")
        .add(EntryType::Regular, "./etc/shadow", b"secret", 0o640, 42)
        .add(EntryType::Link, "./etc/again", b"./etc/shadow", 0o640, 42)
        .symlink("./usr/sbin/init", "/lib/systemd/systemd")
        .finish();
    let file = server.path("system.tar.zst");
    fs::write(&file, zstd::encode_all(&system[..], 1).unwrap()).unwrap();
    for _ in 0..2 {
        server.import(&file, IncusImageKind::Tarball).await.unwrap();
    }
    assert_eq!(server.log().matches("image import").count(), 1);
    assert_eq!(fs::read_dir(server.path("scratch")).unwrap().count(), 0);
    let archive = server.path("images/7/archive");
    let (_, listing) = output_of(
        &HostCommands::new(),
        command(["tar", "-tvf", archive.to_str().unwrap()]),
    )
    .await;
    for line in [
        "metadata.yaml",
        "templates/hostname.tpl",
        "rootfs/etc/again link to rootfs/etc/shadow",
        "rootfs/usr/sbin/init -> /lib/systemd/systemd",
        "rootfs/etc/systemd/system/multi-user.target.wants/systemd-networkd.service -> /lib/systemd/system/systemd-networkd.service",
        "rootfs/etc/systemd/system-generators/lxc",
    ] {
        assert!(listing.contains(line), "{line} is not in {listing}");
    }
    let shadow = listing
        .lines()
        .find(|line| line.ends_with("etc/shadow"))
        .unwrap();
    assert!(shadow.starts_with("-rw-r----- 42/42"), "{shadow}");
}

#[tokio::test]
async fn an_image_of_another_store_with_the_same_number_is_replaced() {
    let server = Server::new();
    fs::create_dir_all(server.path("images/7")).unwrap();
    let disk = server.path("disk.qcow2");
    fs::write(&disk, "disk").unwrap();
    server.import(&disk, IncusImageKind::Qcow2).await.unwrap();
    assert!(server.log().contains("image rm artifact/7\nimage import"));
    let archive = server.path("images/7/archive");
    let content = ["tar", "-xOf", archive.to_str().unwrap(), "rootfs.img"];
    assert_eq!(
        output_of(&HostCommands::new(), command(content)).await.1,
        "disk"
    );
}

#[tokio::test]
async fn an_image_that_cannot_boot_or_is_damaged_is_not_imported() {
    let server = Server::new();
    let system = Archive::new()
        .directory("./etc/")
        .file("./etc/x", b"x")
        .finish();
    let cases = [
        (IncusImageKind::Tarball, system.clone(), "no init"),
        (IncusImageKind::Tarball, system[..700].to_vec(), "damaged"),
        (IncusImageKind::RawTarball, system, "one file"),
    ];
    for (kind, bytes, words) in cases {
        let file = server.path("image.tar");
        fs::write(&file, bytes).unwrap();
        match server.import(&file, kind).await {
            Err(ExecutorError::Image(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    assert!(!server.log().contains("image import"));
}

#[tokio::test]
async fn an_instance_is_launched_used_and_deleted() {
    let server = Server::new();
    let instance = server.launch().await;
    let launched = server.log();
    let launch = launched
        .lines()
        .find(|line| line.starts_with("launch"))
        .unwrap();
    assert!(
        launch
            .starts_with("launch --ephemeral --profile debusine --config user.task-runtime.owner="),
        "{launch}"
    );
    assert!(launch.contains(" artifact/7 debusine-"), "{launch}");
    let before = instance.run(shell("true"), &Abort::new()).await;
    assert!(
        matches!(before, Err(ExecutorError::System(_))),
        "{before:?}"
    );
    instance.create_user(&Abort::new()).await.unwrap();
    let mut told = shell("echo $ONE; pwd; exit 7");
    told.environment = Some([("ONE".into(), "1".into())].into());
    told.directory = Some("/usr".into());
    let (exit, text) = output_of(&instance, told).await;
    assert_eq!(
        (exit.unwrap(), text.as_str()),
        (Exit::Exited(7), "1\n/usr\n")
    );
    assert!(server.log().contains(" --user "));
    instance.stop().await.unwrap();
    instance.stop().await.unwrap();
    assert_eq!(server.instances(), 0);
}

#[tokio::test]
async fn files_go_into_an_instance_and_come_out() {
    let server = Server::new();
    let instance = server.launch().await;
    instance.create_user(&Abort::new()).await.unwrap();
    let inside = server.path("inside");
    instance
        .create_directory(&inside, 0o750, &Abort::new())
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(&inside).unwrap().permissions().mode() & 0o777,
        0o750
    );
    let source = server.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a file"), "content").unwrap();
    instance
        .push_directory(&source, &inside, &Abort::new())
        .await
        .unwrap();
    assert_eq!(fs::read(inside.join("source/a file")).unwrap(), b"content");
    let mut pushed = tempfile::tempfile().unwrap();
    pushed.write_all(b"pushed").unwrap();
    pushed.rewind().unwrap();
    let target = inside.join("pushed");
    instance
        .push_file(pushed, &target, 0o644, &Abort::new())
        .await
        .unwrap();
    assert_eq!(pull(&instance, &target).await.unwrap(), "pushed");
    std::os::unix::fs::symlink("/etc/passwd", inside.join("link")).unwrap();
    for refused in [inside.join("link"), inside.clone(), inside.join("missing")] {
        let pulled = pull(&instance, &refused).await;
        assert!(matches!(pulled, Err(ExecutorError::File(_))), "{pulled:?}");
    }
    instance.stop().await.unwrap();
}

async fn pull(instance: &IncusInstance, path: &Path) -> Result<String, ExecutorError> {
    let mut target = tempfile::tempfile().unwrap();
    let clone: File = target.try_clone().unwrap();
    instance.pull_file(path, clone, &Abort::new()).await?;
    let mut text = String::new();
    target.rewind().unwrap();
    target.read_to_string(&mut text).unwrap();
    Ok(text)
}

#[tokio::test]
async fn an_abort_ends_a_command_in_an_instance() {
    let server = Server::new();
    let instance = server.launch().await;
    let mut slow = shell("sleep 600");
    slow.as_root = true;
    let start = Instant::now();
    let exit = instance
        .run(slow, &abort_after(Duration::from_millis(100)))
        .await;
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert!(start.elapsed() < PATIENCE);
    instance.stop().await.unwrap();
}

#[tokio::test]
async fn instances_that_were_dropped_or_lost_their_runtime_are_deleted() {
    let server = Server::new();
    drop(server.launch().await);
    assert!(eventually(|| server.instances() == 0));
    let other = server.launch().await;
    fs::write(server.path("instances/debusine-lost"), "").unwrap();
    fs::write(
        server.path("list"),
        format!(
            "debusine-lost,4194999.77\ndebusine-alive,{}\nsomething,4194999.77\ndebusine-foreign,\n",
            crate::executor::owner::name_of_this_process()
        ),
    )
    .unwrap();
    assert_eq!(server.incus.sweep(&Abort::new()).await.unwrap(), 1);
    assert_eq!(server.instances(), 1);
    other.stop().await.unwrap();
}

#[tokio::test]
async fn what_incus_complains_of_is_told() {
    let mut server = Server::new();
    server.incus = Incus::new(HostCommands::new()).program("/bin/false");
    let (kind, limits) = (IncusKind::Container, Limits::default());
    let launched = server.try_launch(kind, &limits).await;
    assert!(launched.is_err_and(|error| error.to_string().contains("try `incus launch")),);
    server.incus = Incus::new(HostCommands::new()).program(server.path("missing"));
    let launched = server.try_launch(kind, &limits).await;
    assert!(matches!(launched, Err(ExecutorError::Command(_))));
}

#[tokio::test]
async fn an_instance_gets_the_limits_in_the_words_of_incus() {
    let server = Server::new();
    let limits = Limits {
        memory: Some(8 << 30),
        processes: Some(300),
        processors: Some(1500),
        ..Limits::default()
    };
    for (kind, words) in [
        (
            IncusKind::Container,
            " --config limits.memory=8589934592 --config limits.processes=300 --config limits.cpu.allowance=150ms/100ms artifact/7 ",
        ),
        (
            IncusKind::Machine,
            " --config limits.memory=8589934592 --config limits.cpu=2 artifact/7 ",
        ),
    ] {
        let instance = server.try_launch(kind, &limits).await.unwrap();
        let log = server.log();
        let launch = log.lines().rfind(|line| line.starts_with("launch "));
        assert!(launch.is_some_and(|line| line.contains(words)), "{log}");
        instance.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_instance_whose_deletion_failed_is_deleted_when_asked_again() {
    let server = Server::new();
    let instance = server.launch().await;
    let away = server.path("away");
    // The server has it still, and its client fails.
    let script = fs::read_to_string(server.path("incus")).unwrap();
    let broken = script.replace(r#"rm "instances/$3""#, r#"fail "not now""#);
    let program = server.path("incus");
    let exchange = |text: &str| {
        fs::write(&away, text).unwrap();
        fs::set_permissions(&away, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(&away, &program).unwrap();
    };
    exchange(&broken);
    let failed = instance.stop().await;
    assert!(
        failed.is_err_and(|error| error.to_string().contains("not now")),
        "the failure is told"
    );
    exchange(&script);
    instance.stop().await.unwrap();
    assert_eq!(server.instances(), 0);
}

#[tokio::test]
async fn an_instance_that_went_by_itself_needs_no_deletion() {
    let server = Server::new();
    let instance = server.launch().await;
    for entry in fs::read_dir(server.path("instances")).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    instance.stop().await.unwrap();
}
